"""Statements for upkeep of whole relations: TRUNCATE, LOCK, VACUUM, REFRESH, REINDEX, CLUSTER."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firewall.catalog.snapshot import RelationKind
from firewall.sql import attached
from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.names import find_relations, of_range_var
from firewall.sql.queries import view_body
from firewall.sql.reviewed import SYSTEM_SCHEMAS
from firewall.sql.rows import by_row, meanings
from firewall.sql.writes import written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.catalog.snapshot import Relation
    from firewall.sql.names import Scope
    from firewall.sql.walk import Handler, Walk


def _truncate(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    for item in node.get("relations", ()):
        relations = written(walk, item["RangeVar"], Kind.TRUNCATE, scope)
        pending = list(relations) if node.get("behavior") == "DROP_CASCADE" else []
        seen = {relation.qualified for relation in relations}
        while pending:
            for key in pending.pop().referenced_by:
                child = walk.snapshot.relation(key.child)
                if key.child not in seen:
                    seen.add(key.child)
                    walk.effect(Kind.TRUNCATE, key.child, scope)
                    pending += [child] if child is not None else []


def _lock(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    for item in node.get("relations", ()):
        for relation in walk.relations(of_range_var(item["RangeVar"]), scope):
            walk.effect(Kind.LOCK, relation.qualified, scope)


def _vacuum(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    names = [item["VacuumRelation"].get("relation") for item in node.get("rels", ())]
    for name in names:
        if name:
            for full in meanings(walk, of_range_var(name), scope):
                walk.effect(Kind.MAINTENANCE, full, scope)
            for relation in find_relations(of_range_var(name), scope, walk.snapshot).relations:
                _analyzed(walk, relation, scope)
    if not names:
        walk.effect(Kind.MAINTENANCE, "vacuum_stmt", scope, ObjectType.STATEMENT)
        for relation in walk.snapshot.relations:
            if relation.schema not in SYSTEM_SCHEMAS:
                attached.analyzed(walk, relation, scope)


def _analyzed(walk: Walk, relation: Relation, scope: Scope) -> None:
    """ANALYZE and VACUUM of a relation, and of what inherits from it."""
    attached.analyzed(walk, relation, scope)
    for name in relation.children:
        child = walk.snapshot.relation(name)
        if child is not None and walk.enter(f"analyzed {name}"):
            _analyzed(walk, child, scope)


def _refresh(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    for relation in walk.relations(of_range_var(node["relation"]), scope):
        walk.effect(Kind.MAINTENANCE, relation.qualified, scope)
        if relation.kind is not RelationKind.MATERIALIZED:
            continue  # Postgres refuses it
        # what the view reads goes into the view, which has its labels; but what it runs, runs
        computed = type(walk)(walk.snapshot, walk.handlers, walk.after, sql=walk.sql, entered=walk.entered)
        view_body(computed, relation, scope)
        walk.nodes += computed.nodes
        walk.effects |= computed.effects
        walk.opaque = walk.opaque or computed.opaque
        attached.rebuild(walk, relation, scope)


def _rebuild(kind: str) -> Handler:
    """REINDEX and CLUSTER compute again what indexes hold."""

    def handler(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
        by_row(walk, kind, node, scope)
        for relation in find_relations(
            of_range_var(node.get("relation", {})), scope, walk.snapshot
        ).relations:
            attached.rebuild(walk, relation, scope)

    return handler


HANDLERS: Mapping[str, Handler] = {
    "TruncateStmt": _truncate,
    "LockStmt": _lock,
    "VacuumStmt": _vacuum,
    "RefreshMatViewStmt": _refresh,
    "ReindexStmt": _rebuild("ReindexStmt"),
    "ClusterStmt": _rebuild("ClusterStmt"),
}
