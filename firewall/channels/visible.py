"""Text made safe to look at: what is on the screen is what will run, and the way back is exact.

Every character that draws nothing, moves others, or is not what it looks like (controls, bidirectional and
zero-width characters, odd spaces, stacked marks) is written as ⟨U+202E⟩. The opening bracket itself is
written so too, which makes `hidden(visible(text)) == text` for every text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache

# control, format, surrogate, private use, unassigned, line and paragraph separators, spaces but U+0020
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
# what draws nothing all the same: grapheme joiner, Hangul fillers, Khmer inherent vowels, braille blank, null
# notehead, Khitan filler; and the variation selectors, which change how their neighbour looks
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U0001d159\U00016fe4") | {
    chr(point)
    for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for point in range(first, last + 1)
}
_SUSPECT = re.compile(r"[^\x20-\x7e]")
_WRITTEN = re.compile(r"⟨U\+([0-9A-F]{4,6})⟩")
# two marks on one letter are the most that a living language needs; more climb over the neighbouring lines
_MAX_MARKS = 2
# the longest an escape gets: ⟨U+10FFFF⟩
_LONGEST = 10
# runs of blanks that push what follows out of sight
_PADDING = re.compile(r"[ \t]{40,}|(?:[ \t]*\n){8,}")


def visible(text: str, *, keep: str = "\n\t") -> str:
    """The text with everything hidden written out; characters in `keep` stay as they are."""

    def write(match: re.Match[str]) -> str:
        char = match.group()
        if char in keep:
            return char
        if char == "⟨" or _is_hidden(char) or _is_stacked(match.string, match.start()):
            return f"⟨U+{ord(char):04X}⟩"
        return char

    return _SUSPECT.sub(write, text)


def line(text: str, limit: int = 0) -> str:
    """`visible` on one line: line feeds and tabs are written out too; cut with an ellipsis at `limit`."""
    shown = visible(text, keep="")
    return shown if not limit or len(shown) <= limit else cut(shown, limit - 1) + "…"


def hidden(shown: str) -> str:
    """The text that `visible` was given."""
    return _WRITTEN.sub(lambda match: chr(int(match.group(1), 16)), shown)


def cut(shown: str, chars: int, cost: int | None = None) -> str:
    """The longest beginning of a `visible` text within `chars` characters that splits no escape.

    cost: a limit on its length as ASCII JSON, the way in which Slack counts; none by default.
    """
    if len(shown) <= chars and (cost is None or _cost(shown) <= cost):
        return shown
    end = min(chars, len(shown))
    while cost is not None and end > 0 and (spent := _cost(shown[:end])) > cost:
        # every character costs at least one and at most twelve, so this neither overshoots nor crawls
        end -= max(1, (spent - cost) // 12)
    opened = shown.rfind("⟨", max(0, end - _LONGEST), end)
    if opened != -1 and "⟩" not in shown[opened:end]:
        end = opened
    return shown[:end]


def pieces(shown: str, chars: int, cost: int) -> list[str]:
    """A `visible` text in pieces that `cut` would make, broken after a line where one ends near the limit."""
    found: list[str] = []
    start = 0
    while start < len(shown):
        # a little more than fits, so that an escape across the limit is seen whole
        piece = cut(shown[start : start + chars + _LONGEST], chars, cost)
        if start + len(piece) < len(shown):
            newline = piece.rfind("\n", len(piece) * 3 // 4)
            piece = piece[: newline + 1] if newline != -1 else piece
        found.append(piece)
        start += len(piece)
    return found


def remarks(text: str) -> list[str]:
    """What a reader should know before trusting the eye: hidden characters, direction, padding."""
    found = []
    written = len(_WRITTEN.findall(visible(text)))
    if written:
        are = "character is" if written == 1 else "characters are"
        found.append(f"{written:,} hidden or misleading {are} written as ⟨U+…⟩")
    if any(unicodedata.bidirectional(char) in {"R", "AL", "AN"} for char in set(text) if char > "\u0590"):
        found.append(
            "contains right-to-left letters: the order on the screen may differ from the order that runs"
        )
    if _PADDING.search(text):
        found.append("contains long runs of blanks: read to the end")
    return found


@lru_cache(maxsize=4096)
def _is_hidden(char: str) -> bool:
    return char in _BLANK or unicodedata.category(char) in _UNSEEN


def _is_stacked(text: str, at: int) -> bool:
    """A combining mark that sits on no letter, or is one too many on its letter, or encloses it."""
    category = unicodedata.category(text[at])
    if category not in {"Mn", "Me"}:
        return False
    if category == "Me" or at == 0:
        return True
    marks = 0
    while at - marks > 0 and unicodedata.category(text[at - marks - 1]) == "Mn":
        marks += 1
        if marks >= _MAX_MARKS:
            return True
    base = at - marks - 1
    return base < 0 or unicodedata.category(text[base])[0] not in "LNM"


def _cost(shown: str) -> int:
    return len(json.dumps(shown)) - 2
