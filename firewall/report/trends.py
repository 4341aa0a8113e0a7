"""Pictures of how figures went over time, laid out as marks; `html.py` and `pdf.py` draw the same marks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from firewall.report.facts import span
from firewall.report.figures import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from firewall.report.figures import Days, Figures
    from firewall.report.model import Report

WIDTH, HEIGHT = 720, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 10, 24
FLOOR = HEIGHT - BOTTOM
# beyond so many days bars stand for weeks, then for months
MAX_DAYS, MAX_WEEKS = 45, 45 * 7
# how many dates fit below
MAX_DATES = 10
VERDICTS = ("allow", "hold", "deny")
STATES = ("approved", "rejected", "expired", "withdrawn", "lapsed")
# what times are read off by, in seconds
_ROUND_TIMES = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800)


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a bar. key: what it counts, which gives its colour."""

    x: float
    y: float
    width: float
    height: float
    key: str


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined in their order."""

    points: tuple[tuple[float, float], ...]
    key: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture and its numbers. ticks: y and word; dates: x and word; table: a row for each bucket."""

    title: str
    says: str
    keys: tuple[str, ...]
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...]
    dates: tuple[tuple[float, str], ...]
    table: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Buckets:
    """The period cut into days, weeks (from Monday) or months. names: the first day of each, as ISO dates."""

    unit: str
    names: tuple[str, ...]
    of: Callable[[str], str]


def buckets(first: date, last: date) -> Buckets:
    """Those from `first` to `last`, both included."""
    count = (last - first).days + 1
    if count <= MAX_DAYS:
        unit, of = "day", _day
    elif count <= MAX_WEEKS:
        unit, of = "week", _week
    else:
        unit, of = "month", _month
    days = (first + timedelta(days=at) for at in range(count))
    return Buckets(unit, tuple(dict.fromkeys(of(day.isoformat()) for day in days)), of)


def charts(report: Report) -> tuple[Chart, ...]:
    """Statements by verdict, decisions by state, time to decision."""
    end = min(report.until - timedelta(microseconds=1), report.made)
    cut = buckets(report.since.date(), max(end, report.since).date())
    figures = report.figures
    return (
        _stacked(f"Statements per {cut.unit}, by verdict", figures.statements, VERDICTS, cut),
        _stacked(f"Ends of holds per {cut.unit}", figures.decisions, STATES, cut),
        _times(f"Time to decision per {cut.unit}", figures, cut),
    )


def _stacked(title: str, days: Days, keys: Sequence[str], cut: Buckets) -> Chart:
    sums = {name: dict.fromkeys(keys, 0) for name in cut.names}
    for day, counts in days.items():
        for key in keys:
            sums[cut.of(day)][key] += counts[key]
    top = _round_count(max(sum(each.values()) for each in sums.values()))
    step, width = _steps(len(sums))
    boxes = []
    for at, each in enumerate(sums.values()):
        y = float(FLOOR)
        for key in keys:
            if each[key]:
                # one denial among thousands is seen all the same
                height = max(each[key] / top * (FLOOR - TOP), 1.5)
                y -= height
                boxes.append(Box(LEFT + at * step + (step - width) / 2, max(y, 0), width, height, key))
    total = {key: sum(each[key] for each in sums.values()) for key in keys}
    used = tuple(key for key in keys if total[key]) or tuple(keys[:1])
    table = [(cut.unit, *used), *((name, *(f"{each[key]:,}" for key in used)) for name, each in sums.items())]
    ticks = [(at, f"{at:,}") for at in sorted({0, top // 2 if top % 2 == 0 else 0, top})]
    says = f"{title}: " + ", ".join(f"{total[key]:,} {key}" for key in used)
    return Chart(title, says, used, tuple(boxes), (), _ticks(ticks, top), _dates(cut), tuple(table))


def _times(title: str, figures: Figures, cut: Buckets) -> Chart:
    by: dict[str, list[float]] = {}
    for one in figures.decided:
        by.setdefault(cut.of(one.day), []).append(one.seconds)
    keys = {"median": 0.5, "90th percentile": 0.9}
    measured = {key: {name: percentile(by[name], share) for name in by} for key, share in keys.items()}
    highest = max((value for each in measured.values() for value in each.values()), default=0)
    top = next((one for one in _ROUND_TIMES if one >= highest), math.ceil(highest / 86400) * 86400)
    step, _ = _steps(len(cut.names))
    lines = [
        Line(
            tuple(
                (LEFT + (at + 0.5) * step, _y(each[name], top))
                for at, name in enumerate(cut.names)
                if name in each
            ),
            key,
        )
        for key, each in measured.items()
        if each
    ]
    rows = [
        (name, f"{len(by[name]):,}", *(span(each[name]) for each in measured.values()))
        for name in cut.names
        if name in by
    ]
    ticks = [(0.0, "0"), (top / 2, span(top / 2)), (top, span(top))]
    all_of = [one.seconds for one in figures.decided]
    said = (
        ", ".join(f"{key} {span(percentile(all_of, share))}" for key, share in keys.items())
        if all_of
        else "no decisions"
    )
    table = ((cut.unit, "decided", *keys), *rows) if rows else ()
    return Chart(
        title, f"{title}: {said}", tuple(keys), (), tuple(lines), _ticks(ticks, top), _dates(cut), table
    )


def _steps(count: int) -> tuple[float, float]:
    step = (WIDTH - LEFT - RIGHT) / count
    return step, min(step * 0.68, 40)


def _y(value: float, top: float) -> float:
    return FLOOR - value / top * (FLOOR - TOP)


def _ticks(values: Sequence[tuple[float, str]], top: float) -> tuple[tuple[float, str], ...]:
    return tuple((_y(value, top), word) for value, word in values)


def _dates(cut: Buckets) -> tuple[tuple[float, str], ...]:
    step, _ = _steps(len(cut.names))
    every = -(-len(cut.names) // MAX_DATES)
    form = "%b %Y" if cut.unit == "month" else "%-d %b"
    return tuple(
        (LEFT + (at + 0.5) * step, date.fromisoformat(name).strftime(form))
        for at, name in enumerate(cut.names)
        if at % every == 0
    )


def _round_count(highest: int) -> int:
    """The next of 1, 2, 4, 5, 6, 8, 10, 20, 40, …"""
    size = int(f"1{'0' * (len(str(max(highest, 1))) - 1)}")
    return next(step * size for step in (1, 2, 4, 5, 6, 8, 10) if step * size >= highest)


def _day(day: str) -> str:
    return day


def _week(day: str) -> str:
    parsed = date.fromisoformat(day)
    return (parsed - timedelta(days=parsed.weekday())).isoformat()


def _month(day: str) -> str:
    return f"{day[:7]}-01"


def column(table: Mapping[str, int], limit: int) -> list[tuple[str, int]]:
    """The largest counts first, names beyond `limit` as one."""
    ordered = sorted(table.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ordered[limit:])
    return [*ordered[:limit], (f"{len(ordered) - limit} others", rest)] if rest else ordered
