"""INSERT, UPDATE, DELETE and MERGE: what RETURNING shows, and what the written values were made of.

A value that is written can be read back: without RETURNING the result is, for tracing, the written columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from firewall.sql.lineage_agree import identifier
from firewall.sql.lineage_from import From
from firewall.sql.lineage_scope import NOTHING, Doubt, Field, Item, Range, Rows, Scope, Sources
from firewall.sql.lineage_values import QUERIES, condition, only, value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.sql.lineage_query import Queries


def write(queries: Queries, node: exp.Expr, outer: Scope | None, ctes: Mapping[str, Rows | None]) -> Rows:
    """The rows that a data-modifying statement yields (manual 6.4)."""
    match node:
        case exp.Insert():
            return _insert(queries, node, outer, ctes)
        case exp.Delete():
            only(node, "with_", "this", "using", "where", "returning")
            return _change(queries, node, node.args.get("using") or [], outer, ctes)
        case exp.Update():
            only(node, "with_", "this", "expressions", "from_", "where", "returning")
            from_ = node.args.get("from_")
            return _change(queries, node, [from_.this] if from_ else [], outer, ctes)
        case exp.Merge():
            return _merge(queries, node, outer, ctes)
        case _:
            raise Doubt


def _change(
    queries: Queries,
    node: exp.Expr,
    others: list[exp.Expr],
    outer: Scope | None,
    ctes: Mapping[str, Rows | None],
) -> Rows:
    target = _target(queries, node.this)
    clause = From(queries, outer, ctes)
    clause.items = (Item.of(target),)
    for other in others:
        clause.add(other)
    scope = Scope(clause.items, outer, ctes)
    tested = clause.conditions
    if where := node.args.get("where"):
        tested |= condition(queries, where.this, scope)
    written = _assignments(queries, node.expressions, scope) if isinstance(node, exp.Update) else {}
    queries.write(target.relation, written)
    if not node.args.get("returning"):
        return Rows(tuple(Field(name, sources) for name, sources in written.items()), tested)
    after = _after(target, written)
    items = (Item.of(after), *clause.items[1:])
    return Rows(_returning(queries, node, after, Scope(items, outer, ctes)), tested)


def _insert(queries: Queries, node: exp.Insert, outer: Scope | None, ctes: Mapping[str, Rows | None]) -> Rows:
    only(node, "with_", "this", "expression", "conflict", "returning", "default")
    schema = node.this
    columns: list[str] = []
    if isinstance(schema, exp.Schema):
        columns = [identifier(c) for c in schema.expressions]
        schema = schema.this
    target = _target(queries, schema)
    source = Rows(())
    if query := node.args.get("expression"):
        if not isinstance(query, QUERIES):
            raise Doubt
        source = queries.rows(query, outer, ctes)
    columns = columns or [field.name for field in target.fields]
    if len(source.fields) > len(columns):
        raise Doubt
    written = {
        name: queries.mention(field.sources) for name, field in zip(columns, source.fields, strict=False)
    }
    tested = source.conditions
    if conflict := node.args.get("conflict"):
        only(
            conflict,
            *("expressions", "action", "conflict_keys", "constraint", "index_predicate", "where"),
        )
        for key in conflict.args.get("conflict_keys") or ():
            tested |= value(queries, key, Scope((Item.of(target),), outer, ctes))
        inserted = Range("excluded", _after(Range("", _blank(target)), written).fields)
        scope = Scope((Item.of(target), Item((), (inserted,))), outer, ctes)
        for clause in ("index_predicate", "where"):
            if part := conflict.args.get(clause):
                tested |= condition(queries, part.this if isinstance(part, exp.Where) else part, scope)
        for name, sources in _assignments(queries, conflict.expressions, scope).items():
            written[name] = written.get(name, NOTHING) | sources
    queries.write(target.relation, written)
    if not node.args.get("returning"):
        return Rows(tuple(Field(name, sources) for name, sources in written.items()), tested)
    after = _after(target, written)
    return Rows(_returning(queries, node, after, Scope((Item.of(after),), outer, ctes)), tested)


def _merge(queries: Queries, node: exp.Merge, outer: Scope | None, ctes: Mapping[str, Rows | None]) -> Rows:
    only(node, "with_", "this", "using", "on", "whens", "returning")
    target = _target(queries, node.this)
    clause = From(queries, outer, ctes)
    clause.add(node.args["using"])
    scope = Scope((Item.of(target), *clause.items), outer, ctes)
    tested = clause.conditions | condition(queries, node.args["on"], scope)
    written: dict[str, Sources] = {}
    for when in node.args["whens"].expressions:
        only(when, "matched", "source", "condition", "then")
        if decides := when.args.get("condition"):
            tested |= condition(queries, decides, scope)
        match when.args["then"]:
            case exp.Update() as then:
                only(then, "expressions")
                new = _assignments(queries, then.expressions, scope)
            case exp.Insert() as then:
                only(then, "this", "expression")
                new = _merge_insert(queries, then, target, scope)
            case exp.Var():  # DELETE, DO NOTHING
                new = {}
            case _:
                raise Doubt
        for name, sources in new.items():
            written[name] = written.get(name, NOTHING) | sources
    queries.write(target.relation, written)
    if not node.args.get("returning"):
        return Rows(tuple(Field(name, sources) for name, sources in written.items()), tested)
    after = _after(target, written)
    items = (*clause.items, Item.of(after))  # RETURNING * shows the source first
    return Rows(_returning(queries, node, after, Scope(items, outer, ctes)), tested)


def _merge_insert(queries: Queries, node: exp.Insert, target: Range, scope: Scope) -> dict[str, Sources]:
    cells = node.args.get("expression")
    if not isinstance(cells, exp.Tuple):
        return {}
    columns = [field.name for field in target.fields]
    if listed := node.args.get("this"):
        columns = [identifier(column.this) for column in listed.expressions]
    if len(cells.expressions) > len(columns):
        raise Doubt
    sources = [value(queries, cell, scope) for cell in cells.expressions]
    return dict(zip(columns, sources, strict=False))


def _target(queries: Queries, node: exp.Expr) -> Range:
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise Doubt
    only(node, "this", "alias", "db", "only")
    alias, db = node.args.get("alias"), node.args.get("db")
    found, _ = queries.table(
        identifier(db) if db else "",
        identifier(node.this),
        alias=identifier(alias.this) if alias else "",
        columns=[],
    )
    return found


def _assignments(queries: Queries, nodes: list[exp.Expr], scope: Scope) -> dict[str, Sources]:
    """SET: column → what its new value is made of."""
    written: dict[str, Sources] = {}
    for node in nodes:
        if not isinstance(node, exp.EQ):
            raise Doubt
        sources = value(queries, node.expression, scope)
        targets = node.this.expressions if isinstance(node.this, exp.Tuple) else [node.this]
        for target in targets:
            if not isinstance(target, exp.Column) or target.args.get("table"):
                raise Doubt
            name = identifier(target.this)
            written[name] = written.get(name, NOTHING) | sources
    return written


def _blank(target: Range) -> tuple[Field, ...]:
    return tuple(Field(field.name, NOTHING) for field in target.fields)


def _after(target: Range, written: Mapping[str, Sources]) -> Range:
    """The row once it is written: each column also shows what was put there."""
    if not written.keys() <= {field.name for field in target.fields}:
        raise Doubt
    fields = tuple(Field(f.name, f.sources | written.get(f.name, NOTHING)) for f in target.fields)
    return Range(target.alias, fields, target.relation, target.schema)


def _returning(queries: Queries, node: exp.Expr, target: Range, scope: Scope) -> tuple[Field, ...]:
    returning = node.args["returning"]
    only(returning, "expressions")
    taken = {source.alias for source in scope.ranges}
    # RETURNING old.x, new.x (Postgres 18)
    images = tuple(
        Range(name, target.fields, target.relation) for name in ("old", "new") if name not in taken
    )
    return queries.returned(
        returning.expressions, Scope((*scope.items, Item((), images)), scope.parent, scope.ctes)
    )
