"""What a frontend says after start-up, one frozen record for each message (manual, section 54.7).

Text is strict UTF-8 both ways, so `sql.encode()` gives back the very bytes that came. Counts are read
unsigned, as Postgres reads them. What is in a message is not judged here, only that it is whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeAlias

from firewall.errors import ProtocolViolation
from firewall.wire import body as b
from firewall.wire.body import Body

if TYPE_CHECKING:
    from firewall.wire.framing import Frame


@dataclass(frozen=True, slots=True)
class Bare:
    """A message without a body."""

    CODE: ClassVar[int]

    def encode(self) -> bytes:
        return b.frame(self.CODE)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        Body(body, cls.__name__).end()
        return cls()


@dataclass(frozen=True, slots=True)
class Query:
    """A simple query: `sql` may hold several statements, or none."""

    CODE: ClassVar[int] = ord("Q")
    sql: str

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.string(self.sql))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "Query")
        message = cls(read.text())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class Parse:
    """Prepare `sql` under a name, "" being the unnamed statement; `types` are oids, 0 for unspecified."""

    CODE: ClassVar[int] = ord("P")
    statement: str
    sql: str
    types: tuple[int, ...] = ()

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.string(self.statement), b.string(self.sql), b.uint32s(self.types))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "Parse")
        message = cls(read.text(), read.text(), read.uint32s())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class Bind:
    """Make a portal of a statement. Formats: none (all text), one for all, or one each; 0 text, 1 binary."""

    CODE: ClassVar[int] = ord("B")
    portal: str
    statement: str
    formats: tuple[int, ...] = ()
    values: tuple[bytes | None, ...] = ()
    result_formats: tuple[int, ...] = ()

    def encode(self) -> bytes:
        return b.frame(
            self.CODE,
            b.string(self.portal),
            b.string(self.statement),
            b.uint16s(self.formats),
            b.values(self.values),
            b.uint16s(self.result_formats),
        )

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "Bind")
        message = cls(read.text(), read.text(), read.uint16s(), read.values(), read.uint16s())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class Describe:
    """Ask what a statement (S) or a portal (P) takes and gives."""

    CODE: ClassVar[int] = ord("D")
    kind: Literal["S", "P"]
    name: str

    def encode(self) -> bytes:
        return b.frame(self.CODE, self.kind.encode(), b.string(self.name))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return cls(*_named(body, "Describe"))


@dataclass(frozen=True, slots=True)
class Execute:
    """Run a portal; `rows` above 0 is how many rows at most before it is suspended."""

    CODE: ClassVar[int] = ord("E")
    portal: str
    rows: int = 0

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.string(self.portal), b.int32(self.rows))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "Execute")
        message = cls(read.text(), read.int32())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class Close:
    """Forget a statement (S) or a portal (P)."""

    CODE: ClassVar[int] = ord("C")
    kind: Literal["S", "P"]
    name: str

    def encode(self) -> bytes:
        return b.frame(self.CODE, self.kind.encode(), b.string(self.name))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return cls(*_named(body, "Close"))


@dataclass(frozen=True, slots=True)
class Flush(Bare):
    CODE: ClassVar[int] = ord("H")


@dataclass(frozen=True, slots=True)
class Sync(Bare):
    CODE: ClassVar[int] = ord("S")


@dataclass(frozen=True, slots=True)
class Terminate(Bare):
    CODE: ClassVar[int] = ord("X")


@dataclass(frozen=True, slots=True)
class CopyData:
    """A piece of a COPY stream, either way; a piece is not a row."""

    CODE: ClassVar[int] = ord("d")
    data: bytes

    def encode(self) -> bytes:
        return b.frame(self.CODE, self.data)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return cls(body)


@dataclass(frozen=True, slots=True)
class CopyDone(Bare):
    CODE: ClassVar[int] = ord("c")


@dataclass(frozen=True, slots=True)
class CopyFail:
    CODE: ClassVar[int] = ord("f")
    reason: str

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.string(self.reason))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "CopyFail")
        message = cls(read.text())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The old fast path: call a function by its oid, past any SQL."""

    CODE: ClassVar[int] = ord("F")
    function: int
    formats: tuple[int, ...] = ()
    values: tuple[bytes | None, ...] = ()
    result_format: int = 0

    def encode(self) -> bytes:
        return b.frame(
            self.CODE,
            b.uint32(self.function),
            b.uint16s(self.formats),
            b.values(self.values),
            b.uint16(self.result_format),
        )

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "FunctionCall")
        message = cls(read.uint32(), read.uint16s(), read.values(), read.uint16())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class PasswordMessage:
    """A clear or md5 password. The secret is kept out of the repr."""

    # INVARIANT: 10. Secrets reach no log: nothing here prints itself.

    CODE: ClassVar[int] = ord("p")
    password: str

    def __repr__(self) -> str:
        return "PasswordMessage()"

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.string(self.password))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "PasswordMessage")
        message = cls(read.text())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class SASLInitialResponse:
    """The mechanism that the client chose and, if it sends one at once, its first message."""

    CODE: ClassVar[int] = ord("p")
    mechanism: str
    data: bytes | None

    def __repr__(self) -> str:
        return f"SASLInitialResponse(mechanism={self.mechanism!r})"

    def encode(self) -> bytes:
        return b.frame(self.CODE, b.string(self.mechanism), b.value(self.data))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, "SASLInitialResponse")
        message = cls(read.text(), read.value())
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class SASLResponse:
    CODE: ClassVar[int] = ord("p")
    data: bytes

    def __repr__(self) -> str:
        return "SASLResponse()"

    def encode(self) -> bytes:
        return b.frame(self.CODE, self.data)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return cls(body)


FrontendMessage: TypeAlias = (
    Query
    | Parse
    | Bind
    | Describe
    | Execute
    | Close
    | Flush
    | Sync
    | Terminate
    | CopyData
    | CopyDone
    | CopyFail
    | FunctionCall
    | PasswordMessage
    | SASLInitialResponse
    | SASLResponse
)

_BY_CODE: dict[int, type[FrontendMessage]] = {
    message.CODE: message
    for message in (
        Query,
        Parse,
        Bind,
        Describe,
        Execute,
        Close,
        Flush,
        Sync,
        Terminate,
        CopyData,
        CopyDone,
        CopyFail,
        FunctionCall,
        SASLResponse,
    )
}


def decode_frontend(frame: Frame) -> FrontendMessage:
    """The message in a whole frame. Raises ProtocolViolation, of which TextError leaves the framing intact.

    Four messages share the code `p` and only the moment tells them apart; here it gives the one whose body is
    any bytes, SASLResponse. Who waits for another decodes the frame's body with that class.
    """
    message = _BY_CODE.get(frame.code)
    if message is None:
        raise ProtocolViolation(
            f"invalid frontend message type {frame.code}",
            hint="the driver does not speak protocol version 3; check its version",
        )
    return message.decode(frame.body)


def _named(body: bytes, name: str) -> tuple[Literal["S", "P"], str]:
    read = Body(body, name)
    kind = read.byte()
    if kind not in b"SP":
        read.wrong(f"`{kind}` is neither a statement (S) nor a portal (P)")
    target = read.text()
    read.end()
    return ("S" if kind == ord("S") else "P"), target
