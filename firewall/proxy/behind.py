"""Runs under a standing release, on their way to the log: written behind, in order, within bounds.

A statement that a rule allows may be run a thousand times a second, and a commit takes milliseconds. What is
released, and by whose leave, is durable before the first of them is sent: the standing release says so of the
text, with any parameters. What single runs add to it, their values and outcomes, may reach the disk a moment
later. The moment is bounded: when too much is unwritten, or for too long, or the store has failed, runs wait
for a commit of their own again, and if that fails nothing passes. A crash can lose what was unwritten.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog

from firewall import audit, clock, ids
from firewall.errors import StoreError
from firewall.proxy import telling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from firewall.proxy.guarded import Log
    from firewall.proxy.standing import Leave
    from firewall.session import Act, Done

    # released: what is run; ended: what came of it and after how many microseconds
    Event = tuple[Leave, datetime, int, Act] | tuple[Leave, datetime, int, Done, int]

# Unwritten runs and ends of all sessions together.
MAX_UNWRITTEN = 1000
# The oldest of them, in seconds; far above what a commit takes on a disk that works.
MAX_AGE = 0.25
# What bound values may take in memory until they are written.
MAX_BYTES = 16 * 1024 * 1024
# So much is worth a commit at once; less waits for so long, to share one.
ENOUGH = 400
LINGER = 0.08
# After a failure.
RETRY = 0.25

log = structlog.get_logger(__name__)


class Behind:
    """All sessions' runs. A `Leave` says of each under which standing release it went."""

    # INVARIANT: 5. no release without a durable record: that of the standing release; and runs outpace the
    # log by no more than these bounds, and not at all once it has failed

    def __init__(self, ledger: Log) -> None:
        self._log = ledger
        self._waiting: list[Event] = []
        self._writing: list[Event] = []
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
            and len(self._waiting) + len(self._writing) < MAX_UNWRITTEN
            and self._size < MAX_BYTES
            and asyncio.get_running_loop().time() - self._oldest < MAX_AGE
        )

    def released(self, leave: Leave, number: int, act: Act) -> None:
        """A run is about to be sent."""
        self._size += sum(map(len, filter(None, act.parameters)))
        self._add((leave, clock.now(), number, act))

    def ended(self, leave: Leave, number: int, done: Done, micros: int) -> None:
        """A run has been answered."""
        self._add((leave, clock.now(), number, done, micros))

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
            log.error("runs are not in the log", unwritten=len(self._waiting), error=error.message)  # noqa: TRY400 — no traceback reaches a person
        if self._task is not None:
            self._task.cancel()

    def _add(self, event: Event) -> None:
        self._waiting.append(event)
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._oldest = loop.time()
            self._round = loop.create_future()
            self._task = loop.create_task(self._write(), name="runs to the log")
        elif len(self._waiting) >= ENOUGH:
            self._hurry.set()

    async def _write(self) -> None:
        """As long as anything is unwritten."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            if len(self._waiting) < ENOUGH or self._failure is not None:
                late = loop.call_later(LINGER if self._failure is None else RETRY, self._hurry.set)
                await self._hurry.wait()
                late.cancel()
            self._hurry.clear()
            taken = loop.time()
            batch = self._writing = self._waiting
            self._waiting = []
            size = self._size
            try:
                await self._log.append_made(partial(records, batch))
            except StoreError as error:
                if self._failure is None:
                    log.warning("runs cannot be written", unwritten=len(batch), error=error.message)
                self._failure = error
                self._waiting = batch + self._waiting
            else:
                self._failure = None
                self._size -= size
                self._oldest = taken  # nothing that has come since is older
            self._writing = []
            done, self._round = self._round, loop.create_future()
            done.set_result(None)
        self._task = None


def records(batch: Sequence[Event]) -> list[audit.Record]:
    """One record for each standing release, oldest first."""
    leaves: dict[Leave, tuple[list[audit.Run], list[audit.End]]] = {}
    for event in batch:
        runs, ends = leaves.setdefault(event[0], ([], []))
        if len(event) == 4:
            runs.append(_run(*event))
        else:
            ends.append(_end(*event))
    return [
        audit.Runs.model_construct(
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


def _run(leave: Leave, at: datetime, number: int, act: Act) -> audit.Run:
    return audit.Run(
        number=number,
        at=clock.stamp(at),
        digest=leave.digester.digest(act.parameters, act.formats, act.types),
        parameters=telling.values(act, longest=telling.LONGEST_LOGGED_VALUE),
    )


def _end(leave: Leave, at: datetime, number: int, done: Done, micros: int) -> audit.End:
    del leave
    return audit.End(
        number=number,
        at=clock.stamp(at),
        tag=telling.printable("; ".join(done.tags)),
        rows=telling.rows_of(done.tags),
        bytes=done.size,
        micros=micros,
        sqlstate=done.sqlstate,
        message=telling.printable(done.message),
    )
