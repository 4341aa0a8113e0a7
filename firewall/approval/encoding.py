"""The bytes that a digest is made of: every field behind its length, so that no two acts have the same."""

from __future__ import annotations

from hashlib import sha256


def values(parameters: tuple[bytes | None, ...], formats: tuple[int, ...], types: tuple[int, ...]) -> bytes:
    """Bound values with their formats and types, as Bind has them."""
    parts = [numbers((len(parameters),))]
    parts += [field(value) for value in parameters]
    parts += [numbers(formats), numbers(types)]
    return b"".join(parts)


def text(value: str) -> bytes:
    return field(value.encode(errors="surrogatepass"))


def field(value: bytes | None) -> bytes:
    return b"N" if value is None else b"V" + str(len(value)).encode() + b":" + value


def numbers(given: tuple[int, ...]) -> bytes:
    if not given:
        return b"V0:"
    return field(",".join([str(number) for number in given]).encode())


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
