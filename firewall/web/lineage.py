"""Where a result comes from, drawn: output columns, the base columns that feed them, their labels.

Laid out here as numbers and words; the template draws them, so that escaping stays where it is. What is too
much to be drawn is said in words by the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewall.web import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall.explaining import Column

# more than this is no picture any more
MAX_NODES = 60
ROW = 30
TOP = 34
# where the three columns of boxes begin, and how wide they are
LEFT = (0, 212, 492)
WIDTH = (160, 240, 108)
# characters of the page's monospace that fit a box
FITS = (19, 30, 12)


@dataclass(frozen=True, slots=True)
class Box:
    """A name in one of the three columns; `whole` is what a pointer or a screen reader gets."""

    x: int
    y: int
    width: int
    text: str
    whole: str
    kind: str


@dataclass(frozen=True, slots=True)
class Line:
    """From the right edge of a box to the left edge of another; labelled data flows along it or not."""

    path: str
    labelled: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is drawn, and how large it is. `more`: result columns that are left out."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    width: int
    height: int
    more: int


def picture(columns: Sequence[Column]) -> Picture | None:
    """None where no base column is known to feed the result."""
    shown = columns[:MAX_NODES]
    bases = list(dict.fromkeys(source for column in shown for source in column.sources))[:MAX_NODES]
    if not bases:
        return None
    labels = list(dict.fromkeys(label for _, _, found in bases for label in found))
    names = (
        [column.name for column in shown],
        [f"{relation}.{column}" for relation, column, _ in bases],
        labels,
    )
    rows = max(map(len, names))
    heights = [[_y(at, len(of), rows) for at in range(len(of))] for of in names]
    kinds = ("output", "base", "label")
    boxes = tuple(
        Box(LEFT[side], y, WIDTH[side], _cut(name, FITS[side]), visible.plain(name), kinds[side])
        for side, of in enumerate(names)
        for name, y in zip(of, heights[side], strict=True)
    )
    at = {source: n for n, source in enumerate(bases)}
    lines = [
        Line(_curve(0, heights[0][n], heights[1][at[source]]), bool(source[2]))
        for n, column in enumerate(shown)
        for source in dict.fromkeys(column.sources)
        if source in at
    ]
    lines += [
        Line(_curve(1, heights[1][n], heights[2][labels.index(label)]), labelled=True)
        for n, (_, _, found) in enumerate(bases)
        for label in found
    ]
    width = LEFT[2] + WIDTH[2] if labels else LEFT[1] + WIDTH[1]
    return Picture(boxes, tuple(lines), width, TOP + rows * ROW, len(columns) - len(shown))


def _y(at: int, count: int, rows: int) -> int:
    """Each column of boxes stands in the middle of the picture's height."""
    return TOP + (rows - count) * ROW // 2 + at * ROW


def _curve(side: int, start: int, end: int) -> str:
    x1, x2 = LEFT[side] + WIDTH[side], LEFT[side + 1]
    y1, y2 = start + 11, end + 11
    middle = (x1 + x2) // 2
    return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"


def _cut(name: str, fits: int) -> str:
    """The end of a name tells more than its beginning."""
    told = visible.plain(name)
    return told if len(told) <= fits else f"…{told[1 - fits :]}"
