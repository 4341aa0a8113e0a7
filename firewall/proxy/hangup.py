"""Notices that a peer has hung up while nothing is read from it.

An event loop hears of an end by reading, and behind full back-pressure nothing is read. Linux tells of the
end by itself: an epoll of our own asks for nothing else, and the loop watches that like any other descriptor.
Elsewhere the end is found by the next thing that is written to the peer.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AVAILABLE = hasattr(select, "EPOLLRDHUP")


class Hangup:
    """Watches one descriptor until closed. Both callbacks may come at any time between two others.

    on_reset: the connection is broken, nothing can be sent either.
    on_ended: the peer has sent its last, of which some is unread; told only while `ended` is heeded.
    """

    def __init__(self, descriptor: int, on_reset: Callable[[], None], on_ended: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_reset = on_reset
        self._on_ended = on_ended
        self._heeds = False
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        # a reset is told of always (epoll_ctl(2), EPOLLHUP)
        self._epoll.register(descriptor, 0)
        self._loop.add_reader(self._epoll.fileno(), self._told)

    def heed(self, *, ended: bool) -> None:
        """Whether the end of what the peer sends is to be told too."""
        if ended != self._heeds:
            self._heeds = ended
            self._epoll.modify(self._descriptor, select.EPOLLRDHUP if ended else 0)

    def close(self) -> None:
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _told(self) -> None:
        found = 0
        for _, events in self._epoll.poll(0):
            found |= events
        if found & (select.EPOLLHUP | select.EPOLLERR):
            self._on_reset()
        elif found:
            self._on_ended()
