"""Functions, wherever they hide: calls, operators, casts, attribute notation; and what their bodies do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from firewall.sql import bodies, reviewed
from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.grammar import strings, words
from firewall.sql.names import Name, find_functions, find_relations, of_strings, path_of
from firewall.sql.walk import MAX_BODIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.catalog.snapshot import Function
    from firewall.sql.names import Scope
    from firewall.sql.walk import Handler, Walk

# Types of pg_catalog that queries name without a schema and that the grammar does not qualify itself.
_BUILT_IN_TYPES = words(
    """
    text bytea uuid json jsonb date oid name regclass regproc regprocedure regtype regrole
    regnamespace regoper regoperator regconfig regdictionary regcollation inet cidr macaddr macaddr8
    money point line lseg box path polygon circle tsvector tsquery xml int2 int4 int8 float4 float8
    numeric bool varchar bpchar char timestamp timestamptz time timetz interval bit varbit int4range
    int8range numrange tsrange tstzrange daterange int4multirange int8multirange nummultirange
    tsmultirange tstzmultirange datemultirange record void anyelement anyarray anynonarray refcursor
    cstring xid xid8 cid tid pg_lsn pg_snapshot txid_snapshot jsonpath int2vector oidvector aclitem
    unknown trigger event_trigger internal pg_node_tree serial bigserial smallserial
    """
)


def _call(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    walk.children("FuncCall", node, scope, without=frozenset({"funcname"}))
    name = of_strings(strings(node.get("funcname")))
    arguments = node.get("args", [])
    count = -1 if node.get("func_variadic") else len(arguments)
    if node.get("agg_within_group"):
        count = -1
    call(walk, name, count, scope, arguments)


def call(walk: Walk, name: Name, count: int, scope: Scope, arguments: list[Any] | None = None) -> None:
    """What calling the function does: the worst of all the functions that the name can mean."""
    own = find_functions(name, count, scope, walk.snapshot)
    for function in own:
        if function.schema not in reviewed.SYSTEM_SCHEMAS:
            user_function(walk, function, scope)
    if f"{name.name}()" in walk.after.temporary:
        walk.effect(Kind.EXECUTE, str(name), scope, ObjectType.FUNCTION)
    if name.schema in {"", "pg_catalog", "information_schema"} or not own:
        _built_in(walk, name, own, scope, arguments or [])


def _built_in(walk: Walk, name: Name, own: tuple[Function, ...], scope: Scope, arguments: list[Any]) -> None:
    system = [function for function in own if function.schema in reviewed.SYSTEM_SCHEMAS]
    if own and not system and _has_system_functions(walk):
        return
    if (
        own
        and not system
        and reviewed.danger(name.name) is None
        and name.name not in {"set_config", "nextval"}
    ):
        return
    qualified = f"pg_catalog.{name.name}"
    kind = reviewed.danger(name.name)
    if name.name == "set_config":
        _set_config(walk, arguments, scope)
    elif name.name in reviewed.SEQUENCE_FUNCTIONS:
        _sequence(walk, arguments, scope)
    elif kind is not None:
        if kind is Kind.UNKNOWN:
            walk.opaque = walk.opaque or f"`{name}` runs SQL that is not in the text"
        walk.effect(kind, qualified, scope, ObjectType.FUNCTION)
    elif name.schema not in {"", *reviewed.SYSTEM_SCHEMAS}:
        _missing(walk, name, scope)
    elif name.name in reviewed.HARMLESS_VOLATILE:
        return
    elif system:
        if any(function.volatility == "volatile" for function in system):
            walk.effect(Kind.EXECUTE, qualified, scope, ObjectType.FUNCTION)
    elif _has_system_functions(walk):
        _missing(walk, name, scope)
    elif name.name not in reviewed.COMMON:
        walk.effect(Kind.EXECUTE, qualified, scope, ObjectType.FUNCTION)


def _missing(walk: Walk, name: Name, scope: Scope) -> None:
    walk.missing[f"{name}()"] = None
    walk.unknown(f"there is no function `{name}` in the catalog", str(name), scope, ObjectType.FUNCTION)


def _has_system_functions(walk: Walk) -> bool:
    return any(
        function.schema == "pg_catalog" for function in walk.snapshot.functions_by_name.get("lower", ())
    )


def _literal(node: Any) -> str | None:
    """The text of a string constant, casts to text around it included."""
    while isinstance(node, dict) and ("TypeCast" in node or "NamedArgExpr" in node):
        node = (node.get("TypeCast") or node["NamedArgExpr"]).get("arg")
    constant = node.get("A_Const") if isinstance(node, dict) else None
    if constant is None or "sval" not in constant:
        return None
    return str(constant["sval"].get("sval", ""))


def _set_config(walk: Walk, arguments: list[Any], scope: Scope) -> None:
    named = any("NamedArgExpr" in argument for argument in arguments)
    name = _literal(arguments[0]) if arguments and not named else None
    if name is None:
        walk.unknown("`set_config` changes a setting that the text does not name", "set_config", scope)
        walk.lose_names()
        walk.after = replace(walk.after, lexing_safe=False)
        return
    setting(walk, name, _literal(arguments[1]) if len(arguments) > 1 else None, scope)


def setting(walk: Walk, name: str, value: str | None, scope: Scope) -> None:
    """A setting gets a value (None is one that is not in the text); names are matched without case."""
    name = name.lower()
    if name in {"role", "session_authorization"}:
        walk.effect(Kind.ROLE, value or "unknown", scope, ObjectType.ROLE)
        walk.lose_names()
        return
    walk.effect(Kind.SETTING, name, scope, ObjectType.SETTING)
    if name in {"search_path", "schema"}:
        walk.after = replace(walk.after, search_path=None)
    if not reviewed.lexes_safely("client_encoding" if name == "names" else name, value):
        walk.after = replace(walk.after, lexing_safe=False)


def _sequence(walk: Walk, arguments: list[Any], scope: Scope) -> None:
    text = _literal(arguments[0]) if arguments else None
    if text is None or '"' in text:
        walk.effect(Kind.UPDATE, text or "sequence", scope)
        return
    schema, _, name = text.lower().rpartition(".")
    found = find_relations(Name(schema, name), scope, walk.snapshot)
    for qualified in [relation.qualified for relation in found.relations] or [text]:
        walk.effect(Kind.UPDATE, qualified, scope)


def user_function(walk: Walk, function: Function, scope: Scope) -> None:
    """What a function outside pg_catalog does: its body, or `execute` where that cannot be told."""
    if reviewed.danger(function.name) is not None and function.language not in {"sql", "plpgsql"}:
        kind = reviewed.danger(function.name)
        assert kind is not None
        walk.effect(kind, function.qualified, scope, ObjectType.FUNCTION)
    if function.language == "c" and function.volatility == "immutable":
        return  # made by a superuser, and promised to look at nothing but its arguments
    if not walk.enter(f"function {function.qualified} {function.body}"):
        return
    within = replace(
        scope,
        path=None,
        temporary=walk.after.temporary,
        ctes=frozenset(),
        printed=False,
        via=scope.via if scope.via.startswith("trigger ") else f"function {function.qualified}",
        depth=scope.depth + 1,
    )
    if within.depth > MAX_BODIES or not bodies.walk_body(walk, function, within):
        walk.effect(Kind.EXECUTE, function.qualified, scope, ObjectType.FUNCTION)


def _operator(walk: Walk, parts: tuple[str, ...], scope: Scope) -> None:
    """An operator of the catalog outside pg_catalog: any of its name that the path lets be meant."""
    name = of_strings(parts)
    schemas = None if scope.path is None else path_of(scope, walk.snapshot)
    for operator in walk.snapshot.operators:
        if operator.name != name.name or operator.schema in reviewed.SYSTEM_SCHEMAS:
            continue
        if operator.schema == name.schema or (
            not name.schema and (schemas is None or operator.schema in schemas)
        ):
            schema, _, function = operator.function.rpartition(".")
            call(walk, Name(schema, function), -1, scope)
    if (
        name.schema
        and name.schema != "pg_catalog"
        and name.schema not in {o.schema for o in walk.snapshot.operators}
    ):
        walk.missing[str(name)] = None
        walk.unknown(f"there is no operator `{name}` in the catalog", str(name), scope, ObjectType.FUNCTION)


def _expression(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    if "BETWEEN" in node.get("kind", ""):
        for name in ("<", "<=", ">", ">="):
            _operator(walk, (name,), scope)
    else:
        _operator(walk, strings(node.get("name")), scope)
    walk.children("A_Expr", node, scope, without=frozenset({"name"}))


def _sub_link(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    name = strings(node.get("operName"))
    if not name and node.get("subLinkType") == "ANY_SUBLINK":
        name = ("=",)  # IN
    _operator(walk, name, scope)
    walk.children("SubLink", node, scope, without=frozenset({"operName"}))


def _sort(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    _operator(walk, strings(node.get("useOp")), scope)
    walk.children("SortBy", node, scope, without=frozenset({"useOp"}))


def _equality(kind: str) -> Handler:
    """JOIN … USING, NATURAL JOIN and CASE x WHEN y compare with whatever `=` means."""

    def handler(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
        if node.get("usingClause") or node.get("isNatural") or node.get("arg"):
            _operator(walk, ("=",), scope)
        walk.children(kind, node, scope)

    return handler


def _type(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    """A cast to a type of the database's own runs whatever its checks and casts are made of."""
    walk.values(node.get("typmods"), scope)
    name = of_strings(strings(node.get("names")))
    if node.get("pct_type") or name.schema == "pg_catalog":
        return
    if not name.schema and name.name.lstrip("_") in _BUILT_IN_TYPES:
        return
    if find_relations(name, scope, walk.snapshot).relations:
        return  # a row type
    walk.effect(Kind.EXECUTE, str(name), scope, ObjectType.TYPE)


def _attribute(walk: Walk, parts: tuple[str, ...], scope: Scope) -> None:
    """`x.f` may be the call f(x) (manual 8.16.5), of an own function or a dangerous built-in."""
    for part in parts:
        if part in reviewed.SEQUENCE_FUNCTIONS or reviewed.danger(part) is not None:
            call(walk, Name("", part), 1, scope)
        elif part in walk.snapshot.functions_by_name:
            for function in find_functions(Name("", part), 1, scope, walk.snapshot):
                if function.schema not in reviewed.SYSTEM_SCHEMAS:
                    user_function(walk, function, scope)


def _column(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    fields = node.get("fields", ())
    if len(fields) > 1:
        _attribute(walk, strings(fields)[1:], scope)


def _indirection(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    walk.children("A_Indirection", node, scope)
    _attribute(walk, strings(node.get("indirection")), scope)


def _collate(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    walk.value(node.get("arg"), scope)


HANDLERS: Mapping[str, Handler] = {
    "FuncCall": _call,
    "A_Expr": _expression,
    "SubLink": _sub_link,
    "SortBy": _sort,
    "JoinExpr": _equality("JoinExpr"),
    "CaseExpr": _equality("CaseExpr"),
    "TypeName": _type,
    "ColumnRef": _column,
    "A_Indirection": _indirection,
    "CollateClause": _collate,
}
