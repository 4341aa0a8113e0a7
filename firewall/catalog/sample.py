"""Samples of columns' values, looked at where they arrive and forgotten: only counts leave this module.

Each relation is read in a read-only transaction of its own with short timeouts; big ones by TABLESAMPLE, so
that a large database is not read through. What the login may not read is told, not raised.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import asyncpg

from firewall.catalog.labels_suggest import Sampled, holding
from firewall.catalog.labels_values import MAX_VALUE, matches
from firewall.catalog.snapshot import RelationKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from firewall.catalog.snapshot import Column, Relation, Snapshot

STATEMENT_SECONDS: Final = 5
LOCK_SECONDS: Final = 1
# more rows than this are sampled block by block
BIG: Final = 50_000.0
# blocks hold rows that were written together, so more are taken than are needed
SPARE: Final = 10
# values of other types are no addresses, names or numbers that anybody could label
_TYPES: Final = ("text", "character", "citext", "bigint", "numeric", "inet", "cidr", '"char"', "name")


async def sample(
    connection: asyncpg.Connection,
    snapshot: Snapshot,
    rows: int,
    note: Callable[[str], None],
) -> dict[tuple[str, str], Sampled]:
    """Look at up to `rows` rows of each relation. `note` hears what could not be read, and why."""
    found: dict[tuple[str, str], Sampled] = {}
    for relation in holding(snapshot):
        columns = [c for c in relation.columns if c.type.startswith(_TYPES) and not c.type.endswith("[]")]
        # a foreign table's rows come over the network, from a server that nobody asked about
        if not columns or relation.kind is RelationKind.FOREIGN:
            continue
        try:
            values = await _values(connection, relation, columns, rows)
        except asyncpg.PostgresError as error:
            # Postgres's message may quote a value; its class does not
            note(f"`{relation.qualified}` was not sampled: {_why(error)}")
            continue
        for column, seen in zip(columns, values, strict=True):
            counted = await asyncio.to_thread(matches, seen)
            found[relation.qualified, column.name] = Sampled(len(seen), counted)
    return found


async def _values(
    connection: asyncpg.Connection, relation: Relation, columns: list[Column], rows: int
) -> list[list[str]]:
    wanted = ", ".join(f"pg_catalog.left({_quoted(c.name)}::pg_catalog.text, $2)" for c in columns)
    place = f"{_quoted(relation.schema)}.{_quoted(relation.name)}"
    async with connection.transaction(readonly=True):
        await connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'")
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        found = []
        if relation.rows > BIG:
            percent = min(100.0, 100 * SPARE * rows / relation.rows)
            sampled = f"SELECT {wanted} FROM {place} TABLESAMPLE SYSTEM ({percent:.6f}) LIMIT $1"  # noqa: S608 — names are quoted
            found = await connection.fetch(sampled, rows, MAX_VALUE + 1)
        if not found:
            found = await connection.fetch(f"SELECT {wanted} FROM {place} LIMIT $1", rows, MAX_VALUE + 1)  # noqa: S608 — names are quoted
    return [[row[i] for row in found if row[i]] for i in range(len(columns))]


def _why(error: asyncpg.PostgresError) -> str:
    match error:
        case asyncpg.InsufficientPrivilegeError():
            return "the login may not read it"
        case asyncpg.QueryCanceledError():
            return f"it took longer than {STATEMENT_SECONDS} s"
        case asyncpg.LockNotAvailableError():
            return "somebody has locked it"
        case _:
            return f"Postgres reported {error.sqlstate}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
