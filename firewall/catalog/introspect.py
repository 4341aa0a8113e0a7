"""Reads a database's catalog into a `Snapshot`: a fixed number of queries in one read-only transaction.

Nothing but pg_catalog is read, and no table's rows; an ordinary login can do it. What the login may not
read is an error that names the missing privilege, never a smaller snapshot: a relation that is not in the
snapshot is taken not to exist.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg

from firewall import heap
from firewall.catalog import introspect_sql as sql
from firewall.catalog.introspect_mark import FIRST_OID, MARKS
from firewall.catalog.serial import Begun, begin, digest
from firewall.catalog.settings import is_secret
from firewall.catalog.snapshot import (
    Cast,
    Column,
    EventTrigger,
    Extension,
    ForeignKey,
    Function,
    Membership,
    Operator,
    OperatorClass,
    Policy,
    Relation,
    RelationKind,
    Server,
    Snapshot,
    Trigger,
    Type,
    TypeKind,
)
from firewall.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Mapping

RELATION_KINDS: Final = {
    "r": RelationKind.TABLE,
    "p": RelationKind.PARTITIONED,
    "v": RelationKind.VIEW,
    "m": RelationKind.MATERIALIZED,
    "f": RelationKind.FOREIGN,
    "S": RelationKind.SEQUENCE,
    "c": RelationKind.COMPOSITE,
    "i": RelationKind.INDEX,
    "I": RelationKind.INDEX,
}

# the bits of pg_trigger.tgtype, from src/include/catalog/pg_trigger.h
TRIGGER_EVENTS: Final = {1 << 2: "insert", 1 << 3: "delete", 1 << 4: "update", 1 << 5: "truncate"}

RULE_EVENTS: Final = {"1": "select", "2": "update", "3": "insert", "4": "delete"}

ACTIONS: Final = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}

VOLATILITIES: Final = {"i": "immutable", "s": "stable", "v": "volatile"}

FUNCTION_KINDS: Final = {"f": "function", "p": "procedure", "a": "aggregate", "w": "window"}

POLICY_COMMANDS: Final = {"*": "all", "r": "select", "a": "insert", "w": "update", "d": "delete"}

TYPE_KINDS: Final = {
    "b": TypeKind.BASE,
    "c": TypeKind.COMPOSITE,
    "d": TypeKind.DOMAIN,
    "e": TypeKind.ENUM,
    "r": TypeKind.RANGE,
    "m": TypeKind.MULTIRANGE,
    "p": TypeKind.PSEUDO,
}

Rows: TypeAlias = "list[asyncpg.Record]"


_NO_OID: Final = 2**32 - 1  # as an end: no object has it, nor would it fit otherwise
# what a relation that initdb made has none of, if it can be kept
_ATTACHED: Final = ("children", "triggers", "foreign keys", "checks", "indexes", "policies", "statistics")


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """What initdb made: most of what there is to read, and it hardly ever changes. `begun` is its digest."""

    mark: str
    relations: tuple[Relation, ...]
    functions: tuple[Function, ...]
    begun: Begun


@dataclass(frozen=True, slots=True)
class Reading:
    """A catalog, and the marks by which a later reading knows what has not changed.

    built_in: None if it has to be read each time, together with the rest.
    """

    mark: str
    snapshot: Snapshot
    built_in: BuiltIn | None = None


async def introspect(connection: asyncpg.Connection) -> Snapshot:
    """The catalog of the connection's database, as of one moment; `CatalogError` if it cannot be read.

    Call it on an idle connection, outside a transaction. `search_path` and `role` are the connection's own.
    """
    return (await reread(connection, None)).snapshot


async def reread(connection: asyncpg.Connection, last: Reading | None) -> Reading:
    """As `introspect`; `last`, the reading of the same database before this one, if nothing has changed."""
    role = ""
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            session = (await connection.fetch(sql.SESSION))[0]
            role = session["role"]
            await connection.execute(sql.PIN_SEARCH_PATH)
            marks = (await connection.fetch(MARKS))[0]
            mark = repr((*session.values(), *(whole for whole, _ in marks["sums"]), marks["roles"]))
            built_in = repr((marks["owners"], *(built_in for _, built_in in marks["sums"])))
            if last is not None and last.mark == mark:
                return last
            known = None if marks["more"] or last is None else last.built_in
            with heap.keeping():
                if not marks["more"] and (known is None or known.mark != built_in):
                    known = await _built_in(connection, session["server_version"], built_in)
                rows = await _rows(connection, session["server_version"], FIRST_OID if known else 0)
                # a second for thousands of tables, during which whoever waits for a row may have it
                return Reading(mark, await asyncio.to_thread(_used_up, session, rows, known), known)
    except asyncpg.InsufficientPrivilegeError as error:
        raise _missing_privilege(error, role) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise CatalogError(
            f"the catalog could not be read: `{error}`",
            hint="see that the database is up and that its login may connect, then try again",
        ) from error


async def _built_in(connection: asyncpg.Connection, server_version: int, mark: str) -> BuiltIn:
    rows = {
        **await _numbered(connection, server_version, 0, FIRST_OID),
        **{name: [] for name in _ATTACHED},
        "rules": [row for row in await connection.fetch(sql.RULES) if row["relation"] < FIRST_OID],
    }

    def made() -> BuiltIn:
        relations = _relations(rows)
        functions = tuple(_function(row) for row in rows["functions"])
        rows.clear()
        return BuiltIn(mark, relations, functions, begin(relations, functions))

    return await asyncio.to_thread(made)


async def _numbered(
    connection: asyncpg.Connection, server_version: int, first: int, end: int
) -> dict[str, Rows]:
    """What has an OID from `first` to `end` (exclusive)."""
    queries = {
        "relations": sql.RELATIONS,
        "columns": sql.COLUMNS,
        "functions": sql.functions(server_version),
    }
    return {name: await connection.fetch(query, first, end) for name, query in queries.items()}


async def _rows(connection: asyncpg.Connection, server_version: int, first: int) -> dict[str, Rows]:
    """Everything; relations and functions from the OID `first` on."""
    queries = {
        "children": sql.CHILDREN,
        "triggers": sql.TRIGGERS,
        "rules": sql.RULES,
        "foreign keys": sql.FOREIGN_KEYS,
        "operators": sql.OPERATORS,
        "casts": sql.CASTS,
        "checks": sql.CHECKS,
        "indexes": sql.INDEXES,
        "policies": sql.POLICIES,
        "types": sql.TYPES,
        "type names": sql.TYPE_NAMES,
        "statistics": sql.statistics(server_version),
        "event triggers": sql.EVENT_TRIGGERS,
        "operator classes": sql.OPERATOR_CLASSES,
        "roles": sql.ROLES,
        "outside": sql.OUTSIDE,
    }
    return {
        **await _numbered(connection, server_version, first, _NO_OID),
        **{name: await connection.fetch(query) for name, query in queries.items()},
    }


def _used_up(session: asyncpg.Record, rows: dict[str, Rows], built_in: BuiltIn | None) -> Snapshot:
    """The snapshot; the rows are let go here, which takes a while as well."""
    snapshot = _snapshot(session, rows, built_in or BuiltIn("", (), (), begin((), ())))
    rows.clear()
    return snapshot


def _snapshot(session: asyncpg.Record, rows: Mapping[str, Rows], built_in: BuiltIn) -> Snapshot:
    snapshot = Snapshot(
        version="",
        database=session["database"],
        server_version=session["server_version"],
        relations=(*built_in.relations, *_relations(rows)),
        functions=(*built_in.functions, *(_function(row) for row in rows["functions"])),
        operators=tuple(Operator(r["schema"], r["name"], _function_name(r)) for r in rows["operators"]),
        roles=tuple(row["name"] for row in rows["roles"]),
        search_path=tuple(s for s in session["search_path"] if not s.startswith("pg_temp_")),
        role=session["role"],
        casts=tuple(Cast(r["source"], r["target"], _function_name(r)) for r in rows["casts"]),
        types=tuple(_type(row) for row in rows["types"]),
        operator_classes=tuple(
            OperatorClass(r["schema"], r["name"], r["type"], tuple(r["functions"]))
            for r in rows["operator classes"]
        ),
        closed=tuple(session["closed"]),
        event_triggers=tuple(
            EventTrigger(r["name"], r["event"], _function_name(r), tuple(r["tags"]))
            for r in rows["event triggers"]
        ),
        type_names=tuple((row["oid"], row["name"]) for row in rows["type names"]),
        secret_settings=tuple(name for name in session["settings"] if is_secret(name.lower())),
        secret_role_settings=tuple(name for name in session["role_settings"] if is_secret(name.lower())),
        memberships=tuple(
            Membership(role, row["name"], inherits=role in row["inherited"])
            for row in rows["roles"]
            for role in row["granted"]
        ),
        extensions=tuple(
            Extension(r["name"], r["version"], r["of"]) for r in rows["outside"] if r["sort"] == "extension"
        ),
        servers=tuple(Server(r["name"], r["of"]) for r in rows["outside"] if r["sort"] == "server"),
    )
    return replace(snapshot, version=digest(snapshot, built_in.begun))


def _relations(rows: Mapping[str, Rows]) -> tuple[Relation, ...]:
    names = {row["oid"]: f"{row['schema']}.{row['name']}" for row in rows["relations"]}
    columns: defaultdict[int, list[Column]] = defaultdict(list)
    for row in rows["columns"]:
        columns[row["relation"]].append(
            Column(
                name=row["name"],
                type=row["type"],
                number=row["number"],
                nullable=row["nullable"],
                default=row["expression"],
                comment=row["comment"],
                generated=row["generated"],
            )
        )
    children: defaultdict[int, list[str]] = defaultdict(list)
    for row in rows["children"]:
        if row["child"] in names:  # not another session's temporary table
            children[row["parent"]].append(names[row["child"]])
    triggers: defaultdict[int, list[Trigger]] = defaultdict(list)
    for row in rows["triggers"]:
        events = tuple(event for bit, event in TRIGGER_EVENTS.items() if row["bits"] & bit)
        trigger = Trigger(row["name"], events, _function_name(row), row["definition"])
        triggers[row["relation"]].append(trigger)
    rules: defaultdict[int, list[Trigger]] = defaultdict(list)
    for row in rows["rules"]:
        rule = Trigger(row["name"], (RULE_EVENTS[row["event"]],), "", row["definition"])
        rules[row["relation"]].append(rule)
    references: defaultdict[int, list[ForeignKey]] = defaultdict(list)
    for row in rows["foreign keys"]:
        if row["child"] in names:
            references[row["relation"]].append(_foreign_key(row, names, columns))
    checks: defaultdict[int, list[str]] = defaultdict(list)
    for row in rows["checks"]:
        checks[row["relation"]].append(row["expression"])
    indexes: defaultdict[int, list[str]] = defaultdict(list)
    for row in rows["indexes"]:
        indexes[row["relation"]].append(row["definition"])
    policies: defaultdict[int, list[Policy]] = defaultdict(list)
    for row in rows["policies"]:
        command = POLICY_COMMANDS[row["command"]]
        policy = Policy(row["name"], command, row["using"], row["check"], tuple(row["roles"]))
        policies[row["relation"]].append(policy)
    statistics: defaultdict[int, list[str]] = defaultdict(list)
    for row in rows["statistics"]:
        statistics[row["relation"]].append(row["expression"])
    return tuple(
        Relation(
            schema=row["schema"],
            name=row["name"],
            kind=RELATION_KINDS[row["kind"]],
            columns=tuple(columns[oid]) if oid in columns else (),
            oid=oid,
            owner=row["owner"],
            definition=row["definition"],
            children=tuple(children[oid]) if oid in children else (),
            triggers=tuple(triggers[oid]) if oid in triggers else (),
            rules=tuple(rules[oid]) if oid in rules else (),
            referenced_by=tuple(references[oid]) if oid in references else (),
            rows=row["rows"],
            comment=row["comment"],
            checks=tuple(checks[oid]) if oid in checks else (),
            indexes=tuple(indexes[oid]) if oid in indexes else (),
            policies=tuple(policies[oid]) if oid in policies else (),
            statistics=tuple(statistics[oid]) if oid in statistics else (),
            server=row["server"],
        )
        for row in rows["relations"]
        for oid in (row["oid"],)
    )


def _foreign_key(
    row: asyncpg.Record, names: Mapping[int, str], columns: Mapping[int, list[Column]]
) -> ForeignKey:
    by_number = {column.number: column.name for column in columns[row["child"]]}
    return ForeignKey(
        child=names[row["child"]],
        columns=tuple(by_number[number] for number in row["columns"]),
        on_delete=ACTIONS[row["on_delete"]],
        on_update=ACTIONS[row["on_update"]],
    )


def _function(row: asyncpg.Record) -> Function:
    kind = FUNCTION_KINDS[row["kind"]]
    most = row["arguments"]
    if kind == "procedure":  # CALL also takes places for OUT arguments (since Postgres 14)
        most = max(most, row["all_arguments"] or 0)
    modes, names = row["modes"] or [], row["names"] or []
    # o, b and t are OUT, INOUT and TABLE (pg_proc.proargmodes); unnamed ones are called columnN
    result = [name for mode, name in zip(modes, names, strict=False) if mode in "obt"]
    results = sum(mode in "obt" for mode in modes)
    named = len(result) == results and all(result)
    return Function(
        schema=row["schema"],
        name=row["name"],
        language=row["language"],
        volatility=VOLATILITIES[row["volatility"]],
        arguments=-1 if row["variadic"] else most,
        required=row["arguments"] - row["defaulted"],
        security_definer=row["security_definer"],
        body=row["body"],
        kind=kind,
        returns=row["returns"],
        columns=tuple(result) if named else (),
        settings=tuple(_setting(entry) for entry in row["settings"]),
        takes=tuple(row["takes"]),
        uses=tuple(row["uses"]),
        defaults=row["defaults"],
    )


def _setting(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value


def _type(row: asyncpg.Record) -> Type:
    return Type(
        schema=row["schema"],
        name=row["name"],
        kind=TYPE_KINDS[row["kind"]],
        of=row["of"],
        checks=tuple(row["checks"]),
        functions=tuple(row["functions"]),
    )


def _function_name(row: asyncpg.Record) -> str:
    return f"{row['function_schema']}.{row['function_name']}"


def _missing_privilege(error: asyncpg.InsufficientPrivilegeError, role: str) -> CatalogError:
    """Postgres says `permission denied for view pg_roles`; the last word is the object in every language."""
    said = re.search(r"(\w*)\W+(\w+)\W*$", error.message or "")
    word, name = said.groups() if said else ("", "pg_catalog")
    grantee = '"' + role.replace('"', '""') + '"' if role else "the firewall's login"
    what = f"EXECUTE ON FUNCTION pg_catalog.{name}" if word == "function" else f"SELECT ON pg_catalog.{name}"
    if word == "schema":
        what = f"USAGE ON SCHEMA {name}"
    return CatalogError(
        f"the catalog could not be read: `{name}` is not open to the firewall's login",
        hint=f"run `GRANT {what} TO {grantee}` as a superuser in this database",
    )
