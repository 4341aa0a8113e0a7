"""Times of day and days of the week in which a rule speaks, in a time zone of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT: Final = 24 * 60
CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


def minutes(text: str) -> int | None:
    """`09:30` as minutes after midnight, `24:00` included; None for what is no time of day."""
    match = CLOCK.fullmatch(text)
    if match is None:
        return None
    return int(match[1]) * 60 + int(match[2]) if match[1] else MIDNIGHT


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo | None:
    """The time zone of this name, or None."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError):  # no such zone is a KeyError, and ZoneInfoNotFoundError is one
        return None
    except KeyError:
        return None


@dataclass(frozen=True, slots=True)
class Window:
    """From `begin` (included) to `end` (excluded), in minutes after midnight, on these days (0 is Monday).

    One that ends before it begins reaches into the next day, and belongs to the day on which it begins.
    """

    days: frozenset[int]
    begin: int
    end: int
    zone: ZoneInfo

    def holds(self, now: datetime) -> bool:
        there = now.astimezone(self.zone)
        day, minute = there.weekday(), there.hour * 60 + there.minute
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        if minute >= self.begin:
            return day in self.days
        return minute < self.end and (day - 1) % 7 in self.days


def inside(windows: Sequence[Window], now: datetime) -> bool:
    """Is it time, by any of them?"""
    return any(window.holds(now) for window in windows)
