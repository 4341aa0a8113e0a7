"""The first packets of a connection, which have no type byte (manual, sections 54.2.1 and 54.7).

Nobody is known yet who sends them, so their length is bounded as Postgres bounds it. A connection may bring
an SSLRequest, a GSSENCRequest, or both one after the other, before its StartupMessage or CancelRequest; or it
may begin with a TLS handshake at once. What follows a packet in the same bytes is handed over, never decoded
here: it may be TLS, or it may have been slipped in before TLS began.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from firewall.errors import ProtocolViolation
from firewall.wire import body as b
from firewall.wire.backend import KEY_LENGTHS, NegotiateProtocolVersion
from firewall.wire.body import Body

LONGEST_PACKET: Final = 10_000
"""Bytes after the length field: MAX_STARTUP_PACKET_LENGTH of Postgres's libpq/pqcomm.h."""

TLS_HANDSHAKE: Final = 0x16
"""The first byte of a TLS record that holds a ClientHello (RFC 8446, section 5.1)."""

NEWEST_MINOR: Final = 2
"""The newest version 3.x spoken here: 3.2, of Postgres 18, with long cancel keys."""

EXTENSION: Final = "_pq_."
"""Parameters that begin so are protocol options, not settings; none is known yet."""

_CANCEL: Final = (1234, 5678)
_SSL: Final = (1234, 5679)
_GSSENC: Final = (1234, 5680)
_length: Final = Struct("!I").unpack_from


@dataclass(frozen=True, slots=True)
class SSLRequest:
    def encode(self) -> bytes:
        return _packet(*_SSL)


@dataclass(frozen=True, slots=True)
class GSSENCRequest:
    def encode(self) -> bytes:
        return _packet(*_GSSENC)


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Stop what the session with this key is doing. The key is kept out of the repr."""

    # INVARIANT: 10. Secrets reach no log: the key does not print itself.

    pid: int
    key: bytes

    def __repr__(self) -> str:
        return f"CancelRequest(pid={self.pid})"

    def encode(self) -> bytes:
        if len(self.key) not in KEY_LENGTHS:
            raise ValueError("a cancel key is 4 to 256 bytes long")
        return _packet(*_CANCEL, b.int32(self.pid), self.key)


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """The version asked for and the parameters, repeats kept in order; the last of a name counts.

    Of a version other than 3 nothing but the number is read: `negotiate` refuses it.
    """

    major: int
    minor: int
    parameters: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """The last value given for the parameter `name`, as Postgres takes it, or None."""
        return next((value for known, value in reversed(self.parameters) if known == name), None)

    def encode(self) -> bytes:
        parts = [b.string(text) for pair in self.parameters for text in pair]
        if b"\0" in parts[::2]:
            raise ValueError("a startup parameter needs a name")
        return _packet(self.major, self.minor, *parts, b"\0")


StartupPacket: TypeAlias = SSLRequest | GSSENCRequest | CancelRequest | StartupMessage


class Packet(NamedTuple):
    """One whole startup packet, length field included, and the bytes that came after it."""

    raw: bytes
    rest: bytes


class DirectTLS(NamedTuple):
    """The peer began with a TLS handshake (sslnegotiation=direct): `rest` is all it has sent."""

    rest: bytes


class StartupFramer:
    """Cuts off the one packet that comes next; for the packet after it, feed it what comes then."""

    # INVARIANT: 2. Any chunking of the input gives the same packet.

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> Packet | DirectTLS | None:
        """The packet once it is whole, or None. Raises ProtocolViolation as soon as the length is wrong."""
        self._buffer += data
        if not self._buffer:
            return None
        if self._buffer[0] == TLS_HANDSHAKE:
            return DirectTLS(self._taken())
        if len(self._buffer) < 4:
            return None
        (length,) = _length(self._buffer)
        if not 8 <= length <= LONGEST_PACKET + 4:
            raise ProtocolViolation(
                f"invalid length of startup packet: {length} bytes",
                hint="speak the frontend/backend protocol, version 3, on this port",
            )
        if len(self._buffer) < length:
            return None
        everything = self._taken()
        return Packet(everything[:length], everything[length:])

    def _taken(self) -> bytes:
        taken = bytes(self._buffer)
        self._buffer = bytearray()
        return taken


def decode_startup(packet: bytes) -> StartupPacket:
    """The packet in its bytes, length field included. Raises ProtocolViolation if it is malformed."""
    read = Body(packet, "StartupMessage")
    length = read.uint32()
    if length != len(packet) or length > LONGEST_PACKET + 4:
        read.wrong(f"it says {length} bytes and has {len(packet)}")
    match (read.uint16(), read.uint16()):
        case (1234, 5678):
            read = _again(packet, "CancelRequest")
            message = CancelRequest(read.int32(), read.rest())
            if len(message.key) not in KEY_LENGTHS:
                read.wrong(f"a cancel key of {len(message.key)} bytes is not 4 to 256 bytes long")
            return message
        case (1234, 5679):
            _again(packet, "SSLRequest").end()
            return SSLRequest()
        case (1234, 5680):
            _again(packet, "GSSENCRequest").end()
            return GSSENCRequest()
        case (3, minor):
            return StartupMessage(3, minor, _parameters(read))
        case (major, minor):
            return StartupMessage(major, minor)


def negotiate(message: StartupMessage) -> NegotiateProtocolVersion | None:
    """What to answer a client that asks for more than is known here, or None if nothing needs saying.

    A newer minor version is answered with ours, every unknown `_pq_.` option by name; a client is never asked
    to speak a newer version than it offered. Raises ProtocolViolation (0A000) for any major version but 3.
    """
    if message.major != 3:
        raise ProtocolViolation(
            f"unsupported frontend protocol `{message.major}.{message.minor}`: "
            f"3.0 to 3.{NEWEST_MINOR} are spoken here",
            sqlstate="0A000",
            hint="use a driver that speaks protocol version 3",
        )
    unknown = tuple(name for name, _ in message.parameters if name.startswith(EXTENSION))
    if message.minor <= NEWEST_MINOR and not unknown:
        return None
    return NegotiateProtocolVersion(agreed_minor(message), unknown)


def agreed_minor(message: StartupMessage) -> int:
    """The minor version that the session speaks: the lower of the client's and ours."""
    return min(message.minor, NEWEST_MINOR)


def cancel_key_length(minor: int) -> int:
    """How long a key to give a client that speaks 3.`minor`: libpq refuses more than 4 bytes before 3.2."""
    return 32 if minor >= 2 else 4


def _parameters(read: Body) -> tuple[tuple[str, str], ...]:
    parameters: list[tuple[str, str]] = []
    while name := read.text():
        parameters.append((name, read.text()))
    if read.left:
        read.wrong("invalid layout: the terminator is not the last byte")
    return tuple(parameters)


def _again(packet: bytes, name: str) -> Body:
    return Body(packet[8:], name)


def _packet(major: int, minor: int, *parts: bytes) -> bytes:
    body = b.uint16(major) + b.uint16(minor) + b"".join(parts)
    if len(body) > LONGEST_PACKET:
        raise ValueError(f"a startup packet holds at most {LONGEST_PACKET} bytes")
    return b.uint32(len(body) + 4) + body
