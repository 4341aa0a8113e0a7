"""The server's side of signing in: the messages with code `R` (manual, section 54.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias

from firewall.wire import body as b
from firewall.wire.body import Body

AUTHENTICATION: Final = ord("R")


@dataclass(frozen=True, slots=True)
class _Bare:
    KIND: ClassVar[int]
    CODE: ClassVar[int] = AUTHENTICATION

    def encode(self) -> bytes:
        return b.frame(AUTHENTICATION, b.int32(self.KIND))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        _opened(body, cls.__name__, cls.KIND).end()
        return cls()


@dataclass(frozen=True, slots=True)
class AuthenticationOk(_Bare):
    KIND: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class AuthenticationCleartextPassword(_Bare):
    KIND: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class AuthenticationMD5Password:
    CODE: ClassVar[int] = AUTHENTICATION
    KIND: ClassVar[int] = 5
    salt: bytes

    def encode(self) -> bytes:
        if len(self.salt) != 4:
            raise ValueError("the salt of an md5 password is 4 bytes long")
        return b.frame(AUTHENTICATION, b.int32(self.KIND), self.salt)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = _opened(body, cls.__name__, cls.KIND)
        message = cls(read.take(4))
        read.end()
        return message


@dataclass(frozen=True, slots=True)
class AuthenticationSASL:
    """The mechanisms that the server offers, the one it likes best first."""

    CODE: ClassVar[int] = AUTHENTICATION
    KIND: ClassVar[int] = 10
    mechanisms: tuple[str, ...]

    def encode(self) -> bytes:
        return b.frame(AUTHENTICATION, b.int32(self.KIND), *map(b.string, self.mechanisms), b"\0")

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = _opened(body, cls.__name__, cls.KIND)
        mechanisms: list[str] = []
        while mechanism := read.lenient():
            mechanisms.append(mechanism)
        read.end()
        return cls(tuple(mechanisms))


@dataclass(frozen=True, slots=True)
class AuthenticationSASLContinue:
    CODE: ClassVar[int] = AUTHENTICATION
    KIND: ClassVar[int] = 11
    data: bytes

    def encode(self) -> bytes:
        return b.frame(AUTHENTICATION, b.int32(self.KIND), self.data)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return cls(_opened(body, cls.__name__, cls.KIND).rest())


@dataclass(frozen=True, slots=True)
class AuthenticationSASLFinal:
    CODE: ClassVar[int] = AUTHENTICATION
    KIND: ClassVar[int] = 12
    data: bytes

    def encode(self) -> bytes:
        return b.frame(AUTHENTICATION, b.int32(self.KIND), self.data)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return cls(_opened(body, cls.__name__, cls.KIND).rest())


@dataclass(frozen=True, slots=True)
class AuthenticationOther:
    """A request that we do not answer: Kerberos, GSSAPI, SSPI, or one yet to come."""

    CODE: ClassVar[int] = AUTHENTICATION
    kind: int
    data: bytes

    def encode(self) -> bytes:
        return b.frame(AUTHENTICATION, b.int32(self.kind), self.data)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, cls.__name__)
        return cls(read.int32(), read.rest())


AuthenticationMessage: TypeAlias = (
    AuthenticationOk
    | AuthenticationCleartextPassword
    | AuthenticationMD5Password
    | AuthenticationSASL
    | AuthenticationSASLContinue
    | AuthenticationSASLFinal
    | AuthenticationOther
)

_BY_KIND: dict[int, type[AuthenticationMessage]] = {
    message.KIND: message
    for message in (
        AuthenticationOk,
        AuthenticationCleartextPassword,
        AuthenticationMD5Password,
        AuthenticationSASL,
        AuthenticationSASLContinue,
        AuthenticationSASLFinal,
    )
}


def decode_authentication(body: bytes) -> AuthenticationMessage:
    """The `R` message with this body, told by the number it begins with."""
    kind = Body(body, "Authentication").int32()
    return _BY_KIND.get(kind, AuthenticationOther).decode(body)


def _opened(body: bytes, name: str, kind: int) -> Body:
    read = Body(body, name)
    if read.int32() != kind:
        read.wrong(f"it does not begin with {kind}")
    return read
