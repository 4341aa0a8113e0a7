"""Bytes into frames: one type byte, a four-byte length that counts itself, a body (manual, section 54.2).

Nothing is decoded here. This module stays plain, typed and without imports but `errors`, because it is the
inner loop of every relayed byte and is compiled by mypyc where a C compiler is there (`.ci/hatch_build.py`).
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from firewall.errors import ProtocolViolation

HEADER: Final = 5
"""Bytes before the body: the type and the length."""

LONGEST: Final = 0x7FFF_FFFF
"""The length field is a signed Int32; what lies above is negative to Postgres."""

# Measured on rows of 77 bytes: compiled, four shifts are eight times as fast as this; interpreted, 1.4 times
# slower. So each form has its own.
_header: Final = Struct("!BI").unpack_from


class Frame(NamedTuple):
    """One whole message as it came: `code` is its type byte, `raw` all of it with the header."""

    code: int
    raw: bytes

    @property
    def body(self) -> bytes:
        return self.raw[HEADER:]


class Bulk(NamedTuple):
    """A run of DataRow and CopyData bytes to pass on; `frames` is how many such frames begin in it.

    A run may begin and end in the middle of a frame.
    """

    data: bytes
    frames: int


class BrokenFraming(ProtocolViolation):
    """The stream can no longer be cut; `before` holds what was cut of the same bytes before the break.

    Who wants the same result at any chunking takes `before` first and then ends the session.
    """

    def __init__(self, message: str, *, sqlstate: str, hint: str, before: list[Frame | Bulk]) -> None:
        super().__init__(message, sqlstate=sqlstate, hint=hint)
        self.before = before


class Framer:
    """Cuts one direction of a session into whole frames.

    `limit` is the longest frame taken, header included; a longer one is refused as soon as its header
    is there, before its body is kept.
    """

    # INVARIANT: 1. Whole frames only: what has not come in full is never handed on.
    # INVARIANT: 2. Any chunking of the input gives the same frames.

    def __init__(self, limit: int) -> None:
        self._limit: int = min(limit, LONGEST + 1)
        self._buffer: bytearray = bytearray()
        self._need: int = HEADER
        self._broken: BrokenFraming | None = None

    @property
    def pending(self) -> int:
        """Bytes kept that are not yet a whole frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Frames completed by `data`, in order. Raises BrokenFraming, and the same again ever after."""
        if self._broken is not None:
            raise _again(self._broken)
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return []
            data = bytes(self._buffer)
            self._buffer = bytearray()
        frames: list[Frame] = []
        at = 0
        size = len(data)
        self._need = HEADER
        compiled = COMPILED
        while size - at >= HEADER:
            if compiled:
                code = data[at]
                length = data[at + 1] << 24 | data[at + 2] << 16 | data[at + 3] << 8 | data[at + 4]
            else:
                code, length = _header(data, at)
            if length < 4 or length >= self._limit:
                self._broken = _refusal(code, length, self._limit, list(frames))
                raise self._broken
            end = at + 1 + length
            if end > size:
                self._need = 1 + length
                break
            frames.append(Frame(code, data[at:end]))
            at = end
        if at < size:
            self._buffer += data[at:]
        return frames


class BackendCutter:
    """Cuts what a server sends: rows and copy data pass in runs as they come, the rest as whole frames.

    Memory does not grow with a row: of a DataRow or CopyData nothing but an incomplete header is kept.
    `limit` is the longest other frame, header included.
    """

    # INVARIANT: 2. Any chunking gives the same frames, and the same bytes and counts between them.

    def __init__(self, limit: int) -> None:
        self._limit: int = min(limit, LONGEST + 1)
        self._buffer: bytearray = bytearray()
        self._need: int = HEADER
        self._passing: int = 0
        self._broken: BrokenFraming | None = None

    @property
    def pending(self) -> int:
        """Bytes kept that are not yet a whole frame; never part of a row's body."""
        return len(self._buffer)

    @property
    def passing(self) -> int:
        """Bytes of a row that has been handed on in part that are still to come."""
        return self._passing

    @property
    def mid_frame(self) -> bool:
        """A row has been handed on in part: nothing may be put in here before its rest."""
        return self._passing > 0

    def feed(self, data: bytes) -> list[Frame | Bulk]:  # noqa: PLR0915 — one loop, no calls
        """What `data` completes, in order. Raises BrokenFraming, and the same again ever after."""
        if self._broken is not None:
            raise _again(self._broken)
        out: list[Frame | Bulk] = []
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return out
            data = bytes(self._buffer)
            self._buffer = bytearray()
        size = len(data)
        if self._passing >= size:
            if size:
                self._passing -= size
                out.append(Bulk(data, 0))
            return out
        at = self._passing
        start = 0
        begun = 0
        self._passing = 0
        self._need = HEADER
        # this loop runs once a row: locals and numbers written out are its speed
        header = _header
        compiled = COMPILED
        last = size - HEADER
        while at <= last:
            if compiled:
                code = data[at]
                length = data[at + 1] << 24 | data[at + 2] << 16 | data[at + 3] << 8 | data[at + 4]
            else:
                code, length = header(data, at)
            if code == 0x44 or code == 0x64:  # noqa: PLR1714  # DataRow, CopyData; a set costs a look-up
                if length < 4 or length > LONGEST:
                    self._break(code, length, out, data[start:at], begun)
                begun += 1
                at += 1 + length
                continue
            if at > start:
                out.append(Bulk(data[start:at], begun))
                start = at
                begun = 0
            if length < 4 or length >= self._limit:
                self._break(code, length, out, b"", 0)
            end = at + 1 + length
            if end > size:
                self._need = 1 + length
                break
            out.append(Frame(code, data[at:end]))
            at = start = end
        if at > size:
            self._passing = at - size
            out.append(Bulk(_cut(data, start, size), begun))
            return out
        if at > start:
            out.append(Bulk(_cut(data, start, at), begun))
        if at < size:
            self._buffer += data[at:]
        return out

    def _break(self, code: int, length: int, out: list[Frame | Bulk], run: bytes, begun: int) -> None:
        if run:
            out.append(Bulk(run, begun))
        self._broken = _refusal(code, length, self._limit, out)
        raise self._broken


def _cut(data: bytes, start: int, end: int) -> bytes:
    """A slice, or all of `data` itself: a chunk of rows alone is passed on without a copy."""
    return data if start == 0 and end == len(data) else data[start:end]


def _refusal(code: int, length: int, limit: int, before: list[Frame | Bulk]) -> BrokenFraming:
    name = chr(code) if 0x21 <= code <= 0x7E else f"0x{code:02x}"
    if length < 4 or length > LONGEST:
        shown = length if length <= LONGEST else length - (1 << 32)
        return BrokenFraming(
            f"invalid message length {shown} in a message of type `{name}`: a length counts its own 4 bytes",
            sqlstate="08P01",
            hint="speak the frontend/backend protocol, version 3, on this port",
            before=before,
        )
    return BrokenFraming(
        f"a message of type `{name}` of {length + 1} bytes is longer than the limit of {limit} bytes",
        sqlstate="54000",
        hint="send less in one message, or raise the limit",
        before=before,
    )


def _again(broken: BrokenFraming) -> BrokenFraming:
    return BrokenFraming(broken.message, sqlstate=broken.sqlstate, hint=broken.hint, before=[])


COMPILED: Final[bool] = not hasattr(_again, "__code__")
"""Which form this is."""
