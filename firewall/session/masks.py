"""Values that reach the client masked: by what the mask says, and by what the column's type can show.

The same value in text and in binary format has the same mask. What a type cannot show becomes null, and so
does what cannot be read; no value ever passes because it was not understood.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

    Masker = Callable[[bytes], bytes | None]

# types by OID (pg_type.dat); of text and its like both formats are the characters themselves
TEXTS: Final = frozenset({19, 25, 705, 1042, 1043})  # name, text, unknown, char(n), varchar
PADDED: Final = 1042
INTEGERS: Final = {21: 2, 23: 4, 20: 8}  # OID → bytes
A_UUID: Final = 2950
A_DATE: Final = 1082
# day 0 of a binary date (manual 8.5; src/include/datatype/timestamp.h)
EPOCH: Final = date(2000, 1, 1)
ISO_DATE = re.compile(rb"(\d{4})-\d\d-\d\d")
# hexadecimal digits of a hash; enough that two values never meet
DIGITS: Final = 32
YEAR: Final = 4


class Form(StrEnum):
    """What becomes of a value."""

    NULL = "null"
    TEXT = "text"
    HASH = "hash"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Mask:
    """text: what stands instead. first, last: characters that stay."""

    form: Form
    text: str = ""
    first: int = 0
    last: int = 0

    @property
    def of_computed(self) -> Mask:
        """What is left of a mask for what is computed of a column, such as `substr(email, 5, 1)`: whoever may
        choose the expression would else put a value together from its parts.
        """
        return self if self.form in {Form.NULL, Form.TEXT} else Mask(Form.NULL)


def masker(mask: Mask, oid: int, *, binary: bool, key: bytes, encoding: str = "utf-8") -> Masker:
    """What to do with each value of a column that is not null. oid: 0 if the type is not known.

    key: of the hash; whoever has it can try values. encoding: Python's name for the client's.
    """
    match mask.form:
        case Form.TEXT if oid in TEXTS:
            text = mask.text.encode(encoding, errors="replace")
            return lambda _: text
        case Form.HASH if oid in TEXTS:
            padding = b" " if oid == PADDED else None
            return lambda value: _digits(key, _utf8(value.rstrip(padding) if padding else value, encoding))
        case Form.HASH if oid in INTEGERS:
            width = INTEGERS[oid]
            return _quietly(lambda value: _integer(key, value, width, binary=binary))
        case Form.HASH if oid == A_UUID:
            return _quietly(lambda value: _uuid(key, value, binary=binary))
        case Form.PARTIAL if oid in TEXTS:
            return _quietly(lambda value: _partial(value.decode(encoding), mask).encode(encoding))
        case Form.PARTIAL if oid == A_DATE and mask.first >= YEAR and not mask.last:
            return _quietly(lambda value: _year(value, binary=binary))
        case _:
            return _null


def _null(_: bytes) -> bytes | None:
    return None


def _quietly(work: Callable[[bytes], bytes | None]) -> Masker:
    """What cannot be read is null."""

    def careful(value: bytes) -> bytes | None:
        try:
            return work(value)
        except (ValueError, ArithmeticError):
            return None

    return careful


def _utf8(value: bytes, encoding: str) -> bytes:
    """The same characters have the same hash, whatever the client's encoding."""
    if encoding == "utf-8":
        return value
    return value.decode(encoding, "surrogateescape").encode("utf-8", "surrogateescape")


def _digits(key: bytes, value: bytes) -> bytes:
    return hmac.digest(key, value, "sha256").hex()[:DIGITS].encode()


def _integer(key: bytes, value: bytes, width: int, *, binary: bool) -> bytes | None:
    """A number of the same type that is not negative; small types have few, and then two values may meet."""
    if binary and len(value) != width:
        return None
    number = int.from_bytes(value, "big", signed=True) if binary else int(value)
    hashed = int.from_bytes(hmac.digest(key, str(number).encode(), "sha256")[:width], "big")
    hashed &= (1 << (8 * width - 1)) - 1
    return hashed.to_bytes(width, "big") if binary else str(hashed).encode()


def _uuid(key: bytes, value: bytes, *, binary: bool) -> bytes:
    known = UUID(bytes=value) if binary else UUID(value.decode())
    hashed = UUID(bytes=hmac.digest(key, known.bytes, "sha256")[:16], version=5)
    return hashed.bytes if binary else str(hashed).encode()


def _partial(text: str, mask: Mask) -> str:
    """What is as short as what would stay is hidden whole."""
    hidden = len(text) - mask.first - mask.last
    if hidden <= 0:
        return "*" * len(text)
    return text[: mask.first] + "*" * hidden + text[len(text) - mask.last :]


def _year(value: bytes, *, binary: bool) -> bytes | None:
    """The first of January. In text only as ISO 8601 writes it; infinity has no year."""
    if not binary:
        match = ISO_DATE.fullmatch(value)
        return match[1] + b"-01-01" if match else None
    if len(value) != YEAR:
        return None
    first = (EPOCH + timedelta(days=int.from_bytes(value, "big", signed=True))).replace(month=1, day=1)
    return (first - EPOCH).days.to_bytes(4, "big", signed=True)
