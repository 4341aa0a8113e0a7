"""Statements by day as stacked bars, laid out here and drawn by the template: no script in the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from firewall.web.house import Day

DAYS = 14
HEIGHT = 120
STEP = 44
WIDTH = 26
# from the ground up: what flows carries what is stopped
ORDER = ("allow", "hold", "deny")


@dataclass(frozen=True, slots=True)
class Bar:
    """A day's judgements of one verdict."""

    x: int
    y: int
    height: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`days`: x, the day of the month, and its sums in words. top: the largest sum of a day."""

    bars: tuple[Bar, ...]
    days: tuple[tuple[int, str, str], ...]
    top: int
    total: dict[str, int]

    @property
    def width(self) -> int:
        return DAYS * STEP


def of(found: Iterable[Day], now: datetime) -> Chart:
    """The last `DAYS` days up to now; days without statements are there and empty."""
    days = [f"{now - timedelta(days=back):%Y-%m-%d}" for back in range(DAYS - 1, -1, -1)]
    sums = {day: dict.fromkeys(ORDER, 0) for day in days}
    for each in found:
        if each.day in sums and each.verdict in ORDER:
            sums[each.day][each.verdict] += each.count
    top = max(sum(counts.values()) for counts in sums.values())
    bars = []
    for at, counts in enumerate(sums.values()):
        below = 0
        for verdict in ORDER:
            height = _height(below + counts[verdict], top) - _height(below, top)
            if counts[verdict]:
                # one denial among thousands is seen all the same
                height = max(height, 2)
                y = HEIGHT - _height(below, top) - height
                bars.append(Bar(at * STEP + (STEP - WIDTH) // 2, y, height, verdict))
            below += counts[verdict]
    words = tuple(
        (
            at * STEP + STEP // 2,
            str(int(day[8:])),
            f"{day}: " + ", ".join(f"{n} {v}" for v, n in counts.items()),
        )
        for at, (day, counts) in enumerate(sums.items())
    )
    total = {verdict: sum(counts[verdict] for counts in sums.values()) for verdict in ORDER}
    return Chart(tuple(bars), words, top, total)


def _height(count: int, top: int) -> int:
    return round(count / top * HEIGHT) if top else 0
