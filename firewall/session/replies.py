"""What Postgres still owes: one entry for each message sent that will be answered, in order.

Knowing the head of this queue is what lets injected messages keep their place, refusals be rewritten and
ReadyForQuery be counted instead of guessed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firewall.session.commands import Refusal, Work


class Owed(Enum):
    """Which message an answer is owed to."""

    PARSE = auto()
    BIND = auto()
    DESCRIBE = auto()
    EXECUTE = auto()
    CLOSE = auto()
    SYNC = auto()
    QUERY = auto()
    REFUSAL = auto()  # the text that Postgres must fail
    PROBE = auto()  # a text sent as a Parse to hear whether Postgres accepts it


@dataclass(slots=True)
class Reply:
    """One owed answer. `swallow`: the client did not ask for it and must not see it."""

    owed: Owed
    swallow: bool = False
    name: str = ""
    sql: str = ""
    types: tuple[int, ...] = ()
    work: Work | None = None
    refusal: Refusal | None = None


class Replies:
    """The queue of owed answers."""

    def __init__(self) -> None:
        self._queue: deque[Reply] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self):  # type: ignore[no-untyped-def]  # noqa: ANN204 — deque's own iterator
        return iter(self._queue)

    def push(self, reply: Reply) -> None:
        self._queue.append(reply)

    @property
    def head(self) -> Reply | None:
        return self._queue[0] if self._queue else None

    def pop(self) -> Reply:
        return self._queue.popleft()

    def skip_to_sync(self) -> list[Reply]:
        """After an error Postgres discards messages until Sync (manual 53.2.3); returns what it discards."""
        skipped: list[Reply] = []
        while self._queue and self._queue[0].owed is not Owed.SYNC:
            skipped.append(self._queue.popleft())
        return skipped

    def drop_syncs(self) -> None:
        """COPY FROM STDIN has begun: Postgres ignores the Syncs that were sent behind it (manual 53.2.6)."""
        self._queue = deque(
            reply for i, reply in enumerate(self._queue) if i == 0 or reply.owed is not Owed.SYNC
        )

    def text_in_flight(self, name: str) -> Reply | None:
        """The newest Parse of that statement name that is not answered yet."""
        return next((r for r in reversed(self._queue) if r.owed is Owed.PARSE and r.name == name), None)
