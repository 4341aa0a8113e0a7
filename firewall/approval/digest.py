"""The digest binds a decision to exactly what would run (design section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from hashlib import _Hash


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


class Digester:
    """Digests of executions of one text under the same circumstances, at the price of the values alone."""

    def __init__(self, sql: str, circumstances: Circumstances) -> None:
        self._begun = _circumstances(circumstances)
        _text(self._begun, sql)

    def digest(
        self, parameters: tuple[bytes | None, ...], formats: tuple[int, ...], types: tuple[int, ...]
    ) -> str:
        """What `digest` gives for this one execution."""
        hashed = self._begun.copy()
        _values(hashed, parameters, formats, types)
        return hashed.hexdigest()


def digest(executions: Iterable[Execution], circumstances: Circumstances) -> str:
    """Hex SHA-256 over a length-prefixed encoding, so that no two acts have the same input."""
    hashed = _circumstances(circumstances)
    for execution in executions:
        _text(hashed, execution.sql)
        _values(hashed, execution.parameters, execution.formats, execution.types)
    return hashed.hexdigest()


def _circumstances(c: Circumstances) -> _Hash:
    hashed = sha256(b"query-firewall/digest/1\n")
    for value in (c.agent, c.database, c.role, c.revision, c.catalog):
        _text(hashed, value)
    if c.search_path is None:
        hashed.update(_field(None))
    else:
        hashed.update(_numbers((len(c.search_path),)))
        for schema in c.search_path:
            _text(hashed, schema)
    return hashed


def _values(
    hashed: _Hash, parameters: tuple[bytes | None, ...], formats: tuple[int, ...], types: tuple[int, ...]
) -> None:
    parts = [_numbers((len(parameters),)), *map(_field, parameters), _numbers(formats), _numbers(types)]
    hashed.update(b"".join(parts))


def _text(hashed: _Hash, value: str) -> None:
    hashed.update(_field(value.encode(errors="surrogatepass")))


def _field(value: bytes | None) -> bytes:
    return b"N" if value is None else b"V%d:" % len(value) + value


def _numbers(values: tuple[int, ...]) -> bytes:
    return _field(",".join(map(str, values)).encode())
