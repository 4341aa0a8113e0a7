"""Filters of the query log that people keep under a name. No part of the log: losing them loses no record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from firewall.store import engine, tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

_VIEWS = tables.views.c
# of one person; nobody finds anything in a longer list
MAX_VIEWS = 50


class Views:
    """Each person's own, as the query part of the page's address."""

    def __init__(self, database: engine.Database) -> None:
        self._database = database

    async def of(self, person: str) -> dict[str, str]:
        """By name, in the order of names."""
        query = select(_VIEWS.name, _VIEWS.query).where(_VIEWS.person == person).order_by(_VIEWS.name)
        found = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.name: row.query for row in found}

    async def keep(self, person: str, name: str, query: str) -> bool:
        """In place of one of that name; False if there are too many already."""

        def work(connection: Connection) -> bool:
            others = select(func.count()).where(_VIEWS.person == person, _VIEWS.name != name)
            if connection.execute(others).scalar_one() >= MAX_VIEWS:
                return False
            new = engine.upsert(connection, tables.views).values(person=person, name=name, query=query)
            connection.execute(
                new.on_conflict_do_update(index_elements=["person", "name"], set_={"query": query})
            )
            return True

        return await self._database.transact(work)

    async def drop(self, person: str, name: str) -> None:
        gone = delete(tables.views).where(_VIEWS.person == person, _VIEWS.name == name)

        def work(connection: Connection) -> None:
            connection.execute(gone)

        await self._database.transact(work)
