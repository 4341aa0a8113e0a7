"""What the emulated Slack holds, in the shapes that its API and payloads show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.slack_emulator.blocks import words

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it stood at one moment; the emulator replaces it when it is updated."""

    channel: str
    ts: str
    user: str
    text: str
    blocks: list[Json] = field(default_factory=list)
    thread_ts: str = ""
    edited: bool = False
    files: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Everything that a person reads on it."""
        return words(self.blocks) if self.blocks else self.text

    @property
    def buttons(self) -> dict[str, Json]:
        """Buttons by action id, each with its block's id."""
        return buttons(self.blocks)

    def dump(self) -> Json:
        """As in conversations.history and in payloads."""
        found: Json = {
            "type": "message",
            "user": self.user,
            "bot_id": "B0FIREWALL",
            "app_id": "A0FIREWALL",
            "team": "T0HOME",
            "ts": self.ts,
            "text": self.text,
            "blocks": self.blocks,
        }
        if self.thread_ts:
            found["thread_ts"] = self.thread_ts
        if self.edited:
            found["edited"] = {"user": self.user, "ts": self.ts}
        return found


@dataclass(slots=True)
class View:
    """A modal on one person's screen."""

    id: str
    user: str
    team: str
    hash: str
    content: Json
    closed: bool = False
    updates: int = 0

    @property
    def words(self) -> str:
        return words(self.content["blocks"])

    @property
    def buttons(self) -> dict[str, Json]:
        return buttons(self.content["blocks"])

    @property
    def title(self) -> str:
        return str(self.content["title"]["text"])

    def dump(self, values: Json | None = None) -> Json:
        """As in payloads and in answers of views.open."""
        empty = {"private_metadata": "", "callback_id": "", "submit": None, "close": None, "title": None}
        return {
            **empty,
            **self.content,
            "id": self.id,
            "team_id": "T0HOME",
            "app_id": "A0FIREWALL",
            "app_installed_team_id": "T0HOME",
            "bot_id": "B0FIREWALL",
            "root_view_id": self.id,
            "previous_view_id": None,
            "external_id": "",
            "hash": self.hash,
            "state": {"values": values or {}},
        }


@dataclass(frozen=True, slots=True)
class File:
    """A file that was uploaded and shared."""

    name: str
    title: str
    content: str
    channel: str
    thread_ts: str


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the Web API and what came of it; `error` is empty when it was ok."""

    method: str
    at: float
    arguments: Json
    error: str


@dataclass(frozen=True, slots=True)
class Ack:
    """The app's acknowledgement of an envelope, with the payload that it sent back, if any."""

    payload: Json


def buttons(blocks: list[Json]) -> dict[str, Json]:
    return {
        element["action_id"]: {**element, "block_id": block["block_id"]}
        for block in blocks
        if block["type"] == "actions"
        for element in block["elements"]
        if element["type"] == "button"
    }
