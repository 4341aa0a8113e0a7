"""Function bodies: SQL and PL/pgSQL, read as statements.

A body that holds anything that is not on the lists below, or that does not parse, is opaque: the function is
then `execute`. A parameter's name in a body is at worst taken for a column, which changes nothing here.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import postgast

from firewall.sql import grammar

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_BORROWED = re.compile(r"(?P<name>.*)%(?P<what>rowtype|type)(\[\])*", re.IGNORECASE | re.DOTALL)
_DYNAMIC = re.compile(r"\b(execute|commit|rollback)\b", re.IGNORECASE)


def walk_body(walk: Walk, function: Function, scope: Scope) -> bool:
    """Walk the function's body; false when it cannot be understood whole."""
    if not function.body or len(function.body) > _MAX_BODY:
        return False
    statements = _statements(function.language, function.body, function.returns)
    for kind, tree in statements or ():
        walk.visit(kind, tree, scope)
    return statements is not None


@lru_cache(maxsize=512)
def _statements(language: str, body: str, returns: str) -> tuple[tuple[str, dict[str, Any]], ...] | None:
    """The statements of a body, expressions and declared types as SELECT; None if any is not understood."""
    match language:
        case "sql":
            found = _sql(body)
        case "plpgsql":
            found = _plpgsql(body, returns)
        case _:
            return None
    if found is None or any(kind not in _WALKED for kind, _ in found):
        return None
    return tuple(found)


def _sql(body: str) -> list[tuple[str, dict[str, Any]]] | None:
    if not _ATOMIC.match(body):
        parsed = grammar.parse(body)
        return [(one.kind, one.tree) for one in parsed] if isinstance(parsed, tuple) else None
    parsed = grammar.parse(f"CREATE FUNCTION f() RETURNS void {body}")
    if not isinstance(parsed, tuple) or len(parsed) != 1 or "sql_body" not in parsed[0].tree:
        return None
    return list(_nodes(parsed[0].tree["sql_body"]))


def _nodes(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if "List" in node:
        for item in node["List"].get("items", ()):
            yield from _nodes(item)
    else:
        yield from node.items()


def _plpgsql(body: str, returns: str) -> list[tuple[str, dict[str, Any]]] | None:
    if _DYNAMIC.search(body):
        # also where the word is only a name: for these the parser's dump is not taken on trust
        return None
    parsed = _parse_plpgsql(body, returns)
    if parsed is None:
        return None
    queries: list[str] = []
    if not _gather(parsed, body, queries):
        return None
    found: list[tuple[str, dict[str, Any]]] = []
    for query in queries:
        statements = grammar.parse(query)
        if not isinstance(statements, tuple):
            return None
        found += [(one.kind, one.tree) for one in statements]
    return found


def _parse_plpgsql(source: str, kind: str) -> Any:
    """The parser's dump of the body, or None.

    The body stands as a block inside one that declares what the body may use without declaring it: a
    trigger's rows, and parameters, whose names the parser's complaints tell.
    """
    if _QUOTE in source:
        return None
    setof = "setof " if kind.lower().startswith(("setof", "table")) else ""
    returns = "void" if kind in {"", "void"} else "record"
    declared = dict.fromkeys(_TRIGGER_VARIABLES, "record")
    body = source.strip().removesuffix(";")
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


def _gather(node: Any, body: str, queries: list[str]) -> bool:
    """Collect every expression and every type as a statement; false at anything that is not understood."""
    if isinstance(node, list):
        return all(_gather(item, body, queries) for item in node)
    if not isinstance(node, dict):
        return True
    for key, value in node.items():
        match key:
            case "PLpgSQL_expr":
                query = _query(value)
            case "PLpgSQL_type":
                query = _cast(str(value.get("typname", "")))
            case "PLpgSQL_rec":
                query = _record(str(value.get("refname", "")), body)
            case _ if _understood(key) and _gather(value, body, queries):
                continue
            case _:
                return False
        if query is None:
            return False
        queries.append(query)
    return True


def _cast(typename: str) -> str:
    """A statement that touches the type; the row type of a relation where one of its columns is meant."""
    relation = _BORROWED.fullmatch(typename)
    if relation is None:
        return f"SELECT NULL::{typename}"
    name, _, _ = relation["name"].rpartition(".") if relation["what"].lower() == "type" else ("", "", "")
    return f"SELECT NULL::{name or relation['name']}"


def _record(name: str, body: str) -> str | None:
    """Where it does not know a variable's type the dump leaves out type and default: the body has them.

    A record without a declaration in the body is one of those that were declared around it.
    """
    declaration = rf"\b{re.escape(name)}\s+(?:constant\s+)?([\w.\"]+)\s*(;|:=|=|default\b)?"
    declared = re.findall(declaration, body, re.IGNORECASE)
    types = [(kind, end) for kind, end in declared if end]
    if any(end != ";" for _, end in types):
        return None
    kinds = {kind for kind, _ in types if kind.lower() != "record"}
    return " ; ".join(["SELECT 1", *(_cast(kind) for kind in sorted(kinds))])


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
