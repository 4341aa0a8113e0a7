"""Labels that no policy says: kept with their origin, for every firewall that shares the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, delete, select

from firewall.catalog.labels import Mark
from firewall.store import engine, rows, tables

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection, Row

    from firewall import audit
    from firewall.store.writer import Change, Writer

_MARKS = tables.marks.c
_CHANGES = tables.mark_changes.c
_KEY = ("database", "relation", "column", "label", "source")


def query(database: str) -> Select[Any]:
    """All marks of a database, in an order that does not change."""
    mine = select(tables.marks).where(_MARKS.database == database)
    return mine.order_by(_MARKS.relation, _MARKS.column, _MARKS.label, _MARKS.at, _MARKS.source)


def mark(row: Row[Any]) -> Mark:
    """Undo what `Marks.keep` writes."""
    return Mark(row.relation, row.column, row.label, row.source, row.statement, row.at)


class Marks:
    """The marks of one database; each change and its record are one durable transaction."""

    def __init__(self, database: engine.Database, writer: Writer, name: str) -> None:
        self._database = database
        self._writer = writer
        self.name = name

    async def read(self) -> tuple[int, list[Mark]]:
        """All of them, and how often they had been changed then."""

        def work(connection: Connection) -> tuple[int, list[Mark]]:
            return self._changes(connection), [mark(row) for row in connection.execute(query(self.name))]

        return await self._database.read(work)

    async def changes(self) -> int:
        """How often they were changed: a number that only grows."""
        return await self._database.read(self._changes)

    async def keep(self, marks: Sequence[Mark], records: Sequence[audit.Record]) -> None:
        """Add those that are not there; a mark that is keeps its time and statement."""
        values = [
            {
                **{name: getattr(one, name) for name in _KEY[1:]},
                "database": self.name,
                "statement": one.statement,
                "at": one.at,
            }
            for one in marks
        ]

        def change(connection: Connection) -> bool:
            statement = engine.upsert(connection, tables.marks).on_conflict_do_nothing(index_elements=_KEY)
            # first of all, so that of two who write neither waits for the other in the middle
            self._changed(connection)
            for row in values:
                connection.execute(statement, row)
            return True

        if values:
            await self._write(records, change)

    async def drop(self, marks: Collection[Mark], records: Sequence[audit.Record]) -> bool:
        """Take them away; False, and nothing is written, if one of them is not there any more."""

        def change(connection: Connection) -> bool:
            there = {mark(row).key for row in connection.execute(query(self.name))}
            if not marks or not {one.key for one in marks} <= there:
                return False
            for one in marks:
                same = [_MARKS[name] == getattr(one, name) for name in _KEY[1:]]
                connection.execute(delete(tables.marks).where(_MARKS.database == self.name, *same))
            self._changed(connection)
            return True

        return await self._write(records, change)

    async def _write(self, records: Sequence[audit.Record], change: Change) -> bool:
        return await self._writer.write(lambda: [rows.entry(record) for record in records], change)

    def _changes(self, connection: Connection) -> int:
        found = connection.execute(select(_CHANGES.changes).where(_CHANGES.database == self.name)).scalar()
        return int(found or 0)

    def _changed(self, connection: Connection) -> None:
        statement = engine.upsert(connection, tables.mark_changes).values(database=self.name, changes=1)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["database"], set_={"changes": _CHANGES.changes + 1}
            )
        )
