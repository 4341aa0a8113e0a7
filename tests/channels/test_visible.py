"""Text on the screen: nothing hides, and the way back is exact."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.channels import visible

# everything that has been used to make text look like something else, beside plain text
HOSTILE = st.text(
    st.one_of(
        st.sampled_from(
            "\u202e\u2066\u2069\u200b\u200d\ufeff\u00ad\u00a0\u2028\u0301\u20dd\u115f\u2800\ufe0f"
        ),
        st.sampled_from("⟨⟩U+`*_~<>!&:@|\n\r\t\0\x1b'\" "),
        st.characters(),
        st.characters(categories=["Cs", "Co", "Cn", "Mn", "Me", "Lo"]),
    )
)
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(HOSTILE)
def test_the_way_back_is_exact(text: str) -> None:
    assert visible.hidden(visible.visible(text)) == text
    assert visible.hidden(visible.line(text)) == text


@given(HOSTILE)
def test_nothing_that_hides_or_moves_is_left(text: str) -> None:
    shown = visible.visible(text)
    assert not [c for c in shown if unicodedata.category(c) in UNSEEN and c not in "\n\t"]
    assert not [c for c in shown if unicodedata.category(c) == "Zs" and c != " "]
    assert not any(c in visible.line(text) for c in "\n\t\r")


@given(HOSTILE, st.integers(20, 60), st.integers(130, 400))
def test_pieces_lose_nothing_and_split_no_escape(text: str, chars: int, cost: int) -> None:
    shown = visible.visible(text)
    found = visible.pieces(shown, chars, cost)
    assert "".join(found) == shown
    for piece in found:
        assert len(piece) <= chars
        assert len(json.dumps(piece)) - 2 <= cost
    # each piece can be read back alone, so no escape is torn
    assert "".join(visible.hidden(piece) for piece in found) == text


@given(HOSTILE, st.integers(0, 40))
def test_a_cut_is_a_beginning(text: str, chars: int) -> None:
    shown = visible.visible(text)
    short = visible.cut(shown, chars)
    assert shown.startswith(short)
    assert len(short) <= chars
    assert len(short) > chars - 10 or short == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT 'plain'\n\t-- ok", "SELECT 'plain'\n\t-- ok"),
        ("é ñ Ω 漢字 שלום", "é ñ Ω 漢字 שלום"),
        ("e\u0301\u0302", "e\u0301\u0302"),
        ("e\u0301\u0302\u0303", "e\u0301\u0302⟨U+0303⟩"),
        (" \u0301", " ⟨U+0301⟩"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\r\nb", "a⟨U+000D⟩\nb"),
        ("⟨U+202E⟩", "⟨U+27E8⟩U+202E⟩"),
        ("a\u00a0b\u3164", "a⟨U+00A0⟩b⟨U+3164⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("\ud800", "⟨U+D800⟩"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert visible.visible(text) == shown


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("SELECT 1", ""),
        ("a\u200bb", "1 hidden or misleading character is"),
        ("'שלום'", "right-to-left"),
        ("SELECT 1" + " " * 40 + "; DROP TABLE t", "long runs of blanks"),
        ("SELECT 1" + "\n" * 8 + "; DROP TABLE t", "long runs of blanks"),
    ],
)
def test_the_reader_is_told_what_to_look_out_for(text: str, word: str) -> None:
    remarks = visible.remarks(text)
    assert bool(remarks) == bool(word)
    assert word in "".join(remarks)


def test_a_long_name_is_cut_with_an_ellipsis() -> None:
    assert visible.line("a\nb" * 20, 12) == "a⟨U+000A⟩ba…"
    assert visible.line("short", 12) == "short"
