"""FROM: tables, views, subqueries, functions and the joins between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from firewall.sql.lineage_agree import identifier
from firewall.sql.lineage_scope import (
    NOTHING,
    Doubt,
    Field,
    Item,
    Range,
    Rows,
    Scope,
    Sources,
    renamed,
    union,
)
from firewall.sql.lineage_values import condition, only, value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from firewall.sql.lineage_query import Queries

JOIN_KINDS = frozenset({"", "INNER", "OUTER", "CROSS"})
JOIN_SIDES = frozenset({"", "LEFT", "RIGHT", "FULL"})


class From:
    """One FROM clause, read from left to right; `conditions` gathers what its joins test."""

    def __init__(self, queries: Queries, outer: Scope | None, ctes: Mapping[str, Rows | None]) -> None:
        self.queries = queries
        self.outer = outer
        self.ctes = ctes
        self.items: tuple[Item, ...] = ()
        self.conditions: Sources = NOTHING

    def add(self, node: exp.Expr) -> None:
        """One more item after a comma."""
        self.items += (self._item(node, self.items),)

    def join(self, joins: Sequence[exp.Join]) -> None:
        """The joins that follow the first item; a comma begins a new item."""
        for node in joins:
            if _comma(node):
                self.add(node.this)
            else:
                *before, left = self.items
                self.items = (*before, self._join(left, node, tuple(before)))

    def _join(self, left: Item, node: exp.Join, before: tuple[Item, ...]) -> Item:
        only(node, "this", "on", "side", "kind", "using", "method")
        if node.kind not in JOIN_KINDS or node.side not in JOIN_SIDES or node.method not in ("", "NATURAL"):
            raise Doubt
        right = self._item(node.this, (*before, left))
        ranges = left.ranges + right.ranges
        shared = [identifier(name) for name in node.args.get("using") or ()]
        if node.method:
            if any(source.loose for source in ranges):
                raise Doubt
            there = {field.name for field in right.fields}
            shared = [field.name for field in left.fields if field.name in there]
        pairs = [(left.one(name), right.one(name)) for name in shared]
        merged = tuple(Field(a.name, a.sources | b.sources, stored=a.stored and b.stored) for a, b in pairs)
        for field in merged:
            self.conditions |= self.queries.mention(field.sources)
            if not field.stored:
                self.queries.kept |= field.sources
        rest = tuple(f for f in left.fields + right.fields if not f.name or f.name not in shared)
        joined = Item(merged + rest, ranges)
        if on := node.args.get("on"):
            scope = Scope((Item(left.fields + right.fields, ranges),), self.outer, self.ctes)
            self.conditions |= condition(self.queries, on, scope)
        return joined

    def _item(self, node: exp.Expr, before: tuple[Item, ...]) -> Item:
        """One item; `before` is what LATERAL and functions see of this FROM."""
        match node:
            case exp.Table(this=exp.Identifier()):
                only(node, "this", "alias", "db", "catalog", "joins", "only", "sample")
                item = Item.of(self._table(node))
                if sample := node.args.get("sample"):
                    self.conditions |= value(self.queries, sample, Scope(before, self.outer, self.ctes))
            case exp.Table():
                only(node, "this", "alias", "db", "joins", "rows_from", "ordinality")
                item = Item.of(self._function(node, before))
            case exp.Unnest():
                item = Item.of(self._function(node, before))
            case exp.Lateral():
                only(node, "this", "alias", "ordinality")
                item = self._lateral(node, before)
            case exp.Subquery(this=exp.Table()):
                only(node, "this", "alias", "joins")
                item = self._aliased(node, self._item(node.this, before))
            case exp.Subquery(this=exp.Subquery() as inner) if inner.args.get("joins"):
                only(node, "this", "alias", "joins")
                item = self._aliased(node, self._item(inner, before))
            case exp.Subquery() | exp.Values():
                item = self._derived(node, self.outer)
            case _:
                raise Doubt
        for join in node.args.get("joins") or ():
            if _comma(join):
                raise Doubt
            item = self._join(item, join, before)
        return item

    def _table(self, node: exp.Table) -> Range:
        name = identifier(node.this)
        db, catalog = node.args.get("db"), node.args.get("catalog")
        schema = identifier(db) if db else ""
        if catalog and identifier(catalog) != self.queries.database:
            raise Doubt
        alias, columns = _alias(node)
        if not schema and name in self.ctes:
            rows = self.ctes[name]
            if rows is None:
                raise Doubt
            self.conditions |= rows.conditions
            return Range(alias or name, renamed(rows.fields, columns))
        found, behind = self.queries.table(schema, name, alias=alias, columns=columns)
        self.conditions |= behind
        return found

    def _lateral(self, node: exp.Lateral, before: tuple[Item, ...]) -> Item:
        scope = Scope(before, self.outer, self.ctes)
        if isinstance(node.this, exp.Subquery):
            rows = self.queries.rows(node.this, scope, self.ctes)
            return Item.of(self._range(node, rows))
        return Item.of(self._function(node, before))

    def _derived(self, node: exp.Subquery | exp.Values, outer: Scope | None) -> Item:
        if isinstance(node, exp.Subquery):
            only(node, "this", "alias", "joins", "with_", "order", "limit", "offset", "locks")
            if node.args.get("joins"):
                inner = node.copy()
                inner.set("joins", None)
                return Item.of(self._range(node, self.queries.rows(inner, outer, self.ctes)))
        return Item.of(self._range(node, self.queries.rows(node, outer, self.ctes)))

    def _range(self, node: exp.Expr, rows: Rows) -> Range:
        self.conditions |= rows.conditions
        alias, columns = _alias(node)
        return Range(alias, renamed(rows.fields, columns))

    def _aliased(self, node: exp.Expr, item: Item) -> Item:
        """A join in parentheses; its alias, if any, hides the names inside."""
        alias, columns = _alias(node)
        if not alias:
            return item
        extra = union(source.extra for source in item.ranges)
        is_open = any(source.open for source in item.ranges)
        return Item.of(Range(alias, renamed(item.fields, columns), open=is_open, extra=extra))

    def _function(self, node: exp.Expr, before: tuple[Item, ...]) -> Range:
        """A function in FROM: what goes in may come out in any of its columns."""
        scope = Scope(before, self.outer, self.ctes)
        alias, columns = _alias(node)
        calls: list[exp.Expr]
        if isinstance(node, exp.Table):
            calls = [t.this for t in node.args.get("rows_from") or ()] or [node.this]
        else:
            calls = [node if isinstance(node, exp.Unnest) else node.this]
        if not all(isinstance(call, exp.Func) for call in calls):
            raise Doubt
        sources = union(self._call(call, scope) for call in calls)
        self.conditions |= sources
        definitions = _definitions(node)
        if definitions:
            return Range(alias, tuple(Field(name, sources) for name in definitions))
        db = node.args.get("db")
        names: list[str] | None = []
        for call in calls:
            found = self._columns(call, identifier(db) if db else "", alias)
            names = None if found is None or names is None else [*names, *found]
        if names is None:
            named = tuple(Field(name, sources) for name in columns)
            return Range(alias or _function_name(calls[0]), named, open=True, extra=sources)
        if node.args.get("ordinality") or node.args.get("offset"):
            names.append("ordinality")
        fields = renamed(tuple(Field(name, sources) for name in names), columns)
        offset = node.args.get("offset")
        if isinstance(offset, exp.Identifier):  # sqlglot takes the last alias for it
            fields = (*fields[:-1], Field(identifier(offset), sources))
        return Range(alias or _function_name(calls[0]), fields)

    def _call(self, call: exp.Expr, scope: Scope) -> Sources:
        if isinstance(call, exp.Unnest):
            return union(value(self.queries, argument, scope) for argument in call.expressions)
        return value(self.queries, call, scope)

    def _columns(self, call: exp.Expr, schema: str, alias: str) -> list[str] | None:
        """The function's columns by name, or None."""
        if isinstance(call, exp.Unnest):
            scalar = all(_plain_array(argument) for argument in call.expressions)
            if not scalar:
                return None
            return [alias or "unnest"] if len(call.expressions) == 1 else ["unnest"] * len(call.expressions)
        if isinstance(call, exp.ExplodingGenerateSeries):
            return [alias or "generate_series"]
        if not isinstance(call, exp.Anonymous):
            return None
        name = _function_name(call)
        found = self.queries.relations.function_columns(schema, name, len(call.expressions))
        return None if found is None else list(found) or [alias or name]


def items(
    queries: Queries, node: exp.Select, outer: Scope | None, ctes: Mapping[str, Rows | None]
) -> tuple[tuple[Item, ...], Sources]:
    """The FROM items of a SELECT, and what their joins and subqueries test."""
    clause = From(queries, outer, ctes)
    if from_ := node.args.get("from_"):
        only(from_, "this")
        clause.add(from_.this)
        clause.join(node.args.get("joins") or ())
    elif node.args.get("joins"):
        raise Doubt
    return clause.items, clause.conditions


def _comma(node: exp.Join) -> bool:
    return not any(said for name, said in node.args.items() if name != "this")


def _alias(node: exp.Expr) -> tuple[str, list[str]]:
    """The alias of a FROM item and the names that it gives to columns."""
    alias = node.args.get("alias")
    if not alias:
        return "", []
    only(alias, "this", "columns")
    name = identifier(alias.this) if alias.args.get("this") else ""
    columns = [c for c in alias.args.get("columns") or () if isinstance(c, exp.Identifier)]
    return name, [identifier(c) for c in columns]


def _definitions(node: exp.Expr) -> list[str]:
    alias = node.args.get("alias")
    columns = alias.args.get("columns") or () if alias else ()
    defined = [identifier(c.this) for c in columns if isinstance(c, exp.ColumnDef)]
    if defined and len(defined) != len(columns):
        raise Doubt
    return defined


def _function_name(call: exp.Expr) -> str:
    if isinstance(call, exp.Anonymous):
        return identifier(call.this) if isinstance(call.this, exp.Identifier) else str(call.this).lower()
    return ""


def _plain_array(node: exp.Expr) -> bool:
    """An array whose elements are certainly no rows, which unnest() would spread over several columns."""
    if isinstance(node, exp.Cast):
        kind = node.to
        inner = kind.expressions[0] if kind.expressions else None
        return kind.this == exp.DType.ARRAY and _built_in(inner)
    return isinstance(node, exp.Array) and all(
        isinstance(e, exp.Literal) or (isinstance(e, exp.Cast) and _built_in(e.to)) for e in node.expressions
    )


def _built_in(kind: object) -> bool:
    return isinstance(kind, exp.DataType) and kind.this not in (exp.DType.USERDEFINED, exp.DType.ARRAY)
