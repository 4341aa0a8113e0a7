"""The query log's search: judgements that meet every condition, newest first, page by page.

One condition, the rarest, says which records are looked at: they are walked along its index from the newest
on, and the others are tried on each. The walk of one page is bounded, so that a page takes no longer in a log
of millions than in a small one; what it did not reach is the next page's. Pages go on by key, never by count.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from sqlalchemy import exists, func, literal, select, tuple_

from firewall import clock
from firewall.errors import StoreError
from firewall.store import rows, tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import ColumnElement, Connection, Select

# a condition that meets fewer records than this is rare: they are all looked at, at once
RARE = 4_000
# how far the walk of one page goes, in steps, until the page is full; each stride goes on from the one before
STRIDES = (200, 800, 3_000)

_R = tables.records.c
_F = tables.record_facets.c
_T = tables.record_relations.c
_COLUMNS = ("agent", "owner", "database", "verdict", "rule", "session")
_FACETS = ("effect", "label")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The conditions; None is none. Which of them mean what: `Reader.search`."""

    agent: str | None = None
    owner: str | None = None
    database: str | None = None
    verdict: str | None = None
    rule: str | None = None
    session: str | None = None
    effect: str | None = None
    label: str | None = None
    relation: str | None = None
    by: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def given(self, names: Sequence[str]) -> dict[str, str]:
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name in names}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Walk:
    """Records along one index. `rows` has their `at` and `id` without order; `settles` is the condition."""

    settles: str
    at: ColumnElement[str]
    id: ColumnElement[str]
    rows: Select[Any]

    def newest(self, wanted: Wanted, before: Any) -> Select[Any]:
        """In time and before the page before, newest first."""
        found = self.rows
        if wanted.since is not None:
            found = found.where(self.at >= clock.stamp(wanted.since))
        if wanted.until is not None:
            found = found.where(self.at < clock.stamp(wanted.until))
        if before is not None:
            found = found.where(tuple_(self.at, self.id) < tuple_(literal(before.at), literal(before.id)))
        return found.order_by(self.at.desc(), self.id.desc())


def page(
    connection: Connection, wanted: Wanted, limit: int, before: str | None
) -> tuple[list[Any], str | None]:
    """Rows of origin, idx, id, bytes, private, and the record to go on from; None when there is no more."""
    start = _record(connection, before)
    walk = _rarest(connection, wanted, start)
    tried = list(_others(wanted, walk))
    found: list[Any] = []
    for stride in STRIDES:
        ordered = walk.newest(wanted, start)
        steps = ordered.limit(stride).subquery("steps")
        query = (
            select(_R.origin, _R.idx, _R.id, _R.bytes, _R.private)
            .select_from(steps.join(tables.records, _R.id == steps.c.id))
            .where(*tried)
            .order_by(steps.c.at.desc(), steps.c.id.desc())
            .limit(limit + 1 - len(found))
        )
        found += connection.execute(query)
        if len(found) > limit:
            return found[:limit], found[limit - 1].id
        start = connection.execute(ordered.limit(1).offset(stride - 1)).one_or_none()
        if start is None:
            return found, None
    return found, start.id


def _record(connection: Connection, record_id: str | None) -> Any:
    if record_id is None:
        return None
    found = connection.execute(select(_R.at, _R.id).where(_R.id == record_id)).one_or_none()
    if found is None:
        raise StoreError(f"there is no record `{record_id}` to go on from")
    return found


def _rarest(connection: Connection, wanted: Wanted, start: Any) -> _Walk:
    """The walk with the fewest records; none is counted beyond what makes it rare."""
    walks = list(_walks(wanted)) or [_Walk("", _R.at, _R.id, _judgements())]
    if len(walks) == 1:
        return walks[0]
    counts = {}
    for walk in walks:
        some = walk.newest(wanted, start).limit(RARE).subquery()
        counts[walk.settles] = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return min(walks, key=lambda walk: counts[walk.settles])


def _walks(wanted: Wanted) -> Iterator[_Walk]:
    if wanted.by is not None:
        # decisions are few: people make them
        decision = tables.records.alias("decision")
        made = (
            select(decision.c.statement)
            .join(tables.record_facets, _F.record == decision.c.id)
            .where(_F.facet == "by", _F.value == wanted.by, decision.c.statement != "")
        )
        yield _Walk("by", _R.at, _R.id, _judged().where(_R.statement.in_(made)))
    for facet, value in wanted.given(_FACETS).items():
        found = select(_F.at, _F.record.label("id")).where(_F.facet == facet, _F.value == value)
        yield _Walk(facet, _F.at, _F.record, found)
    if wanted.relation is not None:
        touched = _named(wanted.relation)
        found = select(_T.at, _T.record.label("id")).where(touched).group_by(_T.at, _T.record)
        yield _Walk("relation", _T.at, _T.record, found)
    for name, value in wanted.given(_COLUMNS).items():
        # the indexes by session and by kind are of all records
        of = _judgements() if name == "session" else _judged()
        yield _Walk(name, _R.at, _R.id, of.where(_R[name] == value))


def _others(wanted: Wanted, walk: _Walk) -> Iterator[ColumnElement[bool]]:
    """What the walk leaves to be tried on each record."""
    yield _R.verdict != ""
    for name, value in wanted.given(_COLUMNS).items():
        if walk.settles != name:
            yield _R[name] == value
    for facet, value in wanted.given(_FACETS).items():
        if walk.settles != facet:
            yield exists().where(_F.record == _R.id, _F.facet == facet, _F.value == value)
    if wanted.relation is not None and walk.settles != "relation":
        yield exists().where(_T.record == _R.id, _named(wanted.relation))
    if wanted.by is not None and walk.settles != "by":
        decision = tables.records.alias("decided")
        yield exists().where(
            decision.c.statement == _R.statement,
            decision.c.statement != "",
            _F.record == decision.c.id,
            _F.facet == "by",
            _F.value == wanted.by,
        )
    if wanted.text is not None:
        yield _R.text.icontains(wanted.text, autoescape=True)


def _judgements() -> Select[Any]:
    return select(_R.at, _R.id).where(_R.kind == "judgement")


def _judged() -> Select[Any]:
    """As the partial indexes say it."""
    return select(_R.at, _R.id).where(_R.verdict != "")


def _named(relation: str) -> ColumnElement[bool]:
    """With its schema, or the bare name."""
    return _T.name == relation if rows.bare(relation) == relation else _T.relation == relation
