"""What a session makes that the catalog does not show yet: temporary relations, and its transaction's own.

Handlers take every name that a statement defines to be in doubt. `followed` clears the doubt where the
statement was understood whole: the relation is then known from the statement itself, or from its lineage. It
may all the same not be there (the statement failed, or was rolled back), so that whatever else the name can
mean counts as well; and where its columns may be others, it is not `whole`, and no lineage is asked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from firewall.catalog.snapshot import Column, Own, Relation, RelationKind
from firewall.sql import grammar
from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.names import TEMPORARY, Name, find_relations, is_temporary_schema, of_range_var, of_strings
from firewall.sql.opened import inner
from firewall.sql.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firewall.catalog.snapshot import Snapshot
    from firewall.sql.analysis import Effect
    from firewall.sql.grammar import Parsed
    from firewall.sql.lineage import Lineage
    from firewall.sql.names import Scope

MAX_OWN = 64  # relations of one session; what it makes beyond them is in doubt
_KEPT = 8  # snapshots as sessions see them, for statements that come one after the other

_DEFINING = frozenset({Kind.CREATE, Kind.ALTER, Kind.DROP})
_UNFOLLOWED = frozenset({Kind.CODE, Kind.EXECUTE, Kind.ROLE, Kind.UNKNOWN, Kind.SERVER_IO, Kind.PRIVILEGE})
_CREATING = frozenset({"CreateTableAsStmt", "SelectStmt", "CreateStmt", "ViewStmt", "CreateSeqStmt"})
_DROPPED = frozenset({"OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_SEQUENCE", "OBJECT_INDEX"})
_SEQUENCE: Final = ("last_value", "log_cnt", "is_called")
# ALTER TABLE that leaves the columns as they are, once what it computes is harmless
_SAME_COLUMNS = frozenset(
    {"AT_AddConstraint", "AT_SetNotNull", "AT_DropNotNull", "AT_ColumnDefault", "AT_ValidateConstraint"}
)
# CREATE TABLE that takes its columns from elsewhere, or takes part in another table
_ELSEWHERE = frozenset({"inhRelations", "partspec", "partbound", "ofTypename"})
_TYPES: Final = {"varchar": "character varying", "bpchar": "character", "char": '"char"'}

_seen: list[tuple[Snapshot, tuple[Own, ...], Snapshot]] = []


def seen(snapshot: Snapshot, own: tuple[Own, ...]) -> Snapshot:
    """The catalog as the session sees it."""
    if not own:
        return snapshot
    for base, of, found in _seen:
        if base is snapshot and of == own:
            return found
    made = snapshot.with_own(own)
    _seen.append((snapshot, own, made))
    del _seen[:-_KEPT]
    return made


def followed(
    walk: Walk, statement: Parsed, effects: tuple[Effect, ...], traced: Lineage | None, scope: Scope
) -> bool:
    """Whether what the statement does to names is known from here on; then `walk.after` says it."""
    before = walk.before
    untouched = replace(walk.after, temporary=before.temporary, altered=before.altered) == before
    if walk.opaque or not untouched or any(not _plain(effect) for effect in effects):
        return False
    made = _made(walk, statement, traced, scope)
    if made is None or (statement.kind in _CREATING and any(_is_there(walk.snapshot, new) for new in made)):
        return False
    own = _merged(before.own, made)
    if own is None or len(own) > MAX_OWN:
        return False
    walk.after = replace(before, own=own)
    return True


def _is_there(snapshot: Snapshot, new: Own) -> bool:
    """IF NOT EXISTS leaves what is there as it is."""
    return (snapshot.beneath or snapshot).relation(new.relation.qualified) is not None


def _plain(effect: Effect) -> bool:
    if effect.kind in _DEFINING:
        return effect.type is ObjectType.RELATION and not effect.via
    return effect.kind not in _UNFOLLOWED


def _merged(own: tuple[Own, ...], made: Iterable[Own]) -> tuple[Own, ...] | None:
    """With what is made now; a name that has been another table before may be either."""
    found = {each.relation.qualified: each for each in own}
    for new in made:
        known = found.get(new.relation.qualified)
        if known is not None and known != new:
            if {known.relation.kind, new.relation.kind} != {RelationKind.TABLE}:
                return None
            columns = {column.name: column for column in (*known.relation.columns, *new.relation.columns)}
            either = (known.whole and new.whole and tuple(columns.values())) or ()
            found[new.relation.qualified] = Own(replace(new.relation, columns=either), whole=False)
        else:
            found[new.relation.qualified] = new
    return tuple(found.values())


def _made(walk: Walk, statement: Parsed, traced: Lineage | None, scope: Scope) -> list[Own] | None:
    """What the statement makes known of relations; None where it cannot be followed."""
    tree = statement.tree
    match statement.kind:
        case "CreateTableAsStmt" if tree.get("objtype", "OBJECT_TABLE") == "OBJECT_TABLE":
            return _copy(tree["into"], tree.get("query", {}).get("SelectStmt", {}), traced, scope)
        case "SelectStmt" if "intoClause" in tree:
            return _copy(tree["intoClause"], tree, traced, scope)
        case "CreateStmt":
            return _table(walk, tree, scope)
        case "ViewStmt":
            return _view(walk, tree, statement.sql, traced, scope)
        case "CreateSeqStmt":
            name = _place(tree["sequence"], scope)
            columns = tuple(Column(column, "bigint") for column in _SEQUENCE)
            return [Own(Relation(name.schema, name.name, RelationKind.SEQUENCE, columns))] if name else None
        case "IndexStmt" | "CommentStmt":
            return []
        case "DropStmt":
            return _dropped(walk, tree, scope)
        case "AlterTableStmt":
            return _altered(walk, tree, scope)
        case _:
            return None


def _place(target: dict[str, Any], scope: Scope) -> Name | None:
    """Where a relation of this name is made; None if that cannot be told."""
    name = of_range_var(target)
    if target.get("relpersistence") == "t" or is_temporary_schema(name.schema):
        return Name(TEMPORARY, name.name)
    if name.schema:
        return name
    path = [schema for schema in scope.path or () if schema != "pg_catalog"]
    return Name(path[0], name.name) if path and not is_temporary_schema(path[0]) else None


def _copy(
    into: dict[str, Any], query: dict[str, Any], traced: Lineage | None, scope: Scope
) -> list[Own] | None:
    name = _place(into.get("rel", {}), scope)
    if name is None:
        return None
    columns = _columns(traced, query, grammar.strings(into.get("colNames")))
    return [Own(Relation(name.schema, name.name, RelationKind.TABLE, columns), whole=bool(columns))]


def _columns(traced: Lineage | None, query: dict[str, Any], aliases: tuple[str, ...]) -> tuple[Column, ...]:
    """The columns of a query's result by name; none where one of them is not known."""
    if traced is None or len(aliases) > len(traced.outputs):
        return ()
    names = [output.name for output in traced.outputs]
    targets = query.get("targetList", ())
    if len(targets) == len(names):
        names = [name or _called(item) for name, item in zip(names, targets, strict=True)]
    names[: len(aliases)] = aliases
    return tuple(Column(name, "text", n) for n, name in enumerate(names, 1)) if all(names) else ()


def _called(target: dict[str, Any]) -> str:
    """The name that Postgres gives a column without AS where it is a call (FigureColname)."""
    ((kind, node),) = target.get("ResTarget", {}).get("val", {"": {}}).items()
    return grammar.strings(node.get("funcname"))[-1:][0] if kind == "FuncCall" else ""


def _table(walk: Walk, tree: dict[str, Any], scope: Scope) -> list[Own] | None:
    name = _place(tree["relation"], scope)
    if name is None or not _ELSEWHERE.isdisjoint(tree):
        return None
    columns: list[Column] = []
    checks: list[str] = []
    indexes: list[str] = []
    for item in tree.get("tableElts", ()):
        ((kind, node),) = item.items()
        match kind:
            case "ColumnDef" if _inert(walk, [item], scope):
                columns.append(_column(node, len(columns)))
            case "Constraint" if _inert(walk, [item], scope):
                pass
            case "TableLikeClause":
                like = find_relations(of_range_var(node["relation"]), scope, walk.snapshot)
                if like.temporary or len(like.relations) != 1 or not like.relations[0].columns:
                    return None
                columns += like.relations[0].columns
                checks += like.relations[0].checks
                indexes += like.relations[0].indexes
            case _:
                return None
    made = Relation(name.schema, name.name, RelationKind.TABLE, tuple(columns))
    return [Own(replace(made, checks=tuple(checks), indexes=tuple(indexes)), whole=bool(columns))]


def _column(node: dict[str, Any], before: int) -> Column:
    """A column whose default computes nothing that matters. A type that is not built in is taken for text."""
    *schema, name = grammar.strings(node.get("typeName", {}).get("names")) or ("",)
    array = "[]" if node.get("typeName", {}).get("arrayBounds") else ""
    return Column(
        node.get("colname", ""),
        _TYPES.get(name, name) + array if schema == ["pg_catalog"] else "text",
        before + 1,
    )


def _inert(walk: Walk, nodes: list[dict[str, Any]], scope: Scope) -> bool:
    """Whether a definition runs and reads nothing that matters when rows are written."""
    tried = Walk(walk.snapshot, walk.handlers, walk.before, sql=walk.sql)
    for node in nodes:
        for constraint in _constraints(node):
            if constraint.get("contype") == "CONSTR_FOREIGN":
                if {constraint.get("fk_del_action", "a"), constraint.get("fk_upd_action", "a")} - {"a", "r"}:
                    return False  # deleting elsewhere would write here
            else:
                tried.values([{"Constraint": constraint}], scope)
        definition = node.get("ColumnDef", {})
        tried.value(definition.get("typeName"), scope, "TypeName")
        tried.value(definition.get("raw_default"), scope)
    return not (tried.effects or tried.reads or tried.missing or tried.opaque or tried.volatile)


def _constraints(node: dict[str, Any]) -> list[dict[str, Any]]:
    if "Constraint" in node:
        return [node["Constraint"]]
    return [item["Constraint"] for item in node.get("ColumnDef", {}).get("constraints", ())]


def _view(
    walk: Walk, tree: dict[str, Any], sql: str, traced: Lineage | None, scope: Scope
) -> list[Own] | None:
    name = _place(tree["view"], scope)
    definition = inner(sql, "AS")
    parsed = grammar.parse(definition)
    if name is None or tree.get("replace") or not isinstance(parsed, tuple) or len(parsed) != 1:
        return None
    if any(relation.startswith(f"{TEMPORARY}.") for relation, _ in walk.reads):
        name = Name(TEMPORARY, name.name)  # Postgres makes it temporary by itself
    aliases = grammar.strings(tree.get("aliases"))
    columns = _columns(traced, tree.get("query", {}).get("SelectStmt", {}), aliases)
    made = Relation(name.schema, name.name, RelationKind.VIEW, columns, definition=definition)
    return [Own(made, path=scope.path, whole=bool(columns))]


def _dropped(walk: Walk, tree: dict[str, Any], scope: Scope) -> list[Own] | None:
    """What is dropped may be there still, after a ROLLBACK; and then again the name may mean another."""
    if tree.get("removeType") not in _DROPPED or tree.get("behavior") == "DROP_CASCADE":
        return None
    if tree["removeType"] == "OBJECT_INDEX":
        return []
    made: list[Own] = []
    for item in tree.get("objects", ()):
        found = find_relations(of_strings(grammar.strings(item)), scope, walk.snapshot)
        if found.temporary:
            return None
        known = walk.snapshot.own_by_name
        made += (known.get(r.qualified) or Own(r, whole=bool(r.columns)) for r in found.relations)
    return made


def _altered(walk: Walk, tree: dict[str, Any], scope: Scope) -> list[Own] | None:
    if tree.get("objtype") != "OBJECT_TABLE":
        return None
    found = find_relations(of_range_var(tree["relation"]), scope, walk.snapshot)
    if found.temporary or len(found.relations) != 1 or found.relations[0].children:
        return None
    relation = found.relations[0]
    known = walk.snapshot.own_by_name.get(relation.qualified)
    if known is not None and not known.whole:
        return None
    columns = list(relation.columns)
    for item in tree.get("cmds", ()):
        command = item["AlterTableCmd"]
        definition = command.get("def")
        if definition is not None and not _computes_nothing(walk, definition, scope):
            return None
        match command.get("subtype"):
            case "AT_AddColumn" if definition is not None:
                columns.append(_column(definition["ColumnDef"], len(columns)))
            case subtype if subtype in _SAME_COLUMNS:
                pass
            case _:
                return None
    if len(columns) == len(relation.columns):
        return []
    # without the ALTER, which may have been rolled back, a column's name can mean another relation's
    return [Own(replace(relation, columns=tuple(columns)), whole=False)]


def _computes_nothing(walk: Walk, definition: dict[str, Any], scope: Scope) -> bool:
    if "ColumnDef" in definition or "Constraint" in definition:
        return _inert(walk, [definition], scope)
    tried = Walk(walk.snapshot, walk.handlers, walk.before, sql=walk.sql)
    tried.value(definition, scope)
    return not (tried.effects or tried.reads or tried.missing or tried.opaque or tried.volatile)
