"""Who is turned away before it has said who it is: recorded, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from firewall.errors import StoreError
from firewall.proxy.door import MAX_RECORDS, WINDOW_SECONDS, Door

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firewall import audit

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Kept:
    """A log in memory, which can be broken."""

    def __init__(self) -> None:
        self.records: list[audit.Record] = []
        self.broken = False

    async def append(self, records: Sequence[audit.Record]) -> None:
        if self.broken:
            raise StoreError("the disk is full")
        self.records += records

    async def append_made(self, make: Callable[[], Sequence[audit.Record]]) -> None:
        await self.append(make())

    def whys(self) -> list[str]:
        return [getattr(record, "why", "") for record in self.records]


async def test_a_flood_is_counted_and_told_of_in_the_next_minute() -> None:
    kept, now = Kept(), [0.0]
    door = Door(kept, lambda: now[0])
    for at in range(1000):
        await door.turned_away(f"192.0.2.1:{at}", "no startup packet")
    assert kept.whys() == ["no startup packet"] * MAX_RECORDS
    now[0] += WINDOW_SECONDS
    await door.turned_away("192.0.2.1:9", "again")
    await door.turned_away("192.0.2.1:9", "and again")
    unrecorded = 1000 - MAX_RECORDS
    assert kept.whys()[MAX_RECORDS:] == [
        f"again ({unrecorded} more were turned away unrecorded before)",
        "and again",
    ]


async def test_what_could_not_be_recorded_is_counted() -> None:
    kept = Kept()
    door = Door(kept)
    kept.broken = True
    door.passed_over()
    await door.turned_away("192.0.2.1:1", "first")
    kept.broken = False
    await door.turned_away("192.0.2.1:2", "second")
    assert kept.whys() == ["second (2 more were turned away unrecorded before)"]
