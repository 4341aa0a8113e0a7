"""Relations and functions of one snapshot as the tracer reads them: columns, and what stands behind them.

A column of a table is itself and the same column of every table that inherits from it. A column of a view
is itself and whatever its query reads. Views are traced once for each snapshot and kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from firewall.catalog.snapshot import RelationKind
from firewall.sql import grammar
from firewall.sql.lineage_scope import NOTHING, Doubt, Field, Sources
from firewall.sql.names import TEMPORARY, is_temporary_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from firewall.catalog.snapshot import Column, Function, Relation, Snapshot

VIEWS = frozenset({RelationKind.VIEW, RelationKind.MATERIALIZED})


@dataclass(frozen=True, slots=True)
class Shape:
    """A relation as FROM sees it.

    conditions: columns that its query tests. relations: everything that is read along with it, itself too.
    kept: what its query's own errors quote, whichever of its columns are asked for.
    """

    fields: tuple[Field, ...]
    conditions: Sources
    relations: frozenset[str]
    kept: Sources = NOTHING


TraceView: TypeAlias = "Callable[[Relations, Relation], Shape]"


class Relations:
    """The snapshot's relations by name, with views opened by `trace_view`; one for each snapshot.

    beneath: those of the catalog that a session sees with relations of its own, which are not traced again.
    """

    def __init__(self, snapshot: Snapshot, trace_view: TraceView, beneath: Relations | None = None) -> None:
        self.snapshot = snapshot
        self._beneath = beneath
        self._trace_view = trace_view
        self._shapes: dict[str, Shape | None] = {}

    def find(
        self, schema: str, name: str, path: tuple[str, ...] | None, *, printed: bool = False
    ) -> Relation:
        """The relation that a name means; `Doubt` if that cannot be told."""
        by_name, own = self.snapshot.by_name, self.snapshot.own_by_name
        if schema:
            schema = TEMPORARY if is_temporary_schema(schema) else schema
            found = by_name.get(schema, {}).get(name)
        elif path is None:
            raise Doubt
        else:
            places = path if printed or not own else (TEMPORARY, *path)
            found = None
            for place in places:
                relation = by_name.get(place, {}).get(name)
                if relation is not None and found is not None:
                    raise Doubt  # the session's own, if it is there, and another one if not
                found = relation or found
                if found is not None and found.qualified not in own:
                    break
        if found is not None and found.qualified in own and not own[found.qualified].whole:
            raise Doubt
        if found is None or found.kind in (RelationKind.INDEX, RelationKind.COMPOSITE):
            raise Doubt
        return found

    def shape(self, relation: Relation) -> Shape:
        """Its columns and what stands behind each."""
        name = relation.qualified
        if self._beneath is not None and name not in self.snapshot.own_by_name:
            return self._beneath.shape(relation)
        if name not in self._shapes:
            self._shapes[name] = None  # stays when it cannot be told; also met if a view reads itself
            try:
                self._shapes[name] = self._view(relation) if relation.kind in VIEWS else self._table(relation)
            except RecursionError:
                del self._shapes[name]
                raise
        shape = self._shapes[name]
        if shape is None:
            raise Doubt
        return shape

    def function_columns(self, schema: str, name: str, arguments: int) -> tuple[str, ...] | None:
        """The result's columns by name; () for one value; None when it cannot be told."""
        found = {
            self._result(function)
            for function in self.snapshot.functions_by_name.get(name, ())
            if (not schema or function.schema == schema)
            and (function.arguments < 0 or function.required <= arguments <= function.arguments)
        }
        return found.pop() if len(found) == 1 else None

    def has_own(self, name: str) -> bool:
        """Somebody defined a function of this name beside the built-in one."""
        return any(f.schema != "pg_catalog" for f in self.snapshot.functions_by_name.get(name, ()))

    def _result(self, function: Function) -> tuple[str, ...] | None:
        if function.columns:
            return function.columns
        kind = function.returns.removeprefix("SETOF ")
        if kind in ("", "record") or kind.startswith(("any", "TABLE(")):
            return None
        composite = self.snapshot.relation(kind) or self.snapshot.relation(f"pg_catalog.{kind}")
        if composite is not None:
            return tuple(column.name for column in composite.columns)
        return None if "." in kind else ()

    def _table(self, relation: Relation) -> Shape:
        tables = list(_descendants(relation, self.snapshot))
        own = {column.name for column in relation.columns}
        fields = tuple(
            Field(
                column.name,
                frozenset(
                    (table.qualified, name)
                    for table in tables
                    for name in {column.name, *_generated_from(column, own)}
                    if table is relation or any(c.name == name for c in table.columns)
                ),
                # what a session puts into its own tables is not what others have been joined by
                stored=relation.schema != TEMPORARY,
                # what is generated holds another column's values, cut or put together
                typed=not _generated_from(column, own),
            )
            for column in relation.columns
        )
        return Shape(fields, NOTHING, frozenset(table.qualified for table in tables))

    def _view(self, relation: Relation) -> Shape:
        body = self._trace_view(self, relation)
        if len(body.fields) != len(relation.columns):
            raise Doubt
        fields = tuple(
            Field(
                column.name,
                field.sources | {(relation.qualified, column.name)},
                stored=relation.schema != TEMPORARY,
                typed=field.typed,
            )
            for column, field in zip(relation.columns, body.fields, strict=True)
        )
        return Shape(fields, body.conditions, body.relations | {relation.qualified}, body.kept)


def _generated_from(column: Column, own: set[str]) -> frozenset[str]:
    """The columns of the same row that a generated column is computed from; a default looks at none."""
    if not column.default:
        return frozenset()
    parsed = grammar.kept(f"SELECT {column.default}")
    if not isinstance(parsed, tuple):
        return frozenset(own)
    named = _names(parsed[0].tree)
    return frozenset(own if "" in named else named & own)


def _names(node: Any) -> set[str]:
    """The columns named in an expression; an empty name is a whole row."""
    if isinstance(node, list):
        return {name for part in node for name in _names(part)}
    if not isinstance(node, dict):
        return set()
    found = set(grammar.strings(node["ColumnRef"].get("fields"))) if "ColumnRef" in node else set()
    return found | {name for part in node.values() for name in _names(part)}


def _descendants(relation: Relation, snapshot: Snapshot) -> Iterable[Relation]:
    pending, seen = [relation], {relation.qualified}
    while pending:
        table = pending.pop()
        yield table
        for name in table.children:
            child = snapshot.relation(name)
            if child is None:
                raise Doubt
            if name not in seen:
                seen.add(name)
                pending.append(child)
