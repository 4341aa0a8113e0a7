"""Checkpoints put where the log's operator cannot take them back, and read from there."""

from firewall.publishing.error import PublishError
from firewall.publishing.places import Bucket, File, Hook, Place, configured, read
from firewall.publishing.publisher import Publisher, Standing
from firewall.publishing.slack import Slack

__all__ = [
    "Bucket",
    "File",
    "Hook",
    "Place",
    "PublishError",
    "Publisher",
    "Slack",
    "Standing",
    "configured",
    "read",
]
