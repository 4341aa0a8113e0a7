"""Statements that define: CREATE, ALTER, DROP and their kin, and what they do to names; who may do what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from firewall.sql import attached, grammar
from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.names import Name, find_relations, is_temporary_schema, of_range_var, of_strings
from firewall.sql.queries import made, redefined
from firewall.sql.rows import INSIDE_RELATION, RELATION_TYPES, STRUCTURE, by_row, meanings, role_name, subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.sql.names import Scope
    from firewall.sql.walk import Handler, Walk


_OF_RIGHTS = grammar.words(
    "AT_ChangeOwner AT_EnableRowSecurity AT_DisableRowSecurity AT_ForceRowSecurity AT_NoForceRowSecurity"
)
_TYING = grammar.words(
    "AT_AttachPartition AT_DetachPartition AT_DetachPartitionFinalize AT_AddInherit AT_DropInherit"
)


def _create(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    made(walk, node["relation"], scope)
    for parent in node.get("inhRelations", ()):
        for full in meanings(walk, of_range_var(parent["RangeVar"]), scope):
            walk.effect(Kind.ALTER, full, scope)
    walk.children("CreateStmt", node, scope, without=STRUCTURE)


def _foreign_table(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    base = node.get("base", {})
    name = str(of_range_var(base.get("relation", {})))
    walk.effect(Kind.CREATE, name, scope)
    walk.effect(Kind.SERVER_IO, name, scope)


def _renamed(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    """Renaming and moving: the names before and after no longer mean what the catalog says."""
    kind = "RenameStmt" if "newname" in node else "AlterObjectSchemaStmt"
    by_row(walk, kind, node, scope)
    if "relation" in node:
        name = of_range_var(node["relation"])
        redefined(walk, name)
        for new in (
            Name(name.schema, node.get("newname", name.name)),
            Name(node.get("newschema", name.schema), name.name),
        ):
            redefined(walk, new)
            if name.name in walk.after.temporary:
                walk.after = replace(walk.after, temporary=walk.after.temporary | {new.name})
    else:
        walk.lose_names()


def _drop(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    if walk.alone and node.get("missing_ok") and node.get("removeType") in RELATION_TYPES - INSIDE_RELATION:
        node = _without_missing(walk, node, scope)
    if not node["objects"]:
        walk.effect(Kind.SESSION, "drop_stmt", scope, ObjectType.STATEMENT)
        return
    by_row(walk, "DropStmt", node, scope)
    if node.get("removeType") in RELATION_TYPES - INSIDE_RELATION:
        for item in node.get("objects", ()):
            redefined(walk, of_strings(grammar.strings(item)))
    elif node.get("removeType") in {"OBJECT_SCHEMA", "OBJECT_EXTENSION"}:
        walk.lose_names()


def _without_missing(walk: Walk, node: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """DROP … IF EXISTS without what is not there: of that it says so, and does nothing.

    They are missing all the same, so that the catalog is read anew before a verdict counts that rests on it.
    """
    there: list[Any] = []
    for item in node["objects"]:
        name = of_strings(grammar.strings(item))
        found = find_relations(name, scope, walk.snapshot)
        if found.temporary or found.relations:
            there.append(item)
        else:
            walk.missing[str(name)] = None
    return {**node, "objects": there}


def _alter_table(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    name = of_range_var(node["relation"])
    commands = [item["AlterTableCmd"] for item in node.get("cmds", ())]
    for full in meanings(walk, name, scope):
        for command in commands:
            match command.get("subtype", ""):
                case "AT_DropColumn":
                    walk.effect(Kind.DROP, full, scope, columns=(command.get("name", "*"),))
                case sort if sort in _OF_RIGHTS:
                    walk.effect(Kind.PRIVILEGE, full, scope)
                case "AT_GenericOptions" | "AT_AlterColumnGenericOptions" | "AT_SetTableSpace":
                    walk.effect(Kind.SERVER_IO, full, scope)
                case _:
                    pass
        walk.effect(Kind.ALTER, full, scope)
    for command in commands:
        if command.get("subtype") in _TYING:
            _other(walk, command, scope)
    for relation in find_relations(name, scope, walk.snapshot).relations:
        attached.rebuild(walk, relation, scope)
    redefined(walk, name)
    walk.children("AlterTableStmt", node, scope, without=STRUCTURE)


def _other(walk: Walk, command: dict[str, Any], scope: Scope) -> None:
    """The second relation of an ALTER TABLE that ties two together."""
    definition = command.get("def", {})
    other = definition.get("RangeVar") or definition.get("PartitionCmd", {}).get("name")
    if other:
        for full in meanings(walk, of_range_var(other), scope):
            walk.effect(Kind.ALTER, full, scope)
        redefined(walk, of_range_var(other))


def _view(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    made(walk, node["view"], scope)
    # a view of temporary relations is temporary by itself
    walk.after = replace(walk.after, temporary=walk.after.temporary | {node["view"].get("relname", "")})
    walk.value(node.get("query"), scope)


def _sequence(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    made(walk, node["sequence"], scope)
    walk.children("CreateSeqStmt", node, scope, without=STRUCTURE)


def _type(kind: str) -> Handler:
    """A new type may be one that the session alone sees, and stand before another of its name."""

    def handler(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
        by_row(walk, kind, node, scope)
        parts = grammar.strings(node.get("domainname") or node.get("typeName"))
        name = of_range_var(node["typevar"]) if "typevar" in node else of_strings(parts)
        doubtful = frozenset({f"type {name.name}"})
        if is_temporary_schema(name.schema):
            walk.after = replace(walk.after, temporary=walk.after.temporary | doubtful)
        walk.after = replace(walk.after, altered=walk.after.altered | doubtful)

    return handler


def _create_function(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    by_row(walk, "CreateFunctionStmt", {"funcname": node.get("funcname")}, scope)
    redefined(walk, Name("", f"{of_strings(grammar.strings(node.get('funcname'))).name}()"))
    for item in node.get("parameters", ()):
        walk.value(item.get("FunctionParameter", {}).get("defexpr"), scope)


def _schema(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    role = node.get("authrole")
    walk.effect(Kind.CREATE, node.get("schemaname") or role_name(role or {}), scope, ObjectType.SCHEMA)
    if role:
        walk.effect(Kind.PRIVILEGE, node.get("schemaname") or role_name(role), scope, ObjectType.SCHEMA)
    walk.values(node.get("schemaElts"), scope)
    if scope.path is not None:
        walk.lose_names()  # a schema of the role's own name may now be the first in the path


def _grant(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    for name, of in subject(walk, node, "GrantStmt", scope):
        walk.effect(Kind.PRIVILEGE, name, scope, of)


def _grant_role(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    for item in node.get("granted_roles", ()):
        granted = item.get("AccessPriv", {}).get("priv_name") or role_name(item.get("RoleSpec", {}))
        walk.effect(Kind.ROLE, granted, scope, ObjectType.ROLE)


_TYPES = ("CreateDomainStmt", "CreateEnumStmt", "CreateRangeStmt", "CompositeTypeStmt")

HANDLERS: Mapping[str, Handler] = {
    "CreateStmt": _create,
    "CreateForeignTableStmt": _foreign_table,
    "RenameStmt": _renamed,
    "AlterObjectSchemaStmt": _renamed,
    "DropStmt": _drop,
    "AlterTableStmt": _alter_table,
    "ViewStmt": _view,
    "CreateSeqStmt": _sequence,
    **{kind: _type(kind) for kind in _TYPES},
    "CreateFunctionStmt": _create_function,
    "CreateSchemaStmt": _schema,
    "GrantStmt": _grant,
    "GrantRoleStmt": _grant_role,
}
