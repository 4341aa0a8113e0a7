"""A peer that hangs up while nothing is read from it, on both event loops."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import pytest
import uvloop

from firewall.proxy import hangup
from tests.proxy.test_link import connected

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from firewall.proxy.link import Link

pytestmark = pytest.mark.skipif(not hangup.AVAILABLE, reason="only Linux tells of it")

SECONDS = 10


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def played(
    request: pytest.FixtureRequest,
) -> Callable[[Callable[[], Coroutine[object, object, None]]], None]:
    """Plays a scene on a loop of its own."""

    def play(scene: Callable[[], Coroutine[object, object, None]]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scene())

    return play


def _listened(link: Link) -> tuple[list[bytes], asyncio.Event, asyncio.Event]:
    """What it delivers, that its peer has closed its half, that it is lost."""
    got: list[bytes] = []
    ended, lost = asyncio.Event(), asyncio.Event()
    link.on_ended, link.on_lost = ended.set, lost.set
    link.stream_to(got.append)
    return got, ended, lost


def _unread(link: Link, peer: socket.socket, *, ended: bool) -> None:
    """Something has come, and nobody reads it."""
    link.pause()
    link.watch(ended=ended)
    peer.sendall(b"unread")


def _reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


@pytest.mark.parametrize("ended", [False, True])
def test_a_reset_is_noticed_behind_unread_data(played: Callable[..., None], *, ended: bool) -> None:
    async def scene() -> None:
        async with connected() as (link, peer):
            got, _, lost = _listened(link)
            _unread(link, peer, ended=ended)
            _reset(peer)
            await asyncio.wait_for(lost.wait(), SECONDS)
            assert got == []

    played(scene)


def test_the_end_of_a_half_is_noticed_behind_unread_data(played: Callable[..., None]) -> None:
    async def scene() -> None:
        async with connected() as (link, peer):
            got, ended, lost = _listened(link)
            _unread(link, peer, ended=True)
            peer.shutdown(socket.SHUT_WR)
            await asyncio.wait_for(ended.wait(), SECONDS)
            assert (got, lost.is_set()) == ([], False)
            # what is unread is not lost by it
            link.resume()
            while not got:
                await asyncio.sleep(0)
            assert got == [b"unread"]

    played(scene)


def test_the_end_of_a_half_waits_until_it_is_heeded(played: Callable[..., None]) -> None:
    async def scene() -> None:
        async with connected() as (link, peer):
            _, ended, _ = _listened(link)
            _unread(link, peer, ended=False)
            peer.shutdown(socket.SHUT_WR)
            for _ in range(20):
                await asyncio.sleep(0)
            assert not ended.is_set()
            link.watch(ended=True)
            await asyncio.wait_for(ended.wait(), SECONDS)

    played(scene)


def test_what_is_read_again_is_not_watched(played: Callable[..., None]) -> None:
    async def scene() -> None:
        async with connected() as (link, peer):
            got, ended, lost = _listened(link)
            link.watch(ended=True)
            assert link._hangup is None  # it is read from
            link.pause()
            link.watch(ended=True)
            link.resume()
            assert link._hangup is None
            peer.sendall(b"read")
            peer.close()
            await asyncio.wait_for(ended.wait(), SECONDS)
            assert got == [b"read"]
            link.pause()
            link.watch(ended=True)
            link.close()
            assert link._hangup is None
            await asyncio.wait_for(lost.wait(), SECONDS)

    played(scene)
