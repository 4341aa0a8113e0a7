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
from firewall.audit import runs as audit_runs
from firewall.errors import StoreError
from firewall.proxy import telling, text
from firewall.session import Act
from firewall.wire.body import Body
from firewall.wire.framing import HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall import audit
    from firewall.proxy.guarded import Log
    from firewall.proxy.standing import Leave
    from firewall.session import Done

# Unwritten runs and ends of all sessions together.
MAX_UNWRITTEN = 10_000
# The oldest of them, in seconds; far above what a commit takes on a disk that works.
MAX_AGE = 0.25
# What bound values may take in memory until they are written.
MAX_BYTES = 16 * 1024 * 1024
# So much is worth a commit at once; less waits for so long, to share one.
ENOUGH = 2000
LINGER = 0.08
# After a failure.
RETRY = 0.25

log = structlog.get_logger(__name__)


class Run:
    """One run: by whose leave, which of its session, when (nanoseconds since 1970), and what it ran.

    asked: an Act, or the Bind message as its bytes (none for a Query) with the parameters' types beside it;
    it is taken apart when it is written down. Once it is answered, `ended`, tag, size and error say how.
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

    def bound(self) -> tuple[tuple[bytes | None, ...], tuple[int, ...], tuple[int, ...]]:
        """Parameters, formats and types, as `Act` has them."""
        asked = self.asked
        if isinstance(asked, Act):
            return asked.parameters, asked.formats, asked.types
        if not asked:
            return (), (), ()
        read = Body(asked[HEADER:], "Bind")
        read.string()
        read.string()
        formats = read.uint16s()
        return read.values(), formats, self.types

    @property
    def weight(self) -> int:
        """Bytes that it keeps in memory, roughly: its values."""
        if isinstance(self.asked, bytes):
            return len(self.asked)
        return sum(map(len, filter(None, self.asked.parameters)))


class Behind:
    """All sessions' runs."""

    # INVARIANT: 5. no release without a durable record: that of the standing release; and runs outpace the
    # log by no more than these bounds, and not at all once it has failed

    def __init__(self, ledger: Log) -> None:
        self._log = ledger
        # not yet taken to be written: an end never comes into the log before its run
        self._released: list[Run] = []
        self._ended: list[Run] = []
        self._writing = 0
        self._oldest = 0.0
        self._size = 0
        self._failure: StoreError | None = None
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # the attempt that is under way while there is a task
        self._round: asyncio.Future[None]

    @property
    def open(self) -> bool:
        """One more run may be sent before the log has it."""
        if self._task is None:
            return True
        return (
            self._failure is None
            and len(self._released) + len(self._ended) + self._writing < MAX_UNWRITTEN
            and self._size < MAX_BYTES
            and time.monotonic() - self._oldest < MAX_AGE
        )

    def released(self, run: Run) -> None:
        """It is about to be sent."""
        self._size += run.weight
        self._released.append(run)
        if self._task is None or len(self._released) == ENOUGH:
            self._stir()

    def ended(self, run: Run) -> None:
        """It has been answered, and says so itself."""
        self._ended.append(run)
        if self._task is None:
            self._stir()

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
            unwritten = len(self._released) + len(self._ended)
            log.error("runs are not in the log", unwritten=unwritten, error=error.message)  # noqa: TRY400 — no traceback reaches a person
        if self._task is not None:
            self._task.cancel()

    def _stir(self) -> None:
        if self._task is not None:
            self._hurry.set()
            return
        loop = asyncio.get_running_loop()
        self._oldest = time.monotonic()
        self._round = loop.create_future()
        self._task = loop.create_task(self._write(), name="runs to the log")

    async def _write(self) -> None:
        """As long as anything is unwritten."""
        loop = asyncio.get_running_loop()
        while self._released or self._ended:
            if len(self._released) < ENOUGH or self._failure is not None:
                late = loop.call_later(LINGER if self._failure is None else RETRY, self._hurry.set)
                await self._hurry.wait()
                late.cancel()
            self._hurry.clear()
            taken = time.monotonic()
            released, ended = self._released, self._ended
            self._released, self._ended = [], []
            self._writing = len(released) + len(ended)
            size = self._size
            try:
                await self._log.append_made(partial(records, released, ended))
            except StoreError as error:
                if self._failure is None:
                    log.warning("runs cannot be written", unwritten=self._writing, error=error.message)
                self._failure = error
                self._released, self._ended = released + self._released, ended + self._ended
            else:
                self._failure = None
                self._size -= size
                self._oldest = taken  # nothing that has come since is older
            self._writing = 0
            done, self._round = self._round, loop.create_future()
            done.set_result(None)
        self._task = None


def records(released: Sequence[Run], ended: Sequence[Run]) -> list[audit.Written]:
    """One `Runs` record for each standing release, oldest first."""
    stamps = clock.Stamps()
    leaves: dict[Leave, tuple[list[str], list[str]]] = {}
    for run in released:
        leaves.setdefault(run.leave, ([], []))[0].append(_run(run, stamps))
    for run in ended:
        leaves.setdefault(run.leave, ([], []))[1].append(_end(run, stamps))
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
        for leave, (runs, ends) in leaves.items()
    ]


def _run(run: Run, stamps: clock.Stamps) -> str:
    parameters, formats, types = run.bound()
    return audit_runs.run(
        run.number,
        stamps.stamp(run.at),
        run.leave.digester.digest(parameters, formats, types),
        text.shown(parameters, formats, types, telling.LONGEST_LOGGED_VALUE),
    )


def _end(run: Run, stamps: clock.Stamps) -> str:
    tag = run.tag if isinstance(run.tag, str) else run.tag[:-1].decode(errors="backslashreplace")
    return audit_runs.end(
        run.number,
        stamps.stamp(run.ended),
        tag=text.printable(tag),
        rows=telling.rows_of(tag.split("; ")),
        size=run.size,
        micros=max(0, run.ended - run.at) // 1000,
        sqlstate=run.sqlstate,
        message=text.printable(run.message),
    )
