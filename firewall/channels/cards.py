"""What a channel remembers of its cards, so that none is lost or doubled by a restart."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from firewall.approval import Hold


class Cards(Protocol):
    """Durable text by hold id. `put` has happened when it returns; I/O failures are a `StoreError`."""

    async def get(self, hold_id: str) -> str | None: ...
    async def put(self, hold_id: str, value: str) -> None: ...


class MemoryCards:
    """Cards that are forgotten with the process; for tests and demonstrations."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    async def get(self, hold_id: str) -> str | None:
        return self._kept.get(hold_id)

    async def put(self, hold_id: str, value: str) -> None:
        self._kept[hold_id] = value


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a hold's card is and what of the hold it shows.

    ts: empty from just before the first attempt to post until Slack's answer is known: a card may or may
        not be there, and must be looked for before another is posted.
    shows: `face` of the hold as last shown.
    filed, told, escalated: the full text, the outcome, the escalation are in the thread.
    alarmed: that the glass was broken has been told, whether there is a card or not.
    nudged: how many reminders were due when the last was written.
    members: holds that came later and are on this card as well. lead: the hold on whose card this one is.
    also: further messages with this card, whose posting was not answered.
    """

    channel: str = ""
    ts: str = ""
    shows: str = ""
    filed: bool = False
    told: bool = False
    nudged: int = 0
    escalated: bool = False
    members: tuple[str, ...] = ()
    lead: str = ""
    also: tuple[str, ...] = ()
    alarmed: bool = False

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Posted:
        fields = json.loads(text)
        lists = {name: tuple(fields.get(name, ())) for name in ("members", "also")}
        return cls(**{**fields, **lists})


def face(holds: Sequence[Hold], now: datetime) -> str:
    """Changes when, and only when, the card must look different."""
    return " ".join(f"{hold.state} {len(hold.votes)} {len(hold.deciders(now))}" for hold in holds)
