"""What views and materialised views show, column by column, and what generated columns are made of: each
relation is analysed once, as a statement would be.

A statement that reads a view is judged by what stands behind the view in any case. What is worked out here
labels the view's own columns, so that rules about a view and its labels meet, and people can see them.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Protocol

from firewall.catalog import RelationKind
from firewall.sql import Facts, Kind, ObjectType
from firewall.sql.reviewed import SYSTEM_SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.catalog import Relation, Snapshot
    from firewall.policy.labels import Views
    from firewall.sql import Analysis

    Columns = Mapping[str, tuple[tuple[str, str], ...]]

# The workers have statements to analyse meanwhile.
AT_A_TIME = 4
_VIEWS = frozenset({RelationKind.VIEW, RelationKind.MATERIALIZED})


class Analyst(Protocol):
    """What is needed of the workers."""

    async def analyse(self, text: str, version: str, facts: Facts) -> Analysis: ...


class Shown:
    """The views of one database. A view is analysed anew when it or any other view is defined otherwise."""

    def __init__(self, analyst: Analyst) -> None:
        self._analyst = analyst
        self._known: dict[str, tuple[str, Columns]] = {}  # view → definition, columns
        self._room = asyncio.Semaphore(AT_A_TIME)

    async def views(self, snapshot: Snapshot) -> Views:
        """Of a catalog that was published to the workers."""
        views = await asyncio.to_thread(_defined, snapshot)
        known = {v.qualified: self._known[v.qualified] for v in views if v.qualified in self._known}
        # a view in a view may show something else now
        if any(known[v.qualified][0] != _definition(v) for v in views if v.qualified in known):
            known = {}
        missing = [view for view in views if view.qualified not in known]
        found = await asyncio.gather(*(self._columns(view, snapshot) for view in missing))
        for view, (columns, lasts) in zip(missing, found, strict=True):
            known[view.qualified] = (_definition(view) if lasts else "", columns)
        self._known = {name: view for name, view in known.items() if view[0]}
        return {name: columns for name, (_, columns) in known.items()}

    async def _columns(self, view: Relation, snapshot: Snapshot) -> tuple[Columns, bool]:
        """The view's columns, and whether the same would be found again: an analysis can be cut off."""
        text = f"SELECT * FROM {_quoted(view.schema)}.{_quoted(view.name)}"  # noqa: S608 — analysed, never run
        async with self._room:
            analysis = await self._analyst.analyse(text, snapshot.version, Facts(snapshot.database))
        output = analysis.statements[0].output if analysis.statements else None
        if output is not None and len(output) == len(view.columns):
            return {
                column.name: tuple((s.relation, s.column) for s in made.sources)
                for column, made in zip(view.columns, output, strict=True)
            }, True
        # its definition is not followed: each column may show anything that the view reads
        reads = tuple(
            (effect.object, column)
            for effect in analysis.effects
            if effect.kind is Kind.READ and effect.type is ObjectType.RELATION
            for column in effect.columns
            if effect.object != view.qualified or view.kind not in _VIEWS
        )
        return {column.name: reads for column in view.columns}, not analysis.volatile


def _defined(snapshot: Snapshot) -> list[Relation]:
    return [r for r in snapshot.relations if _definition(r) and r.schema not in SYSTEM_SCHEMAS]


def _definition(relation: Relation) -> str:
    """What the columns follow from: a view's query, or expressions that may be those of generated columns, as
    they name a column. Empty where there is nothing to follow.
    """
    if relation.kind in _VIEWS:
        return relation.definition or "unknown"
    if not any(column.default for column in relation.columns):
        return ""
    names = "|".join(re.escape(column.name) for column in relation.columns)
    named = re.compile(rf"(?<!\w)(?:{names})(?!\w)")
    return "".join(
        f"{column.name} = {column.default}\n"
        for column in relation.columns
        if column.default and named.search(column.default.replace('""', '"'))
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
