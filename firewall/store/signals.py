"""What people ask of the firewalls that run on a store, wherever they are: to read their policies again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from firewall.store import engine, tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SIGNALS = tables.signals.c
RELOAD: Final = "reload"


class Signals:
    """Each is a number that only grows, and who asked last."""

    def __init__(self, database: engine.Database) -> None:
        self._database = database

    async def read(self, name: str = RELOAD) -> tuple[int, str]:
        query = select(_SIGNALS.number, _SIGNALS.by).where(_SIGNALS.name == name)
        found = await self._database.read(lambda connection: connection.execute(query).first())
        return (int(found.number), str(found.by)) if found else (0, "")

    async def send(self, by: str, name: str = RELOAD) -> None:
        def work(connection: Connection) -> None:
            statement = engine.upsert(connection, tables.signals).values(name=name, number=1, by=by)
            more = {"number": _SIGNALS.number + 1, "by": by}
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=more))

        await self._database.transact(work)
