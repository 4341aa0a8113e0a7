"""What a backend says, one frozen record for each message (manual, section 54.7).

Text from a server is read leniently: before client_encoding holds, and in SQL_ASCII databases, it may be in
any encoding. Whoever relays a message unchanged relays its frame, not what is made of it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self, TypeAlias

from firewall.errors import ProtocolViolation
from firewall.wire import body as b
from firewall.wire.authentication import AUTHENTICATION, AuthenticationMessage, decode_authentication
from firewall.wire.body import Body
from firewall.wire.frontend import Bare, CopyData, CopyDone
from firewall.wire.responses import ErrorResponse, NoticeResponse

if TYPE_CHECKING:
    from firewall.wire.framing import Frame

KEY_LENGTHS: Final = range(4, 257)
"""How long a cancel key may be: 4 bytes in 3.0, up to 256 in 3.2 (manual, BackendKeyData)."""


@dataclass(frozen=True, slots=True)
class ParameterStatus:
    CODE: ClassVar[int] = ord("S")
    name: str
    value: str

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.string(self.name), b.string(self.value))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "ParameterStatus")
        message = cls(read.lenient(), read.lenient())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class BackendKeyData:
    """What a client must show to cancel. The key is kept out of the repr."""

    # INVARIANT: 10. Secrets reach no log: the key does not print itself.

    CODE: ClassVar[int] = ord("K")
    pid: int
    key: bytes

    def __repr__(self) -> str:
        return f"BackendKeyData(pid={self.pid})"

    def encode(self) -> bytes:
        if len(self.key) not in KEY_LENGTHS:
            raise ValueError("a cancel key is 4 to 256 bytes long")
        return b.frame(self.CODE, b.int32(self.pid), self.key)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "BackendKeyData")
        message = cls(read.int32(), read.rest())
        if len(message.key) not in KEY_LENGTHS:
            read.wrong(f"a cancel key of {len(message.key)} bytes is not 4 to 256 bytes long")
        return message


@dataclass(frozen=True, slots=True)
class ReadyForQuery:
    """Idle (I), in a transaction (T), or in a failed one (E)."""

    CODE: ClassVar[int] = ord("Z")
    status: Literal["I", "T", "E"]

    def encode(self) -> bytes:
        return b.frame(self.CODE, self.status.encode())

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "ReadyForQuery")
        said = chr(read.byte())
        read.end()
        if said not in _STATUSES:
            read.wrong(f"`{said}` is not a transaction status")
        return cls(_STATUSES[said])


_STATUSES: Final[dict[str, Literal["I", "T", "E"]]] = {"I": "I", "T": "T", "E": "E"}


@dataclass(frozen=True, slots=True)
class Field:
    """One output column. `table` and `column` are 0 where it is not simply a column of a relation."""

    name: str
    table: int = 0
    column: int = 0
    type: int = 0
    size: int = -1
    modifier: int = -1
    format: int = 0


@dataclass(frozen=True, slots=True)
class RowDescription:
    CODE: ClassVar[int] = ord("T")
    fields: tuple[Field, ...]

    def encode(self) -> bytes:
        parts = [
            b.string(field.name)
            + b.uint32(field.table)
            + b.int16(field.column)
            + b.uint32(field.type)
            + b.int16(field.size)
            + b.int32(field.modifier)
            + b.uint16(field.format)
            for field in self.fields
        ]
        return b.frame(self.CODE, b.uint16(len(parts)), *parts)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "RowDescription")
        message = cls(
            tuple(
                Field(
                    name=read.lenient(),
                    table=read.uint32(),
                    column=read.int16(),
                    type=read.uint32(),
                    size=read.int16(),
                    modifier=read.int32(),
                    format=read.uint16(),
                )
                for _ in range(read.count(19))
            ),
        )
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class DataRow:
    CODE: ClassVar[int] = ord("D")
    values: tuple[bytes | None, ...]

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.values(self.values))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "DataRow")
        message = cls(read.values())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class ParameterDescription:
    CODE: ClassVar[int] = ord("t")
    types: tuple[int, ...]

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.uint32s(self.types))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "ParameterDescription")
        message = cls(read.uint32s())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class CommandComplete:
    CODE: ClassVar[int] = ord("C")
    tag: str

    @property
    def rows(self) -> int | None:
        """Rows that the tag speaks of, or None for a command that counts none."""
        last = self.tag.rpartition(" ")[2]
        return int(last) if last.isascii() and last.isdecimal() and len(last) <= 20 else None

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.string(self.tag))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "CommandComplete")
        message = cls(read.lenient())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class NegotiateProtocolVersion:
    """The newest version 3.`minor` that will be spoken, and the `_pq_.` options that are not known.

    On the wire stands the whole version number (3 in the upper half), as Postgres sends and libpq expects it;
    a bare minor number, as the manual has it, is understood too.
    """

    CODE: ClassVar[int] = ord("v")
    minor: int
    options: tuple[str, ...] = ()

    def encode(self) -> bytes:
        return b.frame(
            self.CODE,
            b.uint32((3 << 16) | self.minor),
            b.uint32(len(self.options)),
            *map(b.string, self.options),
        )

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "NegotiateProtocolVersion")
        major, minor = divmod(read.uint32(), 1 << 16)
        if major not in {0, 3}:
            read.wrong(f"protocol {major}.{minor} is not version 3")
        count = read.uint32()
        if count > read.left:
            read.wrong(f"{count} items cannot stand in the {read.left} bytes left")
        message = cls(minor, tuple(read.lenient() for _ in range(count)))
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class NotificationResponse:
    CODE: ClassVar[int] = ord("A")
    pid: int
    channel: str
    payload: str

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.int32(self.pid), b.string(self.channel), b.string(self.payload))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "NotificationResponse")
        message = cls(read.int32(), read.lenient(), read.lenient())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class _CopyResponse:
    """A copy begins: its overall format and that of each column, 0 text and 1 binary."""

    CODE: ClassVar[int]
    format: int
    columns: tuple[int, ...]

    def encode(self) -> bytes:
        return b.frame(self.CODE, bytes((self.format,)), b.uint16s(self.columns))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, cls.__name__)
        message = cls(read.byte(), read.uint16s())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class CopyInResponse(_CopyResponse):
    CODE: ClassVar[int] = ord("G")


@dataclass(frozen=True, slots=True)
class CopyOutResponse(_CopyResponse):
    CODE: ClassVar[int] = ord("H")


@dataclass(frozen=True, slots=True)
class CopyBothResponse(_CopyResponse):
    CODE: ClassVar[int] = ord("W")


@dataclass(frozen=True, slots=True)
class FunctionCallResponse:
    CODE: ClassVar[int] = ord("V")
    value: bytes | None

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.value(self.value))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "FunctionCallResponse")
        message = cls(read.value())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class ParseComplete(Bare):
    CODE: ClassVar[int] = ord("1")


@dataclass(frozen=True, slots=True)
class BindComplete(Bare):
    CODE: ClassVar[int] = ord("2")


@dataclass(frozen=True, slots=True)
class CloseComplete(Bare):
    CODE: ClassVar[int] = ord("3")


@dataclass(frozen=True, slots=True)
class NoData(Bare):
    CODE: ClassVar[int] = ord("n")


@dataclass(frozen=True, slots=True)
class EmptyQueryResponse(Bare):
    CODE: ClassVar[int] = ord("I")


@dataclass(frozen=True, slots=True)
class PortalSuspended(Bare):
    CODE: ClassVar[int] = ord("s")


_Told: TypeAlias = (
    ParameterStatus
    | BackendKeyData
    | ReadyForQuery
    | ErrorResponse
    | NoticeResponse
    | RowDescription
    | DataRow
    | ParameterDescription
    | CommandComplete
    | NegotiateProtocolVersion
    | NotificationResponse
    | CopyInResponse
    | CopyOutResponse
    | CopyBothResponse
    | CopyData
    | CopyDone
    | FunctionCallResponse
    | ParseComplete
    | BindComplete
    | CloseComplete
    | NoData
    | EmptyQueryResponse
    | PortalSuspended
)
BackendMessage: TypeAlias = AuthenticationMessage | _Told

_BY_CODE: dict[int, type[_Told]] = {message.CODE: message for message in _Told.__args__}


def decode_backend(frame: Frame) -> BackendMessage:
    """The message in a whole frame. Raises ProtocolViolation for an unknown code or a malformed body."""
    if frame.code == AUTHENTICATION:
        return decode_authentication(frame.body)
    message = _BY_CODE.get(frame.code)
    if message is None:
        raise ProtocolViolation(
            f"invalid backend message type {frame.code}",
            hint="the upstream server does not speak protocol version 3; check its address",
        )
    return message.decode(frame.body)
