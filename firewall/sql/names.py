"""Which relations and functions a name can mean, as Postgres looks names up (manual 5.10, 10.3).

Where the session's search path cannot be known every schema is possible, and all matches are taken: what
follows must hold for the worst of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firewall.catalog.snapshot import Relation, RelationKind
from firewall.sql.reviewed import COMMON, HARMLESS_VOLATILE, SECRET_RELATIONS, SYSTEM_SCHEMAS

if TYPE_CHECKING:
    from firewall.catalog.snapshot import Function, Snapshot


TEMPORARY = "pg_temp"  # whatever number the session's own schema has


@dataclass(frozen=True, slots=True)
class Scope:
    """What surrounds a node: where names are looked up, and on whose behalf it runs.

    ctes: names of WITH queries in scope. path: as in Facts; None is any schema. temporary: as in Facts.
    via: what set it off, if the text itself does not name it. depth: how many bodies this one stands in.
    every: all schemas of the path count, not the first that has the name, as some may be closed to whoever
    runs it.
    printed: inside a definition that Postgres printed under an empty path (views, rules, defaults), so that a
    name without a schema is one of pg_catalog's where there is such a one.
    """

    path: tuple[str, ...] | None
    temporary: frozenset[str] = frozenset()
    ctes: frozenset[str] = frozenset()
    via: str = ""
    depth: int = 0
    printed: bool = False
    every: bool = False


@dataclass(frozen=True, slots=True)
class Name:
    """A possibly qualified name, as the grammar folded it."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that a name can mean. None of both: nothing that the catalog has."""

    relations: tuple[Relation, ...] = field(default=())
    temporary: bool = False


def of_range_var(node: dict[str, object]) -> Name:
    """The name in a RangeVar; a database's name before it is dropped, it can only be the current one."""
    return Name(str(node.get("schemaname", "")), str(node.get("relname", "")))


def of_strings(parts: tuple[str, ...]) -> Name:
    """The name in a list of strings, the last one being the object's own."""
    return Name(parts[-2] if len(parts) > 1 else "", parts[-1] if parts else "")


def is_temporary_schema(schema: str) -> bool:
    return schema == "pg_temp" or schema.startswith(("pg_temp_", "pg_toast_temp"))


def path_of(scope: Scope, snapshot: Snapshot) -> tuple[str, ...]:
    """The schemas to look in, in order, `pg_catalog` included; all of them when the path is unknown."""
    if scope.path is None:
        return ("pg_catalog", *(schema for schema in snapshot.by_name if schema != "pg_catalog"))
    path = scope.path if "pg_catalog" in scope.path else ("pg_catalog", *scope.path)
    if scope.every or not snapshot.closed:
        return path
    # the path is known, so the role is that of the login: Postgres passes over what is closed to it
    return tuple(schema for schema in path if schema not in snapshot.closed)


def _system(schema: str, name: str) -> Relation:
    return Relation(schema=schema, name=name, kind=RelationKind.TABLE, columns=())


def find_relations(name: Name, scope: Scope, snapshot: Snapshot) -> Found:
    """The relations that the name can mean. Names in a temporary schema mean anything at all."""
    if name.schema:
        if is_temporary_schema(name.schema) and name.schema != TEMPORARY:
            return Found(temporary=True)  # another session's, for all that is known
        if name.schema == TEMPORARY:
            own = snapshot.own_by_name.get(f"{TEMPORARY}.{name.name}")
            made = (own.relation,) if own is not None else ()
            return Found(made, temporary=not made or name.name in scope.temporary)
        relation = snapshot.by_name.get(name.schema, {}).get(name.name)
        if relation is not None:
            # a name that this session redefined no longer means what the snapshot says
            return Found((relation,), temporary=str(name) in scope.temporary)
        if _known_system(name.schema, name.name, snapshot):
            return Found((_system(name.schema, name.name),))
        return Found(temporary=str(name) in scope.temporary)
    temporary = name.name in scope.temporary
    found = []
    if not scope.printed and (own := snapshot.own_by_name.get(f"{TEMPORARY}.{name.name}")) is not None:
        found.append(own.relation)
    for schema in path_of(scope, snapshot):
        relation = snapshot.by_name.get(schema, {}).get(name.name)
        if relation is None and _known_system(schema, name.name, snapshot):
            relation = _system(schema, name.name)
        if relation is not None:
            if relation not in found:
                found.append(relation)
            if relation.qualified in snapshot.own_by_name:
                continue  # it need not be there
            if (scope.path is not None and not scope.every) or (scope.printed and schema == "pg_catalog"):
                break
    return Found(tuple(found), temporary)


def _known_system(schema: str, name: str, snapshot: Snapshot) -> bool:
    if schema not in SYSTEM_SCHEMAS or schema in snapshot.by_name:
        return schema == "pg_toast"
    return schema == "information_schema" or name.startswith("pg_") or name in SECRET_RELATIONS


def find_functions(name: Name, arguments: int, scope: Scope, snapshot: Snapshot) -> tuple[Function, ...]:
    """Every function that the name can mean with so many arguments; -1 is any number of them.

    Postgres weighs the candidates of all schemas in the path by their types, so none of them is left out.
    """
    candidates = snapshot.functions_by_name.get(name.name, ())
    if name.schema:
        schemas: tuple[str, ...] | None = (name.schema,)
    elif scope.printed and _is_built_in(name.name, candidates):
        schemas = ("pg_catalog",)
    elif scope.path is None:
        schemas = None
    else:
        schemas = path_of(scope, snapshot)
    return tuple(
        function
        for function in candidates
        if (schemas is None or function.schema in schemas) and _takes(function, arguments)
    )


def _is_built_in(name: str, candidates: tuple[Function, ...]) -> bool:
    known = any(function.schema == "pg_catalog" for function in candidates)
    return known or name in COMMON or name in HARMLESS_VOLATILE


def _takes(function: Function, arguments: int) -> bool:
    if arguments < 0 or function.arguments < 0:
        return arguments < 0 or arguments >= function.required - 1
    return function.required <= arguments <= function.arguments
