"""Every statement that the grammar has, and what it does. The table is complete: a test walks the grammar.

A row gives the kind of a statement whose objects are named in it and which does nothing else but what its
expressions call. Statements that need more than a row are in the modules beside this one; they have a row all
the same, so that nothing hangs on where a handler was registered. A statement without a row is `unknown`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firewall.sql import grammar
from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.names import Name, find_relations, of_range_var, of_strings

if TYPE_CHECKING:
    from collections.abc import Mapping

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
INSIDE_RELATION = grammar.words("OBJECT_COLUMN OBJECT_TABCONSTRAINT OBJECT_TRIGGER OBJECT_RULE OBJECT_POLICY")
RELATION_TYPES = INSIDE_RELATION | grammar.words(
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
STRUCTURE = frozenset(  # fields that name relations without reading them
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


def meanings(walk: Walk, name: Name, scope: Scope) -> tuple[str, ...]:
    """The full names of all relations that it can mean, and the name as written where that may not be all.

    What the session made need not be there, or not any more: then the name means the catalog's.
    """
    found = find_relations(name, scope, walk.snapshot)
    full = [relation.qualified for relation in found.relations]
    if found.temporary or not full:
        full.append(str(name))
    return tuple(dict.fromkeys(full))


def subject(walk: Walk, node: dict[str, Any], kind: str, scope: Scope) -> list[tuple[str, ObjectType]]:
    """What the statement is about: its objects' names and sort, or else the grammar's name for it."""
    for field in ("relation", "sequence", "view", "table", "typevar"):
        if field in node:
            return _relations(walk, of_range_var(node[field]), scope)
    if node.get("relations"):
        names = [of_range_var(item["RangeVar"]) for item in node["relations"] if "RangeVar" in item]
        return [each for name in names for each in _relations(walk, name, scope)]
    sort = str(
        node.get("removeType") or node.get("objtype") or node.get("objectType") or node.get("renameType", "")
    )
    objects = node.get("objects") or ([node["object"]] if "object" in node else [])
    if objects:
        return [each for item in objects for each in _object(walk, item, sort, scope)]
    for field, of in _NAMED:
        if field in node:
            value = node[field]
            return [(value if isinstance(value, str) else ".".join(grammar.strings(value)), of)]
    roles = [node[field] for field in ("role",) if field in node] + [
        item["RoleSpec"] for item in node.get("roles", ()) if "RoleSpec" in item
    ]
    if roles:
        return [(role if isinstance(role, str) else role_name(role), ObjectType.ROLE) for role in roles]
    return [(grammar.node_name(kind), ObjectType.STATEMENT)]


def role_name(role: dict[str, Any]) -> str:
    return str(role.get("rolename") or role.get("roletype", "").removeprefix("ROLESPEC_").lower())


def _relations(walk: Walk, name: Name, scope: Scope) -> list[tuple[str, ObjectType]]:
    return [(full, ObjectType.RELATION) for full in meanings(walk, name, scope)]


def _object(walk: Walk, item: dict[str, Any], sort: str, scope: Scope) -> list[tuple[str, ObjectType]]:
    if "RangeVar" in item:
        return _relations(walk, of_range_var(item["RangeVar"]), scope)
    of = _OBJECT_TYPES.get(sort, ObjectType.STATEMENT)
    if "ObjectWithArgs" in item:
        return [(".".join(grammar.strings(item["ObjectWithArgs"].get("objname"))), of)]
    if "TypeName" in item:
        return [(".".join(grammar.strings(item["TypeName"].get("names"))), of)]
    if "String" in item:
        return [(str(item["String"].get("sval", "")), of)]
    parts = grammar.strings(item)
    if sort in RELATION_TYPES:
        name = of_strings(parts[:-1] if sort in INSIDE_RELATION else parts)
        return _relations(walk, name, scope)
    return [(".".join(parts) or sort.removeprefix("OBJECT_").lower(), of)]


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
    walk.children(kind, node, scope, without=STRUCTURE)


def _part(kind: str) -> Handler:
    """A node that is called a statement and is only a part of one: what its expressions call."""
    return lambda walk, node, scope: walk.children(kind, node, scope)


def _by_row(kind: str) -> Handler:
    return lambda walk, node, scope: by_row(walk, kind, node, scope)


HANDLERS: Mapping[str, Handler] = {
    kind: _part(kind) if name in NEVER_ALONE else _by_row(kind)
    for kind, name in grammar.NODES.items()
    if name.endswith("_stmt")
}
