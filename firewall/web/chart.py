"""Counts as stacked bars, laid out here and drawn by the template: no script or style in the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from firewall.approval import Stats
    from firewall.web.house import Day

DAYS = 14
HEIGHT = 120
STEP = 44
# where words stand below a column instead of a day
WIDE_STEP = 64
WIDTH = 26
# from the ground up: what flows carries what is stopped
ORDER = ("allow", "hold", "deny")
DECIDED = ("approved", "rejected", "undecided", "pending")
# how these read in words
WORDS = {"rejected": "denied", "undecided": "not decided", "pending": "waiting"}


@dataclass(frozen=True, slots=True)
class Bar:
    """What one column has of one key."""

    x: int
    y: int
    height: int
    key: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`columns`: x, what stands below it, and its sums in words. top: the largest sum of a column."""

    bars: tuple[Bar, ...]
    columns: tuple[tuple[int, str, str], ...]
    top: int
    total: dict[str, int]
    step: int = STEP

    @property
    def width(self) -> int:
        return len(self.columns) * self.step


def of(found: Iterable[Day], now: datetime) -> Chart:
    """Judgements of the last `DAYS` days up to now; days without statements are there and empty."""
    sums = {day: dict.fromkeys(ORDER, 0) for day in _days(now, DAYS)}
    for each in found:
        if each.day in sums and each.verdict in ORDER:
            sums[each.day][each.verdict] += each.count
    return _stacked([(_of_month(day), day, counts) for day, counts in sums.items()], ORDER)


def by_day(stats: Stats, now: datetime, days: int) -> Chart:
    """What became of the holds of each of the last so many days."""
    found = {of.day: of for of in stats.days}
    columns = []
    for day in _days(now, days):
        counts = {key: getattr(found[day], key) if day in found else 0 for key in DECIDED}
        columns.append((_of_month(day), day, counts))
    return _stacked(columns, DECIDED)


def by_speed(stats: Stats) -> Chart:
    """Decisions by how long they took, the quickest first."""
    columns, above = [], 0
    for of in stats.speeds:
        counts = {"approved": of.approved, "rejected": of.rejected}
        if of.within is None:
            below, words = f"> {_lasting(above)}", f"longer than {_lasting(above)}"
        else:
            below, words = f"≤ {_lasting(of.within)}", f"within {_lasting(of.within)}"
        columns.append((below, words, counts))
        above = of.within or above
    return _stacked(columns, ("approved", "rejected"), WIDE_STEP)


def _stacked(
    columns: Sequence[tuple[str, str, Mapping[str, int]]], order: Sequence[str], step: int = STEP
) -> Chart:
    """Each column: what stands below it, what it is in words, and its counts."""
    top = max((sum(counts.values()) for _, _, counts in columns), default=0)
    bars = []
    for at, (_, _, counts) in enumerate(columns):
        below = 0
        for key in order:
            height = _height(below + counts[key], top) - _height(below, top)
            if counts[key]:
                # one denial among thousands is seen all the same
                height = max(height, 2)
                y = HEIGHT - _height(below, top) - height
                bars.append(Bar(at * step + (step - WIDTH) // 2, y, height, key))
            below += counts[key]
    told = tuple(
        (
            at * step + step // 2,
            below,
            f"{words}: " + ", ".join(f"{counts[key]} {WORDS.get(key, key)}" for key in order),
        )
        for at, (below, words, counts) in enumerate(columns)
    )
    total = {key: sum(counts[key] for _, _, counts in columns) for key in order}
    return Chart(tuple(bars), told, top, total, step)


def _days(now: datetime, count: int) -> list[str]:
    return [f"{now - timedelta(days=back):%Y-%m-%d}" for back in range(count - 1, -1, -1)]


def _of_month(day: str) -> str:
    return str(int(day[8:]))


def _lasting(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h"


def _height(count: int, top: int) -> int:
    return round(count / top * HEIGHT) if top else 0
