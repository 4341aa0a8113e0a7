"""Data of COPY … TO STDOUT whose columns are masked: values are read out of it, masked, and written again.

The data is one stream, however it is cut into CopyData; out of it come whole rows, one CopyData each. A value
that has no mask stays byte for byte what it was. How values stand in lines is in `copied_lines`; the binary
format is here (manual, COPY, "File Formats").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session.watch import UNANNOUNCED

if TYPE_CHECKING:
    from firewall.session.masks import Masker

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
_FLAGS: Final = len(SIGNATURE)
_HEAD: Final = _FLAGS + 8  # flags, and the length of what may follow them
_TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"


class Format(StrEnum):
    """How rows are written."""

    TEXT = "text"
    CSV = "csv"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Copying:
    """How a COPY writes what it sends; signs are one ASCII character each, null is ASCII.

    query: a text that Postgres describes as it would describe the COPY's columns. encoding: of the data, by
    Postgres's name, empty for the client's.
    """

    query: str
    format: Format
    header: bool = False
    delimiter: str = "\t"
    null: str = "\\N"
    quote: str = '"'
    escape: str = '"'
    encoding: str = ""


class Rows(Protocol):
    """Cuts one format's stream into rows."""

    def row(self, data: bytes, at: int) -> tuple[int, bytes] | None:
        """Where the row ends that begins there, and what is sent instead; None if it has not come whole.

        Raises ProtocolViolation for what is no row of this COPY.
        """
        ...

    def end(self) -> None:
        """Nothing more comes. Raises ProtocolViolation if something is missing."""
        ...


class Copied:
    """One COPY's data on its way. most: bytes that are kept of a row."""

    # INVARIANT: 2. any chunking of the input gives the same
    # INVARIANT: 3. what is not understood is not passed

    def __init__(self, rows: Rows, most: int) -> None:
        self._rows = rows
        self._most = most
        self._rest = b""

    def pass_on(self, data: bytes) -> bytes:
        """What the client gets of the inside of a CopyData: messages, one for each row that is whole now."""
        if self._rest:
            data = self._rest + data
        sent: list[bytes] = []
        at = 0
        while at < len(data) and (row := self._rows.row(data, at)) is not None:
            at = row[0]
            sent.append(wire.CopyData(row[1]).encode())
        self._rest = data[at:]
        if len(self._rest) > self._most:
            raise ProtocolViolation(
                f"a row of more than {self._most} bytes cannot be masked", hint="copy fewer columns of it"
            )
        return b"".join(sent)

    def end(self) -> None:
        """CopyDone has come."""
        if self._rest:
            raise other("it ends within a row")
        self._rows.end()


class Binary:
    """Counts and lengths, as in DataRow; a head before the first row, a trailer behind the last."""

    def __init__(self, maskers: tuple[Masker | None, ...]) -> None:
        self._maskers = maskers
        self._count = len(maskers).to_bytes(2)
        self._begun = False
        self._ended = False

    def row(self, data: bytes, at: int) -> tuple[int, bytes] | None:
        if not self._begun:
            return self._head(data)
        if self._ended:
            raise other("something follows its end")
        begins, at = at, at + 2
        if len(data) < at:
            return None
        count = data[begins:at]
        if count == _TRAILER:
            self._ended = True
            return at, count
        if count != self._count:
            raise other("a row has another number of columns")
        out = [count]
        for mask in self._maskers:
            value = at + 4
            length = int.from_bytes(data[at:value], signed=True)
            if length < -1:
                raise other("a value has no length")
            ends = value + max(length, 0)
            if len(data) < ends:
                return None
            if mask is None or length < 0:
                out.append(data[at:ends])
            else:
                masked = mask(data[value:ends])
                out.append(_NULL if masked is None else len(masked).to_bytes(4) + masked)
            at = ends
        return at, b"".join(out)

    def _head(self, data: bytes) -> tuple[int, bytes] | None:
        if not SIGNATURE.startswith(data[:_FLAGS]):
            raise other("it is not in binary format")
        if len(data) < _HEAD:
            return None
        if any(data[_FLAGS:_HEAD]):
            raise other("its head says what nobody knows")
        self._begun = True
        return _HEAD, data[:_HEAD]

    def end(self) -> None:
        if not self._ended:
            raise other("its end is missing")


def other(what: str) -> ProtocolViolation:
    """The data is not as the statement says."""
    return ProtocolViolation(
        f"query-firewall: COPY sends other data than was judged: {what}",
        sqlstate=UNANNOUNCED,
        hint="run its query instead; if that is stopped too, report it",
    )
