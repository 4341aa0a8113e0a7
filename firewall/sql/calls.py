"""Functions, wherever they hide: calls, operators, casts, attribute notation; and what their bodies do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from firewall.catalog.settings import is_secret
from firewall.sql import grammar, reviewed
from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.functions import defaults, named_type, type_name, user_function
from firewall.sql.grammar import strings
from firewall.sql.names import Name, find_functions, find_relations, of_strings, path_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.catalog.snapshot import Function
    from firewall.sql.names import Scope
    from firewall.sql.walk import Handler, Walk


def _call(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    walk.children("FuncCall", node, scope, without=frozenset({"funcname"}))
    name = of_strings(strings(node.get("funcname")))
    arguments = node.get("args", [])
    count = -1 if node.get("func_variadic") else len(arguments)
    if node.get("agg_within_group"):
        count = -1
    if name.name == "unnest" and count > 1:
        count = 1  # several arrays side by side, in FROM only: as many calls (manual 7.2.1.4)
    call(walk, name, count, scope, arguments)


def call(walk: Walk, name: Name, count: int, scope: Scope, arguments: list[Any] | None = None) -> None:
    """What calling the function does: the worst of all the functions that the name can mean."""
    own = find_functions(name, count, scope, walk.snapshot)
    for function in own:
        if function.schema not in reviewed.SYSTEM_SCHEMAS:
            user_function(walk, function, scope)
            if count != function.arguments:
                defaults(walk, function, scope)
    if count == 1 and named_type(walk, name, scope) and not own and reviewed.danger(name.name) is None:
        return  # `type(x)` is a cast to it where no function is called so (manual 4.2.9)
    if f"{name.name}()" in walk.after.doubtful:
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
    elif name.name == "current_setting":
        _current_setting(walk, arguments or [], scope)
    elif name.name in reviewed.SETTINGS_FUNCTIONS:
        shown(walk, None, scope)
    elif name.name in reviewed.INPUT_FUNCTIONS:
        _input(walk, qualified, arguments, scope)
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
        walk.unknown(f"`{name}` would change how texts are read", name, scope, ObjectType.SETTING)
        walk.after = replace(walk.after, lexing_safe=False)


def shown(walk: Walk, name: str | None, scope: Scope) -> None:
    """The value of a setting is shown; None is all that SHOW ALL shows.

    A policy that looks at one shows no more than which rows it lets through.
    """
    if name is None:
        secret = walk.snapshot.secret_settings
    else:
        secret = (name.lower(),) if is_secret(name.lower()) else ()
    if not scope.via.startswith("policy "):
        for each in secret:
            walk.effect(Kind.SERVER_IO, each, scope, ObjectType.SETTING)


def _given(node: Any) -> bool:
    while "TypeCast" in node:
        node = node["TypeCast"].get("arg", {})
    return "ParamRef" in node or "ColumnRef" in node


def _current_setting(walk: Walk, arguments: list[Any], scope: Scope) -> None:
    """A name that comes from a column or as a parameter may be any that there is.

    Settings that stand in postgresql.conf alone and belong to no extension cannot be listed (manual 19.16).
    """
    named = any("NamedArgExpr" in argument for argument in arguments)
    name = _literal(arguments[0]) if arguments and not named else None
    if name is not None:
        shown(walk, name, scope)
    elif arguments and _given(arguments[0]):
        shown(walk, None, scope)
        for each in walk.snapshot.secret_role_settings:
            shown(walk, each, scope)
    elif not scope.via.startswith("policy "):
        reason = "`current_setting` shows a setting that the text does not name"
        walk.unknown(reason, "current_setting", scope)


def _input(walk: Walk, qualified: str, arguments: list[Any], scope: Scope) -> None:
    """Whether a text is a value of a type: the type's checks say so."""
    named = any("NamedArgExpr" in argument for argument in arguments)
    text = _literal(arguments[1]) if len(arguments) > 1 and not named else None
    parsed = grammar.parse(f"SELECT NULL::{text}") if text is not None else ()
    if isinstance(parsed, tuple) and len(parsed) == 1:
        walk.visit(parsed[0].kind, parsed[0].tree, replace(scope, ctes=frozenset()))
    else:
        walk.effect(Kind.EXECUTE, qualified, scope, ObjectType.FUNCTION)


def _sequence(walk: Walk, arguments: list[Any], scope: Scope) -> None:
    text = _literal(arguments[0]) if arguments else None
    if text is None or '"' in text:
        walk.effect(Kind.UPDATE, text or "sequence", scope)
        return
    schema, _, name = text.lower().rpartition(".")
    found = find_relations(Name(schema, name), scope, walk.snapshot)
    for qualified in [relation.qualified for relation in found.relations] or [text]:
        walk.effect(Kind.UPDATE, qualified, scope)


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


_ATTRIBUTES = reviewed.SEQUENCE_FUNCTIONS | {"current_setting"}


def _attribute(walk: Walk, parts: tuple[str, ...], scope: Scope) -> None:
    """`x.f` may be the call f(x) (manual 8.16.5), or a cast to a type f."""
    for part in parts:
        if part in _ATTRIBUTES or reviewed.danger(part) is not None:
            call(walk, Name("", part), 1, scope)
            continue
        if part in walk.snapshot.functions_by_name:
            for function in find_functions(Name("", part), 1, scope, walk.snapshot):
                if function.schema not in reviewed.SYSTEM_SCHEMAS:
                    user_function(walk, function, scope)
                    if function.arguments != 1:
                        defaults(walk, function, scope)
        named_type(walk, Name("", part), scope)


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
    "TypeName": type_name,
    "ColumnRef": _column,
    "A_Indirection": _indirection,
    "CollateClause": _collate,
}
