"""When a catalog is read: whoever asks before a reading begins shares it; nobody is served an older one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from firewall import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime


class Readings:
    """read: reads once, and puts what it has read in force; raises CatalogError."""

    def __init__(self, read: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        # how many were asked for, which of them somebody waits for, and up to which of them were served
        self._wanted = 0
        self._needed = 0
        self._served = 0
        self._reading: asyncio.Task[None] | None = None
        # when the last one that succeeded ended
        self.at: datetime | None = None

    @property
    def current(self) -> bool:
        """What was read last is not known to be out of date."""
        return self._served >= self._needed

    def outdate(self) -> None:
        """What was read before this call is out of date."""
        self._wanted += 1
        self._needed = self._wanted

    async def refresh(self) -> None:
        """Return when a reading has ended that began after this call. Raises CatalogError."""
        self._wanted += 1
        await self._up_to(self._wanted)

    async def catch_up(self) -> None:
        """Return when it is `current`. Raises CatalogError."""
        await self._up_to(self._needed)

    async def _up_to(self, wanted: int) -> None:
        while self._served < wanted:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._serve())
                self._reading.add_done_callback(self._has_read)
            await asyncio.shield(self._reading)

    async def _serve(self) -> None:
        serves = self._wanted
        await self._read()
        self._served, self.at = serves, clock.now()

    def _has_read(self, reading: asyncio.Task[None]) -> None:
        if self._reading is reading:
            self._reading = None
        if not reading.cancelled():
            reading.exception()  # who waits for it has it; nobody may be waiting any more
