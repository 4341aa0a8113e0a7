"""Every statement that the grammar has, and what it does. The table is complete: a test walks the grammar.

A row gives the kind of a statement whose objects are named in it and which does nothing else but what its
expressions call. Statements that need more than a row are in `opened` and `sessions`; they have a row all the
same, so that nothing hangs on where a handler was registered. A statement without a row is `unknown`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firewall.catalog.snapshot import RelationKind
from firewall.sql import attached, grammar
from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.names import Name, find_relations, of_range_var, of_strings
from firewall.sql.queries import made, redefined, view_body
from firewall.sql.reviewed import SYSTEM_SCHEMAS
from firewall.sql.writes import written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.catalog.snapshot import Relation
    from firewall.sql.names import Scope
    from firewall.sql.walk import Handler, Walk

ROWS: Mapping[str, Kind] = {
    "select_stmt": Kind.READ,
    "insert_stmt": Kind.INSERT,
    "update_stmt": Kind.UPDATE,
    "delete_stmt": Kind.DELETE,
    "merge_stmt": Kind.UPDATE,
    "truncate_stmt": Kind.TRUNCATE,
    "copy_stmt": Kind.COPY_OUT,
    "call_stmt": Kind.EXECUTE,
    "do_stmt": Kind.CODE,
    "explain_stmt": Kind.READ,
    "declare_cursor_stmt": Kind.READ,
    "prepare_stmt": Kind.SESSION,
    "execute_stmt": Kind.UNKNOWN,
    # the session
    "transaction_stmt": Kind.TRANSACTION,
    "constraints_set_stmt": Kind.TRANSACTION,
    "variable_set_stmt": Kind.SETTING,
    "variable_show_stmt": Kind.SESSION,
    "deallocate_stmt": Kind.SESSION,
    "discard_stmt": Kind.SESSION,
    "close_portal_stmt": Kind.SESSION,
    "fetch_stmt": Kind.SESSION,
    "notify_stmt": Kind.NOTIFY,
    "listen_stmt": Kind.NOTIFY,
    "unlisten_stmt": Kind.SESSION,
    "lock_stmt": Kind.LOCK,
    # upkeep
    "vacuum_stmt": Kind.MAINTENANCE,
    "cluster_stmt": Kind.MAINTENANCE,
    "reindex_stmt": Kind.MAINTENANCE,
    "check_point_stmt": Kind.MAINTENANCE,
    "refresh_mat_view_stmt": Kind.MAINTENANCE,
    # relations and their like
    "create_stmt": Kind.CREATE,
    "create_table_as_stmt": Kind.CREATE,
    "view_stmt": Kind.CREATE,
    "index_stmt": Kind.CREATE,
    "create_seq_stmt": Kind.CREATE,
    "create_schema_stmt": Kind.CREATE,
    "create_stats_stmt": Kind.CREATE,
    "create_enum_stmt": Kind.CREATE,
    "create_range_stmt": Kind.CODE,
    "create_domain_stmt": Kind.CREATE,
    "composite_type_stmt": Kind.CREATE,
    "createdb_stmt": Kind.CREATE,
    "alter_table_stmt": Kind.ALTER,
    "alter_seq_stmt": Kind.ALTER,
    "alter_domain_stmt": Kind.ALTER,
    "alter_enum_stmt": Kind.ALTER,
    "alter_type_stmt": Kind.CODE,
    "alter_collation_stmt": Kind.ALTER,
    "alter_stats_stmt": Kind.ALTER,
    "alter_tsdictionary_stmt": Kind.ALTER,
    "alter_tsconfiguration_stmt": Kind.ALTER,
    "alter_database_stmt": Kind.ALTER,
    "alter_database_set_stmt": Kind.ALTER,
    "alter_database_refresh_coll_stmt": Kind.ALTER,
    "alter_object_depends_stmt": Kind.ALTER,
    "alter_object_schema_stmt": Kind.ALTER,
    "rename_stmt": Kind.ALTER,
    "comment_stmt": Kind.ALTER,
    "drop_stmt": Kind.DROP,
    "dropdb_stmt": Kind.DROP,
    "drop_owned_stmt": Kind.DROP,
    # who may do what
    "grant_stmt": Kind.PRIVILEGE,
    "alter_default_privileges_stmt": Kind.PRIVILEGE,
    "alter_owner_stmt": Kind.PRIVILEGE,
    "reassign_owned_stmt": Kind.PRIVILEGE,
    "sec_label_stmt": Kind.PRIVILEGE,
    "create_policy_stmt": Kind.PRIVILEGE,
    "alter_policy_stmt": Kind.PRIVILEGE,
    "grant_role_stmt": Kind.ROLE,
    "create_role_stmt": Kind.ROLE,
    "alter_role_stmt": Kind.ROLE,
    "alter_role_set_stmt": Kind.ROLE,
    "drop_role_stmt": Kind.ROLE,
    # what leaves code behind
    "create_function_stmt": Kind.CODE,
    "alter_function_stmt": Kind.CODE,
    "create_trig_stmt": Kind.CODE,
    "create_event_trig_stmt": Kind.CODE,
    "alter_event_trig_stmt": Kind.CODE,
    "rule_stmt": Kind.CODE,
    "create_extension_stmt": Kind.CODE,
    "alter_extension_stmt": Kind.CODE,
    "alter_extension_contents_stmt": Kind.CODE,
    "create_plang_stmt": Kind.CODE,
    "create_am_stmt": Kind.CODE,
    "define_stmt": Kind.CODE,
    "create_op_class_stmt": Kind.CODE,
    "create_op_family_stmt": Kind.CODE,
    "alter_op_family_stmt": Kind.CODE,
    "alter_operator_stmt": Kind.CODE,
    "create_cast_stmt": Kind.CODE,
    "create_conversion_stmt": Kind.CODE,
    "create_transform_stmt": Kind.CODE,
    "load_stmt": Kind.CODE,
    # the server and others
    "alter_system_stmt": Kind.SERVER_IO,
    "create_table_space_stmt": Kind.SERVER_IO,
    "drop_table_space_stmt": Kind.SERVER_IO,
    "alter_table_space_options_stmt": Kind.SERVER_IO,
    "alter_table_move_all_stmt": Kind.SERVER_IO,
    "create_fdw_stmt": Kind.SERVER_IO,
    "alter_fdw_stmt": Kind.SERVER_IO,
    "create_foreign_server_stmt": Kind.SERVER_IO,
    "alter_foreign_server_stmt": Kind.SERVER_IO,
    "create_foreign_table_stmt": Kind.SERVER_IO,
    "create_user_mapping_stmt": Kind.SERVER_IO,
    "alter_user_mapping_stmt": Kind.SERVER_IO,
    "drop_user_mapping_stmt": Kind.SERVER_IO,
    "import_foreign_schema_stmt": Kind.SERVER_IO,
    "create_publication_stmt": Kind.SERVER_IO,
    "alter_publication_stmt": Kind.SERVER_IO,
    "create_subscription_stmt": Kind.SERVER_IO,
    "alter_subscription_stmt": Kind.SERVER_IO,
    "drop_subscription_stmt": Kind.SERVER_IO,
}

# Nodes that end in `stmt` in the grammar but are never a statement of a text.
NEVER_ALONE = frozenset(
    {"raw_stmt", "set_operation_stmt", "return_stmt", "plassign_stmt", "replica_identity_stmt"}
)

_OBJECT_TYPES: Mapping[str, ObjectType] = {
    "OBJECT_FUNCTION": ObjectType.FUNCTION,
    "OBJECT_PROCEDURE": ObjectType.FUNCTION,
    "OBJECT_ROUTINE": ObjectType.FUNCTION,
    "OBJECT_AGGREGATE": ObjectType.FUNCTION,
    "OBJECT_ROLE": ObjectType.ROLE,
    "OBJECT_SCHEMA": ObjectType.SCHEMA,
    "OBJECT_DATABASE": ObjectType.DATABASE,
    "OBJECT_TYPE": ObjectType.TYPE,
    "OBJECT_DOMAIN": ObjectType.TYPE,
    "OBJECT_EXTENSION": ObjectType.EXTENSION,
}
_INSIDE_RELATION = grammar.words(
    "OBJECT_COLUMN OBJECT_TABCONSTRAINT OBJECT_TRIGGER OBJECT_RULE OBJECT_POLICY"
)
_RELATION_TYPES = _INSIDE_RELATION | grammar.words(
    "OBJECT_TABLE OBJECT_VIEW OBJECT_MATVIEW OBJECT_SEQUENCE OBJECT_FOREIGN_TABLE OBJECT_INDEX"
)

# Where a statement that is no query keeps its object's name, and what sort of object that is.
_NAMED: tuple[tuple[str, ObjectType], ...] = (
    ("funcname", ObjectType.FUNCTION),
    ("typeName", ObjectType.TYPE),
    ("domainname", ObjectType.TYPE),
    ("extname", ObjectType.EXTENSION),
    ("dbname", ObjectType.DATABASE),
    ("schemaname", ObjectType.SCHEMA),
    ("conditionname", ObjectType.CHANNEL),
)
_STRUCTURE = frozenset(  # fields that name relations without reading them
    {
        "relation",
        "relations",
        "sequence",
        "view",
        "rel",
        "table",
        "inhRelations",
        "objects",
        "object",
        "constrrel",
    }
)


def resolved(walk: Walk, name: Name, scope: Scope) -> str:
    """The relation's full name where the catalog knows it, as written where not."""
    found = find_relations(name, scope, walk.snapshot).relations
    return found[0].qualified if found else str(name)


def subject(walk: Walk, node: dict[str, Any], kind: str, scope: Scope) -> list[tuple[str, ObjectType]]:
    """What the statement is about: its objects' names and sort, or else the grammar's name for it."""
    for field in ("relation", "sequence", "view", "table", "typevar"):
        if field in node:
            return [(resolved(walk, of_range_var(node[field]), scope), ObjectType.RELATION)]
    if node.get("relations"):
        names = [of_range_var(item["RangeVar"]) for item in node["relations"] if "RangeVar" in item]
        return [(resolved(walk, name, scope), ObjectType.RELATION) for name in names]
    sort = str(
        node.get("removeType") or node.get("objtype") or node.get("objectType") or node.get("renameType", "")
    )
    objects = node.get("objects") or ([node["object"]] if "object" in node else [])
    if objects:
        return [_object(walk, item, sort, scope) for item in objects]
    for field, of in _NAMED:
        if field in node:
            value = node[field]
            return [(value if isinstance(value, str) else ".".join(grammar.strings(value)), of)]
    roles = [node[field] for field in ("role",) if field in node] + [
        item["RoleSpec"] for item in node.get("roles", ()) if "RoleSpec" in item
    ]
    if roles:
        return [(role if isinstance(role, str) else _role(role), ObjectType.ROLE) for role in roles]
    return [(grammar.node_name(kind), ObjectType.STATEMENT)]


def _role(role: dict[str, Any]) -> str:
    return str(role.get("rolename") or role.get("roletype", "").removeprefix("ROLESPEC_").lower())


def _object(walk: Walk, item: dict[str, Any], sort: str, scope: Scope) -> tuple[str, ObjectType]:
    if "RangeVar" in item:
        return resolved(walk, of_range_var(item["RangeVar"]), scope), ObjectType.RELATION
    of = _OBJECT_TYPES.get(sort, ObjectType.STATEMENT)
    if "ObjectWithArgs" in item:
        return ".".join(grammar.strings(item["ObjectWithArgs"].get("objname"))), of
    if "TypeName" in item:
        return ".".join(grammar.strings(item["TypeName"].get("names"))), of
    if "String" in item:
        return str(item["String"].get("sval", "")), of
    parts = grammar.strings(item)
    if sort in _RELATION_TYPES:
        name = of_strings(parts[:-1] if sort in _INSIDE_RELATION else parts)
        return resolved(walk, name, scope), ObjectType.RELATION
    return ".".join(parts) or sort.removeprefix("OBJECT_").lower(), of


def by_row(walk: Walk, kind: str, node: dict[str, Any], scope: Scope) -> None:
    """A statement that does to its objects what its row says, and calls what its expressions call."""
    row = ROWS.get(grammar.node_name(kind))
    if row is None:
        walk.unknown(f"`{grammar.node_name(kind)}` has no row in the table of statements", "statement", scope)
        return
    for name, of in subject(walk, node, kind, scope):
        walk.effect(row, name, scope, of)
    if row is Kind.CODE:
        walk.lose_names()
    walk.children(kind, node, scope, without=_STRUCTURE)


def _create(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    made(walk, node["relation"], scope)
    for parent in node.get("inhRelations", ()):
        walk.effect(Kind.ALTER, resolved(walk, of_range_var(parent["RangeVar"]), scope), scope)
    walk.children("CreateStmt", node, scope, without=_STRUCTURE)


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
        redefined(walk, Name(name.schema, node.get("newname", name.name)))
        redefined(walk, Name(node.get("newschema", name.schema), name.name))
    else:
        walk.lose_names()


def _drop(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    by_row(walk, "DropStmt", node, scope)
    if node.get("removeType") in _RELATION_TYPES - _INSIDE_RELATION:
        for item in node.get("objects", ()):
            redefined(walk, of_strings(grammar.strings(item)))
    elif node.get("removeType") in {"OBJECT_SCHEMA", "OBJECT_EXTENSION"}:
        walk.lose_names()


def _alter_table(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    name = of_range_var(node["relation"])
    qualified = resolved(walk, name, scope)
    for item in node.get("cmds", ()):
        command = item["AlterTableCmd"]
        match command.get("subtype", ""):
            case "AT_DropColumn":
                walk.effect(Kind.DROP, qualified, scope, columns=(command.get("name", "*"),))
            case "AT_ChangeOwner" | "AT_EnableRowSecurity" | "AT_DisableRowSecurity" | "AT_ForceRowSecurity":
                walk.effect(Kind.PRIVILEGE, qualified, scope)
            case "AT_NoForceRowSecurity":
                walk.effect(Kind.PRIVILEGE, qualified, scope)
            case "AT_GenericOptions" | "AT_AlterColumnGenericOptions" | "AT_SetTableSpace":
                walk.effect(Kind.SERVER_IO, qualified, scope)
            case "AT_AttachPartition" | "AT_DetachPartition" | "AT_DetachPartitionFinalize" | "AT_AddInherit":
                _other(walk, command, scope)
            case "AT_DropInherit":
                _other(walk, command, scope)
            case _:
                pass
    walk.effect(Kind.ALTER, qualified, scope)
    for relation in find_relations(name, scope, walk.snapshot).relations:
        attached.rebuild(walk, relation, scope)
    redefined(walk, name)
    walk.children("AlterTableStmt", node, scope, without=_STRUCTURE)


def _other(walk: Walk, command: dict[str, Any], scope: Scope) -> None:
    """The second relation of an ALTER TABLE that ties two together."""
    definition = command.get("def", {})
    other = definition.get("RangeVar") or definition.get("PartitionCmd", {}).get("name")
    if other:
        walk.effect(Kind.ALTER, resolved(walk, of_range_var(other), scope), scope)
        redefined(walk, of_range_var(other))


def _view(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    made(walk, node["view"], scope)
    walk.value(node.get("query"), scope)


def _create_function(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    by_row(walk, "CreateFunctionStmt", {"funcname": node.get("funcname")}, scope)
    redefined(walk, Name("", f"{of_strings(grammar.strings(node.get('funcname'))).name}()"))
    for item in node.get("parameters", ()):
        walk.value(item.get("FunctionParameter", {}).get("defexpr"), scope)


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
            walk.effect(Kind.MAINTENANCE, resolved(walk, of_range_var(name), scope), scope)
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


def _schema(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    role = node.get("authrole")
    walk.effect(Kind.CREATE, node.get("schemaname") or _role(role or {}), scope, ObjectType.SCHEMA)
    if role:
        walk.effect(Kind.PRIVILEGE, node.get("schemaname") or _role(role), scope, ObjectType.SCHEMA)
    walk.values(node.get("schemaElts"), scope)
    if scope.path is not None:
        walk.lose_names()  # a schema of the role's own name may now be the first in the path


def _grant(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    for name, of in subject(walk, node, "GrantStmt", scope):
        walk.effect(Kind.PRIVILEGE, name, scope, of)


def _grant_role(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    for item in node.get("granted_roles", ()):
        granted = item.get("AccessPriv", {}).get("priv_name") or _role(item.get("RoleSpec", {}))
        walk.effect(Kind.ROLE, granted, scope, ObjectType.ROLE)


def _part(kind: str) -> Handler:
    """A node that is called a statement and is only a part of one: what its expressions call."""
    return lambda walk, node, scope: walk.children(kind, node, scope)


HANDLERS: Mapping[str, Handler] = {
    **{kind: _part(kind) for kind, name in grammar.NODES.items() if name in NEVER_ALONE},
    "CreateStmt": _create,
    "CreateForeignTableStmt": _foreign_table,
    "RenameStmt": _renamed,
    "AlterObjectSchemaStmt": _renamed,
    "DropStmt": _drop,
    "AlterTableStmt": _alter_table,
    "ViewStmt": _view,
    "CreateFunctionStmt": _create_function,
    "TruncateStmt": _truncate,
    "LockStmt": _lock,
    "VacuumStmt": _vacuum,
    "RefreshMatViewStmt": _refresh,
    "ReindexStmt": _rebuild("ReindexStmt"),
    "ClusterStmt": _rebuild("ClusterStmt"),
    "CreateSchemaStmt": _schema,
    "GrantStmt": _grant,
    "GrantRoleStmt": _grant_role,
}
