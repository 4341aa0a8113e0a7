"""The bytes that a digest is made of: every field behind its length, so that no two acts have the same."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

# what is written once: beginnings of values shorter than this, lists of numbers no longer than this
_SHORT: Final = 64
_MAX_NUMBERS: Final = 1024
_NUMBERS: Final[dict[tuple[int, ...], bytes]] = {}


def values(parameters: tuple[bytes | None, ...], formats: tuple[int, ...], types: tuple[int, ...]) -> bytes:
    """Bound values with their formats and types, as Bind has them."""
    parts = [_known((len(parameters),))]
    for value in parameters:
        if value is None:
            parts.append(b"N")
        else:
            size = len(value)
            parts.append(_BEGINNINGS[size] if size < _SHORT else field_begins(size))
            parts.append(value)
    parts.append(_known(formats))
    parts.append(_known(types))
    return b"".join(parts)


def text(value: str) -> bytes:
    return field(value.encode(errors="surrogatepass"))


def field(value: bytes | None) -> bytes:
    return b"N" if value is None else field_begins(len(value)) + value


def field_begins(size: int) -> bytes:
    return b"V" + str(size).encode() + b":"


def numbers(given: tuple[int, ...]) -> bytes:
    if not given:
        return b"V0:"
    return field(",".join([str(number) for number in given]).encode())


def _known(given: tuple[int, ...]) -> bytes:
    """`numbers`; agents send the same few again and again."""
    found = _NUMBERS.get(given)
    if found is None:
        found = numbers(given)
        if len(given) <= _SHORT:
            if len(_NUMBERS) >= _MAX_NUMBERS:
                _NUMBERS.clear()
            _NUMBERS[given] = found
    return found


_BEGINNINGS: Final = [field_begins(size) for size in range(_SHORT)]


class Digester:
    """Digests of executions under one beginning: `begun` is what comes before the values."""

    def __init__(self, begun: bytes) -> None:
        self._begun = sha256(begun)

    def digest(
        self, parameters: tuple[bytes | None, ...], formats: tuple[int, ...], types: tuple[int, ...]
    ) -> str:
        """Hex SHA-256 of what was begun, and these values."""
        hashed = self._begun.copy()
        hashed.update(values(parameters, formats, types))
        return hashed.hexdigest()
