"""Queries: WITH and its scopes, what is read, what is locked, views and what stands behind them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from firewall.catalog.snapshot import RelationKind
from firewall.sql import attached, grammar
from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.names import TEMPORARY, Name, is_temporary_schema, of_range_var
from firewall.sql.reviewed import SYSTEM_SCHEMAS
from firewall.sql.walk import MAX_BODIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.catalog.snapshot import Relation
    from firewall.sql.names import Scope
    from firewall.sql.walk import Handler, Walk

_BUILT_IN_SAMPLING = frozenset({"system", "bernoulli"})


def with_clause(walk: Walk, node: dict[str, Any], scope: Scope) -> Scope:
    """Walk the WITH queries; the scope in which the statement itself stands, theirs included.

    A WITH query sees those before it; under RECURSIVE it sees all of its list, itself included.
    """
    clause = node.get("withClause")
    if not clause:
        return scope
    queries = [item["CommonTableExpr"] for item in clause.get("ctes", ())]
    if clause.get("recursive"):
        scope = replace(scope, ctes=scope.ctes | {query["ctename"] for query in queries})
    for query in queries:
        walk.value(query.get("ctequery"), scope)
        scope = replace(scope, ctes=scope.ctes | {query["ctename"]})
    return scope


def _select(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    scope = with_clause(walk, node, scope)
    walk.children("SelectStmt", node, scope, without=frozenset({"withClause", "lockingClause", "intoClause"}))
    for item in node.get("lockingClause", ()):
        _lock(walk, node, item["LockingClause"], scope)
    if node.get("intoClause"):
        into(walk, node["intoClause"], scope)


def _lock(walk: Walk, query: dict[str, Any], clause: dict[str, Any], scope: Scope) -> None:
    """FOR UPDATE and its kin: of all relations in FROM, or of those whose alias is named."""
    only = {item["RangeVar"].get("relname") for item in clause.get("lockedRels", ())}
    for alias, name in _from(query.get("fromClause", ()), scope):
        if not only or alias in only:
            for relation in walk.relations(name, scope):
                walk.effect(Kind.LOCK, relation.qualified, scope)


def _from(items: Any, scope: Scope) -> list[tuple[str, Name]]:
    """Alias and name of the relations that stand in FROM, subqueries' own FROM included."""
    found: list[tuple[str, Name]] = []
    for item in items:
        for kind, node in item.items():
            match kind:
                case "RangeVar":
                    name = of_range_var(node)
                    if name.schema or name.name not in scope.ctes:
                        found.append((node.get("alias", {}).get("aliasname", name.name), name))
                case "JoinExpr":
                    found += _from([side for side in (node.get("larg"), node.get("rarg")) if side], scope)
                case "RangeSubselect":
                    alias = node.get("alias", {}).get("aliasname", "")
                    inner = node["subquery"].get("SelectStmt", {})
                    found += [(alias, name) for _, name in _from(inner.get("fromClause", ()), scope)]
                case "RangeTableSample":
                    found += _from([node["relation"]], scope)
                case _:
                    pass
    return found


def into(walk: Walk, clause: dict[str, Any], scope: Scope) -> None:
    """SELECT INTO and CREATE TABLE AS: the copy that is made."""
    made(walk, clause.get("rel", {}), scope)


def made(walk: Walk, target: dict[str, Any], scope: Scope) -> None:
    """A relation that the statement creates; the session's own names change with it."""
    name = of_range_var(target)
    temporary = target.get("relpersistence") == "t" or is_temporary_schema(name.schema)
    if temporary:
        walk.effect(Kind.CREATE, f"{TEMPORARY}.{name.name}", scope)
        walk.after = replace(walk.after, temporary=walk.after.temporary | {name.name})
        return
    walk.effect(Kind.CREATE, str(name) if name.schema else f"{_first_schema(walk, scope)}.{name.name}", scope)
    if any(name.name in relations for relations in walk.snapshot.by_name.values()):
        redefined(walk, name)


def _first_schema(walk: Walk, scope: Scope) -> str:
    path = scope.path if scope.path is not None else walk.snapshot.search_path
    return next((schema for schema in path if schema != "pg_catalog"), "public")


def redefined(walk: Walk, name: Name) -> None:
    """From here on the catalog's word for the name is stale for the session, which sees its own DDL.

    Until its transaction ends; for good where the name may be that of a temporary relation.
    """
    own = f"{TEMPORARY}.{name.name}" in walk.snapshot.own_by_name
    if own or is_temporary_schema(name.schema) or name.name in walk.after.temporary:
        walk.after = replace(walk.after, temporary=walk.after.temporary | {name.name})
    walk.after = replace(walk.after, altered=walk.after.altered | {name.name, str(name)})


def _range_var(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    name = of_range_var(node)
    if not name.schema and name.name in scope.ctes:
        return
    for relation in walk.relations(name, scope):
        read_relation(walk, relation, scope, children=bool(node.get("inh")))


def read_relation(
    walk: Walk,
    relation: Relation,
    scope: Scope,
    columns: tuple[str, ...] = ("*",),
    *,
    children: bool = True,
) -> None:
    """A read of the relation, of what its view is made of, and of what inherits from it."""
    walk.read(relation, scope, columns)
    attached.on_read(walk, relation, scope)
    if relation.kind is RelationKind.FOREIGN:
        reaches_out(walk, relation, scope)
    if relation.kind in {RelationKind.VIEW, RelationKind.MATERIALIZED}:
        view_body(walk, relation, scope)
    if children:
        for child in relation.children:
            inheriting = walk.snapshot.relation(child)
            within = replace(scope, via=behind(scope, f"parent {relation.qualified}"))
            if inheriting is not None and walk.enter(f"child {child} {within.via}"):
                read_relation(walk, inheriting, within, columns)


def reaches_out(walk: Walk, relation: Relation, scope: Scope) -> None:
    """A foreign table's rows are on its server, or in a file."""
    via = scope.via or (f"foreign server {relation.server}" if relation.server else "")
    walk.effect(Kind.SERVER_IO, relation.qualified, replace(scope, via=via))


def behind(scope: Scope, via: str) -> str:
    """What sets off a read behind a view or a parent: that alone, or the body in which it is read as well."""
    body = scope.via.partition(", ")[0]
    return f"{body}, {via}" if body and not body.startswith(("view ", "parent ")) else via


def view_body(walk: Walk, view: Relation, scope: Scope) -> None:
    """What a view reads. System views are reviewed by name and not opened."""
    via = behind(scope, f"view {view.qualified}")
    if view.schema in SYSTEM_SCHEMAS or not walk.enter(via):
        return
    own = walk.snapshot.own_by_name.get(view.qualified)
    within = replace(
        scope,
        path=own.path if own else None,
        every=False,
        temporary=walk.before.doubtful if own else frozenset(),
        ctes=frozenset(),
        via=via,
        printed=own is None,
        depth=scope.depth + 1,
    )
    parsed = grammar.kept(view.definition) if within.depth <= MAX_BODIES else ()
    if not isinstance(parsed, tuple) or len(parsed) != 1 or parsed[0].kind != "SelectStmt":
        reason = f"the definition of view `{view.qualified}` cannot be read"
        walk.unknown(reason, view.qualified, within, ObjectType.RELATION)
        return
    walk.visit(parsed[0].kind, parsed[0].tree, within)


def _sample(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    method = grammar.strings(node.get("method"))
    if method[-1:] and method[-1] not in _BUILT_IN_SAMPLING:
        walk.effect(Kind.EXECUTE, ".".join(method), scope, ObjectType.FUNCTION)
    walk.children("RangeTableSample", node, scope, without=frozenset({"method"}))


def _leaf(_walk: Walk, _node: dict[str, Any], _scope: Scope) -> None:
    """Constants, parameters and names without effect."""


HANDLERS: Mapping[str, Handler] = {
    "SelectStmt": _select,
    "RangeVar": _range_var,
    "RangeTableSample": _sample,
    "A_Const": _leaf,
    "ParamRef": _leaf,
    "Alias": _leaf,
    "A_Star": _leaf,
    "RoleSpec": _leaf,
    "String": _leaf,
}
