"""Rows whose columns are masked, on their way to the client.

Fed with what the server sends of one portal's result, in any chunks; gives whole messages only, so that
nothing of a value is passed on before all of it was seen. The type of a column stays what it is, in text and
in binary, so that what Postgres says of the statement stays true of what the client gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session.masks import codec, masker
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
        self.masked = False

    def described(self, frame: wire.Frame, encoding: str) -> None:
        """What Postgres says of the portal's result. encoding: the client's, by Postgres's name.

        Raises ProtocolViolation if these are not the columns that were judged.
        """
        if frame.code != wire.RowDescription.CODE:
            self._maskers, self.masked = (), False
            return
        fields = wire.RowDescription.decode(frame.body).fields
        masking = self._masking
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
            maskers.append(
                masker(means, field.type, binary=binary, key=masking.key, encoding=codec(encoding))
            )
        self._maskers = tuple(maskers)
        self.masked = any(each is not None for each in maskers)

    def pass_on(self, data: bytes) -> bytes:
        """What the client gets of it. Raises ProtocolViolation for what is no row of this result."""
        maskers = self._maskers
        if maskers is None:
            raise ProtocolViolation("the server sent rows to be masked before it said what they are")
        if not self.masked:
            return data
        return b"".join([self._row(frame, maskers) for frame in self._framer.feed(data)])

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
