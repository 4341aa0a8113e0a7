"""Writes: INSERT, UPDATE, DELETE, MERGE, and what they set off: triggers, rules, cascades, defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from firewall.catalog.snapshot import RelationKind
from firewall.sql import attached, grammar
from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.names import Scope, of_range_var
from firewall.sql.queries import behind, reaches_out, view_body, with_clause
from firewall.sql.reviewed import SYSTEM_SCHEMAS
from firewall.sql.walk import MAX_BODIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.catalog.snapshot import Relation
    from firewall.sql.walk import Handler, Walk

_EVENTS = {
    Kind.INSERT: "insert",
    Kind.COPY_IN: "insert",
    Kind.UPDATE: "update",
    Kind.DELETE: "delete",
    Kind.TRUNCATE: "truncate",
}
_CHANGING = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})


def written(
    walk: Walk,
    target: dict[str, Any],
    kind: Kind,
    scope: Scope,
    columns: tuple[str, ...] = (),
    *,
    unfiltered: bool = False,
) -> tuple[Relation, ...]:
    """The statement's target is written, with everything that this sets off. A WITH name is never meant."""
    relations = walk.relations(of_range_var(target), scope)
    for relation in relations:
        write(walk, relation, kind, scope, columns, unfiltered=unfiltered, children=bool(target.get("inh")))
    return relations


def write(
    walk: Walk,
    relation: Relation,
    kind: Kind,
    scope: Scope,
    columns: tuple[str, ...] = (),
    *,
    unfiltered: bool = False,
    children: bool = True,
) -> None:
    """One relation is written; each relation, kind and cause is followed once."""
    walk.effect(kind, relation.qualified, scope, columns=columns, unfiltered=unfiltered)
    if not walk.enter(f"{kind} {relation.qualified} {scope.via}") or scope.depth > MAX_BODIES:
        return
    if relation.schema in SYSTEM_SCHEMAS:
        # writing the catalog goes around every statement made for the purpose
        walk.effect(Kind.PRIVILEGE, relation.qualified, scope)
        if relation.name == "pg_settings":
            walk.effect(Kind.SETTING, "unknown", scope, ObjectType.SETTING)
            walk.lose_names()
            walk.after = replace(walk.after, lexing_safe=False)
    if relation.kind is RelationKind.FOREIGN:
        reaches_out(walk, relation, scope)
    if relation.kind is RelationKind.VIEW:
        _through_view(walk, relation, kind, scope)
    _set_off(walk, relation, kind, scope)
    if children:
        within = replace(scope, via=f"parent {relation.qualified}", depth=scope.depth + 1)
        for name in relation.children:
            child = walk.snapshot.relation(name)
            if child is not None:
                write(walk, child, kind, within, columns, unfiltered=unfiltered)


def _through_view(walk: Walk, view: Relation, kind: Kind, scope: Scope) -> None:
    """A view without INSTEAD OF is written through to what it is made of: any of it, at worst."""
    parsed = grammar.kept(view.definition)
    view_body(walk, view, scope)
    if not isinstance(parsed, tuple) or len(parsed) != 1 or parsed[0].kind != "SelectStmt":
        return
    within = Scope(
        path=None, via=behind(scope, f"view {view.qualified}"), depth=scope.depth + 1, printed=True
    )
    for item in parsed[0].tree.get("fromClause", ()):
        if "RangeVar" in item:
            for base in walk.relations(of_range_var(item["RangeVar"]), within):
                write(walk, base, kind, within, ("*",) if kind is Kind.UPDATE else ())


def _set_off(walk: Walk, relation: Relation, kind: Kind, scope: Scope) -> None:
    event = _EVENTS[kind]
    for trigger in relation.triggers:
        if event in trigger.events:
            attached.trigger(walk, relation, trigger, scope)
    for rule in relation.rules:
        if event in rule.events:
            _rule(walk, rule.definition, f"rule {rule.name} on {relation.qualified}", scope)
    attached.on_write(walk, relation, kind, scope)
    if kind not in {Kind.UPDATE, Kind.DELETE}:
        return
    for key in relation.referenced_by:
        action = key.on_delete if kind is Kind.DELETE else key.on_update
        child = walk.snapshot.relation(key.child)
        if action not in _CHANGING:
            continue
        within = replace(scope, via=f"foreign key of {key.child}", depth=scope.depth + 1)
        if child is None:
            walk.unknown(f"`{key.child}` is not in the catalog", key.child, within, ObjectType.RELATION)
        elif kind is Kind.DELETE and action == "CASCADE":
            write(walk, child, Kind.DELETE, within)
        else:
            write(walk, child, Kind.UPDATE, within, key.columns)


def _rule(walk: Walk, definition: str, via: str, scope: Scope) -> None:
    # old and new are the rows of the relation itself
    rows = frozenset({"old", "new"})
    within = Scope(path=None, ctes=rows, via=via, depth=scope.depth + 1, printed=True)
    parsed = grammar.kept(definition)
    if not isinstance(parsed, tuple) or len(parsed) != 1 or parsed[0].kind != "RuleStmt":
        walk.unknown(f"the {via} cannot be read", via, within)
        return
    tree = parsed[0].tree
    walk.value(tree.get("whereClause"), within)
    walk.values(tree.get("actions"), within)


def _columns(items: Any) -> tuple[str, ...]:
    return tuple(sorted({item["ResTarget"].get("name", "*") for item in items or ()}))


def everything(condition: dict[str, Any] | None) -> bool:
    """Whether a WHERE plainly leaves every row in: none, a constant, a column equal to itself."""
    if condition is None:
        return True
    ((kind, node),) = condition.items()
    match kind:
        case "A_Const" | "TypeCast":
            return kind == "A_Const" or everything(node.get("arg"))
        case "BoolExpr":
            arms = [everything(arm) for arm in node.get("args", ())]
            return any(arms) if node.get("boolop") == "OR_EXPR" else all(arms)
        case "A_Expr":
            left, right = node.get("lexpr"), node.get("rexpr")
            if isinstance(left, dict) and isinstance(right, dict):
                return grammar.bare(left) == grammar.bare(right) or (everything(left) and everything(right))
            return False
        case _:
            return False


def _returning(walk: Walk, node: dict[str, Any], relations: tuple[Relation, ...], scope: Scope) -> None:
    clause = node.get("returningClause")
    if clause:
        for relation in relations:
            walk.read(relation, scope)
        walk.children("ReturningClause", clause, scope)


def _look_at(walk: Walk, relations: tuple[Relation, ...], node: dict[str, Any], scope: Scope) -> None:
    """The target's own columns where the statement looks at them: copied by SET, tested by all the rest."""
    target = node["relation"]
    rows = {target.get("relname"), target.get("alias", {}).get("aliasname")}
    for field, value in node.items():
        if field in {"relation", "withClause", "returningClause"}:
            continue
        names: set[str] = set()
        _column_names(value, names, rows)
        for relation in relations if names else ():
            own = {column.name for column in relation.columns}
            looked_at = names & own if own and "*" not in names else {"*"}
            walk.read(relation, scope, ())
            reads = walk.reads[relation.qualified, scope.via]
            (reads.columns if field == "targetList" else reads.tested).update(looked_at)


def _column_names(node: Any, names: set[str], rows: set[Any]) -> None:
    """Every column named in the node; `*` for a star and for a whole row."""
    if isinstance(node, list):
        for item in node:
            _column_names(item, names, rows)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "ColumnRef":
                parts = grammar.strings(value.get("fields"))
                names.update(part or "*" for part in parts)
                if len(parts) == 1 and parts[0] in rows:
                    names.add("*")
            elif isinstance(value, (dict, list)):
                _column_names(value, names, rows)


def _insert(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    scope = with_clause(walk, node, scope)
    columns = _columns(node.get("cols")) or ("*",)
    relations = written(walk, node["relation"], Kind.INSERT, scope, columns)
    conflict = node.get("onConflictClause", {})
    if conflict.get("action") == "ONCONFLICT_UPDATE":
        changed = _columns(conflict.get("targetList"))
        written(walk, node["relation"], Kind.UPDATE, scope, changed)
        for relation in relations:
            walk.read(relation, scope, ())
            walk.reads[relation.qualified, scope.via].tested.add("*")
    walk.value(node.get("selectStmt"), scope)
    walk.values(node.get("cols"), scope)
    if conflict:
        walk.children("OnConflictClause", conflict, scope)
    _returning(walk, node, relations, scope)


def _update(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    scope = with_clause(walk, node, scope)
    columns = _columns(node.get("targetList"))
    unfiltered = everything(node.get("whereClause"))
    relations = written(walk, node["relation"], Kind.UPDATE, scope, columns, unfiltered=unfiltered)
    _look_at(walk, relations, node, scope)
    skip = frozenset({"relation", "withClause", "returningClause"})
    walk.children("UpdateStmt", node, scope, without=skip)
    _returning(walk, node, relations, scope)


def _delete(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    scope = with_clause(walk, node, scope)
    unfiltered = everything(node.get("whereClause"))
    relations = written(walk, node["relation"], Kind.DELETE, scope, unfiltered=unfiltered)
    _look_at(walk, relations, node, scope)
    skip = frozenset({"relation", "withClause", "returningClause"})
    walk.children("DeleteStmt", node, scope, without=skip)
    _returning(walk, node, relations, scope)


def _merge(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    scope = with_clause(walk, node, scope)
    relations: tuple[Relation, ...] = ()
    for item in node.get("mergeWhenClauses", ()):
        clause = item["MergeWhenClause"]
        columns = _columns(clause.get("targetList"))
        every = everything(node.get("joinCondition")) and everything(clause.get("condition"))
        match clause.get("commandType"):
            case "CMD_INSERT":
                relations = written(walk, node["relation"], Kind.INSERT, scope, columns or ("*",))
            case "CMD_UPDATE":
                relations = written(walk, node["relation"], Kind.UPDATE, scope, columns, unfiltered=every)
            case "CMD_DELETE":
                relations = written(walk, node["relation"], Kind.DELETE, scope, unfiltered=every)
            case "CMD_NOTHING":
                relations = walk.relations(of_range_var(node["relation"]), scope)
            case _:
                walk.unknown("a branch of MERGE is not understood", "merge_stmt", scope)
    for relation in relations:
        walk.read(relation, scope, ())
        walk.reads[relation.qualified, scope.via].tested.add("*")
    skip = frozenset({"relation", "withClause", "returningClause"})
    walk.children("MergeStmt", node, scope, without=skip)
    _returning(walk, node, relations, scope)


HANDLERS: Mapping[str, Handler] = {
    "InsertStmt": _insert,
    "UpdateStmt": _update,
    "DeleteStmt": _delete,
    "MergeStmt": _merge,
}
