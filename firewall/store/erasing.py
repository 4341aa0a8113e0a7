"""Erasing values: the records that commit to them, their leaf hashes and every proof stay as they are.

What is erased is recorded first-hand: values and record of it are one transaction. A database keeps what it
has overwritten for a while; SQLite is told to wipe it, Postgres does so with its next VACUUM. Backups are
their owner's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select, update

from firewall import audit, clock, ids
from firewall.approval import State
from firewall.errors import StoreError
from firewall.store import rows, tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row

    from firewall.store import engine
    from firewall.store.writer import Writer

_RECORDS = tables.records.c
_HOLDS = tables.holds.c
# one transaction erases no more than this
BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Erased:
    """How many records have lost their values, and up to which index everything that was to go is gone."""

    records: int
    upto: int = 0


class Erasing:
    """Erases values of the writer's own log."""

    def __init__(self, database: engine.Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def by_name(self, names: Sequence[str], *, by: str, why: str) -> Erased:
        """Of records, statements, holds and sessions of these ids.

        Raises StoreError if one of the holds is still open: what is to be decided must be there to be seen.
        """
        wanted = or_(*(column.in_(names) for column in (_RECORDS.id, _RECORDS.session)))
        told = or_(_RECORDS.statement.in_(names), _RECORDS.hold.in_(names))
        statements = select(_RECORDS.statement).where(_RECORDS.hold.in_(names), _RECORDS.statement != "")
        # what has run ahead of a COMMIT is in that hold's record as well
        holds = select(_RECORDS.hold).where(_RECORDS.statement.in_(names), _RECORDS.hold != "")
        related = or_(_RECORDS.statement.in_(statements), _RECORDS.hold.in_(holds))
        found = await self._sealed(or_(wanted, told, related), None)
        open_ = await self._open(found)
        if open_:
            raise StoreError(
                f"the hold `{min(open_.values())}` is not settled: whoever decides it must see its statement",
                hint="decide it, or wait until it has ended",
            )
        done = 0
        for start in range(0, len(found), BATCH):
            part = found[start : start + BATCH]
            await self._erase([(row.idx, row.idx) for row in part], part, by, why)
            done += len(part)
        return Erased(done)

    async def before(self, moment: datetime, *, by: str, why: str, start: int = 0) -> Erased:
        """Of all records from `start` on that are older. Open holds and their statements wait."""
        cut = clock.stamp(moment)
        done, upto = 0, start
        waiting = False
        while True:
            page = await self._sealed(_RECORDS.idx >= start, BATCH)
            open_ = await self._open(page)
            spans: list[tuple[int, int]] = []
            chosen: list[Row[Any]] = []
            running = False
            for row in page:
                if row.at >= cut or row.statement in open_:
                    running, waiting = False, True
                    continue
                # records between two that go have no values, or they would be on this page
                if running:
                    spans[-1] = (spans[-1][0], row.idx)
                else:
                    spans.append((row.idx, row.idx))
                chosen.append(row)
                running = True
                upto = upto if waiting else row.idx + 1
            if chosen:
                await self._erase(spans, chosen, by, why)
                done += len(chosen)
            # times go up with the index, near enough: behind a page that is all too young nothing is old
            if len(page) < BATCH or not chosen:
                return Erased(done, upto)
            start = page[-1].idx + 1

    async def _sealed(self, which: ColumnElement[bool], limit: int | None) -> Sequence[Row[Any]]:
        mine = and_(_RECORDS.origin == self._writer.origin, _RECORDS.private.is_not(None), which)
        columns: tuple[Any, ...] = (_RECORDS.idx, _RECORDS.at, _RECORDS.statement)
        query = select(*columns).where(mine).order_by(_RECORDS.idx)
        return await self._database.read(lambda connection: connection.execute(query.limit(limit)).all())

    async def _held(self, chosen: Sequence[Row[Any]], states: Sequence[State] = ()) -> dict[str, str]:
        """Statement → its hold, of these records' statements; in these states, if any are given."""
        told = and_(_RECORDS.statement.in_({row.statement for row in chosen} - {""}), _RECORDS.hold != "")
        query = select(_RECORDS.statement, _RECORDS.hold).where(told).distinct()
        if states:
            named = select(_HOLDS.id).where(_HOLDS.state.in_([state.value for state in states]))
            query = query.where(_RECORDS.hold.in_(named))
        found = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.statement: row.hold for row in found}

    async def _open(self, chosen: Sequence[Row[Any]]) -> dict[str, str]:
        return await self._held(chosen, (State.PENDING, State.APPROVED))

    async def _erase(
        self, spans: Sequence[tuple[int, int]], chosen: Sequence[Row[Any]], by: str, why: str
    ) -> None:
        record = audit.Erasure(
            id=ids.record_id(),
            at=clock.stamp(clock.now()),
            by=by,
            why=why,
            spans=[audit.Span(first=first, last=last) for first, last in spans],
            records=len(chosen),
        )
        holds = sorted((await self._held(chosen)).values())

        def change(connection: Connection) -> bool:
            sqlite = connection.dialect.name == "sqlite"
            if sqlite:
                # freed pages are overwritten (sqlite.org/pragma.html#pragma_secure_delete)
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
            for first, last in spans:
                mine = and_(_RECORDS.origin == self._writer.origin, _RECORDS.idx.between(first, last))
                connection.execute(update(tables.records).where(mine).values(private=None, text=""))
            for row in connection.execute(select(tables.holds).where(_HOLDS.id.in_(holds))) if holds else ():
                bare = {"body": rows.without_values(rows.hold(row))}
                connection.execute(update(tables.holds).where(_HOLDS.id == row.id).values(**bare))
            if sqlite:
                connection.exec_driver_sql("PRAGMA secure_delete=OFF")
            return True

        await self._writer.write(lambda: [rows.entry(record)], change)
        await self._database.scrub()
