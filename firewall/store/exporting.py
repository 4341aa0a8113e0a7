"""Much of the log at once: what a filter asks for, in the log's order, page by page, with what it belongs to.

Memory does not grow with the log, and what is written while it is read is left for the next time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, func, or_, select

from firewall import audit, clock
from firewall.store import rows, tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Connection, Row

    from firewall.store import engine

_RECORDS = tables.records.c
_PAGE = 1000
# records that name their database themselves
_PLACED = ("session", "judgement", "policy", "label", "watch")


@dataclass(frozen=True, slots=True)
class Wanted:
    """since is included, until is not. agent: its own records, and what was said of its holds."""

    since: datetime | None = None
    until: datetime | None = None
    agent: str | None = None
    database: str | None = None
    kinds: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """One for each condition."""
        given = {
            "from": clock.stamp(self.since) if self.since else None,
            "to": clock.stamp(self.until) if self.until else None,
            "agent": self.agent,
            "database": self.database,
            "kind": ",".join(self.kinds) or None,
        }
        return [f"{name}={value}" for name, value in given.items() if value is not None]


@dataclass(frozen=True, slots=True)
class Exported:
    """A record as it stands and as it reads, its statement's judgement and its session's beginning.

    heads: the signed ones that count up to this record and no further, where the whole log is read.
    """

    stored: audit.StoredRecord
    record: audit.Record
    judgement: audit.Judgement | None = None
    session: audit.Session | None = None
    heads: tuple[str, ...] = ()


class Exporting:
    """Bound to a store."""

    def __init__(self, database: engine.Database) -> None:
        self._database = database

    async def heads(self) -> dict[str, tuple[int, str]]:
        """Origin → records and note of its newest signed head."""
        query = select(tables.heads.c.origin, tables.heads.c.size, tables.heads.c.note)
        found = await self._database.read(lambda c: c.execute(query.order_by(tables.heads.c.origin)).all())
        return {row.origin: (row.size, row.note) for row in found}

    async def count(self, wanted: Wanted, sizes: Mapping[str, int]) -> int:
        """How many records `pages` gives."""
        if wanted.database is None:
            of = (and_(_RECORDS.origin == origin, _RECORDS.idx < size) for origin, size in sizes.items())
            query = select(func.count()).select_from(tables.records).where(or_(False, *of), *_where(wanted))
            found: int = await self._database.read(lambda connection: connection.execute(query).scalar_one())
            return found
        number = 0
        async for page in self._pages(wanted, sizes):
            number += len(page)
        return number

    async def pages(
        self, wanted: Wanted, sizes: Mapping[str, int], *, context: bool = True
    ) -> AsyncIterator[list[Exported]]:
        """Every record that is wanted, of each origin up to so many; StoreError for one that is damaged.

        context: with judgement and session; without, with the heads.
        """
        whole = not wanted.words()
        async for page in self._pages(wanted, sizes):
            if context:
                yield await self._database.read(lambda connection, page=page: _with_context(connection, page))  # type: ignore[misc] # the page is bound, not asked for
            else:
                heads = await self._database.read(lambda c, page=page: _heads(c, page)) if whole else {}  # type: ignore[misc] # as above
                yield [
                    Exported(rows.stored(row), record, heads=heads.get(row.idx + 1, ()))
                    for row, record in page
                ]

    async def _pages(
        self, wanted: Wanted, sizes: Mapping[str, int]
    ) -> AsyncIterator[list[tuple[Row[Any], audit.Record]]]:
        for origin, size in sorted(sizes.items()):
            after = -1
            conditions = [*_where(wanted), _RECORDS.origin == origin, _RECORDS.idx < size]
            while True:
                query = select(tables.records).where(*conditions, _RECORDS.idx > after)
                query = query.order_by(_RECORDS.idx).limit(_PAGE)
                found = await self._database.read(lambda c, query=query: c.execute(query).all())  # type: ignore[misc] # as above
                read = [(row, rows.record(row)) for row in found]
                yield [one for one in read if _placed(one[1], wanted.database)]
                if len(found) < _PAGE:
                    break
                after = found[-1].idx


def _where(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        found.append(_RECORDS.at >= clock.stamp(wanted.since))
    if wanted.until is not None:
        found.append(_RECORDS.at < clock.stamp(wanted.until))
    if wanted.kinds:
        found.append(_RECORDS.kind.in_(wanted.kinds))
    if wanted.agent is not None:
        # votes and decisions name no agent
        opened = and_(_RECORDS.kind == "hold", _RECORDS.agent == wanted.agent)
        found.append(
            or_(_RECORDS.agent == wanted.agent, _RECORDS.hold.in_(select(_RECORDS.hold).where(opened)))
        )
    if wanted.database is not None:
        judged = and_(_RECORDS.verdict != "", _RECORDS.database == wanted.database, _RECORDS.session != "")
        within = select(_RECORDS.session).where(judged)
        found.append(or_(_RECORDS.kind.in_(_PLACED), _RECORDS.session.in_(within)))
    return found


def _placed(record: audit.Record, database: str | None) -> bool:
    match record:
        case audit.Session() | audit.Judgement() | audit.Policy() | audit.Label() | audit.Watch():
            return database is None or record.database == database
        case _:
            return True


def _with_context(connection: Connection, page: Sequence[tuple[Row[Any], audit.Record]]) -> list[Exported]:
    statements = {record.statement for _, record in page} - {""}
    sessions = {record.session for _, record in page} - {""}
    judgements: dict[str, audit.Judgement] = {}
    for found in _records(connection, _RECORDS.statement, statements, "judgement"):
        if isinstance(found, audit.Judgement):
            judgements[found.statement] = found
    begun: dict[str, audit.Session] = {}
    for found in _records(connection, _RECORDS.session, sessions, "session"):
        if isinstance(found, audit.Session) and found.event != "closed":
            begun[found.session] = found
    return [
        Exported(rows.stored(row), record, judgements.get(record.statement), begun.get(record.session))
        for row, record in page
    ]


def _heads(connection: Connection, page: Sequence[tuple[Row[Any], audit.Record]]) -> dict[int, tuple[str]]:
    """The signed heads of the sizes that this page, which is of one log, reaches."""
    if not page:
        return {}
    first, last = page[0][0], page[-1][0]
    kept = tables.checkpoints.c
    query = select(kept.size, kept.note).where(
        kept.origin == first.origin, kept.size.between(first.idx + 1, last.idx + 1)
    )
    return {row.size: (row.note,) for row in connection.execute(query)}


def _records(
    connection: Connection, column: ColumnElement[str], values: Collection[str], kind: str
) -> list[audit.Record]:
    if not values:
        return []
    query = select(tables.records).where(column.in_(values), _RECORDS.kind == kind)
    return [rows.record(row) for row in connection.execute(query.order_by(_RECORDS.at, _RECORDS.id))]
