"""Rows under obligations: masked column by column, and no more of them than are owed.

Fed with what the server sends of one result, in any chunks; gives whole messages only, so that nothing of a
value is passed on before all of it was seen. The result ends for the client at the row beyond the limit; what
is then to be done with the statement is the session's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session.masks import masker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall.session.masks import Mask, Masker

DATA_ROW: Final = ord("D")
# a row of this size is more than a person looks at; one that is larger ends the session
MAX_ROW: Final = 64 * 1024 * 1024
# fields of an ErrorResponse that never quote a value (manual 53.8): severity, SQLSTATE and place in the text
HARMLESS: Final = frozenset("SVCP")
WITHHELD: Final = "the statement failed; what Postgres says of it may quote masked values and is withheld"


class Guard:
    """masks: of each output column, None where it may be seen. most: rows, None for any number."""

    def __init__(self, masks: Sequence[Mask | None], *, most: int | None, key: bytes) -> None:
        self._masks = tuple(masks)
        self._masked = any(mask is not None for mask in self._masks)
        self._most = most
        self._key = key
        self._framer = wire.Framer(MAX_ROW)
        self._maskers: tuple[Masker | None, ...] = self._of_types((), ())
        self.rows = 0
        self.exceeded = False

    def described(self, fields: Sequence[wire.Field], formats: Sequence[int] | None = None) -> None:
        """The columns' types, and their formats, if they are others than the description says.

        Raises ProtocolViolation if these are not the columns that were judged.
        """
        if self._masked and len(fields) != len(self._masks):
            raise ProtocolViolation("the result has other columns than those that were judged")
        told = [field.format for field in fields] if formats is None else formats
        self._maskers = self._of_types([field.type for field in fields], told)

    def pass_on(self, data: bytes) -> bytes:
        """What the client gets of it. Raises ProtocolViolation for what is no row."""
        out: list[bytes] = []
        for frame in self._framer.feed(data):
            if frame.code != DATA_ROW:
                raise ProtocolViolation("data was sent where rows under obligations were expected")
            if self._most is not None and self.rows >= self._most:
                self.exceeded = True
            if self.exceeded:
                continue
            self.rows += 1
            out.append(self._row(frame) if self._masked else frame.raw)
        return b"".join(out)

    def _row(self, frame: wire.Frame) -> bytes:
        values = wire.DataRow.decode(frame.body).values
        if len(values) != len(self._masks):
            raise ProtocolViolation("a row has other columns than those that were judged")
        return wire.DataRow(
            tuple(
                value if mask is None or value is None else mask(value)
                for value, mask in zip(values, self._maskers, strict=True)
            )
        ).encode()

    def _of_types(self, types: Sequence[int], formats: Sequence[int]) -> tuple[Masker | None, ...]:
        """Without a type a mask can only be null. formats: none is text, one is of all columns."""
        found: list[Masker | None] = []
        for place, mask in enumerate(self._masks):
            oid = types[place] if place < len(types) else 0
            binary = bool(formats) and formats[place if len(formats) > 1 else 0] == 1
            found.append(None if mask is None else masker(mask, oid, binary=binary, key=self._key))
        return tuple(found)


def withheld(error: wire.ErrorResponse) -> wire.ErrorResponse:
    """An error of a statement under masks: casts and constraints quote the value that they stopped at."""
    kept = tuple((code, text) for code, text in error.fields if code in HARMLESS)
    return wire.ErrorResponse((*kept, ("M", WITHHELD)))
