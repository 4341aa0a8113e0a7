"""What an expression's value is made of: the base columns that somebody who sees it learns about.

Every operator, function and CASE passes on all that goes in, conditions included: a truth value of
`email LIKE 'a%'` is knowledge of the e-mail. Only what orders, partitions or counts is tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from firewall.sql.lineage_agree import identifier, keyword
from firewall.sql.lineage_compare import comparisons, spelled, typed
from firewall.sql.lineage_scope import NOTHING, Doubt, Scope, Sources, union

if TYPE_CHECKING:
    from firewall.sql.lineage_query import Queries

QUERIES = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)

# these hold no columns: names of types, units and places, and constants
LEAVES: tuple[type[exp.Expr], ...] = (
    *(exp.Literal, exp.Null, exp.Boolean, exp.Var, exp.DataType, exp.ByteString, exp.RawString),
    *(exp.BitString, exp.HexString, exp.National, exp.Parameter, exp.JSONPath),
)

PASSES: tuple[type[exp.Expr], ...] = (
    *(exp.Func, exp.Binary, exp.Unary, exp.Between, exp.In, exp.Any, exp.All, exp.Tuple, exp.Bracket),
    *(exp.Slice, exp.AtTimeZone, exp.Interval, exp.Distinct, exp.Variadic, exp.JSONKeyValue, exp.Where),
    *(exp.IgnoreNulls, exp.RespectNulls, exp.Ordered, exp.Rollup, exp.Cube, exp.GroupingSets),
    *(exp.Limit, exp.Offset, exp.Fetch, exp.TableSample, exp.LimitOptions),
)


# Functions whose errors do not quote what they were given. Others do (`invalid input syntax for type integer:
# "ada@example.com"`), so that what only decides reaches the client all the same.
QUIET: tuple[type[exp.Expr], ...] = (
    *(exp.Connector, exp.Predicate, exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Greatest),
    *(exp.Least, exp.Lower, exp.Upper, exp.Initcap, exp.Length, exp.Trim, exp.Substring, exp.Left, exp.Right),
    *(exp.Concat, exp.ConcatWs, exp.StrPosition, exp.Replace, exp.SplitPart, exp.Reverse, exp.MD5, exp.Abs),
    *(exp.Round, exp.Floor, exp.Ceil, exp.Extract, exp.TimestampTrunc, exp.DateTrunc, exp.Array, exp.Pad),
    *(exp.Window, exp.RowNumber, exp.Rank, exp.DenseRank, exp.Exists, exp.Unnest, exp.CurrentTimestamp),
    *(exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.ArrayAgg, exp.GroupConcat, exp.AnyValue, exp.Mode),
    *(exp.LogicalAnd, exp.LogicalOr, exp.BitwiseAndAgg, exp.BitwiseOrAgg, exp.BitwiseXorAgg, exp.Grouping),
    *(exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop, exp.Corr, exp.CovarPop),
    *(exp.CovarSamp, exp.RegrSlope, exp.RegrIntercept, exp.RegrCount, exp.JSONArrayAgg, exp.JSONBObjectAgg),
    *(exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue, exp.Ntile, exp.CumeDist),
    *(exp.PercentRank,),
)
TEXTS = frozenset({exp.DType.TEXT, exp.DType.VARCHAR, exp.DType.CHAR, exp.DType.NCHAR, exp.DType.NVARCHAR})
_TEXT = ("text", "character", "citext", "bytea", "json", "xml", '"char"', "name")


def value(queries: Queries, node: exp.Expr, scope: Scope) -> Sources:
    """The base columns that feed the value; every column named on the way is noted as mentioned."""
    match node:
        case exp.Column():
            return queries.mention(column(node, scope))
        case exp.Parameter() if not isinstance(node.this, exp.Literal):
            raise Doubt  # `@ x` is an operator
        case exp.Count():
            return _count(queries, node, scope)
        case exp.Exists():
            if node.args.get("expression"):
                raise Doubt
            return queries.rows(node.this, scope, scope.ctes).conditions
        case exp.Select() | exp.SetOperation() | exp.Subquery() | exp.Values():
            rows = queries.rows(node, scope, scope.ctes)
            # whether a scalar subquery has a row shows like a CASE
            return queries.mention(rows.sources | rows.conditions)
        case exp.Dot():
            return _dot(queries, node, scope)
        case exp.Kwarg() | exp.PropertyEQ():  # a named argument
            return value(queries, node.expression, scope)
        case exp.Star():  # of an aggregate, such as count(*)
            only(node)
            return NOTHING
        case exp.Collate():
            return value(queries, node.this, scope)
        case exp.Lambda():
            return _arrow(queries, node, scope)
        case exp.Window():
            only(node, "this", "partition_by", "order", "spec", "alias", "over")
            window(queries, node, scope)
            return value(queries, node.this, scope)
        case exp.Filter():
            shown = condition(queries, node.expression.this, scope)
            inner = value(queries, node.this, scope)
            if isinstance(node.this, exp.Count):
                queries.test(shown)
                return inner
            return inner | shown
        case exp.WithinGroup():
            ordered = node.expression
            return value(queries, node.this, scope) | union(
                value(queries, key, scope) for key in ordered.expressions
            )
        case exp.Order():  # of an aggregate's input
            for key in node.expressions:
                queries.test(condition(queries, key, scope))
            return value(queries, node.this, scope)
        case _ if isinstance(node, LEAVES):
            return NOTHING
        case exp.Cast():
            found = _parts(queries, node, scope)
            if not _quiet_cast(queries, node, found, scope):
                queries.kept |= found
            return found
        case exp.AtTimeZone() | exp.TimestampTrunc() | exp.DateTrunc():
            # `time zone "ada@example.com" not recognized`
            _quoted(queries, scope, node.args.get("zone"), node.args.get("unit"))
            return _parts(queries, node, scope)
        case exp.RegexpLike():
            # `invalid regular expression option: "a"`
            _quoted(queries, scope, node.args.get("flag"))
            return _parts(queries, node, scope)
        case exp.PercentileCont() | exp.PercentileDisc():
            # `percentile value 5.55123e+08 is not between 0 and 1`
            _quoted(queries, scope, node.this)
            return _parts(queries, node, scope)
        case exp.Func() if not isinstance(node, QUIET):
            found = _parts(queries, node, scope)
            queries.kept |= found
            return found
        case _ if isinstance(node, PASSES):
            return _parts(queries, node, scope)
        case _:
            raise Doubt


def condition(queries: Queries, node: exp.Expr, scope: Scope) -> Sources:
    """What decides which rows there are, or how they are put together; what it spells out is kept."""
    found: list[Sources] = []
    for part in comparisons(node):
        found.append(value(queries, part, scope))
        if spelled(part, scope):
            queries.kept |= found[-1]
    return union(found)


def _quoted(queries: Queries, scope: Scope, *parts: object) -> None:
    """Note what an error quotes."""
    for part in parts:
        if isinstance(part, exp.Expr):
            queries.kept |= value(queries, part, scope)


def _quiet_cast(queries: Queries, node: exp.Cast, sources: Sources, scope: Scope) -> bool:
    """Casting to text never fails; casting a column that holds no text fails without quoting it."""
    if node.to.this in TEXTS:
        return True
    return typed(bare(node.this), scope) and not any(
        _holds_text(queries, relation, name) for relation, name in sources
    )


def _holds_text(queries: Queries, relation: str, name: str) -> bool:
    found = queries.relations.snapshot.relation(relation)
    kinds = [c.type for c in found.columns if c.name == name] if found else []
    return not kinds or any(kind.startswith(_TEXT) or "." in kind for kind in kinds)


def column(node: exp.Column, scope: Scope) -> Sources:
    """The base columns that a column or whole-row reference reads."""
    only(node, "this", "table", "db")
    table, schema = node.args.get("table"), node.args.get("db")
    qualifier = identifier(table) if table else ""
    within = identifier(schema) if schema else ""
    if isinstance(node.this, exp.Star):
        return scope.range(qualifier, within).whole
    if keyword(node):
        return NOTHING
    name = identifier(node.this)
    return scope.qualified(qualifier, name, within) if qualifier else scope.column(name)


def window(queries: Queries, node: exp.Window, scope: Scope) -> None:
    """Partition, order and frame of a window decide which rows are looked at: tested."""
    order, frame = node.args.get("order"), node.args.get("spec")
    keys: list[object] = [*(node.args.get("partition_by") or ())]
    if order:
        keys += order.expressions
    if frame:
        keys += [frame.args.get("start"), frame.args.get("end")]
    for key in keys:
        if isinstance(key, exp.Expr):  # a bound may be a word
            queries.test(condition(queries, key, scope))


def only(node: exp.Expr, *known: str) -> None:
    """`Doubt` if the node says anything beside these."""
    if any(said and name not in known for name, said in node.args.items()):
        raise Doubt


def bare(node: exp.Expr) -> exp.Expr:
    """The expression inside any parentheses."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _count(queries: Queries, node: exp.Count, scope: Scope) -> Sources:
    """count() tells how many, not what; unless somebody has a function of that name."""
    if isinstance(node.this, exp.Star):
        only(node, "this", "big_int")
        return NOTHING
    counted = _parts(queries, node, scope)
    queries.test(counted)
    if spelled(node, scope):
        queries.kept |= counted
    one = not node.expressions and not isinstance(node.parent, exp.Dot)
    return NOTHING if one and not queries.relations.has_own("count") else counted


def _dot(queries: Queries, node: exp.Dot, scope: Scope) -> Sources:
    left, right = node.this, node.expression
    if isinstance(right, exp.Func):  # a function by its full name
        while isinstance(left, exp.Dot):
            identifier(left.expression)
            left = left.this
        identifier(left)
        return value(queries, right, scope)
    if isinstance(right, (exp.Identifier, exp.Star)):  # of a composite value; taken whole
        return value(queries, left, scope)
    raise Doubt


def _arrow(queries: Queries, node: exp.Lambda, scope: Scope) -> Sources:
    """`f(data -> 'key')`, which sqlglot takes for a lambda: its parameter is a column."""
    names = [scope.column(identifier(parameter)) for parameter in node.expressions]
    return queries.mention(union(names)) | value(queries, node.this, scope)


def _parts(queries: Queries, node: exp.Expr, scope: Scope) -> Sources:
    """All that a node holds. Chains such as `a OR b OR c …` lean to the left, and are not recursed into."""
    found: list[Sources] = []
    while True:
        first: Any = node.args.get("this")
        chained = isinstance(node, exp.Binary) and type(first) is type(node)
        for part in node.args.values():
            if isinstance(part, list):
                found.extend(value(queries, p, scope) for p in part if isinstance(p, exp.Expr))
            elif isinstance(part, exp.Expr) and not (chained and part is first):
                found.append(value(queries, part, scope))
        if not chained:
            return union(found)
        node = first
