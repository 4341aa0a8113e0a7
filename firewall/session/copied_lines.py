"""Lines of COPY's text and CSV formats: where values begin and end in them, and how masked ones are written.

Both rest on what the manual says of them (COPY, "File Formats"): what has a meaning of its own never stands
in a value but escaped or quoted. Encodings are such that no byte of a longer character is ASCII.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from firewall.session.copied import Format, other

if TYPE_CHECKING:
    from firewall.session.copied import Copying
    from firewall.session.masks import Masker

_END: Final = ord("\n")
_BACKSLASH: Final = b"\\"
# the one NULL in text format that no value is written as
_TOLD_APART: Final = b"\\N"
# what text format writes for a character; others have the backslash before them
_WRITTEN: Final = {
    b"\b": b"\\b",
    b"\f": b"\\f",
    b"\n": b"\\n",
    b"\r": b"\\r",
    b"\t": b"\\t",
    b"\v": b"\\v",
}
_READ: Final = {written: char for char, written in _WRITTEN.items()}
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
# alone on its line it ends a file for who reads it
_END_OF_FILE: Final = b"\\."


class Written(Protocol):
    """How values stand in a line."""

    def ends(self, data: bytes, at: int) -> int | None:
        """Where the value ends that begins there; None if it may go on behind `data`."""
        ...

    def read(self, raw: bytes) -> bytes:
        """The value itself."""
        ...

    def masked(self, raw: bytes, mask: Masker, *, alone: bool) -> bytes:
        """What is sent instead of it. alone: it is the only one in its line."""
        ...


class Lines:
    """Rows are lines, with delimiters between values. names: of the columns, as `codec` reads them."""

    def __init__(
        self, copying: Copying, maskers: tuple[Masker | None, ...], names: tuple[str, ...], codec: str
    ) -> None:
        self._written: Written = Csv(copying) if copying.format is Format.CSV else Text(copying)
        self._delimiter = ord(copying.delimiter)
        self._maskers = maskers
        self._names = names
        self._codec = codec
        self._heads = copying.header

    def row(self, data: bytes, at: int) -> tuple[int, bytes] | None:
        values = self._values(data, at)
        if values is None:
            return None
        ends = values[-1][1] + 1
        if not self._maskers and values == [(at, at)]:
            return ends, data[at:ends]  # a row without columns
        if len(values) != len(self._maskers):
            raise other("a row has another number of columns")
        if self._heads:
            self._heads = False
            self._named(data, values)
            return ends, data[at:ends]
        alone = len(values) == 1
        out: list[bytes] = []
        for (begin, end), mask in zip(values, self._maskers, strict=True):
            if mask is not None:
                out += (data[at:begin], self._written.masked(data[begin:end], mask, alone=alone))
                at = end
        out.append(data[at:ends])
        return ends, b"".join(out)

    def _values(self, data: bytes, at: int) -> list[tuple[int, int]] | None:
        """Where each of the line's values begins and ends; None if the line has not come whole."""
        found: list[tuple[int, int]] = []
        while True:
            ends = self._written.ends(data, at)
            if ends is None or ends == len(data):
                return None
            found.append((at, ends))
            if data[ends] == _END:
                return found
            if data[ends] != self._delimiter:
                raise other("a value does not end where it should")
            at = ends + 1

    def _named(self, data: bytes, values: list[tuple[int, int]]) -> None:
        """The first line is let be only because it says what is known."""
        read = (self._written.read(data[begin:end]) for begin, end in values)
        if tuple(name.decode(self._codec, "backslashreplace") for name in read) != self._names:
            raise other("its first line is not the names of its columns")

    def end(self) -> None:
        pass  # there may be no line at all


class Text:
    """A backslash before whatever has a meaning of its own."""

    def __init__(self, copying: Copying) -> None:
        self._null = copying.null.encode()
        sign = re.escape(copying.delimiter.encode())
        self._value = re.compile(rb"(?:[^\\\n" + sign + rb"]++|\\[^\n])*+")
        self._special = re.compile(rb"[\x08\f\n\r\t\v\\" + sign + rb"]")

    def ends(self, data: bytes, at: int) -> int | None:
        match = self._value.match(data, at)
        assert match is not None
        ends = match.end()
        return None if data[ends:] == _BACKSLASH else ends

    def read(self, raw: bytes) -> bytes:
        return _ESCAPED.sub(lambda m: _READ.get(m[0], m[1]), raw) if _BACKSLASH in raw else raw

    def masked(self, raw: bytes, mask: Masker, *, alone: bool) -> bytes:
        del alone
        # INVARIANT: 3. where NULL cannot be told from a value that looks like it, it is masked like one
        if raw == self._null == _TOLD_APART:
            return raw
        value = mask(self.read(raw))
        if value is None:
            return self._null
        return self._special.sub(lambda m: _WRITTEN.get(m[0], _BACKSLASH + m[0]), value)


class Csv:
    """Quotes around whatever has a meaning of its own. NULL has none; what looks like it always has."""

    def __init__(self, copying: Copying) -> None:
        self._null = copying.null.encode()
        self._quote, self._escape = copying.quote.encode(), copying.escape.encode()
        quote, escape = re.escape(self._quote), re.escape(self._escape)
        delimiter = re.escape(copying.delimiter.encode())
        inside = rb"[^" + quote + escape + rb"]++|" + escape + (quote if quote == escape else rb".")
        self._quoted = re.compile(quote + rb"(?:" + inside + rb")*+" + quote, re.DOTALL)
        self._plain = re.compile(rb"[^\r\n" + quote + delimiter + rb"]*+")
        self._escaped = re.compile(escape + rb"(.)", re.DOTALL)
        self._to_escape = re.compile(rb"[" + quote + escape + rb"]")
        self._to_quote = re.compile(rb"[\r\n" + quote + delimiter + rb"]")

    def ends(self, data: bytes, at: int) -> int | None:
        quoted = data.startswith(self._quote, at)
        match = (self._quoted if quoted else self._plain).match(data, at)
        return None if match is None else match.end()

    def read(self, raw: bytes) -> bytes:
        if not raw.startswith(self._quote):
            return raw
        return self._escaped.sub(rb"\1", raw[1:-1])

    def masked(self, raw: bytes, mask: Masker, *, alone: bool) -> bytes:
        if raw == self._null:
            return raw
        value = mask(self.read(raw))
        if value is None:
            return self._null
        quoted = raw.startswith(self._quote) or value == self._null or (alone and value == _END_OF_FILE)
        if not quoted and self._to_quote.search(value) is None:
            return value
        return self._quote + self._to_escape.sub(lambda m: self._escape + m[0], value) + self._quote
