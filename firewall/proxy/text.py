"""What came as bytes, for people and for the log: bound values as text, and text that JSON can hold."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import psycopg

from firewall.wire.framing import HEADER

if TYPE_CHECKING:
    from firewall.session import Act

# the length of a value that there is none of (manual 55.7, Bind)
NULL: Final = 0xFFFF_FFFF


def printable(text: str) -> str:
    """Text that JSON and a database can hold: lone surrogates and NUL made visible."""
    if text.isascii():
        return text.replace("\0", "\u2400")
    return text.replace("\0", "\u2400").encode(errors="backslashreplace").decode()


def values(act: Act, *, longest: int | None = None) -> list[str | None]:
    """Bound values for people: as text where the type is known, else binary in hexadecimal.

    Cut at `longest` with a note of it.
    """
    return shown(act.parameters, act.formats, act.types, longest)


def shown(
    parameters: tuple[bytes | None, ...],
    formats: tuple[int, ...],
    types: tuple[int, ...],
    longest: int | None,
) -> list[str | None]:
    """The same of the three apart, as `Act` has them."""
    told: list[str | None] = []
    for i, value in enumerate(parameters):
        if value is None:
            told.append(None)
            continue
        binary = bool(formats) and formats[i if len(formats) > 1 else 0] == 1
        if binary:
            text = _decoded(value, types[i] if i < len(types) else 0)
        else:
            text = value.decode(errors="backslashreplace")
        text = printable(text)
        if longest is not None and len(text) > longest:
            text = f"{text[:longest]} … {len(text) - longest} characters more"
        told.append(text)
    return told


def bound(message: bytes) -> tuple[tuple[bytes | None, ...], tuple[int, ...]]:
    """Values and format codes of a Bind message that has been looked at; of no message, none."""
    if not message:
        return (), ()
    at = message.index(b"\0", message.index(b"\0", HEADER) + 1) + 1
    count = message[at] << 8 | message[at + 1]
    at += 2
    formats = [message[at + 2 * i] << 8 | message[at + 2 * i + 1] for i in range(count)]
    at += 2 * count
    count = message[at] << 8 | message[at + 1]
    at += 2
    values: list[bytes | None] = []
    for _ in range(count):
        length = message[at] << 24 | message[at + 1] << 16 | message[at + 2] << 8 | message[at + 3]
        at += 4
        if length == NULL:
            values.append(None)
        else:
            values.append(message[at : at + length])
            at += length
    return tuple(values), tuple(formats)


def _decoded(value: bytes, oid: int) -> str:
    """A binary value as Postgres would write it, as far as psycopg knows the type."""
    loader = psycopg.adapters.get_loader(oid, psycopg.pq.Format.BINARY) if oid else None
    if loader is None:
        return f"\\x{value.hex()}"
    try:
        loaded = loader(oid).load(value)
    except (psycopg.Error, ValueError, ArithmeticError, struct.error, IndexError):
        return f"\\x{value.hex()}"
    return f"\\x{loaded.hex()}" if isinstance(loaded, bytes) else str(loaded)
