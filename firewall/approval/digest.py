"""The digest binds a decision to exactly what would run (design section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

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


def digest(executions: Iterable[Execution], circumstances: Circumstances) -> str:
    """Hex SHA-256 over a length-prefixed encoding, so that no two acts have the same input."""
    hashed = sha256(b"query-firewall/digest/1\n")

    def field(value: bytes | None) -> None:
        hashed.update(b"N" if value is None else b"V%d:" % len(value) + value)

    def text(value: str) -> None:
        field(value.encode(errors="surrogatepass"))

    def numbers(values: tuple[int, ...]) -> None:
        field(",".join(map(str, values)).encode())

    c = circumstances
    for value in (c.agent, c.database, c.role, c.revision, c.catalog):
        text(value)
    if c.search_path is None:
        field(None)
    else:
        numbers((len(c.search_path),))
        for schema in c.search_path:
            text(schema)
    for execution in executions:
        text(execution.sql)
        numbers((len(execution.parameters),))
        for parameter in execution.parameters:
            field(parameter)
        numbers(execution.formats)
        numbers(execution.types)
    return hashed.hexdigest()
