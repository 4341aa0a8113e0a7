"""Column lineage of one query: which base columns reach the client, and which are only tested.

sqlglot reads the statement; names are then bound as Postgres binds them (`lineage_scope`), because
sqlglot's own resolution serves many dialects at once. The rule that everything here obeys: every base
column that the statement names is in `reaches` or in `tested`, and where that cannot be promised there is
no lineage at all (None), so that the caller takes every column of every relation to reach the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from firewall.sql.analysis import Facts, Output, Source
from firewall.sql.lineage_agree import identifier, parse
from firewall.sql.lineage_query import Queries
from firewall.sql.lineage_relations import Relations, Shape
from firewall.sql.lineage_scope import Doubt, Field, Sources, renamed, union
from firewall.sql.names import Scope, path_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.catalog.snapshot import Relation, Snapshot

KEPT_SNAPSHOTS = 4  # a worker judges against one, or two while the catalog is being refreshed


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a query shows and what it tests; pairs are (`schema.relation`, column).

    outputs: the result's columns in order, each with what feeds it; for a write without RETURNING the
        columns that it writes. A view's column stands beside the base columns behind it, and a table's
        beside those of the tables that inherit from it.
    reaches: all that feeds an output, or is copied into a relation.
    tested: all else that the statement names, or that views behind it test.
    relations: all that are read or written, behind views too.
    written: what INSERT, UPDATE and MERGE put into columns, also inside WITH: relation → column → sources.
    """

    outputs: tuple[Output, ...]
    reaches: frozenset[tuple[str, str]]
    tested: frozenset[tuple[str, str]]
    relations: frozenset[str]
    written: Mapping[str, Mapping[str, Sources]]


def trace(sql: str, snapshot: Snapshot, facts: Facts) -> Lineage | None:
    """The lineage of one statement (SELECT, VALUES, TABLE, CREATE … AS, or a write); None if in doubt."""
    if not facts.lexing_safe:
        return None
    try:
        path = None if facts.search_path is None else path_of(Scope(facts.search_path), snapshot)
        database = facts.database or snapshot.database
        queries = Queries(_relations(snapshot), path, facts.doubtful, database)
        fields = _fields(queries, parse(sql))
    except (Doubt, RecursionError):
        return None
    except Exception:  # noqa: BLE001 — whatever a parser's tree surprises us with is not understood
        return None
    reaches = union(field.sources for field in fields) | queries.kept
    return Lineage(
        outputs=tuple(_output(field) for field in fields),
        reaches=reaches,
        tested=frozenset(queries.mentioned) - reaches,
        relations=frozenset(queries.read),
        written=queries.written,
    )


def _fields(queries: Queries, tree: exp.Expr) -> tuple[Field, ...]:
    if not isinstance(tree, exp.Create):
        return queries.rows(tree, None, {}).fields
    query = tree.args.get("expression")
    if tree.kind not in ("TABLE", "VIEW") or not isinstance(query, exp.Expr):
        raise Doubt
    fields = queries.rows(query, None, {}).fields
    named = [identifier(c) for c in tree.this.expressions] if isinstance(tree.this, exp.Schema) else []
    return renamed(fields, named)


def _output(field: Field) -> Output:
    return Output(field.name, tuple(Source(*pair) for pair in sorted(field.sources)), whole=field.typed)


def _trace_view(relations: Relations, view: Relation) -> Shape:
    """A view's query; pg_get_viewdef wrote it, so that only pg_catalog's names stand there unqualified.

    Of a session's own view it is what the session wrote.
    """
    snapshot = relations.snapshot
    own = snapshot.own_by_name.get(view.qualified)
    path: tuple[str, ...] | None = ("pg_catalog",)
    if own is not None:
        path = None if own.path is None else path_of(Scope(own.path), snapshot)
    queries = Queries(relations, path, frozenset(), snapshot.database, printed=own is None)
    fields = queries.rows(parse(view.definition), None, {}).fields
    return Shape(fields, frozenset(queries.tests), frozenset(queries.read), frozenset(queries.kept))


_known: list[Relations] = []
_known_of_sessions: list[Relations] = []


def _relations(snapshot: Snapshot) -> Relations:
    """Kept for the latest snapshots: by identity, since equal versions may hide other estimates."""
    known = _known if snapshot.beneath is None else _known_of_sessions
    for found in known:
        if found.snapshot is snapshot:
            return found
    made = Relations(snapshot, _trace_view, _relations(snapshot.beneath) if snapshot.beneath else None)
    known.append(made)
    del known[:-KEPT_SNAPSHOTS]
    return made
