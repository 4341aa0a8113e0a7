"""The one hand that writes: every change of the store, in this process, goes through one queue.

Whatever waits in the queue when the disk is free becomes one transaction with one signed tree head:
concurrent statements share a commit. Other processes write the same log; the head row keeps them in line, and
what they left is believed only if the log's key signed it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, select, update

from firewall import audit
from firewall.errors import StoreError
from firewall.store import engine, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from firewall.store.rows import Entry

    # does its work on the connection and says whether the condition for it was met
    Change = Callable[[Connection], bool]
    # makes records ready; called off the event loop where the store has a thread for it
    Make = Callable[[], Sequence[Entry]]

# one transaction takes no more than this: the first caller does not wait for ever newer ones
MAX_BATCH = 512

# built once: SQLAlchemy then finds their compiled form at once
_LOCK_HEAD = select(tables.heads).where(tables.heads.c.origin == bindparam("log")).with_for_update()
_LEAVES = (
    select(tables.records.c.leaf_hash)
    .where(tables.records.c.origin == bindparam("log"), tables.records.c.idx < bindparam("size"))
    .order_by(tables.records.c.idx)
)
_ADD_RECORDS = insert(tables.records)
_ADD_RELATIONS = insert(tables.record_relations)
_ADD_FACETS = insert(tables.record_facets)
_KEEP_HEAD = insert(tables.checkpoints)
_MOVE_HEAD = (
    update(tables.heads)
    .where(tables.heads.c.origin == bindparam("log"))
    .values({name: bindparam(name) for name in ("size", "frontier", "note")})
)


@dataclass(frozen=True, slots=True)
class Head:
    """A signed tree head and the frontier to go on from."""

    frontier: audit.Frontier
    note: str


@dataclass(frozen=True, slots=True)
class _Work:
    make: Make
    change: Change | None
    done: asyncio.Future[bool] = field(compare=False)


class Writer:
    """Writes to the log `origin` with its key, from the head that `begin` finds or makes."""

    def __init__(self, database: engine.Database, origin: str, key: audit.SigningKey) -> None:
        self._where = database.where
        self._database = database
        self.origin = origin
        self._key = key
        self._head = Head(audit.Frontier(), "")
        self._queue: asyncio.Queue[_Work] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def begin(self) -> None:
        """Find or make the log's head, check it, and start to write."""
        self._head = await self._database.transact(self._first)
        self._task = asyncio.create_task(self._run(), name="store writer")

    async def write(self, make: Make, change: Change | None = None) -> bool:
        """Durable when it returns. False if `change` said that its condition is not met: then nothing of this
        call is written; nor is it, alone of its batch, if `make` raises. A caller cancelled before its
        turn has written nothing.
        """
        if self._closed:
            raise StoreError(f"the store `{self._where}` is closed")
        work = _Work(make, change, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(work)
        return await work.done

    async def close(self) -> None:
        """Write what is queued, then stop."""
        if self._closed:
            return
        self._closed = True
        if self._task is None:
            return
        await self._queue.join()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._settle([work for work in batch if not work.done.done()])
            for _ in batch:
                self._queue.task_done()

    async def _settle(self, batch: Sequence[_Work]) -> None:
        """Commit, then tell every caller; a caller that was cancelled meanwhile is not there to be told."""
        try:
            answers = await self._commit(batch) if batch else []
        except StoreError as error:
            self._fail(batch, error)
        except asyncio.CancelledError:
            self._fail(batch, StoreError(f"the store `{self._where}` was closed while writing"))
            raise
        except Exception as error:  # noqa: BLE001 — a bug must reach the callers: a silent writer would hang them
            failure = StoreError(f"the store `{self._where}` failed: {type(error).__name__} while writing")
            failure.__cause__ = error
            self._fail(batch, failure)
        else:
            # INVARIANT: 5. callers go on only after the commit
            for work, answer in zip(batch, answers, strict=True):
                if isinstance(answer, StoreError):
                    self._fail([work], answer)
                elif not work.done.done():
                    work.done.set_result(answer)

    @staticmethod
    def _fail(batch: Sequence[_Work], error: StoreError) -> None:
        for work in batch:
            if not work.done.done():
                failure = StoreError(error.message, hint=error.hint)
                failure.__cause__ = error
                work.done.set_exception(failure)

    async def _commit(self, batch: Sequence[_Work]) -> list[bool | StoreError]:
        def work_off(connection: Connection) -> tuple[Head, list[bool | StoreError]]:
            head = self._current(connection)
            answers: list[bool | StoreError] = []
            entries: list[Entry] = []
            for work in batch:
                try:
                    made = work.make()
                except StoreError as error:
                    answers.append(error)
                    continue
                except Exception as error:  # noqa: BLE001 — one caller's bug is not the others' loss
                    failure = StoreError(f"records cannot be made: {type(error).__name__}")
                    failure.__cause__ = error
                    answers.append(failure)
                    continue
                answer = work.change is None or work.change(connection)
                answers.append(answer)
                if answer:
                    entries += made
            return self._append(connection, head, entries) if entries else head, answers

        self._head, answers = await self._database.transact(work_off)
        return answers

    def _append(self, connection: Connection, head: Head, entries: Sequence[Entry]) -> Head:
        start = head.frontier.size
        rows = [
            {"origin": self.origin, "idx": index, **entry.columns}
            for index, entry in enumerate(entries, start)
        ]
        connection.execute(_ADD_RECORDS, rows)
        relations = [row for entry in entries for row in entry.relations]
        if relations:
            connection.execute(_ADD_RELATIONS, relations)
        facets = [row for entry in entries for row in entry.facets]
        if facets:
            connection.execute(_ADD_FACETS, facets)
        after = self._sign(head.frontier.extend(entry.leaf for entry in entries))
        size = after.frontier.size
        connection.execute(_KEEP_HEAD, {"origin": self.origin, "size": size, "note": after.note})
        frontier = after.frontier.to_bytes()
        connection.execute(
            _MOVE_HEAD, {"log": self.origin, "size": size, "frontier": frontier, "note": after.note}
        )
        return after

    def _sign(self, frontier: audit.Frontier) -> Head:
        checkpoint = audit.Checkpoint(self.origin, frontier.size, frontier.root())
        return Head(frontier, audit.sign_checkpoint(self._key, checkpoint))

    def _found(self, connection: Connection) -> None:
        """Sign the empty tree if the log is new. Two processes may try; SQLite's write lock or Postgres's
        conflict clause lets one succeed.
        """
        empty = self._sign(audit.Frontier())
        values = {"origin": self.origin, "size": 0, "note": empty.note}
        head = engine.upsert(connection, tables.heads).values(**values, frontier=empty.frontier.to_bytes())
        result = connection.execute(head.on_conflict_do_nothing())
        if result.rowcount == 1:
            connection.execute(insert(tables.checkpoints).values(**values))

    def _current(self, connection: Connection) -> Head:
        """The head to go on from, with the log locked for this transaction.

        Somebody else's head is taken over only if our key signed it and it lies ahead: whoever can write the
        database but has no key can neither make us sign a forged tree nor have us forget a part of the log.
        """
        row = connection.execute(_LOCK_HEAD, {"log": self.origin}).one_or_none()
        if row is None:
            raise self._broken("has no signed head any more")
        if row.note == self._head.note:
            return self._head
        try:
            checkpoint = audit.open_checkpoint(row.note, [self._key.public])
        except audit.UnknownSignerError:
            raise StoreError(
                f"the log `{self.origin}` in `{self._where}` was begun with another key",
                hint="use the key file that it was begun with, or another origin",
            ) from None
        except ValueError as error:
            raise self._broken(f"has a broken head: {error}") from None
        if checkpoint.origin != self.origin:
            raise self._broken(f"has the head of `{checkpoint.origin}`")
        if self._head.note and checkpoint.size <= self._head.frontier.size:
            raise self._broken(f"was set back to {checkpoint.size} records from {self._head.frontier.size}")
        return Head(self._frontier(connection, bytes(row.frontier), checkpoint), row.note)

    def _frontier(self, connection: Connection, kept: bytes, checkpoint: audit.Checkpoint) -> audit.Frontier:
        """The frontier of a signed head: as kept, or made again from the leaf hashes if it is damaged."""
        with suppress(ValueError):
            frontier = audit.Frontier.from_bytes(kept)
            if (frontier.size, frontier.root()) == (checkpoint.size, checkpoint.root):
                return frontier
        leaves = connection.execute(_LEAVES, {"log": self.origin, "size": checkpoint.size}).scalars()
        frontier = audit.Frontier().extend(map(bytes, leaves))
        if (frontier.size, frontier.root()) != (checkpoint.size, checkpoint.root):
            raise self._broken("does not match its signed head")
        return frontier

    def _first(self, connection: Connection) -> Head:
        self._found(connection)
        head = self._current(connection)
        self._whole(connection, head)
        return head

    def _whole(self, connection: Connection, head: Head) -> None:
        """Nothing may be missing at the end of the log, and nothing stand behind it unsigned."""
        last = select(tables.records.c.idx).where(tables.records.c.origin == self.origin)
        newest = connection.execute(last.order_by(tables.records.c.idx.desc()).limit(1)).scalar()
        found = 0 if newest is None else newest + 1
        if found != head.frontier.size:
            raise self._broken(f"ends after {found} records, but {head.frontier.size} were signed")

    def _broken(self, what: str) -> StoreError:
        return StoreError(
            f"the log `{self.origin}` in `{self._where}` {what}",
            hint="it was changed from outside; `firewall audit verify` says where",
        )
