"""Runs under a standing release, on their way to the log: written behind, in order, within bounds.

A statement that a rule allows may be run a thousand times a second, and a commit takes milliseconds. What is
released, and by whose leave, is durable before the first of them is sent: the standing release says so of the
text, with any parameters. What single runs add to it, their values and outcomes, may reach the disk a moment
later. The moment is bounded: when too much is unwritten, or for too long, or the store has failed, runs wait
for a commit of their own again, and if that fails nothing passes. A crash can lose what was unwritten.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from firewall import clock, ids
from firewall.approval import Earlier, earlier
from firewall.audit import runs as audit_runs
from firewall.errors import StoreError
from firewall.proxy import telling, text
from firewall.proxy.telling import LONGEST_LOGGED_VALUE

if TYPE_CHECKING:
    from firewall import audit
    from firewall.proxy.guarded import Log
    from firewall.proxy.standing import Leave
    from firewall.session import Act, Done

# Unwritten runs and ends of all sessions together.
MAX_UNWRITTEN = 10_000
# The oldest of them, in seconds; far above what a commit takes on a disk that works.
MAX_AGE = 0.25
# What bound values may take in memory until they are written.
MAX_BYTES = 16 * 1024 * 1024
# So much is worth a commit at once; less waits for so long, to share one.
ENOUGH = 2000
LINGER = 0.08
# Runs are made into text so many at a time, which takes less than 0.1 ms: somebody waits for every relay.
SLICE = 16
# After a failure.
RETRY = 0.25
# Different tags that are remembered; each is a few words.
MAX_TAGS = 256

log = structlog.get_logger(__name__)


class Run:
    """One run: by whose leave, which of its session, when (nanoseconds since 1970), and what it ran.

    asked: an Act, or the Bind message as its bytes (none for a Query) with the parameters' types beside it.
    Once it is answered, `ended`, tag, size and error say how.
    """

    __slots__ = ("asked", "at", "ended", "leave", "message", "number", "size", "sqlstate", "tag", "types")

    def __init__(
        self, leave: Leave, number: int, at: int, asked: Act | bytes, types: tuple[int, ...] = ()
    ) -> None:
        self.leave = leave
        self.number = number
        self.at = at
        self.asked = asked
        self.types = types
        self.ended = 0
        self.tag: str | bytes = ""
        self.size = 0
        self.sqlstate = ""
        self.message = ""

    def answered(self, done: Done) -> None:
        """Postgres has said what came of it."""
        self.ended = time.time_ns()
        self.tag = "; ".join(done.tags)
        self.size = done.size
        self.sqlstate, self.message = done.sqlstate, done.message

    def begin(self, stamps: clock.Stamps) -> audit_runs.Line:
        """As a `Run` of a record."""
        asked = self.asked
        if isinstance(asked, bytes):
            parameters, formats = text.bound(asked)
            types = self.types if asked else ()
        else:
            parameters, formats, types = asked.parameters, asked.formats, asked.types
        return audit_runs.run(
            self.number,
            stamps.stamp(self.at),
            self.leave.digester.digest(parameters, formats, types),
            text.shown(parameters, formats, types, LONGEST_LOGGED_VALUE) if parameters else (),
        )

    def earlier(self) -> Earlier:
        """For people who decide on what comes after it."""
        tag = self.tag if isinstance(self.tag, str) else self.tag.decode(errors="backslashreplace")
        came = telling.failed(self.message, self.sqlstate) if self.sqlstate else tag
        return earlier(text.printable(self.leave.judgement.sql), text.printable(came))

    def end(self, stamps: clock.Stamps, tags: Tags) -> audit_runs.Line:
        """As an `End` of a record."""
        shown, rows = tags.read(self.tag)
        return audit_runs.end(
            self.number,
            stamps.stamp(self.ended),
            tag=shown,
            rows=rows,
            size=self.size,
            micros=max(0, self.ended - self.at) // 1000,
            sqlstate=self.sqlstate,
            message=text.printable(self.message) if self.message else "",
        )

    @property
    def weight(self) -> int:
        """Bytes of its values."""
        if isinstance(self.asked, bytes):
            return len(self.asked)
        return sum(map(len, filter(None, self.asked.parameters)))


class Tags:
    """CommandComplete tags as the log shows them, with the rows they tell of; most come often."""

    def __init__(self) -> None:
        self._known: dict[str | bytes, tuple[str, int]] = {}

    def read(self, tag: str | bytes) -> tuple[str, int]:
        """tag: bytes still have their NUL."""
        known = self._known.get(tag)
        if known is None:
            words = tag if isinstance(tag, str) else tag[:-1].decode(errors="backslashreplace")
            known = text.printable(words), telling.rows_of(words.split("; "))
            if len(self._known) >= MAX_TAGS:
                self._known.clear()
            self._known[tag] = known
        return known


class Unwritten:
    """What is to become records, by the leave that it went by: runs and ends as text, and how many they are.

    size: of the values in it, in bytes.
    """

    def __init__(self) -> None:
        self.leaves: dict[Leave, tuple[list[audit_runs.Line], list[audit_runs.Line]]] = {}
        self.count = 0
        self.size = 0

    def add(self, leave: Leave, line: audit_runs.Line, part: int) -> None:
        """A run (0) or an end (1)."""
        lines = self.leaves.get(leave)
        if lines is None:
            lines = self.leaves[leave] = ([], [])
        lines[part].append(line)


class Behind:
    """All sessions' runs."""

    # INVARIANT: 5. no release without a durable record: that of the standing release; and runs outpace the
    # log by no more than these bounds, and not at all once it has failed

    def __init__(self, ledger: Log) -> None:
        self._log = ledger
        # not yet taken to be written: an end never comes into the log before its run
        self._released: list[Run] = []
        self._ended: list[Run] = []
        self._writing = Unwritten()
        self._size = 0  # of the values of those that wait
        self._oldest = 0.0
        self._failure: StoreError | None = None
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # the attempt that is under way while there is a task
        self._round: asyncio.Future[None]
        self._stamps = clock.Stamps()
        self._tags = Tags()

    def open(self, now: float) -> bool:
        """One more run may be sent before the log has it. now: of `time.monotonic`."""
        if self._task is None:
            return True
        return (
            self._failure is None
            and len(self._released) + len(self._ended) + self._writing.count < MAX_UNWRITTEN
            and self._size + self._writing.size < MAX_BYTES
            and now - self._oldest < MAX_AGE
        )

    def released(self, run: Run) -> None:
        """It is sent in this very moment."""
        self._released.append(run)
        self._size += run.weight
        if self._task is None:
            self._begin()
        elif len(self._released) == ENOUGH:
            self._hurry.set()

    def ended(self, run: Run) -> None:
        """It has been answered, and says so itself."""
        self._ended.append(run)
        if self._task is None:
            self._begin()

    async def written(self) -> None:
        """Return when all that was added is durable. Raises StoreError."""
        while self._task is not None:
            self._hurry.set()
            await asyncio.shield(self._round)
            if self._failure is not None:
                raise StoreError(self._failure.message, hint=self._failure.hint)

    async def close(self) -> None:
        """Write what is left, or say that it is lost."""
        try:
            await self.written()
        except StoreError as error:
            unwritten = len(self._released) + len(self._ended) + self._writing.count
            log.error("runs are not in the log", unwritten=unwritten, error=error.message)  # noqa: TRY400 — no traceback reaches a person
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._oldest = time.monotonic()
        self._round = loop.create_future()
        self._task = loop.create_task(self._write(), name="runs to the log")

    async def _write(self) -> None:
        try:
            await self._write_all()
        except Exception as error:  # noqa: BLE001 — a bug must not leave it open with nobody who writes
            self._failure = StoreError(f"runs cannot be made into records: {type(error).__name__}")
            self._failure.__cause__ = error
            log.error("runs cannot be written any more", error=repr(error))  # noqa: TRY400 — as above
            self._round.set_result(None)
        else:
            self._task = None

    async def _write_all(self) -> None:
        """As long as anything is unwritten."""
        loop = asyncio.get_running_loop()
        while self._released or self._ended or self._writing.count:
            if len(self._released) < ENOUGH or self._failure is not None:
                late = loop.call_later(LINGER if self._failure is None else RETRY, self._hurry.set)
                await self._hurry.wait()
                late.cancel()
            self._hurry.clear()
            taken = time.monotonic()
            await self._take_down()
            try:
                await self._log.append_made(partial(records, self._writing))
            except StoreError as error:
                if self._failure is None:
                    log.warning("runs cannot be written", unwritten=self._writing.count, error=error.message)
                self._failure = error  # and they wait for the next attempt
            else:
                self._failure = None
                self._oldest = taken  # nothing that has come since is older
                self._writing = Unwritten()
            done, self._round = self._round, loop.create_future()
            done.set_result(None)

    async def _take_down(self) -> None:
        """Make text of what waits, a slice at a time: relaying goes on between them.

        It is done here and not when a run is sent, because a processor that has just done a thousand other
        things takes three times as long for the first of them as for the next.
        """
        released, ended = self._released, self._ended
        self._released, self._ended = [], []
        self._writing.count += len(released) + len(ended)
        self._writing.size += self._size
        self._size = 0
        for begun in range(0, len(released), SLICE):
            for run in released[begun : begun + SLICE]:
                self._writing.add(run.leave, run.begin(self._stamps), 0)
            await asyncio.sleep(0)
        for begun in range(0, len(ended), SLICE):
            for run in ended[begun : begun + SLICE]:
                self._writing.add(run.leave, run.end(self._stamps, self._tags), 1)
            await asyncio.sleep(0)


def records(unwritten: Unwritten) -> list[audit.Written]:
    """One `Runs` record for each standing release, oldest first."""
    return [
        audit_runs.runs(
            id=ids.record_id(),
            at=clock.stamp(clock.now()),
            session=leave.session,
            statement=leave.statement,
            agent=leave.agent,
            released=runs,
            ended=ends,
        )
        for leave, (runs, ends) in unwritten.leaves.items()
    ]
