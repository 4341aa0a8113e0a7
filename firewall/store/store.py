"""The store as the firewall works with it: everything a reader can ask, and every change, each with its
records in the same transaction. It is the desk's `Ledger`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, update

from firewall import audit, clock
from firewall.approval import State
from firewall.errors import StoreError
from firewall.store import engine, rows, schema, tables
from firewall.store.cards import Cards
from firewall.store.erasing import Erasing
from firewall.store.keeping import Keeping
from firewall.store.links import Links
from firewall.store.marks import Marks
from firewall.store.past import Past
from firewall.store.reader import Reader
from firewall.store.signals import Signals
from firewall.store.summaries import Summaries
from firewall.store.views import Views
from firewall.store.watched import Watched
from firewall.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from firewall.approval import Grant, Hold
    from firewall.store.writer import Change


class Store(Reader):
    """A store opened to write to the log `origin`; several processes may, with the same key."""

    def __init__(self, database: engine.Database, writer: Writer, keeping: Keeping) -> None:
        super().__init__(database)
        self._writer = writer
        self.keeping = keeping

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        origin: str,
        key: audit.SigningKey,
        create: bool = True,
        keep: audit.Keep = audit.Keep.FULL,
    ) -> Store:
        """Open the store, bring its schema up to date and check the head of the log with the key.

        keep: what is kept of texts and parameters of statements from now on; see `Store.keeping`.
        A StoreError says what is wrong: unreadable, damaged, newer, another key, changed from outside.
        """
        if key.name != origin:
            raise StoreError(
                f"the key `{key.name}` is not that of the log `{origin}`",
                hint="a log's key has the log's own name: correct the origin or the key file",
            )
        database = engine.connect(url, create=create)
        writer = Writer(database, origin, key)
        try:
            await database.transact(lambda c: schema.migrate(c, database.where, create=create))
            await writer.begin()
        except BaseException:
            await database.close()
            raise
        return cls(database, writer, Keeping(keep))

    async def close(self) -> None:
        """Write what is queued, then let go of every connection."""
        await self._writer.close()
        await super().close()

    async def append(self, records: Sequence[audit.Record]) -> None:
        """Add records to the log, in this order. They are durable and signed when it returns.

        Concurrent calls share one commit; if it fails, each of them raises StoreError and none is stored.
        """
        # INVARIANT: 5. no release without a durable record: the caller goes on only when this returns
        if records:
            await self._writer.write(lambda: self._entries(records))

    async def append_made(self, make: Callable[[], Sequence[audit.Record | audit.Written]]) -> None:
        """The same of what `make` gives; it is called off the event loop where the store has a thread."""
        await self._writer.write(lambda: self._entries(make()))

    async def open_hold(self, hold: Hold, records: Sequence[audit.Record]) -> None:
        """Keep a new hold; StoreError if there is one of that id."""
        columns = rows.hold_columns(hold)

        def change(connection: Connection) -> bool:
            statement = engine.upsert(connection, tables.holds).values(**columns).on_conflict_do_nothing()
            return connection.execute(statement).rowcount == 1

        if not await self._write(records, change):
            raise StoreError(f"there is a hold `{hold.id}` already")

    async def change_hold(
        self,
        before: Hold,
        after: Hold,
        records: Sequence[audit.Record],
        *,
        grant: Grant | None = None,
    ) -> bool:
        """Write state, votes, outcome and `awaited` of `after` if all but the outcome are those of `before`.

        grant: kept with it, or not at all.
        """
        columns = rows.hold_columns(after)
        new = {name: columns[name] for name in ("state", "votes", "outcome", "awaited")}
        keep = self.keeping.of_database(before.database)
        if keep is not audit.Keep.FULL and after.state not in {State.PENDING, State.APPROVED}:
            # whoever was to decide has seen it
            new["body"] = rows.without_values(after)
        held = tables.holds.c
        if grant is not None and keep is not audit.Keep.FULL:
            grant = replace(grant, sql="")
        given = None if grant is None else rows.grant_columns(grant)

        # INVARIANT: 6. condition and change are one statement: of two who decide, one finds it changed
        def change(connection: Connection) -> bool:
            statement = (
                update(tables.holds)
                .where(
                    held.id == before.id,
                    held.state == before.state.value,
                    held.votes == rows.votes_text(before.votes),
                    held.awaited.is_(before.awaited),
                )
                .values(**new)
            )
            if connection.execute(statement).rowcount != 1:
                return False
            if given is not None:
                connection.execute(insert(tables.grants).values(**given))
            return True

        return await self._write(records, change)

    async def change_grant(self, before: Grant, after: Grant, records: Sequence[audit.Record]) -> bool:
        """Write what changes of a grant if it still stands as in `before`."""
        columns = rows.grant_columns(after)
        new = {name: columns[name] for name in ("used", "spent", "revoked_by")}
        given = tables.grants.c

        # INVARIANT: 6. of two runs that would be the last one, one finds the grant used up
        def change(connection: Connection) -> bool:
            statement = (
                update(tables.grants)
                .where(
                    given.id == before.id,
                    given.used == before.used,
                    given.spent == before.spent,
                    given.revoked_by == before.revoked_by,
                )
                .values(**new)
            )
            return connection.execute(statement).rowcount == 1

        return await self._write(records, change)

    async def add_agent(  # noqa: PLR0913 — one for each column
        self,
        name: str,
        owner: str,
        issuer: str,
        verifier: str,
        records: Sequence[audit.Record],
        *,
        team: str = "",
        valid_until: str | None = None,
        certificate: str = "",
    ) -> None:
        """Keep a new agent with the records of it; StoreError if there is one of that name."""
        columns = {
            "name": name,
            "owner": owner,
            "team": team,
            "issuer": issuer,
            "verifier": verifier,
            "disabled": False,
            "created_at": clock.stamp(clock.now()),
            "valid_until": valid_until,
            "certificate": certificate,
        }

        def change(connection: Connection) -> bool:
            statement = engine.upsert(connection, tables.agents).values(**columns).on_conflict_do_nothing()
            return connection.execute(statement).rowcount == 1

        if not await self._write(records, change):
            raise StoreError(
                f"there is an agent `{name}` already", hint="take another name, or give it a new token"
            )

    async def set_agent(
        self,
        name: str,
        records: Sequence[audit.Record],
        *,
        disabled: bool | None = None,
        verifier: str | None = None,
        issuer: str | None = None,
        certificate: str | None = None,
    ) -> None:
        """Change what is given, with the records of it; StoreError if there is no such agent.

        A new `verifier` or `certificate` comes with its `issuer`: who issued the credential may not approve
        its statements.
        """
        given = {
            "disabled": disabled,
            "verifier": verifier,
            "issuer": issuer,
            "certificate": certificate,
        }
        columns = {column: value for column, value in given.items() if value is not None}

        def change(connection: Connection) -> bool:
            statement = update(tables.agents).where(tables.agents.c.name == name).values(**columns)
            return connection.execute(statement).rowcount == 1

        if columns and not await self._write(records, change):
            raise StoreError(f"there is no agent `{name}`", hint="`firewall agents list` shows them")

    async def add_token(
        self, person: str, token_hash: str, issuer: str, records: Sequence[audit.Record]
    ) -> None:
        """Keep the hash of a person's new token with the records of it."""
        columns = {
            "token_hash": token_hash,
            "person": person,
            "issuer": issuer,
            "created_at": clock.stamp(clock.now()),
            "revoked": False,
        }

        def change(connection: Connection) -> bool:
            connection.execute(insert(tables.tokens).values(**columns))
            return True

        await self._write(records, change)

    async def revoke_tokens(self, person: str, records: Sequence[audit.Record]) -> bool:
        """Revoke every token and unused link of a person; False, and nothing written, if there is none."""
        columns = tables.tokens.c

        def change(connection: Connection) -> bool:
            valid = (columns.person == person) & columns.revoked.is_(False)
            statement = update(tables.tokens).where(valid).values(revoked=True)
            unused = delete(tables.links).where(tables.links.c.person == person)
            return connection.execute(statement).rowcount + connection.execute(unused).rowcount > 0

        return await self._write(records, change)

    @property
    def erasing(self) -> Erasing:
        """Erases values that records commit to."""
        return Erasing(self._database, self._writer)

    @property
    def cards(self) -> Cards:
        """What channels have posted, by hold."""
        return Cards(self._database)

    @property
    def links(self) -> Links:
        """Sign-in links that nobody has used yet."""
        return Links(self._database, self._writer)

    def marks(self, database: str) -> Marks:
        """Labels of one database that no policy says."""
        return Marks(self._database, self._writer, database)

    @property
    def signals(self) -> Signals:
        """What people ask of firewalls that run on this store."""
        return Signals(self._database)

    @property
    def summaries(self) -> Summaries:
        """What the log comes to."""
        return Summaries(self._database)

    @property
    def views(self) -> Views:
        """What people keep of the query log's filters."""
        return Views(self._database)

    def watched(self, database: str) -> Watched:
        """What one database counted when it was last compared with the log."""
        return Watched(self._database, self._writer, database)

    def past(self, database: str) -> Past:
        """What agents have done before in one database."""
        return Past(self._database, database, self._writer.origin)

    async def _write(self, records: Sequence[audit.Record], change: Change) -> bool:
        return await self._writer.write(lambda: self._entries(records), change)

    def _entries(self, records: Sequence[audit.Record | audit.Written]) -> list[rows.Entry]:
        return [rows.entry(record, self.keeping.of(record)) for record in records]
