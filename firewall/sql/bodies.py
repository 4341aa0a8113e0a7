"""Function bodies: SQL and PL/pgSQL, read as statements.

A body that holds anything that is not on the lists below, or that does not parse, is opaque: the function is
then `execute`. A parameter's name in a body is at worst taken for a column, which changes nothing here.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import postgast

from firewall.sql import grammar

if TYPE_CHECKING:
    from firewall.catalog.snapshot import Function
    from firewall.sql.names import Scope
    from firewall.sql.walk import Walk

# Statements that a body may hold for it to be walked; the rest leaves something behind or cannot be followed.
_WALKED = frozenset(
    {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CallStmt", "ReturnStmt"}
)

# PL/pgSQL statements whose whole effect is that of the expressions in them.
_PLPGSQL = grammar.words(
    """
    block assign if case loop while fori fors forc foreach_a exit return return_next return_query
    raise assert execsql perform call getdiag open fetch close
    """
)
_MAX_BODY = 64 << 10
_ASSIGNMENT = re.compile(r'\s*[\w$."]+\s*(?::=|=)(?P<value>.*)', re.DOTALL)
_ATOMIC = re.compile(r"\s*(begin\s+atomic|return)\b", re.IGNORECASE)
_QUOTE = "$walked$"
_TRIGGER_VARIABLES = ("new", "old")
_MAX_TRIES = 24
_UNDECLARED = re.compile(r'"(?P<name>[a-z_]\w*)" is not a known variable')
_DYNAMIC = re.compile(r"\b(execute|commit|rollback)\b", re.IGNORECASE)


def walk_body(walk: Walk, function: Function, scope: Scope) -> bool:
    """Walk the function's body; false when it cannot be understood whole."""
    if not function.body or len(function.body) > _MAX_BODY:
        return False
    match function.language:
        case "sql":
            return _sql(walk, function.body, scope)
        case "plpgsql":
            return _plpgsql(walk, function, scope)
        case _:
            return False


def _sql(walk: Walk, body: str, scope: Scope) -> bool:
    if _ATOMIC.match(body):
        parsed = grammar.parse(f"CREATE FUNCTION f() RETURNS void {body}")
        if not isinstance(parsed, tuple) or len(parsed) != 1 or "sql_body" not in parsed[0].tree:
            return False
        return _nodes(walk, parsed[0].tree["sql_body"], scope)
    parsed = grammar.parse(body)
    if not isinstance(parsed, tuple) or any(statement.kind not in _WALKED for statement in parsed):
        return False
    for statement in parsed:
        walk.visit(statement.kind, statement.tree, scope)
    return True


def _nodes(walk: Walk, node: Any, scope: Scope) -> bool:
    if "List" in node:
        return all(_nodes(walk, item, scope) for item in node["List"].get("items", ()))
    ((kind, tree),) = node.items()
    if kind not in _WALKED:
        return False
    walk.visit(kind, tree, scope)
    return True


def _plpgsql(walk: Walk, function: Function, scope: Scope) -> bool:
    if _DYNAMIC.search(function.body):
        # also where the word is only a name: for these the parser's dump is not taken on trust
        return False
    parsed = _parse_plpgsql(function)
    if parsed is None:
        return False
    queries: list[str] = []
    if not _gather(parsed, queries):
        return False
    trees: list[grammar.Parsed] = []
    for query in queries:
        statements = grammar.parse(query)
        if not isinstance(statements, tuple) or any(
            statement.kind not in _WALKED for statement in statements
        ):
            return False
        trees += statements
    for tree in trees:
        walk.visit(tree.kind, tree.tree, scope)
    return True


def _parse_plpgsql(function: Function) -> Any:
    """The parser's dump of the body, or None.

    The body stands as a block inside one that declares what the body may use without declaring it: a
    trigger's rows, and parameters, whose names the parser's complaints tell.
    """
    if _QUOTE in function.body:
        return None
    setof = "setof " if function.returns.lower().startswith(("setof", "table")) else ""
    returns = "void" if function.returns in {"", "void"} else "record"
    declared = dict.fromkeys(_TRIGGER_VARIABLES, "record")
    body = function.body.strip().removesuffix(";")
    for _ in range(_MAX_TRIES):
        variables = "".join(f"{name} {kind}; " for name, kind in declared.items())
        text = (
            f"CREATE FUNCTION f() RETURNS {setof}{returns} LANGUAGE plpgsql AS "
            f"{_QUOTE}DECLARE {variables}BEGIN\n{body}\n; END{_QUOTE}"
        )
        try:
            return postgast.parse_plpgsql(text)
        except postgast.PgQueryError as error:
            unknown = _UNDECLARED.fullmatch(error.message)
            if unknown is not None and unknown["name"] not in declared:
                declared[unknown["name"]] = "record"
            elif "record variable cannot be part" in error.message and "text" not in declared.values():
                declared = {
                    name: kind if name in _TRIGGER_VARIABLES else "text" for name, kind in declared.items()
                }
            elif returns == "record" and "RETURN" in error.message:
                returns = "void"
            else:
                return None
        except (json.JSONDecodeError, UnicodeError, RecursionError):
            return None
    return None


def _gather(node: Any, queries: list[str]) -> bool:
    """Collect every expression as a statement; false at anything that is not understood."""
    if isinstance(node, list):
        return all(_gather(item, queries) for item in node)
    if not isinstance(node, dict):
        return True
    for key, value in node.items():
        if key == "PLpgSQL_expr":
            query = _query(value)
            if query is None:
                return False
            queries.append(query)
        elif not _understood(key) or not _gather(value, queries):
            return False
    return True


def _understood(key: str) -> bool:
    statement = key.removeprefix("PLpgSQL_stmt_")
    return key != "dynquery" and (statement == key or statement in _PLPGSQL)


def _query(expression: dict[str, Any]) -> str | None:
    text = str(expression.get("query", ""))
    match expression.get("parseMode"):
        case 0:
            return text
        case 2:
            return f"SELECT {text}"
        case 3 | 4 | 5:
            match = _ASSIGNMENT.fullmatch(text)
            return f"SELECT {match['value']}" if match else None
        case _:
            return None
