"""Which characters are not what they look like: the one list behind all that people read and decide on.

What draws nothing, moves others, or looks like something else: controls, bidirectional and zero-width
characters, odd spaces, stacked marks. How such a character is then shown is each room's own business.
"""

from __future__ import annotations

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
# two marks on one letter are the most that a living language needs; more climb over the neighbouring lines
MAX_MARKS = 2


def misleads(text: str, at: int) -> bool:
    """Whether the character at this place must be written out. A plain space does not mislead."""
    char = text[at]
    return char != " " and (_is_hidden(char) or _is_stacked(text, at))


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
        if marks >= MAX_MARKS:
            return True
    base = at - marks - 1
    return base < 0 or unicodedata.category(text[base])[0] not in "LNM"
