"""What a channel remembers of its cards. No part of the log: losing it costs a second card, no decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from firewall.store import engine, tables

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Cards:
    """Durable text by hold id."""

    def __init__(self, database: engine.Database) -> None:
        self._database = database

    async def get(self, hold_id: str) -> str | None:
        query = select(tables.cards.c.value).where(tables.cards.c.hold == hold_id)
        found: str | None = await self._database.read(lambda connection: connection.execute(query).scalar())
        return found

    async def put(self, hold_id: str, value: str) -> None:
        def work(connection: Connection) -> None:
            statement = engine.upsert(connection, tables.cards).values(hold=hold_id, value=value)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["hold"], set_={"value": value})
            )

        await self._database.transact(work)
