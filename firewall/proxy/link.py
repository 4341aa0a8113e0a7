"""One TCP or Unix connection, plain or TLS, either side.

TLS runs over memory BIOs here, because the event loops' own `start_tls` loses bytes that have already been
read. While someone logs in, bytes are awaited with `read`; afterwards `on_data` gets them as they come.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, cast

from firewall.errors import ProtocolViolation
from firewall.proxy import hangup

if TYPE_CHECKING:
    from collections.abc import Callable

# What is read ahead of whoever asks for it while a peer logs in; an honest one waits for every answer.
MAX_AHEAD = 64 * 1024
_CHUNK = 256 * 1024
# What is written when a link is closed has so long to be taken by the other side.
LINGER_SECONDS = 10


class Keepalive(NamedTuple):
    """After so many seconds of silence a peer is asked, so many seconds apart, so many times (tcp(7))."""

    idle: int = 60
    interval: int = 10
    probes: int = 6


class Link:
    """An asyncio.Protocol in all but name (`maker`), which lets it be compiled.

    Callbacks are set once the login is over; before that `on_data` is None and `read` is used.

    on_lost: called once, when the other side has gone or `close` has finished.
    on_ended: called when the peer has closed its half of a plain connection; where it is None, that is lost.
    on_pressure: called with True when the peer does not keep up with what is written, False when it does.
    """

    def __init__(
        self, on_made: Callable[[Link], None] | None = None, keepalive: Keepalive | None = None
    ) -> None:
        self.on_data: Callable[[bytes], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.on_ended: Callable[[], None] | None = None
        self.on_pressure: Callable[[bool], None] | None = None
        self.lost = False
        self._on_made = on_made
        self._keepalive = keepalive or Keepalive()
        self._transport: asyncio.Transport | None = None
        self._descriptor = -1
        self._ahead = bytearray()
        self._arrived = asyncio.Event()
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._shaken: asyncio.Future[None] | None = None
        self._paused = False
        self._hangup: hangup.Hangup | None = None
        self._lingering: asyncio.TimerHandle | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        found = transport.get_extra_info("socket")
        self._descriptor = -1 if found is None else found.fileno()
        _keep_alive(transport, self._keepalive)
        if self._on_made:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        if self._tls is None:
            self._deliver(data)
        else:
            self._incoming.write(data)
            self._tls_step()

    def eof_received(self) -> bool:
        if self.on_ended is not None and self._tls is None and not self.lost:
            self.on_ended()
            return True
        self._gone()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # a reset is an end like any other
        self._unwatch()
        if self._lingering is not None:
            self._lingering.cancel()
        self._gone()

    def pause_writing(self) -> None:
        if self.on_pressure:
            self.on_pressure(True)

    def resume_writing(self) -> None:
        if self.on_pressure:
            self.on_pressure(False)

    # --- what the rest of the edge uses

    @property
    def address(self) -> str:
        """The peer, `host:port`; empty for Unix sockets."""
        peer = self._transport.get_extra_info("peername") if self._transport else None
        return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) >= 2 else ""

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS session, once there is one."""
        return self._tls

    async def read(self) -> bytes:
        """What has come, at least one byte; empty when the peer has gone."""
        while not self._ahead and not self.lost:
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._ahead)
        self._ahead.clear()
        self.resume()
        return data

    def unread(self, data: bytes) -> None:
        """Put back what was read too far."""
        self._ahead[:0] = data
        self._arrived.set()

    def stream_to(self, on_data: Callable[[bytes], None]) -> None:
        """The login is over: hand on what has come ahead, and everything from now on."""
        self.on_data = on_data
        self.resume()
        if self._ahead:
            data = bytes(self._ahead)
            self._ahead.clear()
            on_data(data)

    def write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._tls is None:
            self._send(self._transport, data)
        elif self._shaken is not None and self._shaken.done():
            try:
                self._tls.write(data)
            except ssl.SSLError:
                self._tls_ended()  # the peer has ended TLS: it takes nothing any more
            else:
                self._send_tls()

    def pause(self) -> None:
        """Read nothing more for now (back-pressure)."""
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def watch(self, *, ended: bool) -> None:
        """Until `resume`: notice a reset although nothing is read; if `ended`, the end of its half too."""
        if not self._paused or self._transport is None or self._transport.is_closing():
            return
        if self._hangup is None and hangup.AVAILABLE:
            descriptor = self._transport.get_extra_info("socket").fileno()
            self._hangup = hangup.Hangup(descriptor, self.abort, self._ended_unread)
        if self._hangup is not None:
            self._hangup.heed(ended=ended)

    def resume(self) -> None:
        self._unwatch()
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Close once everything written has been sent, or its time is up."""
        self._unwatch()
        if self._transport is None or self._transport.is_closing():
            return
        if self._tls is not None:
            with suppress(ssl.SSLError):
                self._tls.unwrap()  # says close_notify; the peer's own is not waited for
            self._send_tls()
        self._transport.close()
        self._lingering = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """Close at once; what is unsent is lost."""
        self._unwatch()
        if self._transport is not None:
            self._transport.abort()

    def let_go(self) -> None:
        """Whoever set the callbacks has ended: nobody is told of anything any more, nor referred to.

        Without it, a session is garbage in a cycle; one that was frozen (`heap`) would never be found.
        """
        self.on_data = _ignore
        self.on_lost = self.on_ended = self.on_pressure = None

    async def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None, begun: bytes = b""
    ) -> ssl.SSLObject:
        """Shake hands; `begun` is what the peer has sent of it already. Raises ProtocolViolation."""
        session = self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=hostname
        )
        self._shaken = asyncio.get_running_loop().create_future()
        if begun:
            self._incoming.write(begun)
        self._tls_step()
        await self._shaken
        return session

    # --- inside

    def _ended_unread(self) -> None:
        self._unwatch()
        if not self.eof_received():
            self.abort()

    def _unwatch(self) -> None:
        if self._hangup is not None:
            self._hangup.close()
            self._hangup = None

    def _deliver(self, data: bytes) -> None:
        if self.on_data is not None:
            self.on_data(data)
            return
        self._ahead += data
        self._arrived.set()
        if len(self._ahead) > MAX_AHEAD:
            self.pause()

    def _tls_step(self) -> None:
        """Let OpenSSL look at what has come, and send what it wants to say."""
        assert self._tls is not None
        try:
            if self._shaken is not None and not self._shaken.done():
                self._tls.do_handshake()
                self._shaken.set_result(None)
            while data := self._tls.read(_CHUNK):
                self._deliver(data)
            self._tls_ended()
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._tls_ended()
        except ssl.SSLError as error:
            self._shake_failed(f"TLS failed: {error.reason or error}")
            self._tls_ended()
        self._send_tls()

    def _tls_ended(self) -> None:
        self._send_tls()
        self._gone()
        self.close()

    def _send_tls(self) -> None:
        data = self._outgoing.read()
        if data and self._transport is not None and not self._transport.is_closing():
            self._send(self._transport, data)

    def _send(self, transport: asyncio.Transport, data: bytes) -> None:
        """Now if it can be: a transport waits until the callbacks of the moment are over."""
        if self._descriptor < 0 or transport.get_write_buffer_size():
            transport.write(data)
            return
        try:
            sent = os.write(self._descriptor, data)
        except OSError:
            sent = 0  # it is full, or the peer is gone: the transport knows what to do
        if sent < len(data):
            transport.write(memoryview(data)[sent:] if sent else data)

    def _shake_failed(self, why: str) -> None:
        if self._shaken is not None and not self._shaken.done():
            self._shaken.set_exception(ProtocolViolation(why))

    def _gone(self) -> None:
        """TLS closed without close_notify is an ordinary end of session as well."""
        if self.lost:
            return
        self.lost = True
        self._arrived.set()
        self._shake_failed("the peer closed the connection during the TLS handshake")
        if self.on_lost:
            self.on_lost()


def _ignore(data: bytes) -> None:
    """Nobody wants it."""


def maker(
    on_made: Callable[[Link], None] | None = None, keepalive: Keepalive | None = None
) -> Callable[[], asyncio.Protocol]:
    """Makes links, as an event loop wants it."""
    return lambda: cast("asyncio.Protocol", Link(on_made, keepalive))


def _keep_alive(transport: asyncio.BaseTransport, keepalive: Keepalive) -> None:
    """A peer that is gone without a word is noticed, instead of holding its session for ever."""
    found = transport.get_extra_info("socket")
    if found is None or found.family == socket.AF_UNIX:
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", keepalive.idle),
        ("TCP_KEEPINTVL", keepalive.interval),
        ("TCP_KEEPCNT", keepalive.probes),
    ):
        if hasattr(socket, option):  # not every system has each of them
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
