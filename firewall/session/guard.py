"""Rows whose columns are masked, on their way to the client.

Fed with what the server sends of one portal's result, in any chunks; gives whole messages only, so that
nothing of a value is passed on before all of it was seen. The type of a column stays what it is, in text and
in binary, so that what Postgres says of the statement stays true of what the client gets. What COPY sends is
told apart by `copied`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session.copied import Binary, Copied, Format, other
from firewall.session.copied_lines import Lines
from firewall.session.encodings import AS_UTF8, SAFE, codec
from firewall.session.masks import masker
from firewall.session.watch import UNANNOUNCED

if TYPE_CHECKING:
    from firewall.session.commands import Masking
    from firewall.session.masks import Masker

DATA_ROW: Final = ord("D")
# a row of this size is more than a person looks at; one that is larger ends the session
MAX_ROW: Final = 64 * 1024 * 1024
NULL: Final = b"\xff\xff\xff\xff"
OTHER_COLUMNS: Final = "query-firewall: the result has other columns than those that were judged"
AGAIN: Final = "connect and send the statement again, the catalog is read anew"


class Guard:
    """Masks the rows of one portal. masked: there is something to mask."""

    # INVARIANT: 3. what is not understood is not passed: no row before its columns are known and as judged

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self._framer = wire.Framer(MAX_ROW)
        self._maskers: tuple[Masker | None, ...] | None = None
        self._names: tuple[str, ...] = ()
        self._copied: Copied | None = None
        self.masked = False

    def described(self, frame: wire.Frame, encoding: str) -> None:
        """What Postgres says of the portal's result; of a COPY, of the query in it. encoding: the client's,
        by Postgres's name.

        Raises ProtocolViolation if these are not the columns that were judged.
        """
        masking = self._masking
        copying = masking.copying
        if frame.code != wire.RowDescription.CODE:
            if copying is None:
                self._maskers, self.masked = (), False
            return  # a COPY has no result
        fields = wire.RowDescription.decode(frame.body).fields
        masks = masking.columns or (None,) * len(fields)
        if len(masks) != len(fields):
            raise ProtocolViolation(OTHER_COLUMNS, sqlstate=UNANNOUNCED, hint=AGAIN)
        maskers: list[Masker | None] = []
        for mask, field in zip(masks, fields, strict=True):
            place = (field.table, field.column)
            if mask is None:
                if place in masking.places:
                    raise ProtocolViolation(OTHER_COLUMNS, sqlstate=UNANNOUNCED, hint=AGAIN)
                maskers.append(None)
                continue
            means = mask if place in masking.stored else mask.of_computed
            binary = field.format == 1
            written = encoding
            if copying is not None:
                binary = copying.format is Format.BINARY
                # in binary format values are sent as they would be in a row of the result
                written = encoding if binary else copying.encoding or encoding
            maskers.append(masker(means, field.type, binary=binary, key=masking.key, encoding=codec(written)))
        self._maskers = tuple(maskers)
        self._names = tuple(field.name for field in fields)
        self.masked = any(each is not None for each in maskers)

    def copies(self, frame: wire.Frame, encoding: str) -> None:
        """COPY begins to send. Raises ProtocolViolation if it was not judged to send this."""
        copying, maskers = self._masking.copying, self._maskers
        if copying is None or maskers is None:
            raise other("nobody knows what its columns are")
        told = wire.CopyOutResponse.decode(frame.body)
        binary = copying.format is Format.BINARY
        if bool(told.format) is not binary or len(told.columns) != len(maskers):
            raise other("it has another format or other columns")
        if binary:
            self._copied = Copied(Binary(maskers), MAX_ROW)
            return
        written = copying.encoding or encoding
        if written not in SAFE:
            raise other("in its encoding values cannot be told apart")
        # names were read as UTF-8 (`wire.Field`), whatever they were written in
        reads = "utf-8" if written == encoding or encoding not in AS_UTF8 else codec(written)
        self._copied = Copied(Lines(copying, maskers, self._names, reads), MAX_ROW)

    def copied(self) -> None:
        """COPY has sent everything. Raises ProtocolViolation if that is not so."""
        if self._copied is not None:
            self._copied.end()

    def pass_on(self, data: bytes) -> bytes:
        """What the client gets of it. Raises ProtocolViolation for what is no row of this result."""
        maskers = self._maskers
        if maskers is None:
            raise ProtocolViolation("the server sent rows to be masked before it said what they are")
        if not self.masked:
            return data
        frames = self._framer.feed(data)
        if self._copied is not None:
            return b"".join([self._copied.pass_on(self._copy_data(frame)) for frame in frames])
        return b"".join([self._row(frame, maskers) for frame in frames])

    @staticmethod
    def _copy_data(frame: wire.Frame) -> bytes:
        if frame.code != wire.CopyData.CODE:
            raise ProtocolViolation("the server sent rows where data of COPY was expected")
        return frame.body

    def _row(self, frame: wire.Frame, maskers: tuple[Masker | None, ...]) -> bytes:
        if frame.code != DATA_ROW:
            raise ProtocolViolation("the server sent data where rows to be masked were expected")
        raw = frame.raw
        if int.from_bytes(raw[5:7]) != len(maskers):
            raise ProtocolViolation("a row has other columns than its description")
        out: list[bytes] = []
        at = kept = 5
        at += 2
        size = len(raw)
        for mask in maskers:
            length = int.from_bytes(raw[at : at + 4], signed=True)
            begins = at + 4
            ends = begins + max(length, 0)
            if ends > size:
                raise ProtocolViolation("a row is shorter than it says")
            if mask is not None and length >= 0:
                value = mask(raw[begins:ends])
                out.append(raw[kept:at])
                out.append(NULL if value is None else len(value).to_bytes(4) + value)
                kept = ends
            at = ends
        if at != size:
            raise ProtocolViolation("a row is longer than it says")
        out.append(raw[kept:])
        body = b"".join(out)
        return b"D" + (len(body) + 4).to_bytes(4) + body
