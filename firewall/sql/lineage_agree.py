"""sqlglot's tree of one statement, checked against Postgres's own grammar before anything is read off it.

sqlglot has constructs that it reads differently without an error (`@ x` becomes a parameter, the last
argument of date_bin a unit). So every column, row and relation that the grammar names must stand in
sqlglot's tree exactly as often, and every node must be of a class that the tracer understands. Anything
else is `Doubt`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from firewall.sql import grammar
from firewall.sql.lineage_scope import Doubt, fold

ROOTS: tuple[type[exp.Expr], ...] = (
    *(exp.Select, exp.SetOperation, exp.Subquery, exp.Values),
    *(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create),
)
"""Classes that a traced statement may have at its root; the grammar's node must be one of `STATEMENTS`."""

STATEMENTS = frozenset(
    {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CreateTableAsStmt", "ViewStmt"}
)

NODES: tuple[type[exp.Expr], ...] = (
    *ROOTS,
    # what queries are made of
    *(exp.With, exp.CTE, exp.From, exp.Join, exp.Table, exp.TableAlias, exp.TableSample, exp.Lateral),
    *(exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Fetch, exp.LimitOptions),
    *(exp.Offset, exp.Distinct, exp.Window, exp.WindowSpec, exp.Lock, exp.Rollup, exp.Cube, exp.GroupingSets),
    *(exp.Into, exp.Schema, exp.Returning, exp.OnConflict, exp.Whens, exp.When, exp.Properties, exp.Property),
    # names and values
    *(exp.Column, exp.Identifier, exp.Star, exp.Alias, exp.Literal, exp.Null, exp.Boolean, exp.Var),
    *(exp.ByteString, exp.RawString, exp.BitString, exp.HexString, exp.National, exp.Parameter),
    *(exp.DataType, exp.DataTypeParam, exp.Interval, exp.ObjectIdentifier, exp.ColumnDef, exp.IntervalSpan),
    *(exp.PseudoType, exp.JSONPath, exp.JSONPathPart, exp.ColumnPosition),
    # expressions
    *(exp.Func, exp.Binary, exp.Unary, exp.Between, exp.In, exp.Any, exp.All, exp.Tuple, exp.Bracket),
    *(exp.Slice, exp.AtTimeZone, exp.Filter, exp.WithinGroup, exp.Lambda, exp.Variadic, exp.JSONKeyValue),
    *(exp.IgnoreNulls, exp.RespectNulls),
)

MAX_SUBSCRIPTS = 200  # sqlglot's time for `a[1][1]…` grows with the square: 0.1 s here, 18 s at 3,000

# reserved words (manual, appendix C) that sqlglot takes for columns
KEYWORD_VALUES = frozenset({"user", "current_role", "current_user", "session_user", "system_user"})

# parsed into text that is not kept as expressions
REFUSED: tuple[type[exp.Expr], ...] = (exp.JSONTable, exp.XMLTable, exp.OpenJSON, exp.Predict)


def parse(sql: str) -> exp.Expr:
    """The statement as sqlglot reads it, once both parsers agree on the columns and relations in it."""
    if sql.count("[") > MAX_SUBSCRIPTS:
        raise Doubt
    parsed = grammar.parse(sql)
    if not isinstance(parsed, tuple) or len(parsed) != 1 or parsed[0].kind not in STATEMENTS:
        raise Doubt
    try:
        trees = sqlglot.parse(sql, dialect="postgres")
    except SqlglotError as error:
        raise Doubt from error
    if len(trees) != 1:
        raise Doubt
    tree = trees[0]
    if not isinstance(tree, ROOTS):
        raise Doubt
    # INVARIANT: 3. What only one of the two parsers saw is not understood.
    if _named_by_grammar(parsed[0].tree) != _named_by_sqlglot(tree):
        raise Doubt
    return tree


def _named_by_grammar(root: dict[str, Any]) -> Counter[str]:
    names: Counter[str] = Counter()
    pending: list[Any] = [root]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending.extend(part)
            continue
        if not isinstance(part, dict):
            continue
        if "relpersistence" in part:  # RangeVar
            names["from " + part["relname"]] += 1
            continue
        for key, value in part.items():
            if key == "ColumnRef":
                names[_column_name(value["fields"])] += 1
            elif value.__class__ in (dict, list):
                pending.append(value)
    del names[""]
    return names


def _column_name(fields: list[dict[str, Any]]) -> str:
    *before, last = fields
    if "String" in last:
        return str(last["String"]["sval"])
    return before[-1]["String"]["sval"] + ".*" if before else ""


def _named_by_sqlglot(root: exp.Expr) -> Counter[str]:
    names: Counter[str] = Counter()
    for node in root.walk():
        if not _understood(type(node)):
            raise Doubt
        match node:
            case exp.Column(this=exp.Star()):
                names[identifier(node.args.get("table")) + ".*"] += 1
            case exp.Column() if not keyword(node) and not written(node):
                names[identifier(node.this)] += 1
            case exp.Lambda():
                for parameter in node.expressions:
                    names[identifier(parameter)] += 1
            case exp.Table(this=exp.Identifier()):
                names["from " + identifier(node.this)] += 1
            case _:
                pass
    return names


_UNDERSTOOD: dict[type[exp.Expr], bool] = {}  # as many as sqlglot has classes


def _understood(kind: type[exp.Expr]) -> bool:
    known = _UNDERSTOOD.get(kind)
    if known is None:
        known = _UNDERSTOOD[kind] = issubclass(kind, NODES) and not issubclass(kind, REFUSED)
    return known


def identifier(node: object) -> str:
    """The name as Postgres keeps it."""
    if not isinstance(node, exp.Identifier):
        raise Doubt
    return fold(node.name, quoted=bool(node.args.get("quoted")))


def keyword(node: exp.Column) -> bool:
    """An unquoted word such as `user` that is a value, not a column."""
    word = node.this
    return (
        isinstance(word, exp.Identifier)
        and not word.args.get("quoted")
        and not node.args.get("table")
        and word.name.lower() in KEYWORD_VALUES
    )


def written(node: exp.Column) -> bool:
    """The target of an assignment or of a conflict, which the grammar does not call a column."""
    place: exp.Expr = node
    while isinstance(place.parent, (exp.Tuple, exp.Ordered)):
        place = place.parent
    match place.parent:
        case exp.EQ() as assignment:
            inside = isinstance(assignment.parent, (exp.Update, exp.OnConflict))
            return inside and assignment.arg_key == "expressions" and place.arg_key == "this"
        case exp.Insert():
            return place.arg_key == "this"
        case exp.OnConflict():
            return place.arg_key == "conflict_keys"
        case _:
            return False
