"""What a database had counted when it was last compared with the log; kept in one commit with the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from firewall.store import rows, tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from firewall import audit
    from firewall.store import engine
    from firewall.store.writer import Writer

_WATCHED = tables.watched.c


class Watched:
    """Calls by role and query id."""

    def __init__(self, database: engine.Database, writer: Writer, name: str) -> None:
        self._database = database
        self._writer = writer
        self._name = name

    async def last(self) -> tuple[str, dict[tuple[str, str], int]]:
        """When that was, and the counters; nothing if it never was."""
        query = select(tables.watched).where(_WATCHED.database == self._name)
        found = await self._database.read(lambda connection: connection.execute(query).all())
        return max((row.at for row in found), default=""), {(r.role, r.query): r.calls for r in found}

    async def keep(
        self, at: str, counters: Mapping[tuple[str, str], int], records: Sequence[audit.Record]
    ) -> None:
        """These are the counters now."""
        # one that says when it was, even if nothing was counted
        every = {("", ""): 0, **counters}
        new = [
            {"database": self._name, "role": role, "query": query, "calls": calls, "at": at}
            for (role, query), calls in every.items()
        ]

        def change(connection: Connection) -> bool:
            connection.execute(delete(tables.watched).where(_WATCHED.database == self._name))
            connection.execute(insert(tables.watched), new)
            return True

        await self._writer.write(lambda: [rows.entry(record) for record in records], change)
