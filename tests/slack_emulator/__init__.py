"""Slack's Web API and Socket Mode on loopback, for the real slack-sdk and slack-bolt.

A small model that holds what Slack holds (messages, views, files, sockets, triggers), refuses what Slack
refuses and fails as Slack fails when told to. It knows nothing of the firewall.
"""

from tests.slack_emulator.blocks import problems, words
from tests.slack_emulator.server import SlackEmulator
from tests.slack_emulator.state import Ack, Call, File, Message, View

__all__ = ["Ack", "Call", "File", "Message", "SlackEmulator", "View", "problems", "words"]
