"""Sign-in links that were made and not yet used: each is taken out once, by whoever shows its secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert

from firewall import clock
from firewall.store import rows, tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from firewall import audit
    from firewall.store import engine
    from firewall.store.writer import Writer

_LINKS = tables.links.c


class Links:
    """By the hash of their secret, which is kept nowhere."""

    def __init__(self, database: engine.Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def add(self, hashed: str, person: str, until: datetime, records: Sequence[audit.Record]) -> None:
        """Keep one, durably with its records; those that nobody used in time are forgotten."""
        late = delete(tables.links).where(_LINKS.until <= clock.stamp(clock.now()))
        new = insert(tables.links).values(hash=hashed, person=person, until=clock.stamp(until))

        def change(connection: Connection) -> bool:
            connection.execute(late)
            connection.execute(new)
            return True

        await self._writer.write(lambda: [rows.entry(record) for record in records], change)

    async def take(self, hashed: str, now: datetime) -> str | None:
        """Whose link it is, if it is there and in time; it is gone with that, for everyone."""
        gone = delete(tables.links).where(_LINKS.hash == hashed).returning(_LINKS.person, _LINKS.until)
        found = await self._database.transact(lambda connection: connection.execute(gone).first())
        return str(found.person) if found is not None and found.until > clock.stamp(now) else None
