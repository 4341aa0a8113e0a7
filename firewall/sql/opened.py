"""Statements around statements: EXPLAIN, COPY, cursors, PREPARE and EXECUTE, CREATE TABLE AS, CALL, DO."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import postgast
from postgast import pg_query_pb2

from firewall.sql import grammar
from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.functions import BUILT_IN_TYPES
from firewall.sql.names import of_range_var
from firewall.sql.queries import into, read_relation
from firewall.sql.walk import MAX_BODIES
from firewall.sql.writes import written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.sql.names import Scope
    from firewall.sql.walk import Handler, Walk

_WHILE_PLANNING = frozenset({Kind.UNKNOWN, Kind.PRIVILEGE, Kind.SERVER_IO})
_OFF = frozenset({"off", "false", "0", "f", "n", "no", "of", "fa", "fal", "fals"})


def inner(text: str, keyword: str) -> str:
    """What follows the first `keyword` outside parentheses, as it is written; empty if there is none."""
    token_type = pg_query_pb2.Token.Value(keyword)
    data = text.encode()
    depth = 0
    for token in postgast.scan(text).tokens:
        if token.token == pg_query_pb2.Token.ASCII_40:
            depth += 1
        elif token.token == pg_query_pb2.Token.ASCII_41:
            depth -= 1
        elif token.token == token_type and depth == 0:
            return data[token.end :].decode().strip()
    return ""


def _option(node: dict[str, Any]) -> str | None:
    """A DefElem's value as text; None when it has none."""
    value = node.get("arg")
    if value is None:
        return None
    ((kind, content),) = value.items()
    match kind:
        case "String":
            return str(content.get("sval", ""))
        case "Integer":
            return str(content.get("ival", 0))
        case "Boolean":
            return str(content.get("boolval", False)).lower()
        case _:
            return ""


def _explain(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    """With ANALYZE the statement runs. Without, it is planned: nothing is read but what the planner calls."""
    analyze = False
    for item in node.get("options", ()):
        option = item["DefElem"]
        if option.get("defname", "").lower() == "analyze":
            value = _option(option)
            analyze = analyze or value is None or value.lower() not in _OFF
    query = node.get("query", {})
    if analyze:
        walk.value(query, scope)
        return
    planned = type(walk)(walk.snapshot, walk.handlers, walk.after, sql=walk.sql, entered=walk.entered)
    planned.value(query, scope)
    walk.planned = True
    walk.nodes += planned.nodes
    walk.missing |= planned.missing
    walk.volatile = walk.volatile or planned.volatile
    walk.executed = planned.executed
    walk.reads |= planned.reads
    # the planner computes what it can: a function in the statement may run while it is planned
    walk.after = planned.after
    for effect in planned.effects:
        body = effect.via and not effect.via.startswith(("view ", "parent ", "trigger ", "rule ", "foreign "))
        if body or effect.type is not ObjectType.RELATION or effect.kind in _WHILE_PLANNING:
            walk.effects[effect] = None
            walk.opaque = walk.opaque or planned.opaque
    walk.effect(Kind.SESSION, "explain_stmt", scope, ObjectType.STATEMENT)


def _copy(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    if node.get("is_program"):
        walk.effect(Kind.SERVER_IO, node.get("filename", ""), scope, ObjectType.PROGRAM)
    elif node.get("filename"):
        walk.effect(Kind.SERVER_IO, node["filename"], scope, ObjectType.FILE)
    columns = tuple(sorted(grammar.strings(node.get("attlist")))) or ("*",)
    if "relation" not in node:
        walk.exports = True
        walk.value(node.get("query"), scope)
        if not walk.reads:
            walk.effect(Kind.COPY_OUT, "copy_stmt", scope, ObjectType.STATEMENT)
    elif node.get("is_from"):
        written(walk, node["relation"], Kind.COPY_IN, scope, columns)
        walk.value(node.get("whereClause"), scope)
    else:
        walk.exports = True
        for relation in walk.relations(of_range_var(node["relation"]), scope):
            read_relation(walk, relation, scope, columns)


def _cursor(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    """What the cursor will read counts now; what FETCH brings was judged here."""
    walk.value(node.get("query"), scope)
    walk.effect(Kind.SESSION, "declare_cursor_stmt", scope, ObjectType.STATEMENT)


def _create_as(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    walk.value(node.get("query"), scope)
    into(walk, node.get("into", {}), scope)


def _prepare(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    walk.volatile = True
    walk.effect(Kind.SESSION, "prepare_stmt", scope, ObjectType.STATEMENT)
    walk.values(node.get("argtypes"), scope)
    text = inner(walk.sql, "AS")
    if any(_own_type(walk, item["TypeName"]) for item in node.get("argtypes", ())):
        # whoever executes it makes values of these types
        text = f"{_casts(walk.sql)}; {text}"
    name = node.get("name", "")
    kept = tuple((other, sql) for other, sql in walk.after.prepared if other != name)
    walk.after = replace(walk.after, prepared=(*kept, (name, text)))
    looked_up = type(walk)(walk.snapshot, walk.handlers, walk.after, entered=set())
    looked_up.value(node.get("query"), scope)
    walk.missing |= looked_up.missing


def _own_type(walk: Walk, node: dict[str, Any]) -> bool:
    """Whether a type is not certainly one of pg_catalog's."""
    *schema, name = grammar.strings(node.get("names")) or ("",)
    built_in = name in BUILT_IN_TYPES and name not in walk.snapshot.types_by_name
    return schema != ["pg_catalog"] and not (built_in and not schema)


def _casts(text: str) -> str:
    """`SELECT NULL::type, …` for the types in PREPARE's parentheses."""
    data, depth, start = text.encode(), 0, 0
    types: list[str] = []
    for token in postgast.scan(text).tokens:
        if token.token == pg_query_pb2.Token.ASCII_40:
            depth += 1
            start = token.end if depth == 1 else start
        elif token.token == pg_query_pb2.Token.ASCII_44 and depth == 1:
            types.append(data[start : token.start].decode())
            start = token.end
        elif token.token == pg_query_pb2.Token.ASCII_41:
            depth -= 1
            if not depth:
                types.append(data[start : token.start].decode())
                break
    return "SELECT " + ", ".join(f"NULL::{each}\n" for each in types)


def _execute(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    walk.volatile = True
    name = node.get("name", "")
    text = dict(walk.after.prepared).get(name)
    walk.values(node.get("params"), scope)
    parsed = grammar.parse(text) if text is not None else ()
    if not isinstance(parsed, tuple) or not parsed or scope.depth > MAX_BODIES:
        walk.unknown(f"there is no prepared statement `{name}` that could be read", name, scope)
        return
    *casts, statement = parsed
    within = replace(scope, depth=scope.depth + 1)
    for cast in casts:
        walk.visit(cast.kind, cast.tree, within)
    walk.executed = statement if scope.depth == 0 else None
    outer, walk.sql = walk.sql, statement.sql
    walk.visit(statement.kind, statement.tree, within)
    walk.sql = outer


def _deallocate(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    walk.volatile = True
    walk.effect(Kind.SESSION, "deallocate_stmt", scope, ObjectType.STATEMENT)
    name = node.get("name", "")
    kept = () if node.get("isall") else tuple(item for item in walk.after.prepared if item[0] != name)
    walk.after = replace(walk.after, prepared=kept)


def _call_procedure(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    before = len(walk.effects) + len(walk.reads)
    walk.visit("FuncCall", node.get("funccall", {}), scope)
    if len(walk.effects) + len(walk.reads) == before:
        walk.effect(Kind.SESSION, "call_stmt", scope, ObjectType.STATEMENT)


def _do(walk: Walk, _node: dict[str, Any], scope: Scope) -> None:
    walk.effect(Kind.CODE, "do_stmt", scope, ObjectType.STATEMENT)
    walk.opaque = walk.opaque or "DO runs code that is not analysed"
    walk.lose_names()


HANDLERS: Mapping[str, Handler] = {
    "ExplainStmt": _explain,
    "CopyStmt": _copy,
    "DeclareCursorStmt": _cursor,
    "CreateTableAsStmt": _create_as,
    "PrepareStmt": _prepare,
    "ExecuteStmt": _execute,
    "DeallocateStmt": _deallocate,
    "CallStmt": _call_procedure,
    "DoStmt": _do,
}
