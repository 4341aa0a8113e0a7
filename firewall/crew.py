"""Processes that work for the event loop, one call at a time each, and may die of it.

A call that dies or overruns its time costs itself: its process is ended, and another takes the place. The one
that was free last is asked first, for what it needs is still near. Calls and answers are pickles behind their
length, over a socket each; a process whose parent is gone reads the end, and goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import pickle
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

_LENGTH: Final = struct.Struct("!I")
# Python and its libraries keep a little of everything that they have seen.
MAX_CALLS: Final = 100_000
# What a process may take until it can be asked, on a machine that has much else to do.
START_SECONDS: Final = 60.0
_READY: Final = b"+"


class CrewError(Exception):
    """The call has no answer: its process died, or none could be started."""


class FailedError(Exception):
    """The call has raised; `kind` is the name of the error's class, and nothing else is told."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class _Worker:
    """One process, seen from the event loop."""

    def __init__(self, process: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.calls = 0

    @classmethod
    async def start(cls, begin: Callable[[], None]) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = socket.socketpair()
        process = context.Process(target=_work, args=(theirs, begin), daemon=True)
        try:
            await asyncio.to_thread(process.start)
            theirs.close()  # or its end would not be seen here
            reader, writer = await asyncio.open_connection(sock=ours)
            async with asyncio.timeout(START_SECONDS):
                await reader.readexactly(len(_READY))
        except BaseException as error:
            ours.close()
            if process.pid is not None:
                process.kill()
            if isinstance(error, EOFError | OSError):
                raise CrewError from error
            raise
        finally:
            theirs.close()
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def usable(self) -> bool:
        return self.calls < MAX_CALLS and self._process.exitcode is None

    async def call(self, work: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        self.calls += 1
        call = pickle.dumps((work, args), pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTH.pack(len(call)) + call)
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            raised, answer = pickle.loads(await self._reader.readexactly(length))  # noqa: S301 — our own process
        except (OSError, EOFError) as error:
            raise CrewError from error
        if raised:
            raise FailedError(answer)
        return answer

    def end(self) -> None:
        self._process.kill()
        self._writer.transport.abort()


class Crew:
    """size: how many processes. begin: what each does first. They are started when they are first needed."""

    def __init__(self, size: int, begin: Callable[[], None]) -> None:
        self._begin = begin
        self._free: asyncio.LifoQueue[_Worker | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._free.put_nowait(None)
        self._all: set[_Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Of the processes that there are now."""
        return [worker.pid for worker in self._all]

    async def call(self, work: Callable[..., Any], *args: Any, seconds: float) -> Any:
        """What `work(*args)` returns in one of the processes. `work` is found there by its name.

        Raises TimeoutError, CrewError (also if no process can be started) and FailedError.
        """
        place = await self._free.get()
        worker = place
        try:
            if worker is None or not worker.usable:
                worker = place = await self._another(place)
            async with asyncio.timeout(seconds):
                return await worker.call(work, args)
        except FailedError as error:
            # memory that it could not have may be all that it can
            if error.kind == "MemoryError":
                place = None
            raise
        except BaseException:
            place = None
            raise
        finally:
            if place is not None:
                self._free.put_nowait(place)
            else:
                self._replace(worker)

    def close(self) -> None:
        """End all processes; whoever waits for an answer has a CrewError."""
        self._closed = True
        for task in self._starting:
            task.cancel()
        for worker in [*self._all]:
            self._end(worker)

    async def _another(self, worn: _Worker | None) -> _Worker:
        if worn is not None:
            self._end(worn)
        if self._closed:
            raise CrewError
        worker = await _Worker.start(self._begin)
        self._all.add(worker)
        return worker

    def _end(self, worker: _Worker) -> None:
        self._all.discard(worker)
        with contextlib.suppress(RuntimeError):  # its loop is closed
            worker.end()

    def _replace(self, lost: _Worker | None) -> None:
        """Another one in its place, before it is needed."""

        async def start() -> None:
            place = None
            try:
                place = await self._another(lost)
            except CrewError as error:
                if not self._closed:
                    log.critical("no process can be started for analysis", error=str(error.__cause__))
            finally:
                self._free.put_nowait(place)

        task = asyncio.get_running_loop().create_task(start())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)


def _work(calls: socket.socket, begin: Callable[[], None]) -> None:
    """Runs in a process of the crew."""
    begin()
    with calls, calls.makefile("rb") as reader, contextlib.suppress(OSError):  # nobody is there any more
        calls.sendall(_READY)
        while len(head := reader.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            answer = _answer(reader.read(length))
            calls.sendall(_LENGTH.pack(len(answer)) + answer)


def _answer(call: bytes) -> bytes:
    try:
        work, args = pickle.loads(call)  # noqa: S301 — our own parent
        return pickle.dumps((False, work(*args)), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 — whatever it is, it belongs to the call
        return pickle.dumps((True, type(error).__name__))
