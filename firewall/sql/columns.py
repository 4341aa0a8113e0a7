"""Which columns of what was read reach the client: sqlglot's lineage, where it can be had.

The grammar's relations are the authority. Lineage only narrows `*` down to names, for what stands in the
statement itself and in the views behind it; what function bodies read stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import postgast
from postgast import pg_query_pb2

from firewall.sql import copy_out, grammar, lineage
from firewall.sql.walk import Reads

if TYPE_CHECKING:
    from firewall.sql.analysis import CopyOut, Facts, Output
    from firewall.sql.grammar import Parsed
    from firewall.sql.walk import Walk

_TRACED = frozenset(
    {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CreateTableAsStmt", "ViewStmt"}
)
_RETURNING = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_AROUND = frozenset({"ExplainStmt", "DeclareCursorStmt", "CopyStmt"})
# Beyond these the lineage is not asked: sqlglot takes time in the square of some of them.
_MAX_NODES = 3_000
_MAX_TEXT = 16 << 10
_MAX_SUBSCRIPTS = 40
_OPENING = 16  # the most words before the query in EXPLAIN or DECLARE, with all of their options


def own_read(via: str) -> bool:
    """Whether a read belongs to the statement or to a view in it, rather than to a body that it runs."""
    return not via or via.startswith(("view ", "parent "))


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What a statement shows, column by column, and the trace that it was narrowed by; None if in doubt.

    copy_out: how what it shows is sent, if by COPY.
    """

    output: tuple[Output, ...] | None = None
    traced: lineage.Lineage | None = None
    copy_out: CopyOut | None = None


def narrow(walk: Walk, statement: Parsed, facts: Facts) -> Narrowed:
    """Narrow the walk's reads to columns, and say what each output column is made of, if it can be known."""
    query = _query(walk, statement)
    if query is None or not walk.reads or walk.opaque or not _bearable(walk, query.sql):
        return Narrowed()
    traced = lineage.trace(query.sql, walk.snapshot, facts)
    own = {relation for relation, via in walk.reads if own_read(via)}
    if traced is None or not own <= traced.relations:
        return Narrowed()
    columns = _by_relation(traced.reaches)
    tested = _by_relation(traced.tested)
    # a written relation is looked at where the lineage says so; what else it adds, the grammar knows better
    written = {effect.object for effect in walk.effects if not effect.via}
    for relation in ((columns.keys() | tested.keys()) - own) & written:
        walk.reads[relation, ""] = Reads()
    for (relation, via), reads in walk.reads.items():
        if own_read(via):
            reads.columns = columns.get(relation, set())
            reads.tested = tested.get(relation, set())
    # what a policy looks at decides which rows are shown, and shows none of it
    whole = all(own_read(via) or via.startswith("policy ") for _, via in walk.reads)
    returns = query.kind == "SelectStmt" and "intoClause" not in query.tree
    if query.kind in _RETURNING:
        returns = "returningClause" in query.tree
    shown = whole and returns and statement.kind != "ExplainStmt"
    if not shown:
        return Narrowed(None, traced)
    return Narrowed(traced.outputs, traced, copy_out.of(walk, statement, query.sql))


def _bearable(walk: Walk, sql: str) -> bool:
    return walk.nodes <= _MAX_NODES and len(sql) <= _MAX_TEXT and sql.count("[") <= _MAX_SUBSCRIPTS


def _by_relation(pairs: frozenset[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for relation, column in pairs:
        found.setdefault(relation, set()).add(column)
    return found


def _query(walk: Walk, statement: Parsed) -> Parsed | None:
    """The one statement whose columns are asked for: the text's own, or the one that it stands around."""
    if statement.kind == "ExecuteStmt":
        return walk.executed if walk.executed and walk.executed.kind in _TRACED else None
    if statement.kind in _TRACED:
        return statement
    if statement.kind == "CopyStmt" and "relation" in statement.tree:
        return None if statement.tree.get("is_from") else copy_out.query(walk, statement)
    inner = statement.tree.get("query")
    if statement.kind not in _AROUND or not inner:
        return None
    ((kind, tree),) = inner.items()
    return _inside(statement, kind, tree) if kind in _TRACED else None


def _inside(statement: Parsed, kind: str, tree: dict[str, Any]) -> Parsed | None:
    """The inner query in the text's own words: the piece of text that has exactly its tree."""
    text = statement.sql.encode()
    tokens = [
        token
        for token in postgast.scan(statement.sql).tokens
        if token.token not in {pg_query_pb2.Token.SQL_COMMENT, pg_query_pb2.Token.C_COMMENT}
    ]
    end = len(text)
    if statement.kind == "CopyStmt":
        end = _closing(tokens)
    for token in tokens[1:_OPENING]:
        piece = text[token.start : end].decode()
        parsed = grammar.parse(piece)
        if isinstance(parsed, tuple) and len(parsed) == 1 and parsed[0].kind == kind:
            same = grammar.bare(parsed[0].tree) == grammar.bare(tree)
            return parsed[0] if same else None
    return None


def _closing(tokens: list[Any]) -> int:
    """Where the first parenthesis of the text is closed again: what is inside it need not be a SELECT."""
    depth = 0
    for token in tokens:
        if token.token == pg_query_pb2.Token.ASCII_40:
            depth += 1
        elif token.token == pg_query_pb2.Token.ASCII_41:
            depth -= 1
            if not depth:
                return int(token.start)
    return 0
