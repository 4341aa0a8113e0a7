"""Text made safe to look at: what is on the screen is what will run, and the way back is exact.

Every character that draws nothing, moves others, or is not what it looks like (controls, bidirectional and
zero-width characters, odd spaces, stacked marks) is written as ⟨U+202E⟩. The opening bracket itself is
written so too, which makes `hidden(visible(text)) == text` for every text.
"""

from __future__ import annotations

import json
import re
import unicodedata

from firewall.visible import misleads

_SUSPECT = re.compile(r"[^\x20-\x7e]")
_WRITTEN = re.compile(r"⟨U\+([0-9A-F]{4,6})⟩")
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
        if char == "⟨" or misleads(match.string, match.start()):
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


def _cost(shown: str) -> int:
    return len(json.dumps(shown)) - 2
