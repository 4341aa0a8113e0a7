"""Patterns: what is wild, what is refused, how names with dots are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.policy import glob

NAME = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0.*?"), min_size=1, max_size=8
)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("a*", "abc", True),
        ("*", "", True),
        ("?", "", False),
        ("a?c", "abc", True),
        ("a.c", "abc", False),
        ("a+", "aa", False),
        ("a*", "a\nb", True),
    ],
)
def test_only_two_characters_are_wild(pattern, text, matches):
    assert (glob.text_regex((pattern,)).fullmatch(text) is not None) is matches


@pytest.mark.parametrize("pattern", ["[ab]", "{a,b}", "!a", '"a"', "a b", "a|b", "a\n", "`a`", "a\\*"])
def test_other_dialects_are_refused(pattern):
    assert "only `*` and `?` are wild" in glob.complaint(pattern, parts=1)


def test_parts_are_counted():
    assert glob.complaint("a.b.c", parts=3) == ""
    assert "at most `schema.name`" in glob.complaint("a.b.c", parts=2)
    assert "write `*`" in glob.complaint("a.", parts=2)
    assert glob.complaint("custom.setting.name", parts=1) == ""


def test_a_wild_part_stays_in_its_part():
    regex = glob.name_regex(("pub*.t",), parts=2)
    assert regex.fullmatch("public\0t")
    assert not regex.fullmatch("public\0a\0t")
    assert not glob.name_regex(("*",), parts=1).fullmatch("a\0b")


def test_names_with_dots_are_read_every_way():
    assert glob.keys("t") == ("\0t",)
    assert glob.keys("s.t") == ("s\0t",)
    assert set(glob.keys("a.b.c")) == {"a\0b.c", "a.b\0c"}


@given(NAME, NAME)
def test_a_plain_name_matches_itself_alone(schema, name):
    regex = glob.name_regex((f"{schema}.{name}",), parts=2)
    assert regex.fullmatch(f"{schema}\0{name}")
    assert not regex.fullmatch(f"{schema}\0{name}x")


@given(NAME, NAME)
def test_a_bare_name_is_in_any_schema(schema, name):
    assert glob.name_regex((name,), parts=2).fullmatch(f"{schema}\0{name}")
