"""Text that may not hide: every character is shown as itself or by its name, and none is lost."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.visible import MAX_MARKS
from firewall.web import visible

TROJAN = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
INVISIBLE = (
    "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u034f\u115f\u3164\uffa0\u2800\ufe0f\U000e0041\U000e0100"
)
CONTROL = "\x00\x07\x08\x0b\x0c\r\x1b\x7f\x85\x9b\u2028\u2029"
SPACES = "\u00a0\u1680\u2002\u2009\u202f\u205f\u3000"


@pytest.mark.parametrize("char", TROJAN + INVISIBLE + CONTROL + SPACES)
def test_what_hides_is_named(char: str) -> None:
    before, named, after = visible.segments(f"a{char}b")
    assert (before.text, after.text) == ("a", "b")
    assert named.text == f"U+{ord(char):04X}"
    assert named.name.startswith(named.text)
    assert visible.hidden(f"a{char}b{char}") == 2


@pytest.mark.parametrize(
    "text", ["", "SELECT 1\n\tFROM t", "größe", "שלום", "名前", "na\u0308ive", "emoji 🙂"]
)
def test_what_shows_is_left_alone(text: str) -> None:
    assert "".join(segment.text for segment in visible.segments(text)) == text
    assert visible.hidden(text) == 0


def test_marks_do_not_pile_up() -> None:
    assert visible.hidden("a" + "\u0301" * 10) == 10 - MAX_MARKS


@given(st.text())
def test_nothing_is_lost_and_nothing_hides(text: str) -> None:
    found = visible.segments(text)
    restored = "".join(chr(int(s.text.removeprefix("U+"), 16)) if s.name else s.text for s in found)
    assert restored == text
    for segment in found:
        if not segment.name:
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", segment.text)
            assert not any(
                unicodedata.category(char) in {"Cf", "Zl", "Zp", "Co", "Cs"} for char in segment.text
            )
    assert sum(len(visible.lines(part)) for part in [text]) == text.count("\n") + 1


@given(st.text(), st.integers(1, 50))
def test_a_brief_is_one_short_line(text: str, limit: int) -> None:
    short = visible.brief(text, limit)
    assert len(short) <= limit + 1
    assert "\n" not in short


def test_a_brief_says_that_it_is_cut() -> None:
    assert visible.brief("SELECT\n\t 1", 20) == "SELECT 1"
    assert visible.brief("x" * 30, 20) == "x" * 20 + "…"
    assert visible.brief(" " * 1000 + "DROP TABLE t", 20).endswith("…")
