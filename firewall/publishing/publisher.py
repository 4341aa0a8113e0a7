"""When checkpoints are published: on an interval, and when the log has grown by so much.

A place that does not take one is tried again, ever less often, with the newest: it says all that the older
ones did. Nothing waits for a place, and no failure of one is more than a warning.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import structlog

from firewall import audit, clock, ids
from firewall.audit.proof import head_of
from firewall.errors import StoreError
from firewall.publishing.error import PublishError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from firewall.publishing.places import Place

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 5.0
MAX_RETRY_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a place stands: how many records its newest checkpoint counts, and why it fails, if it does."""

    place: str
    size: int = 0
    at: str = ""
    failing: str = ""
    failures: int = 0


class Publisher:
    """Publishes the heads of one log.

    head: its newest signed one. record: adds to the log, durably. every: seconds; records: so many new ones.
    """

    def __init__(
        self,
        places: Sequence[Place],
        head: Callable[[], Awaitable[str]],
        record: Callable[[audit.Record], Awaitable[None]],
        *,
        every: float,
        records: int,
    ) -> None:
        self._places = {place.name: place for place in places}
        self._head = head
        self._record = record
        self._every = every
        self._records = records
        self._standing = {name: Standing(name) for name in self._places}
        # when a place is tried again, and how far the log had come when all was last published
        self._again = dict.fromkeys(self._places, 0.0)
        self._size = -1
        self._when = -every

    @property
    def standing(self) -> tuple[Standing, ...]:
        """For health."""
        return tuple(self._standing.values())

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                await self.step(time.monotonic())
            except StoreError as error:
                log.warning("checkpoints not published", error=error.message)
            await asyncio.sleep(POLL_SECONDS)

    async def step(self, now: float) -> None:
        """Publish what is due. Raises StoreError."""
        note = await self._head()
        head = head_of(note)
        grown = head.size - self._size
        if grown > 0 and (now - self._when >= self._every or grown >= self._records):
            due = list(self._places)
            self._when = now
        else:
            due = [name for name, one in self._standing.items() if one.failing and now >= self._again[name]]
        if not due:
            return
        # the record of this is no reason to publish again
        self._size = head.size + 1
        told = await asyncio.gather(*(self._put(name, head, note, now) for name in due))
        if any(told):
            places = [audit.Place(place=name, failed=self._standing[name].failing) for name in due]
            at = clock.stamp(clock.now())
            root = head.root.hex()
            await self._record(
                audit.Published(id=ids.record_id(), at=at, size=head.size, root=root, places=places)
            )
        else:
            self._size = head.size

    async def _put(self, name: str, head: audit.Checkpoint, note: str, now: float) -> bool:
        """Whether there is anything to record: it was taken, or fails for the first time."""
        before = self._standing[name]
        try:
            await self._places[name].put(head.origin, head.size, note)
        except PublishError as error:
            failures = before.failures + 1
            wait = min(RETRY_SECONDS * 2 ** (failures - 1), MAX_RETRY_SECONDS)
            self._again[name] = now + wait
            self._standing[name] = replace(before, failing=error.message, failures=failures)
            log.warning("a checkpoint is not published", place=name, error=error.message, again=wait)
            return not before.failing
        self._standing[name] = Standing(name, head.size, clock.stamp(clock.now()))
        return True
