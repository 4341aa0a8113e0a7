"""Wrong tokens per address, so that guessing is slow and cannot flood the log. Bounded in memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

# a person mistypes a few times; 2^128 tokens at ten a minute are out of anyone's reach
FAILURES = 10
WINDOW_SECONDS = 60
# the oldest address is forgotten beyond this; guessing from more addresses than that is still hopeless
MAX_ADDRESSES = 10_000


@dataclass(slots=True)
class Throttle:
    """Counts in windows that begin with an address's first failure."""

    _failures: OrderedDict[str, tuple[datetime, int]] = field(default_factory=OrderedDict)

    def wait(self, address: str, now: datetime) -> int:
        """Seconds until the address may try again; 0 when it may now."""
        began, count = self._failures.get(address, (now, 0))
        left = WINDOW_SECONDS - int((now - began).total_seconds())
        if left <= 0:
            self._failures.pop(address, None)
            return 0
        return left if count >= FAILURES else 0

    def failed(self, address: str, now: datetime) -> None:
        began, count = self._failures.get(address, (now, 0))
        self._failures[address] = (began, count + 1)
        while len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
