"""What the log hears of those who were turned away before they had said who they are.

Each is worth a record; a flood of them is not worth a full disk. So many in a minute are recorded one by one,
the others are counted, and the next record says how many they were.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from firewall import audit
from firewall.errors import StoreError
from firewall.proxy import telling, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from firewall.proxy.guarded import Log

log = structlog.get_logger(__name__)

MAX_RECORDS = 20
WINDOW_SECONDS = 60.0


class Door:
    """One listening port's. `now` gives seconds that only grow."""

    def __init__(self, ledger: Log, now: Callable[[], float] = time.monotonic) -> None:
        self._log = ledger
        self._now = now
        self._since = now()
        self._recorded = 0
        self._unrecorded = 0

    async def turned_away(self, address: str, why: str) -> None:
        """Record it, if there is room. Never raises: the client is refused in any case."""
        now = self._now()
        if now - self._since >= WINDOW_SECONDS:
            self._since, self._recorded = now, 0
        if self._recorded >= MAX_RECORDS:
            self.passed_over()
            return
        self._recorded += 1
        more, self._unrecorded = self._unrecorded, 0
        if more:
            why = f"{why} ({more} more were turned away unrecorded before)"
        record = audit.Session(
            **telling.correlation(""),
            event="refused",
            agent="",
            database="",
            address=address,
            why=text.printable(why),
        )
        try:
            await self._log.append([record])
        except StoreError as error:
            self._unrecorded += more + 1
            log.warning("a refusal at the door was not recorded", error=error.message)

    def passed_over(self) -> None:
        """One more that the log only counts."""
        self._unrecorded += 1
