"""The whole log read in its order, each signed head right behind the records that it counts, and verified.

Memory does not grow with it. What a record is found by is compared with what its bytes say, too: whoever
hides a record from search leaves the tree as it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, select

from firewall import audit
from firewall.store import rows, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from sqlalchemy import Column, Connection, Row

    from firewall.store import engine

_PAGE = 1000
_R = tables.records.c
_T = tables.record_relations.c
_F = tables.record_facets.c
_H = tables.heads.c
_C = tables.checkpoints.c
# built once: SQLAlchemy then finds their compiled form at once
_RECORDS = (
    select(tables.records)
    .where(_R.origin == bindparam("log"), _R.idx >= bindparam("start"), _R.idx < bindparam("end"))
    .order_by(_R.idx)
    .limit(_PAGE)
)
_HEADS = (
    select(_C.size, _C.note)
    .where(_C.origin == bindparam("log"), _C.size > bindparam("start"), _C.size <= bindparam("end"))
    .order_by(_C.size)
)
_RELATIONS = select(tables.record_relations).where(_T.record.in_(bindparam("ids", expanding=True)))
_FACETS = select(tables.record_facets).where(_F.record.in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far a log goes at one moment: records, kept heads, newest head. A commit moves all three."""

    records: int
    heads: int
    size: int | None
    note: str

    @property
    def end(self) -> int:
        """Where reading ends. If the three differ, somebody has moved one of them: then all of it counts."""
        return max(self.records, self.heads, self.size or 0)


@dataclass(slots=True)
class _Page:
    records: Sequence[Row[Any]]
    heads: list[Row[Any]]
    relations: dict[str, set[str]] = field(default_factory=dict)
    facets: dict[str, set[tuple[str, str]]] = field(default_factory=dict)


async def verify(
    database: engine.Database,
    keys: Iterable[audit.VerifyingKey],
    published: Iterable[str],
    progress: audit.Progress | None,
) -> audit.Report:
    """Every log of the store, as far as it went when this began, against its own signed heads and others.

    What is written meanwhile is for the next time, but where it says who has erased what was just missing.
    """
    reaches = await database.read(_reaches)
    verification = audit.Verification([*(one.note for one in reaches.values() if one.note), *published], keys)
    for log, reach in sorted(reaches.items()):
        start, end = -1, reach.end
        while start < end:
            await _read(database, verification, log, start, end, progress)
            start = end
            if verification.unexplained(log):
                end = (await database.read(_reaches))[log].end
    return verification.finish()


async def _read(
    database: engine.Database,
    verification: audit.Verification,
    log: str,
    start: int,
    end: int,
    progress: audit.Progress | None,
) -> None:
    """Records and heads of a log: those of sizes beyond `start`, up to `end`; -1 is before the empty log."""
    while start < end:
        page = await database.read(lambda connection, start=start: _page(connection, log, start, end))  # type: ignore[misc] # the start is bound, not asked for
        # the loop is the firewall's, where this runs inside of one
        await asyncio.to_thread(_look, verification, page)
        if progress is not None:
            progress(verification.records)
        # by what was found, not by number: indexes that somebody made up may lie far apart
        start = page.records[-1].idx + 1 if len(page.records) == _PAGE else end


def _look(verification: audit.Verification, page: _Page) -> None:
    heads = iter(page.heads)
    head = next(heads, None)
    for row in page.records:
        while head is not None and head.size <= row.idx:
            verification.head(head.note)
            head = next(heads, None)
        record = rows.stored(row)
        inside = record.inside()
        verification.add(record, inside)
        wrong = rows.misfiled(row, inside, page.relations.get(row.id, ()), page.facets.get(row.id, ()))
        if wrong:
            message = f"search may miss it: `{'`, `'.join(wrong)}` beside it do not say what it says"
            verification.find(audit.Finding(audit.Flaw.CHANGED, row.origin, row.idx, row.id, message))
    while head is not None:
        verification.head(head.note)
        head = next(heads, None)


def _page(connection: Connection, log: str, start: int, end: int) -> _Page:
    found = connection.execute(_RECORDS, {"log": log, "start": max(start, 0), "end": end}).all()
    upto = found[-1].idx + 1 if len(found) == _PAGE else end
    page = _Page(found, list(connection.execute(_HEADS, {"log": log, "start": start, "end": upto})))
    moments = {row.id: row.at for row in found}
    ids = {"ids": list(moments)}
    for row in connection.execute(_RELATIONS, ids):
        # a wrong bare name or time misleads search as well
        fits = row.name == rows.bare(row.relation) and row.at == moments[row.record]
        told = row.relation if fits else f"{row.relation} as {row.name} {row.at}"
        page.relations.setdefault(row.record, set()).add(told)
    for row in connection.execute(_FACETS, ids):
        told = row.value if row.at == moments[row.record] else f"{row.value} {row.at}"
        page.facets.setdefault(row.record, set()).add((row.facet, told))
    return page


def _reaches(connection: Connection) -> dict[str, _Reach]:
    """Of every log that has anything."""
    newest = {row.origin: (row.size, row.note) for row in connection.execute(select(tables.heads))}
    logs = {*newest, *_origins(connection, _R.origin), *_origins(connection, _C.origin)}
    found = {}
    for log in logs:
        last = connection.execute(select(func.max(_R.idx)).where(_R.origin == log)).scalar()
        kept = connection.execute(select(func.max(_C.size)).where(_C.origin == log)).scalar()
        size, note = newest.get(log, (None, ""))
        found[log] = _Reach(0 if last is None else last + 1, kept or 0, size, note)
    return found


def _origins(connection: Connection, column: Column[str]) -> Iterator[str]:
    """Each once, by steps along the index: there are few of them and millions of rows."""
    query = select(func.min(column))
    found = connection.execute(query).scalar()
    while found is not None:
        yield found
        found = connection.execute(query.where(column > found)).scalar()
