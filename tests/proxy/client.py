"""A client that speaks the protocol by hand, to do what no driver would."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Self

from firewall import wire

if TYPE_CHECKING:
    import socket

    from tests.proxy.certificates import Certificates


def client_tls(made: Certificates, alpn: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(made.authority)
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


class Client:
    """Sends what it is told; reads whole messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext | None = None) -> Self:
        name = "localhost" if tls else None
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    def send(self, *data: bytes) -> None:
        self._writer.write(b"".join(data))

    async def drain(self) -> None:
        """Wait until the other side has taken most of what was sent."""
        await self._writer.drain()

    def end(self) -> None:
        """Send nothing more, and go on reading."""
        self._writer.write_eof()

    def abort(self) -> None:
        self._writer.transport.abort()

    def socket(self) -> socket.socket:
        found: socket.socket = self._writer.get_extra_info("socket")
        return found

    async def take(self, size: int) -> bytes:
        """So many bytes, or fewer if there are no more."""
        try:
            return await asyncio.wait_for(self._reader.readexactly(size), 15)
        except asyncio.IncompleteReadError as end:
            return end.partial
        except ConnectionResetError:
            return b""

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self._writer.start_tls(context, server_hostname="localhost")

    async def message(self) -> wire.BackendMessage | None:
        """The next message, or None at the end."""
        header = await self.take(5)
        if len(header) < 5:
            return None
        body = await self.take(int.from_bytes(header[1:5]) - 4)
        return wire.decode_backend(wire.Frame(header[0], header + body))

    async def until(self, kind: type) -> list[wire.BackendMessage]:
        """Messages up to the first of a kind, or the end."""
        got: list[wire.BackendMessage] = []
        while (message := await self.message()) is not None:
            got.append(message)
            if isinstance(message, kind):
                break
        return got

    async def error(self) -> wire.ErrorResponse:
        """The error that the connection ends with."""
        got = await self.until(wire.ErrorResponse)
        assert isinstance(got[-1], wire.ErrorResponse), got
        assert await self.take(1) == b""
        return got[-1]

    async def log_in(
        self,
        name: str,
        token: str,
        *,
        database: str = "shop",
        minor: int = 0,
        binding: bytes | None = None,
        pairs: tuple[tuple[str, str], ...] = (),
    ) -> list[wire.BackendMessage]:
        """Start up and sign in; everything up to ReadyForQuery, or the error. `pairs` are more parameters."""
        given = (("user", name), ("database", database), *pairs)
        self.send(wire.StartupMessage(3, minor, given).encode())
        before: list[wire.BackendMessage] = []
        while not isinstance(asked := await self.message(), wire.AuthenticationSASL):
            if asked is None or isinstance(asked, wire.ErrorResponse):
                return [*before, *([asked] if asked else [])]
            before.append(asked)
        scram = wire.ScramClient(token, mechanisms=asked.mechanisms, binding=binding)
        self.send(wire.SASLInitialResponse(scram.mechanism, scram.first()).encode())
        challenge = await self.message()
        if not isinstance(challenge, wire.AuthenticationSASLContinue):
            return [*before, *([challenge] if challenge else [])]
        self.send(wire.SASLResponse(scram.final(challenge.data)).encode())
        while (message := await self.message()) is not None:
            before.append(message)
            if isinstance(message, wire.ReadyForQuery | wire.ErrorResponse):
                break
        return before
