"""The digest binds a decision to exactly what would run (design section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from firewall.approval import encoding

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Everything beside text and values that decides what a statement does, and whether it may."""

    agent: str
    database: str
    role: str
    search_path: tuple[str, ...] | None
    revision: str
    catalog: str


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a text: its bound values as bytes (None is NULL), their formats and types as sent."""

    sql: str
    parameters: tuple[bytes | None, ...] = ()
    formats: tuple[int, ...] = ()
    types: tuple[int, ...] = ()


def digester(sql: str, circumstances: Circumstances) -> encoding.Digester:
    """Digests of executions of one text under the same circumstances, at the price of the values alone."""
    return encoding.Digester(begun(circumstances) + encoding.text(sql))


def digest(executions: Iterable[Execution], circumstances: Circumstances) -> str:
    """Hex SHA-256 over a length-prefixed encoding, so that no two acts have the same input."""
    hashed = sha256(begun(circumstances))
    for execution in executions:
        hashed.update(encoding.text(execution.sql))
        hashed.update(encoding.values(execution.parameters, execution.formats, execution.types))
    return hashed.hexdigest()


def begun(c: Circumstances) -> bytes:
    """The bytes that say under which circumstances."""
    parts = [b"query-firewall/digest/1\n"]
    parts += [encoding.text(value) for value in (c.agent, c.database, c.role, c.revision, c.catalog)]
    if c.search_path is None:
        parts.append(encoding.field(None))
    else:
        parts.append(encoding.numbers((len(c.search_path),)))
        parts += [encoding.text(schema) for schema in c.search_path]
    return b"".join(parts)
