"""Postgres's own grammar (libpg_query through postgast), as plain dictionaries.

The tree is read as JSON, not as protobuf: it holds the same, is several times faster to walk, and is
not cut off at a message depth of a hundred. Field names are those of the C structs; a field whose type is
`Node` holds `{"SelectStmt": {…}}`, a field of one message type holds the message (see `CONCRETE`).

Nothing here raises on any text: a text that the grammar rejects is a `GrammarError`, one that cannot be
handled safely is a `TooHard` with the reason in words.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import postgast
from postgast import pg_query_pb2
from postgast.native import lib

from firewall.sql.analysis import GrammarError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SQL_BYTES = 1 << 20  # larger texts belong into COPY or parameters
SMALL_SQL_BYTES = 64 << 10  # up to here no text can nest deeply enough to overrun a C stack of 8 MiB
MAX_DEEPENING_TOKENS = 20_000  # half of what was measured to be safe, in texts above SMALL_SQL_BYTES
MAX_TOKENS = 400_000  # makes more nodes than are walked; about 0.3 s to count
MAX_DEPTH = 1_000  # of parentheses and brackets; queries have 6, generated ones dozens
MAX_STATEMENTS = 5_000


def words(text: str) -> frozenset[str]:
    """A set of words written as a text; for tables that people read and review."""
    return frozenset(text.split())


# Tokens that cannot make a tree deeper however often they stand in a text; parentheses are not among the
# dangers because the grammar's own stack gives out at 10,000 of them.
_FLAT_TOKENS = words(
    """
    IDENT UIDENT SCONST USCONST BCONST XCONST ICONST FCONST PARAM ASCII_40 ASCII_41 ASCII_44
    ASCII_46 ASCII_59 NULL_P TRUE_P FALSE_P DEFAULT SQL_COMMENT C_COMMENT
    """
)
# `(` and `[`, and what closes them
_STEPS = {
    **dict.fromkeys((pg_query_pb2.Token.ASCII_40, pg_query_pb2.Token.ASCII_91), 1),
    **dict.fromkeys((pg_query_pb2.Token.ASCII_41, pg_query_pb2.Token.ASCII_93), -1),
}
_EXHAUSTED = ("memory exhausted", "stack depth", "out of memory")


@dataclass(frozen=True, slots=True)
class Parsed:
    """One statement: `kind` is its message type (`SelectStmt`), `tree` its fields, `sql` its slice."""

    kind: str
    tree: dict[str, Any]
    sql: str


@dataclass(frozen=True, slots=True)
class TooHard:
    """Why a text was not parsed, or not into anything usable."""

    reason: str


def _snake(kind: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()


def _concrete() -> dict[str, dict[str, str]]:
    table: dict[str, dict[str, str]] = {}
    for name, message in pg_query_pb2.DESCRIPTOR.message_types_by_name.items():
        for field in message.fields:
            if field.message_type is not None and field.message_type.name != "Node":
                table.setdefault(name, {})[field.json_name] = field.message_type.name
    return table


NODES: Mapping[str, str] = {
    field.message_type.name: field.name
    for field in pg_query_pb2.Node.DESCRIPTOR.fields
    if field.message_type is not None
}
"""Message type → the grammar's name of the node: `SelectStmt` → `select_stmt`."""

CONCRETE: Mapping[str, Mapping[str, str]] = _concrete()
"""Message type → field → message type, for the fields that are not of type `Node`."""


def _check(sql: str) -> bytes | TooHard:
    try:
        text = sql.encode()
    except UnicodeEncodeError:
        return TooHard("the text holds a lone surrogate, which no encoding can carry")
    if b"\0" in text:
        return TooHard("the text holds a NUL, at which Postgres would stop reading")
    if len(text) > MAX_SQL_BYTES:
        return TooHard(f"the text is {len(text)} bytes long; at most {MAX_SQL_BYTES} are analysed")
    # without so many there cannot be too many, or too deep: no reason to cut a short text into tokens
    if len(text) > SMALL_SQL_BYTES or text.count(b"(") + text.count(b"[") > MAX_DEPTH:
        return _check_tokens(sql, small=len(text) <= SMALL_SQL_BYTES) or text
    return text


def _check_tokens(sql: str, *, small: bool) -> TooHard | None:
    try:
        tokens = postgast.scan(sql).tokens
    except postgast.PgQueryError:
        return None  # the grammar stops at the same place, and says it better
    if len(tokens) > MAX_TOKENS:
        return TooHard(f"the text has more than {MAX_TOKENS} tokens")
    flat = {pg_query_pb2.Token.Value(name) for name in _FLAT_TOKENS}
    kinds = [token.token for token in tokens]
    if not small and sum(kind not in flat for kind in kinds) > MAX_DEEPENING_TOKENS:
        return TooHard(f"the text has more than {MAX_DEEPENING_TOKENS} operators and keywords")
    if max(accumulate(_STEPS.get(kind, 0) for kind in kinds), default=0) > MAX_DEPTH:
        return TooHard(f"the text nests too deeply: more than {MAX_DEPTH} parentheses inside each other")
    return None


def parse(sql: str) -> tuple[Parsed, ...] | GrammarError | TooHard:
    """The statements of a text, in order; an empty text has none."""
    text = _check(sql)
    if isinstance(text, TooHard):
        return text
    result = lib.pg_query_parse(text)
    try:
        if result.error:
            return _rejected(result.error.contents)
        raw = result.parse_tree
    finally:
        lib.pg_query_free_parse_result(result)
    try:
        statements = json.loads(raw).get("stmts", [])
    except RecursionError:
        return TooHard("the text nests too deeply")
    except ValueError:
        return TooHard("the grammar's tree cannot be read")
    if len(statements) > MAX_STATEMENTS:
        return TooHard(f"the text has more than {MAX_STATEMENTS} statements")
    return tuple(_statement(text, raw_statement) for raw_statement in statements)


@lru_cache(maxsize=512)
def kept(sql: str) -> tuple[Parsed, ...] | GrammarError | TooHard:
    """`parse`, remembered: for the catalog's views and expressions, which are walked again and again.

    Nobody changes a tree.
    """
    return parse(sql)


def _statement(text: bytes, raw: dict[str, Any]) -> Parsed:
    start = raw.get("stmt_location", 0)
    end = start + raw["stmt_len"] if raw.get("stmt_len") else len(text)
    ((kind, tree),) = raw["stmt"].items()
    return Parsed(kind, tree, text[start:end].decode(errors="replace").strip())


def _rejected(error: Any) -> GrammarError | TooHard:
    message = (error.message or b"").decode(errors="replace")
    if any(word in message for word in _EXHAUSTED):
        return TooHard("the text nests too deeply for the grammar")
    return GrammarError(message, max(error.cursorpos, 0))


@lru_cache(maxsize=1024)
def fingerprint(sql: str) -> str:
    """libpg_query's fingerprint of one statement that the grammar accepts, 16 hex digits."""
    try:
        return postgast.fingerprint(sql).hex
    except (postgast.PgQueryError, ValueError):
        return ""


def node_name(kind: str) -> str:
    """`SelectStmt` → `select_stmt`, as the grammar writes it."""
    return NODES.get(kind) or _snake(kind)


def bare(node: Any) -> Any:
    """The tree without the places where its parts stand in the text."""
    if isinstance(node, dict):
        return {key: bare(value) for key, value in node.items() if key != "location"}
    return [bare(item) for item in node] if isinstance(node, list) else node


def strings(items: Any) -> tuple[str, ...]:
    """The parts of a name: a list of String nodes. Anything else in it becomes an empty part."""
    if isinstance(items, dict):
        items = items.get("List", items).get("items", [])
    return tuple(
        item.get("String", {}).get("sval", "") if isinstance(item, dict) else "" for item in items or ()
    )
