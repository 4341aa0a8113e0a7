"""What a condition spells out: values that show in which rows meet, though only a condition names them.

`WHERE email = 'x'` answers one question, and its column is tested. `WHERE n <= length(email)` beside
`generate_series(1, 100) AS n`, or `substr(email, 1, 1) = letter` beside a list of letters, asks them all at
once: the rows that meet are the value. So a comparison between columns of different rows shows what it
compares, unless two stored columns are compared for equality, as every ordinary join does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from firewall.sql.lineage_agree import identifier, keyword

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firewall.sql.lineage_scope import Field, Scope

_BETWEEN = (exp.Connector, exp.Not, exp.Paren)
_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
# what makes a stored column fit for being joined, and is no other value
_CUTTING = frozenset({exp.DType.CHAR, exp.DType.NCHAR, exp.DType.USERDEFINED, exp.DType.NAME, exp.DType.BIT})
_PLAIN: tuple[type[exp.Expr], ...] = (exp.Paren, exp.Collate, exp.Lower, exp.Upper, exp.Trim, exp.Cast)


def comparisons(node: exp.Expr) -> Iterator[exp.Expr]:
    """What stands between AND, OR and NOT."""
    pending = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, _BETWEEN):
            pending += [child for child in part.args.values() if isinstance(child, exp.Expr)]
        else:
            yield part


def spelled(node: exp.Expr, scope: Scope) -> bool:
    """Whether a comparison, or any other value that decides, brings columns of different rows together."""
    if isinstance(node, (exp.Column, exp.Exists)):
        return False
    places: set[object] = set()
    inside = False
    for part in node.walk(prune=_stops):
        if isinstance(part, exp.Column) and not keyword(part):
            places.add(_place(part, scope)[0])
        inside = inside or isinstance(part, _QUERIES)
    return len(places) + inside > 1 and bool(places) and not _joins(node, scope)


def _stops(node: exp.Expr) -> bool:
    return isinstance(node, (*_QUERIES, exp.Exists, exp.Column))


def _place(node: exp.Column, scope: Scope) -> tuple[object, Field | None]:
    table, schema = node.args.get("table"), node.args.get("db")
    within = identifier(schema) if schema else ""
    if isinstance(node.this, exp.Star):
        return scope.place(identifier(table), "*", within)
    return scope.place(identifier(table) if table else "", identifier(node.this), within)


def _joins(node: exp.Expr, scope: Scope) -> bool:
    match node:
        case exp.EQ(this=exp.Tuple() as left, expression=exp.Tuple() as right):
            return all(stored(side, scope) for side in (*left.expressions, *right.expressions))
        case exp.EQ() | exp.NullSafeEQ():
            return all(
                _chosen(side) if isinstance(side, (*_QUERIES, exp.Any)) else stored(side, scope)
                for side in (node.this, node.expression)
            )
        case exp.In() if (query := node.args.get("query")) is not None:
            tested = node.this.expressions if isinstance(node.this, exp.Tuple) else [node.this]
            return _chosen(query) and all(stored(side, scope) for side in tested)
        case _:
            return False


def _chosen(node: object) -> bool:
    """Whether a subquery shows columns as they are."""
    while isinstance(node, (exp.Subquery, exp.Any, exp.Paren)):
        node = node.this
    return isinstance(node, exp.Select) and all(
        isinstance(_plain(shown.this if isinstance(shown, exp.Alias) else shown), exp.Column)
        for shown in node.expressions
    )


def stored(node: exp.Expr, scope: Scope) -> bool:
    """Whether the expression is a column of a relation, in a form in which it can be joined."""
    found = _plain(node)
    if not isinstance(found, exp.Column) or isinstance(found.this, exp.Star) or keyword(found):
        return False
    field = _place(found, scope)[1]
    return field is not None and field.stored


def typed(node: exp.Expr, scope: Scope) -> bool:
    """Whether the expression is a column of a relation, and of the type that it has there."""
    if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star) or keyword(node):
        return False
    field = _place(node, scope)[1]
    return field is not None and field.typed


def _plain(node: object) -> object:
    while isinstance(node, _PLAIN):
        if isinstance(node, exp.Trim) and node.expression:
            return None  # `rtrim(email, 'abc…')` is another value, as is `email::char`
        if isinstance(node, exp.Cast) and node.to.this in _CUTTING:
            return None
        parts = [part for name, part in node.args.items() if name not in {"this", "to"}]
        if any(isinstance(part, exp.Expr) and part.find(exp.Column) for part in parts):
            return None
        if isinstance(node, exp.Cast) and node.to.expressions and node.to.this != exp.DType.ARRAY:
            return None  # `email::char(1)` is another value
        node = node.this
    return node
