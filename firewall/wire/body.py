"""The inside of a message: reading and writing the protocol's data types (manual, section 54.6).

A body comes from a peer and is hostile: every length and count is checked against the bytes that are there
before anything is made of it, and whatever is wrong with it is a ProtocolViolation that names the message.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NoReturn

from firewall.errors import ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Iterable

_int16: Final = Struct("!h")
_uint16: Final = Struct("!H")
_int32: Final = Struct("!i")
_uint32: Final = Struct("!I")


class TextError(ProtocolViolation):
    """A string that is not UTF-8. The framing is intact: the session may answer and go on."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sqlstate="22021", hint="set client_encoding to UTF8 and send UTF-8")


class Body:
    """A cursor over one message's body; `name` is the message's, for what goes wrong."""

    __slots__ = ("_at", "_data", "_name")

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._name = name
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def byte(self) -> int:
        return self.take(1)[0]

    def int16(self) -> int:
        number = self.uint16()
        return number - 0x1_0000 if number & 0x8000 else number

    def uint16(self) -> int:
        # shifts are faster than struct, compiled and not
        data, at = self._data, self._at
        if len(data) - at < 2:
            self.wrong(f"2 bytes expected where {self.left} are left")
        self._at = at + 2
        return data[at] << 8 | data[at + 1]

    def int32(self) -> int:
        number = self.uint32()
        return number - 0x1_0000_0000 if number & 0x8000_0000 else number

    def uint32(self) -> int:
        data, at = self._data, self._at
        if len(data) - at < 4:
            self.wrong(f"4 bytes expected where {self.left} are left")
        self._at = at + 4
        return data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]

    def count(self, each: int) -> int:
        """A count of items that take at least `each` bytes; Postgres reads it unsigned, up to 65,535."""
        count = self.uint16()
        if count * each > self.left:
            self.wrong(f"{count} items cannot stand in the {self.left} bytes left")
        return count

    def uint16s(self) -> tuple[int, ...]:
        """A count, then so many Int16, as format codes come."""
        return tuple([self.uint16() for _ in range(self.count(2))])

    def uint32s(self) -> tuple[int, ...]:
        """A count, then so many Int32, as type oids come."""
        return tuple([self.uint32() for _ in range(self.count(4))])

    def values(self) -> tuple[bytes | None, ...]:
        """A count, then so many values, each after its length; -1 is NULL."""
        return tuple([self.value() for _ in range(self.count(4))])

    def value(self) -> bytes | None:
        length = self.int32()
        if length < -1:
            self.wrong(f"a value cannot be {length} bytes long")
        return None if length == -1 else self.take(length)

    def take(self, length: int) -> bytes:
        end = self._at + length
        if length < 0 or end > len(self._data):
            self.wrong(f"{length} bytes expected where {self.left} are left")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def rest(self) -> bytes:
        return self.take(self.left)

    def string(self) -> bytes:
        """Bytes up to the next NUL, which is passed over."""
        end = self._data.find(b"\0", self._at)
        if end < 0:
            self.wrong("a string is not ended by NUL")
        taken = self._data[self._at : end]
        self._at = end + 1
        return taken

    def text(self) -> str:
        """A string in strict UTF-8; raises TextError for any other."""
        raw = self.string()
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            shown = raw[error.start : max(error.end, error.start + 1)][:4].hex(" ")
            raise TextError(
                f"`{self._name}` holds bytes that are not valid UTF-8: `{shown}` at byte {error.start + 1}",
            ) from None

    def lenient(self) -> str:
        r"""A string from the server, whose encoding before sign-in is its own: other bytes become `\xNN`."""
        return self.string().decode(errors="backslashreplace")

    def end(self) -> None:
        """Nothing may be left."""
        if self.left:
            self.wrong(f"{self.left} bytes too many")

    def wrong(self, why: str) -> NoReturn:
        raise ProtocolViolation(
            f"malformed `{self._name}` message: {why}",
            hint="the driver does not follow the protocol's message formats; check its version",
        )


def frame(code: int, *parts: bytes) -> bytes:
    """A whole message: type byte, length, body."""
    body = b"".join(parts)
    return bytes((code,)) + _uint32.pack(len(body) + 4) + body


def int16(number: int) -> bytes:
    return _int16.pack(number)


def uint16(number: int) -> bytes:
    return _uint16.pack(number)


def int32(number: int) -> bytes:
    return _int32.pack(number)


def uint32(number: int) -> bytes:
    return _uint32.pack(number)


def string(text: str) -> bytes:
    """Text in UTF-8 with its NUL. Raises ValueError if it holds one: it would cut the message in two."""
    if "\0" in text:
        raise ValueError("a string of the protocol cannot hold NUL")
    return text.encode() + b"\0"


def uint16s(numbers: tuple[int, ...]) -> bytes:
    return uint16(len(numbers)) + b"".join(map(uint16, numbers))


def uint32s(numbers: tuple[int, ...]) -> bytes:
    return uint16(len(numbers)) + b"".join(map(uint32, numbers))


def values(items: Iterable[bytes | None]) -> bytes:
    parts = [value(item) for item in items]
    return uint16(len(parts)) + b"".join(parts)


def value(item: bytes | None) -> bytes:
    return int32(-1) if item is None else int32(len(item)) + item
