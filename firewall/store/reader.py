"""Everything that can be asked of a store. Reading needs no key and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from sqlalchemy import Select, func, literal, or_, select, text, tuple_

from firewall import audit, clock
from firewall.errors import StoreError
from firewall.store import during, engine, marks, rows, schema, search, tables, verifying
from firewall.store.exporting import Exporting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Connection, Row

    from firewall.approval import Grant, Hold, State
    from firewall.catalog.labels import Mark

_RECORDS = tables.records.c
_HOLDS = tables.holds.c
_GRANTS = tables.grants.c
# what a record is made of
_INSIDE = (_RECORDS.id, _RECORDS.bytes, _RECORDS.private)
# how many records one query fetches while the whole log is read
_PAGE = 1000
# leaf hashes are read in larger portions
_LEAVES = 10_000


# of a file its pages, of a database all that is in it
_WEIGHT_SQLITE = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
_WEIGHT_POSTGRES = "SELECT pg_database_size(current_database())"


class Reader:
    """A store opened to look at."""

    def __init__(self, database: engine.Database) -> None:
        self._database = database

    @classmethod
    async def open_reader(cls, url: str) -> Self:
        """Open a store that is there; StoreError if it is not, or not of this firewall's version."""
        database = engine.connect(url, create=False)
        try:
            await database.read(lambda c: schema.check(c, database.where))
        except BaseException:
            await database.close()
            raise
        return cls(database)

    @property
    def where(self) -> str:
        """The store's place, for people: no user, no password."""
        return self._database.where

    @property
    def exporting(self) -> Exporting:
        """Hands out much of the log."""
        return Exporting(self._database)

    async def close(self) -> None:
        """Let go of every connection."""
        await self._database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def hold(self, hold_id: str) -> Hold | None:
        found = await self._all(select(tables.holds).where(_HOLDS.id == hold_id))
        return rows.hold(found[0]) if found else None

    async def holds(
        self,
        states: Sequence[State] = (),
        *,
        limit: int = 200,
        agent: str | None = None,
        database: str | None = None,
        since: datetime | None = None,
    ) -> list[Hold]:
        """Newest first; all states when none is named. since: opened then or later."""
        query = select(tables.holds).order_by(_HOLDS.opened_at.desc(), _HOLDS.id.desc()).limit(limit)
        if states:
            query = query.where(_HOLDS.state.in_([state.value for state in states]))
        if agent is not None:
            query = query.where(_HOLDS.agent == agent)
        if database is not None:
            query = query.where(_HOLDS.database == database)
        if since is not None:
            query = query.where(_HOLDS.opened_at >= clock.stamp(since))
        return [rows.hold(row) for row in await self._all(query)]

    async def holds_of(self, digest: str) -> list[Hold]:
        """All holds of exactly this act, newest first."""
        query = select(tables.holds).where(_HOLDS.digest == digest).order_by(_HOLDS.opened_at.desc())
        return [rows.hold(row) for row in await self._all(query)]

    async def grant(self, grant_id: str) -> Grant | None:
        found = await self._all(select(tables.grants).where(_GRANTS.id == grant_id))
        return rows.grant(found[0]) if found else None

    async def grants(
        self,
        *,
        agent: str | None = None,
        database: str | None = None,
        shape: str | None = None,
        since: datetime | None = None,
        limit: int = 200,
    ) -> list[Grant]:
        """Those that meet every condition, and last beyond `since`; the ones that last longest first."""
        query = select(tables.grants).order_by(_GRANTS.until.desc(), _GRANTS.id).limit(limit)
        if agent is not None:
            query = query.where(_GRANTS.agent == agent)
        if database is not None:
            query = query.where(_GRANTS.database == database)
        if shape is not None:
            query = query.where(_GRANTS.shape == shape)
        if since is not None:
            query = query.where(_GRANTS.until > clock.stamp(since))
        return [rows.grant(row) for row in await self._all(query)]

    async def record(self, record_id: str) -> audit.Record | None:
        """One record of the log."""
        found = await self._all(select(*_INSIDE).where(_RECORDS.id == record_id))
        return rows.record(found[0]) if found else None

    async def hold_records(self, hold_id: str) -> list[audit.Record]:
        """Everything that the log says of a hold, oldest first, its statement's judgement included."""
        if not hold_id:
            return []
        statements = select(_RECORDS.statement).where(_RECORDS.hold == hold_id, _RECORDS.statement != "")
        query = select(*_INSIDE).where(or_(_RECORDS.hold == hold_id, _RECORDS.statement.in_(statements)))
        return [rows.record(row) for row in await self._all(query.order_by(_RECORDS.at, _RECORDS.idx))]

    async def session_opened(self, session: str) -> audit.Session | None:
        """How a session began."""
        query = select(tables.records).where(_RECORDS.session == session, _RECORDS.kind == "session")
        found = [rows.record(row) for row in await self._all(query)] if session else []
        return next((one for one in found if isinstance(one, audit.Session) and one.event != "closed"), None)

    async def statement_records(self, statement: str) -> list[audit.Record]:
        """Everything that the log says of one statement, oldest first."""
        query = select(*_INSIDE).where(_RECORDS.statement == statement)
        ordered = query.order_by(_RECORDS.at, _RECORDS.idx)
        return [rows.record(row) for row in await self._all(ordered)] if statement else []

    async def search(
        self, *, limit: int = 100, before: str | None = None, **conditions: Any
    ) -> list[rows.Judged]:
        """As many of a search's results as asked for, however far it has to look; conditions as in `page`."""
        found: list[rows.Judged] = []
        while True:
            page = await self.page(limit=limit - len(found), before=before, **conditions)
            found += page.found
            before = page.older
            if before is None or len(found) >= limit:
                return found

    async def page(  # noqa: PLR0913 — one keyword for each thing to search by
        self,
        *,
        agent: str | None = None,
        owner: str | None = None,
        database: str | None = None,
        verdict: str | None = None,
        rule: str | None = None,
        session: str | None = None,
        effect: str | None = None,
        label: str | None = None,
        relation: str | None = None,
        by: str | None = None,
        text: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> rows.Page:
        """Judgements that meet every condition given, newest first, with what came of them.

        effect: the kind of one of its effects. label: of one of its effects, or one that reaches the client.
        relation: with its schema, or the bare name. by: who decided its hold. text: anywhere in the
        statement, in any case. since is included, until is not. before: the `older` of the page before.
        """
        wanted = search.Wanted(
            agent, owner, database, verdict, rule, session, effect, label, relation, by, text, since, until
        )
        found, older = await self._database.read(lambda c: search.page(c, wanted, limit, before))
        return rows.Page(await self._with_outcomes(found), older)

    async def records(self, origin: str | None = None, start: int = 0) -> AsyncIterator[audit.StoredRecord]:
        """The log as it stands, by origin and index, from index `start` of each origin on; page by page."""
        columns = (_RECORDS.origin, _RECORDS.idx, *_INSIDE, _RECORDS.leaf_hash)
        async for page in self._pages(columns, origin, start):
            for row in page:
                yield rows.stored(row)

    def during(
        self, origin: str, size: int, since: datetime, until: datetime
    ) -> AsyncIterator[Sequence[audit.Record | str]]:
        """A period of the first `size` records of a log; see `during.py`."""
        return during.during(self._database, origin, size, since, until)

    async def held(self, origin: str, start: int, limit: int) -> tuple[list[tuple[int, audit.Record]], int]:
        """A log's records about holds from an index on, in order; and from which one there may be more."""
        head = select(func.max(_RECORDS.idx)).where(_RECORDS.origin == origin)
        query: Select[Any] = (
            select(_RECORDS.idx, *_INSIDE)
            .where(_RECORDS.origin == origin, _RECORDS.idx >= start, _RECORDS.hold != "")
            .order_by(_RECORDS.idx)
            .limit(limit)
        )

        def work(connection: Connection) -> tuple[list[tuple[int, audit.Record]], int]:
            # first: what comes between the two is then looked at again, not passed over
            last = connection.execute(head).scalar()
            found = [(row.idx, rows.record(row)) for row in connection.execute(query)]
            end = 0 if last is None else last + 1
            if found:
                after = found[-1][0] + 1
                end = after if len(found) == limit else max(end, after)
            return found, end

        return await self._database.read(work)

    async def _pages(
        self, columns: Iterable[Any], origin: str | None, start: int
    ) -> AsyncIterator[Sequence[Row[Any]]]:
        after: tuple[str, int] | None = None
        while True:
            query = select(*columns).where(_RECORDS.idx >= start)
            if origin is not None:
                query = query.where(_RECORDS.origin == origin)
            if after is not None:
                # one comparison: of two with OR between them, SQLite makes a walk from the log's beginning
                query = query.where(tuple_(_RECORDS.origin, _RECORDS.idx) > tuple_(*map(literal, after)))
            page = await self._all(query.order_by(_RECORDS.origin, _RECORDS.idx).limit(_PAGE))
            yield page
            if len(page) < _PAGE:
                return
            after = (page[-1].origin, page[-1].idx)

    async def policy_records(self, since: str) -> list[audit.Policy]:
        """Which policies came into force, or did not, from this moment on; oldest first."""
        mine = (_RECORDS.kind == "policy") & (_RECORDS.at >= since)
        found = await self._all(select(_RECORDS.bytes).where(mine).order_by(_RECORDS.at, _RECORDS.id))
        return [audit.Policy.model_validate_json(row.bytes) for row in found]

    async def size(self) -> int:
        """How many records there are, in all logs."""
        return sum((await self._sizes()).values())

    async def weight(self) -> int:
        """Bytes that the store takes, on its own disk or its database's."""

        def work(connection: Connection) -> int:
            postgres = connection.dialect.name == "postgresql"
            return int(
                connection.execute(text(_WEIGHT_POSTGRES if postgres else _WEIGHT_SQLITE)).scalar_one()
            )

        return await self._database.read(work)

    async def heads(self) -> list[str]:
        """The newest signed head of every log, as a note."""
        query = select(tables.heads.c.note).order_by(tables.heads.c.origin)
        return [row.note for row in await self._all(query)]

    async def checkpoints(self, origin: str | None = None) -> list[str]:
        """Every signed head of every log, or of one: a note for each commit, oldest first."""
        columns = tables.checkpoints.c
        query = select(columns.note).order_by(columns.origin, columns.size)
        if origin is not None:
            query = query.where(columns.origin == origin)
        return [row.note for row in await self._all(query)]

    async def prove(self, record_id: str, checkpoint: str | None = None) -> audit.Inclusion:
        """That a record is in its log, as of a signed head; of the newest, if none is given.

        Raises StoreError if there is no such record, ProofError if it is no part of that head's log.
        """
        found = await self._all(
            select(_RECORDS.origin, _RECORDS.idx, *_INSIDE).where(_RECORDS.id == record_id)
        )
        if not found:
            raise StoreError(f"there is no record `{record_id}`", hint="`firewall audit show` tells ids")
        row = found[0]
        head = checkpoint if checkpoint is not None else await self.head(row.origin)

        def work(connection: Connection) -> audit.Inclusion:
            leaves = _leaves(connection, row.origin)
            beside = rows.private(row)
            return audit.proof.prove_inclusion(bytes(row.bytes), row.idx, leaves, head, private=beside)

        return await self._database.read(work)

    async def prove_consistency(self, origin: str, old: str, new: str | None = None) -> audit.Consistency:
        """That the log of one signed head goes on in that of a later one, or of the newest."""
        head = new if new is not None else await self.head(origin)

        def work(connection: Connection) -> audit.Consistency:
            return audit.proof.prove_consistency(_leaves(connection, origin), old, head)

        return await self._database.read(work)

    async def place(self, record_id: str) -> tuple[str, int] | None:
        """In which log a record is, and where."""
        found = await self._all(select(_RECORDS.origin, _RECORDS.idx).where(_RECORDS.id == record_id))
        return (found[0].origin, found[0].idx) if found else None

    async def checkpoint(self, origin: str, size: int) -> str | None:
        """The signed head of just so many records, if a commit ended there."""
        kept = tables.checkpoints.c
        found = await self._all(select(kept.note).where(kept.origin == origin, kept.size == size))
        return str(found[0].note) if found else None

    async def head(self, origin: str) -> str:
        """The newest signed head of a log. Raises StoreError if there is none."""
        found = await self._all(select(tables.heads.c.note).where(tables.heads.c.origin == origin))
        if not found:
            raise StoreError(f"there is no signed head of the log `{origin}`")
        return str(found[0].note)

    async def verify(
        self,
        keys: Iterable[audit.VerifyingKey],
        *,
        published: Iterable[str] = (),
        progress: audit.Progress | None = None,
    ) -> audit.Report:
        """Every log in the store against its own signed heads and those `published` elsewhere."""
        return await verifying.verify(self._database, keys, published, progress)

    async def _sizes(self) -> dict[str, int]:
        """How far the newest head of each log reaches, as the store says."""
        heads = tables.heads.c
        return {row.origin: row.size for row in await self._all(select(heads.origin, heads.size))}

    async def agent(self, name: str) -> rows.AgentRow | None:
        found = await self._all(select(tables.agents).where(tables.agents.c.name == name))
        return rows.AgentRow(**found[0]._mapping) if found else None  # noqa: SLF001 — SQLAlchemy's documented name

    async def agents(self) -> list[rows.AgentRow]:
        """All agents, by name."""
        found = await self._all(select(tables.agents).order_by(tables.agents.c.name))
        return [rows.AgentRow(**row._mapping) for row in found]  # noqa: SLF001 — SQLAlchemy's documented name

    async def person_by_token(self, token_hash: str) -> str | None:
        """Whose token this is; None for an unknown or revoked one."""
        columns = tables.tokens.c
        query = select(columns.person).where(columns.token_hash == token_hash, columns.revoked.is_(False))
        found = await self._all(query)
        return str(found[0].person) if found else None

    async def tokens(self, person: str | None = None) -> list[rows.TokenRow]:
        """All tokens, oldest first, or one person's."""
        columns = tables.tokens.c
        query = select(tables.tokens).order_by(columns.created_at, columns.token_hash)
        if person is not None:
            query = query.where(columns.person == person)
        return [rows.TokenRow(**row._mapping) for row in await self._all(query)]  # noqa: SLF001 — SQLAlchemy's documented name

    async def marked(self, database: str) -> list[Mark]:
        """Labels of a database that no policy says, by place and age."""
        found = await self._all(marks.query(database))
        return [marks.mark(row) for row in found]

    async def _all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        return await self._database.read(lambda connection: connection.execute(query).all())

    async def _with_outcomes(self, found: Sequence[Row[Any]]) -> list[rows.Judged]:
        judged = [(row, record) for row in found if isinstance(record := rows.record(row), audit.Judgement)]
        statements = {record.statement for _, record in judged} - {""}
        query = (
            select(*_INSIDE)
            .where(_RECORDS.statement.in_(statements), _RECORDS.kind.in_(("outcome", "refusal")))
            .order_by(_RECORDS.at, _RECORDS.id)
        )
        outcomes: dict[str, audit.Outcome] = {}
        refusals: dict[str, audit.Refusal] = {}
        for row in await self._all(query) if statements else ():
            match rows.record(row):
                case audit.Outcome() as outcome:
                    outcomes[outcome.statement] = outcome
                case audit.Refusal() as refusal:
                    refusals[refusal.statement] = refusal
                case _:
                    pass
        return [
            rows.Judged(
                row.origin, row.idx, record, outcomes.get(record.statement), refusals.get(record.statement)
            )
            for row, record in judged
        ]


def _leaves(connection: Connection, origin: str) -> Iterator[bytes]:
    """The leaf hashes of a log from the first on, read as they are asked for."""
    query = select(_RECORDS.leaf_hash).where(_RECORDS.origin == origin).order_by(_RECORDS.idx)
    found = connection.execution_options(yield_per=_LEAVES).execute(query)
    try:
        for (leaf,) in found:
            yield bytes(leaf)
    finally:
        found.close()
