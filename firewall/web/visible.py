"""Text as it is, not as it would like to look: nothing in a statement may hide or rearrange itself.

Bidirectional controls, zero-width and other invisible characters, controls and odd spaces are each shown as
their code point with their Unicode name. Templates get segments, never markup, so that autoescaping stays
the one place where text becomes HTML.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from firewall.visible import misleads

PLAIN = frozenset(" \n\t")
# text without any of these needs no second look, which is nearly every statement
SUSPECT = re.compile(r"[^\n\t\x20-\x7e]")
# white space that a list may fold; any other space is a character to be shown
FOLDED = re.compile(r"[ \t\n]+")


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of text to show as it is, or (`name` set) one character that must be named instead."""

    text: str
    name: str = ""


def segments(text: str) -> tuple[Segment, ...]:
    """The text in order; joined, the plain segments and the named characters' code points lose nothing."""
    if not SUSPECT.search(text):
        return (Segment(text),) if text else ()
    found: list[Segment] = []
    start = 0
    for at, char in enumerate(text):
        if char not in PLAIN and misleads(text, at):
            if at > start:
                found.append(Segment(text[start:at]))
            found.append(Segment(f"U+{ord(char):04X}", _spelt(char)))
            start = at + 1
    if start < len(text):
        found.append(Segment(text[start:]))
    return tuple(found)


def lines(text: str) -> list[tuple[Segment, ...]]:
    """Segments line by line, broken at line feeds only; a carriage return is a character to be shown."""
    return [segments(line) for line in text.split("\n")]


def hidden(text: str) -> int:
    """How many characters had to be named."""
    return sum(1 for segment in segments(text) if segment.name)


def plain(text: str) -> str:
    """The same as plain text, where no markup can be: titles, spoken announcements."""
    return "".join(segment.text for segment in segments(text))


def brief(text: str, limit: int = 240) -> str:
    """One line for a list: white space folded, cut with an ellipsis. Never what a decision is made on."""
    folded = FOLDED.sub(" ", text[: limit * 8]).strip(" ")
    return folded if len(folded) <= limit and len(text) <= limit * 8 else f"{folded[:limit]}…"


@lru_cache(maxsize=4096)
def _spelt(char: str) -> str:
    point = f"U+{ord(char):04X}"
    return f"{point} {unicodedata.name(char, 'CONTROL' if ord(char) < 0xA0 else 'UNNAMED')}"
