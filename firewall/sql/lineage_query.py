"""Queries: WITH, SELECT, set operations and VALUES, traced to the rows that they yield.

`Queries` holds what one trace gathers; FROM items, expressions and writes are in the modules beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from firewall.sql import lineage_from, lineage_writes
from firewall.sql.lineage_agree import identifier
from firewall.sql.lineage_compare import stored, typed
from firewall.sql.lineage_scope import NOTHING, Doubt, Field, Range, Rows, Scope, Sources, renamed, union
from firewall.sql.lineage_values import bare, condition, only, value, window
from firewall.sql.names import is_temporary_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.sql.lineage_relations import Relations

ROUNDS = 64  # of a recursive query; each can only add sources, so more would need as many columns in a ring


class Queries:
    """One trace: what it gathers on the way. printed: as in names.Scope.

    mentioned: all base columns that are named. tests: those that decide or count, wherever they stand.
    kept: those whose values are written, or told by the number of rows. read: all relations.
    written: relation → column → what is put into it.
    """

    def __init__(
        self,
        relations: Relations,
        path: tuple[str, ...] | None,
        temporary: frozenset[str],
        database: str,
        *,
        printed: bool = False,
    ) -> None:
        self.relations = relations
        self.path = path
        self.temporary = temporary
        self.printed = printed
        self.database = database
        self.mentioned: set[tuple[str, str]] = set()
        self.read: set[str] = set()
        self.kept: set[tuple[str, str]] = set()
        self.tests: set[tuple[str, str]] = set()
        self.written: dict[str, dict[str, Sources]] = {}

    def write(self, relation: str, written: Mapping[str, Sources]) -> None:
        """Note what is put into columns."""
        self.kept |= union(written.values())
        columns = self.written.setdefault(relation, {})
        for name, sources in written.items():
            columns[name] = columns.get(name, NOTHING) | sources

    def mention(self, sources: Sources) -> Sources:
        """The same, noted."""
        self.mentioned |= sources
        return sources

    def test(self, sources: Sources) -> None:
        """Note what only decides or counts."""
        self.tests |= self.mention(sources)

    def table(self, schema: str, name: str, *, alias: str, columns: list[str]) -> tuple[Range, Sources]:
        """A relation of the catalog as a FROM item, and what the views behind it test."""
        if name in self.temporary and (not schema or is_temporary_schema(schema)):
            raise Doubt
        relation = self.relations.find(schema, name, self.path, printed=self.printed)
        shape = self.relations.shape(relation)
        self.read |= shape.relations
        self.test(shape.conditions)
        self.kept |= shape.kept
        fields = renamed(shape.fields, columns)
        found = Range(alias or name, fields, relation.qualified, "" if alias else relation.schema)
        return found, shape.conditions

    def rows(self, node: exp.Expr, outer: Scope | None, ctes: Mapping[str, Rows | None]) -> Rows:
        """What a query yields. `outer` is what it may refer to beyond its own FROM."""
        with_ = node.args.get("with_")
        if with_:
            ctes = self._with(with_, outer, ctes)
        match node:
            case exp.Select():
                rows = self._select(node, outer, ctes)
            case exp.SetOperation():
                rows = self._set_operation(node, outer, ctes)
            case exp.Values():
                rows = self._values(node, outer, ctes)
            case exp.Subquery():
                only(node, "this", "with_", "alias", "order", "limit", "offset", "locks")
                rows = self._ordered(node, self.rows(node.this, outer, ctes), outer, ctes)
            case exp.Insert() | exp.Update() | exp.Delete() | exp.Merge():
                rows = lineage_writes.write(self, node, outer, ctes)
            case _:
                raise Doubt
        self.tests |= rows.conditions
        return rows

    def returned(self, expressions: list[exp.Expr], scope: Scope) -> tuple[Field, ...]:
        """The columns of a select list or RETURNING."""
        fields: list[Field] = []
        for expression in expressions:
            named = isinstance(expression, exp.Alias)
            node = bare(expression.this if named else expression)
            match node:
                case exp.Star():
                    only(node)
                    if any(source.open for source in scope.ranges):
                        raise Doubt
                    fields.extend(f for item in scope.items for f in item.fields)
                case exp.Column(this=exp.Star()):
                    only(node, "this", "table", "db")
                    schema = node.args.get("db")
                    fields.extend(_all(scope, node.args.get("table"), schema))
                case exp.Dot(expression=exp.Star()):
                    row = bare(node.this)
                    if not isinstance(row, exp.Column) or row.args.get("table"):
                        raise Doubt
                    fields.extend(_all(scope, row.this, None))
                case _:
                    name = identifier(expression.args["alias"]) if named else _made_up(node)
                    sources, kept = value(self, node, scope), stored(node, scope)
                    fields.append(Field(name, sources, stored=kept, typed=kept and typed(node, scope)))
        return tuple(fields)

    def _with(
        self, node: exp.With, outer: Scope | None, ctes: Mapping[str, Rows | None]
    ) -> dict[str, Rows | None]:
        only(node, "expressions", "recursive")
        known = dict(ctes)
        names = [identifier(cte.args["alias"].this) for cte in node.expressions]
        if len(set(names)) != len(names):
            raise Doubt
        if node.args.get("recursive"):
            known.update(dict.fromkeys(names))  # None: named already, not known yet
        for name, cte in zip(names, node.expressions, strict=True):
            only(cte, "this", "alias", "materialized")
            columns = [identifier(c) for c in cte.args["alias"].args.get("columns") or ()]
            if node.args.get("recursive") and isinstance(cte.this, exp.SetOperation):
                known[name] = self._recursive(cte.this, name, columns, outer, known)
            else:
                known[name] = _renamed(self.rows(cte.this, outer, known), columns)
        return known

    def _recursive(
        self,
        node: exp.SetOperation,
        name: str,
        columns: list[str],
        outer: Scope | None,
        ctes: Mapping[str, Rows | None],
    ) -> Rows:
        try:  # a query under RECURSIVE need not be recursive
            return _renamed(self.rows(node, outer, ctes), columns)
        except Doubt:
            pass
        if node.args.get("with_"):
            raise Doubt
        known = _renamed(self.rows(node.this, outer, ctes), columns)
        for _ in range(ROUNDS):
            arm = self.rows(node.expression, outer, {**ctes, name: known})
            grown = _joined(known, arm)
            if grown == known:
                return self._ordered(node, known, outer, ctes)
            known = grown
        raise Doubt

    def _set_operation(
        self, node: exp.SetOperation, outer: Scope | None, ctes: Mapping[str, Rows | None]
    ) -> Rows:
        only(node, "with_", "this", "expression", "distinct", "order", "limit", "offset", "locks")
        left, right = self.rows(node.this, outer, ctes), self.rows(node.expression, outer, ctes)
        rows = _joined(left, right)
        if not isinstance(node, exp.Union) or node.args.get(
            "distinct"
        ):  # which rows there are depends on them
            rows = Rows(rows.fields, rows.conditions | self.mention(rows.sources))
        return self._ordered(node, rows, outer, ctes)

    def _values(self, node: exp.Values, outer: Scope | None, ctes: Mapping[str, Rows | None]) -> Rows:
        only(node, "with_", "expressions", "alias", "order", "limit", "offset")
        scope = Scope((), outer, ctes)
        width = {len(row.expressions) if isinstance(row, exp.Tuple) else 1 for row in node.expressions}
        if len(width) != 1:
            raise Doubt
        columns: list[list[Sources]] = [[] for _ in range(width.pop())]
        for row in node.expressions:
            cells = row.expressions if isinstance(row, exp.Tuple) else [row]
            for column, cell in zip(columns, cells, strict=True):
                column.append(value(self, cell, scope))
        fields = tuple(Field(f"column{n}", union(column)) for n, column in enumerate(columns, 1))
        return self._ordered(node, Rows(fields), outer, ctes)

    def _select(self, node: exp.Select, outer: Scope | None, ctes: Mapping[str, Rows | None]) -> Rows:
        only(
            node,
            *("with_", "expressions", "distinct", "into", "from_", "joins", "where", "group", "having"),
            *("windows", "order", "limit", "offset", "locks"),
        )
        items, conditions = lineage_from.items(self, node, outer, ctes)
        scope = Scope(items, outer, ctes)
        tested = [conditions]
        conditions_of = (node.args.get(clause) for clause in ("where", "having"))
        tested += [condition(self, clause.this, scope) for clause in conditions_of if clause]
        fields = self.returned(node.expressions, scope)
        if group := node.args.get("group"):
            only(group, "expressions", "rollup", "cube", "grouping_sets")
            for part in ("expressions", "rollup", "cube", "grouping_sets"):
                tested.extend(self._key(key, scope, fields) for key in group.args.get(part) or ())
        if distinct := node.args.get("distinct"):
            on = distinct.args.get("on")
            keys = (
                [self._key(key, scope, fields) for key in on.expressions]
                if on
                else [f.sources for f in fields]
            )
            tested.append(self.mention(union(keys)))
        for definition in node.args.get("windows") or ():
            window(self, definition, scope)
        rows = Rows(fields, union(tested))
        return self._ordered(node, rows, outer, ctes, scope=scope)

    def _ordered(
        self,
        node: exp.Expr,
        rows: Rows,
        outer: Scope | None,
        ctes: Mapping[str, Rows | None],
        *,
        scope: Scope | None = None,
    ) -> Rows:
        """ORDER BY, LIMIT and OFFSET; without a scope only the result's own columns can be ordered by."""
        tested = [rows.conditions]
        inside = scope or Scope((), None, ctes)
        if order := node.args.get("order"):
            only(order, "expressions")
            for ordered in order.expressions:
                only(ordered, "this", "desc", "nulls_first")
                tested.append(self._key(ordered.this, inside, rows.fields))
        bounds = (node.args.get(clause) for clause in ("limit", "offset"))
        counts = union(value(self, bound, Scope((), outer, ctes)) for bound in bounds if bound)
        self.kept |= counts  # whoever counts the rows has the value
        tested.append(counts)
        return Rows(rows.fields, union(tested))

    def _key(self, node: exp.Expr, scope: Scope, fields: tuple[Field, ...]) -> Sources:
        """A key of GROUP BY, ORDER BY or DISTINCT ON: an output column (name, number) or an expression."""
        match node:
            case exp.Rollup() | exp.Cube() | exp.GroupingSets() | exp.Tuple():
                return union(self._key(key, scope, fields) for key in node.expressions)
            case exp.Paren():
                return self._key(node.this, scope, fields)
            case exp.Literal() if not node.args.get("is_string"):
                number = int(node.this) if node.this.isdigit() else 0
                return self.mention(fields[number - 1].sources) if 0 < number <= len(fields) else NOTHING
            case exp.Column(this=exp.Identifier()) if not node.args.get("table"):
                name = identifier(node.this)
                shown = [f.sources for f in fields if f.name == name]
                shown = shown or [f.sources for f in fields if not f.name]
                try:
                    return value(self, node, scope) | self.mention(union(shown))
                except Doubt:
                    if not shown:
                        raise
                    return self.mention(union(shown))
            case _:
                return condition(self, node, scope)


def _all(scope: Scope, table: object, schema: object) -> tuple[Field, ...]:
    source = scope.range(identifier(table), identifier(schema) if schema else "")
    if source.open:
        raise Doubt
    return source.fields


def _renamed(rows: Rows, columns: list[str]) -> Rows:
    return Rows(renamed(rows.fields, columns), rows.conditions)


def _joined(left: Rows, right: Rows) -> Rows:
    if len(left.fields) != len(right.fields):
        raise Doubt
    fields = tuple(
        Field(a.name, a.sources | b.sources, stored=a.stored and b.stored)
        for a, b in zip(left.fields, right.fields, strict=True)
    )
    return Rows(fields, left.conditions | right.conditions)


def _made_up(node: exp.Expr) -> str:
    """The name of an output column without AS: a column's own, or "" where Postgres invents one."""
    while isinstance(node, (exp.Bracket, exp.Paren)):
        node = node.this
    if isinstance(node, exp.Column):
        return "" if isinstance(node.this, exp.Star) else identifier(node.this)
    return ""
