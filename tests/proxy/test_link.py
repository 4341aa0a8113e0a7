"""One connection, plain or TLS, against a peer that is a blocking socket in a thread."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from firewall.errors import ProtocolViolation
from firewall.proxy import link as links
from firewall.proxy.link import Link, maker
from tests.proxy.certificates import Certificates, certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server_context(made: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    return context


def client_context(made: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(made.authority)
    return context


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Link, socket.socket]]:
    """Our end and the peer's."""
    came: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
    server = await asyncio.get_running_loop().create_server(maker(came.set_result), "127.0.0.1", 0)
    peer = await asyncio.to_thread(socket.create_connection, server.sockets[0].getsockname())
    peer.settimeout(10)
    link = await came
    try:
        yield link, peer
    finally:
        link.abort()
        peer.close()
        server.close()
        await server.wait_closed()


async def test_what_came_ahead_is_read_and_then_streamed() -> None:
    async with connected() as (link, peer):
        assert link.address.startswith("127.0.0.1:")
        peer.sendall(b"one")
        assert await link.read() == b"one"
        peer.sendall(b"two")
        assert await link.read() == b"two"
        link.unread(b"three")
        got: asyncio.Queue[bytes] = asyncio.Queue()
        link.stream_to(got.put_nowait)
        assert got.get_nowait() == b"three"
        peer.sendall(b"four")
        assert await got.get() == b"four"


async def test_an_end_is_told_once_and_reads_as_empty() -> None:
    async with connected() as (link, peer):
        lost = asyncio.Event()
        told = []
        link.on_lost = lambda: (told.append(1), lost.set())  # type: ignore[func-returns-value,assignment]
        peer.close()
        await lost.wait()
        assert await link.read() == b""
        link.close()
        link.abort()
        assert told == [1]


async def test_a_peer_that_floods_before_it_is_known_is_read_from_when_there_is_room() -> None:
    async with connected() as (link, peer):
        sent = b"x" * (300 * links.MAX_AHEAD)

        def flood() -> None:
            with suppress(OSError):
                peer.sendall(sent)

        flooding = asyncio.ensure_future(asyncio.to_thread(flood))
        async with asyncio.timeout(10):
            while not link._paused:
                await asyncio.sleep(0.01)
        for _ in range(20):
            await asyncio.sleep(0)
            assert len(link._ahead) <= links.MAX_AHEAD + links._CHUNK
        assert not flooding.done()
        # nothing of it is lost to whoever reads it, now or as a stream
        size = len(await link.read())
        all_there = asyncio.Event()

        def take(data: bytes) -> None:
            nonlocal size
            size += len(data)
            if size == len(sent):
                all_there.set()

        async with asyncio.timeout(10):
            while not link._paused:
                await asyncio.sleep(0.01)
        link.stream_to(take)
        await asyncio.wait_for(all_there.wait(), 30)
        await flooding


async def test_a_peer_that_does_not_read_is_told_of_and_cannot_linger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "LINGER_SECONDS", 0)
    async with connected() as (link, _):
        pressure: list[bool] = []
        link.on_pressure = pressure.append
        lost = asyncio.Event()
        link.on_lost = lost.set
        while not pressure:
            link.write(b"x" * 65_536)
        assert pressure == [True]
        link.close()
        await asyncio.wait_for(lost.wait(), 5)


async def test_pause_stops_reading_and_resume_goes_on() -> None:
    async with connected() as (link, peer):
        got: asyncio.Queue[bytes] = asyncio.Queue()
        link.stream_to(got.put_nowait)
        link.pause()
        link.pause()
        peer.sendall(b"one")
        for _ in range(5):
            await asyncio.sleep(0)
        assert got.empty()
        link.resume()
        assert await got.get() == b"one"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_data_in_the_last_flight_of_the_handshake_is_kept(
    made: Certificates, server_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """A client may send its first packet in the same segment as its Finished."""
    async with connected() as (link, peer):
        context = client_context(made)
        context.maximum_version = version
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")

        def shake() -> None:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    if flight := outgoing.read():
                        peer.sendall(flight)
                    incoming.write(peer.recv(65_536))
            tls.write(b"first packet")
            peer.sendall(outgoing.read())

        shaking = asyncio.ensure_future(asyncio.to_thread(shake))
        await link.start_tls(server_context, server_side=True)
        assert await link.read() == b"first packet"
        await shaking


async def _encrypted(
    link: Link, peer: socket.socket, made: Certificates, context: ssl.SSLContext
) -> ssl.SSLSocket:
    """The peer's end of TLS, after the handshake."""
    shaking = asyncio.ensure_future(
        asyncio.to_thread(client_context(made).wrap_socket, peer, server_hostname="localhost")
    )
    await link.start_tls(context, server_side=True)
    return await shaking


async def test_much_goes_both_ways_through_tls(made: Certificates, server_context: ssl.SSLContext) -> None:
    async with connected() as (link, peer):
        tls = await _encrypted(link, peer, made, server_context)
        got = bytearray()
        all_there = asyncio.Event()

        def take(data: bytes) -> None:
            got.extend(data)
            if len(got) == 300_000:
                all_there.set()

        link.stream_to(take)
        await asyncio.to_thread(tls.sendall, b"a" * 300_000)
        await all_there.wait()
        link.write(b"b" * 100_000)

        def read() -> int:
            size = 0
            while size < 100_000:
                size += len(tls.recv(65_536))
            return size

        assert await asyncio.to_thread(read) == 100_000
        tls.close()


async def test_tls_that_ends_without_close_notify_is_an_ordinary_end(
    made: Certificates, server_context: ssl.SSLContext
) -> None:
    async with connected() as (link, peer):
        tls = await _encrypted(link, peer, made, server_context)
        tls.sendall(b"bye")
        assert await link.read() == b"bye"
        tls.close()
        assert await link.read() == b""


async def test_close_says_close_notify(made: Certificates, server_context: ssl.SSLContext) -> None:
    async with connected() as (link, peer):
        tls = await _encrypted(link, peer, made, server_context)
        tls.suppress_ragged_eofs = False
        link.write(b"last words")
        link.close()

        def read() -> bytes:
            data = b""
            while piece := tls.recv(100):
                data += piece
            return data

        assert await asyncio.to_thread(read) == b"last words"
        tls.close()


async def test_what_is_no_tls_is_refused(server_context: ssl.SSLContext) -> None:
    async with connected() as (link, peer):
        peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ProtocolViolation, match="TLS failed"):
            await link.start_tls(server_context, server_side=True)
        link.write(b"this goes nowhere")


async def test_a_peer_that_goes_in_the_handshake(server_context: ssl.SSLContext) -> None:
    async with connected() as (link, peer):
        peer.sendall(b"\x16\x03\x01")
        peer.close()
        with pytest.raises(ProtocolViolation, match="handshake"):
            await link.start_tls(server_context, server_side=True)


async def test_nothing_is_written_in_the_clear_while_hands_are_shaken(server_context: ssl.SSLContext) -> None:
    async with connected() as (link, peer):
        shaking = asyncio.ensure_future(link.start_tls(server_context, server_side=True))
        await asyncio.sleep(0)
        link.write(b"secret")
        link.close()
        assert b"secret" not in await asyncio.to_thread(peer.recv, 100)
        with pytest.raises(ProtocolViolation):
            await shaking


async def test_what_does_not_fit_at_once_follows_in_order() -> None:
    async with connected() as (link, peer):
        pieces = [bytes([number % 251]) * 70_000 for number in range(200)]
        whole = b"".join(pieces)

        def read() -> bytes:
            got = bytearray()
            while len(got) < len(whole) and (piece := peer.recv(1 << 20)):
                got += piece
            return bytes(got)

        # nobody reads until everything was written: most of it has to wait in the transport
        for piece in pieces:
            link.write(piece)
        reading = asyncio.ensure_future(asyncio.to_thread(read))
        async with asyncio.timeout(20):
            while not reading.done():
                link.write(b"")
                await asyncio.sleep(0)
            assert await reading == whole


async def test_nothing_is_written_to_a_descriptor_that_was_closed() -> None:
    async with connected() as (link, peer):
        descriptor = link._descriptor
        link.abort()
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(peer.recv, 1) == b""
            await link.read()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            taken = [ours, *(socket.socket() for _ in range(64))]
            assert descriptor in [one.fileno() for one in taken]
            link.write(b"for nobody")
            theirs.setblocking(False)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)
            for one in taken:
                one.close()
