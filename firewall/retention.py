"""Values that have been kept for long enough are erased, an hour later at most."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from firewall import clock
from firewall.errors import StoreError

if TYPE_CHECKING:
    from datetime import timedelta

    from firewall.store import Store

EVERY_SECONDS: Final = 3600.0
BY: Final = "retention"

log = structlog.get_logger(__name__)


async def retain(store: Store, age: timedelta, every: float = EVERY_SECONDS) -> None:
    """Never returns. What cannot be erased now is erased the next time."""
    start = 0
    while True:
        try:
            start = await erase_old(store, age, start)
        except StoreError as error:
            log.warning("old values not erased", error=error.message)
        await asyncio.sleep(every)


async def erase_old(store: Store, age: timedelta, start: int = 0) -> int:
    """Erase what is older; returns up to which record nothing is left to erase."""
    why = f"values are kept for {age.days} days"
    erased = await store.erasing.before(clock.now() - age, by=BY, why=why, start=start)
    if erased.records:
        log.info("old values erased", records=erased.records)
    return erased.upto
