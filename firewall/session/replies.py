"""What Postgres still owes: one entry for each message sent that will be answered, in order.

Knowing the head of this queue is what lets injected messages keep their place, refusals be rewritten and
ReadyForQuery be counted instead of guessed.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firewall.session.commands import Refusal, Work
    from firewall.session.portals import Portal


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
    INSIDE = auto()  # the query in a COPY, sent as a Parse to hear what its columns are
    OURS = auto()  # a text of our own beside a bounded execution, to its Parse and to its Execute


# Tuples, which compare by identity first: an enum's hash is a call in Python, and this is once a message.
# What ends a batch: Postgres answers with ReadyForQuery, and forgets that it was discarding messages.
ENDS = (Owed.SYNC, Owed.QUERY)
# What can begin or end a transaction while it is not answered.
CHANGES = (Owed.EXECUTE, Owed.SYNC, Owed.QUERY)
# What rows and COPY can be an answer to.
RUNS = (Owed.EXECUTE, Owed.QUERY)


def bait(refusal: Refusal) -> str:
    """A text that Postgres must fail; for the database's log it says why."""
    # INVARIANT: 3. what is refused never reaches Postgres; this text begins with no keyword and must fail
    # any encoding has ASCII, and a message cannot hold NUL
    why = refusal.message.replace("\0", " ").encode("ascii", "replace").decode()
    return f"query_firewall refused this statement: {why}"


def weight(sql: str | None, types: tuple[int, ...]) -> int:
    """What a prepared statement takes of our memory, roughly: text, types, and what is around them."""
    return 200 + len(sql or "") + 40 * len(types)


class Reply:
    """One owed answer. `swallow`: the client did not ask for it and must not see it.

    name, sql, types: of a Parse; sql is None when what the name will mean cannot be told. settles: the Sync
    that gives locks back before a hold. describes: the prepared statement whose parameters are to be told.
    portal: the one that an Execute runs, a Close closes, a Bind puts another in place of. index: counts all
    messages sent, in order.
    """

    __slots__ = (
        *("describes", "index", "name", "owed", "portal", "refusal", "settles", "size", "sql", "swallow"),
        *("types", "work"),
    )

    def __init__(  # noqa: PLR0913 — most are for one kind of message each
        self,
        owed: Owed,
        *,
        swallow: bool = False,
        name: str = "",
        sql: str | None = None,
        types: tuple[int, ...] = (),
        work: Work | None = None,
        refusal: Refusal | None = None,
        settles: bool = False,
        describes: str | None = None,
        portal: Portal | None = None,
    ) -> None:
        self.owed = owed
        self.swallow = swallow
        self.name = name
        self.sql = sql
        self.types = types
        self.work = work
        self.refusal = refusal
        self.settles = settles
        self.describes = describes
        self.portal = portal
        self.size = 0
        self.index = 0


class Replies:
    """The queue of owed answers."""

    def __init__(self) -> None:
        self._queue: deque[Reply] = deque()
        self._parses: dict[str, deque[Reply]] = {}
        self._sent = 0
        self._ended = 0
        self.ignored_syncs = 0
        self.flying = 0  # what the Parses weigh that are not answered yet

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Reply]:
        return iter(self._queue)

    @property
    def sent(self) -> int:
        """How many messages were sent that are answered: the index of the newest."""
        return self._sent

    @property
    def head(self) -> Reply | None:
        return self._queue[0] if self._queue else None

    def push(self, reply: Reply) -> None:
        self._sent += 1
        reply.index = self._sent
        self._queue.append(reply)
        if reply.owed in ENDS:
            self._ended = reply.index
        elif reply.owed is Owed.PARSE:
            self._parses.setdefault(reply.name, deque()).append(reply)
            reply.size = weight(reply.sql, reply.types)
            self.flying += reply.size

    def pop(self) -> Reply:
        reply = self._queue.popleft()
        if reply.owed is Owed.PARSE:
            flying = self._parses[reply.name]
            flying.popleft()
            self.flying -= reply.size
            if not flying:
                del self._parses[reply.name]
        return reply

    def skip_to_sync(self) -> list[Reply]:
        """After an error Postgres discards messages until Sync (manual 53.2.3); returns what it discards."""
        skipped: list[Reply] = []
        while self._queue and self._queue[0].owed is not Owed.SYNC:
            skipped.append(self.pop())
        return skipped

    def ignore_syncs(self) -> None:
        """COPY FROM STDIN has begun: Postgres ignores the Syncs that were sent behind it (manual 53.2.6).

        Those that it has not read when the COPY fails early are answered all the same.
        """
        kept = deque(reply for i, reply in enumerate(self._queue) if i == 0 or reply.owed is not Owed.SYNC)
        self.ignored_syncs = len(self._queue) - len(kept)
        self._queue = kept

    def parses(self) -> Iterator[Reply]:
        """The Parses that are not answered yet."""
        return (reply for flying in self._parses.values() for reply in flying)

    def parses_of(self, name: str) -> tuple[Reply, ...]:
        """The Parses of that statement name that are not answered yet, oldest first."""
        return tuple(self._parses.get(name, ()))

    def certain(self, parse: Reply) -> bool:
        """If this Parse fails, so does everything sent from now on up to the next Sync."""
        return parse.index > self._ended
