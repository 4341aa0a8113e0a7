"""What an agent says of its statements is heard as it was meant, and never for more than it is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from firewall import sql
from firewall.proxy.claims import Claiming, commented, says
from firewall.session import Act
from firewall.sql.analyse import analyse
from tests.sql.shop import SHOP

FACTS = sql.Facts(database="shop", role="app")


@dataclass
class Judged:
    """As much of a judgement as is looked at."""

    analysis: sql.Analysis


def said(*texts: str, bound: tuple[bytes | None, ...] = ()) -> dict[str, str]:
    claiming = Claiming()
    for text in texts:
        claiming.heard(Judged(analyse(text, SHOP, FACTS)), [Act(text, bound)])
    return dict(claiming.of("DELETE FROM orders"))


@pytest.mark.parametrize(
    ("texts", "claimed"),
    [
        (["SET firewall.intent = 'clean up'"], {"intent": "clean up"}),
        (["set session FIREWALL.ticket to 'it''s OPS-1';"], {"ticket": "it's OPS-1"}),
        (["SET LOCAL firewall.on_behalf_of = 'kim'"], {"on_behalf_of": "kim"}),
        (["SET firewall.intent = 'a'; SET firewall.ticket = OPS"], {"intent": "a", "ticket": "OPS"}),
        (["SELECT set_config('firewall.intent', 'b', false)"], {"intent": "b"}),
        (["SET firewall.intent = 'a'", "SET firewall.intent = 'b'"], {"intent": "b"}),
        (["SET firewall.intent = 'a'", "RESET firewall.intent"], {}),
        (["SET firewall.intent = 'a'", "RESET ALL"], {}),
        (["SET firewall.intent = 'a'", "DISCARD ALL"], {}),
        (["SET firewall.intent = 'a'", "SET firewall.intent TO DEFAULT"], {}),
        (["SET firewall.password = 'a'", "SET work_mem = '1MB'", "SELECT 1"], {}),
        (["SELECT 'SET firewall.intent = ''a'''"], {}),
    ],
)
def test_what_is_set_is_said(texts: list[str], claimed: dict[str, str]) -> None:
    assert said(*texts) == claimed


def test_bound_values_are_said() -> None:
    text = "SELECT set_config('firewall.intent', $1, false)"
    assert said(text, bound=(b"as bound",)) == {"intent": "as bound"}
    assert said(text, bound=(None,)) == {}


def test_what_is_said_is_bounded() -> None:
    assert len(said(f"SET firewall.intent = '{'x' * 900}'")["intent"]) == 500


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (
            "SELECT 1 /*ticket='OPS%2D7',traceparent='00-ab-cd-01'*/",
            {"ticket": "OPS-7", "traceparent": "00-ab-cd-01"},
        ),
        (r"SELECT 1 /* intent='it\'s%20me' */;", {"intent": "it's me"}),
        ("SELECT 1 /* a comment of somebody's */", {}),
        ("SELECT 1 /*a='b' and more*/", {}),
        ("/*ticket='front'*/ SELECT 1", {}),
        ("SELECT 1 /*a='b'*/ + 1", {}),
        ("SELECT 1", {}),
    ],
)
def test_the_comment_at_the_end_is_read(text: str, pairs: dict[str, str]) -> None:
    assert commented(text) == pairs


def test_a_comment_counts_for_its_statement_only() -> None:
    claiming = Claiming()
    assert dict(claiming.of("SELECT 1 /*ticket='a'*/")) == {"ticket": "a"}
    assert claiming.of("SELECT 1") == ()
    # of several, all that any of them says; and whom it acts for before anything else
    both = claiming.of("SELECT 1 /*ticket='a'*/", "SELECT 2 /*ticket='b'*/", "SELECT 3 /*ticket='a'*/")
    assert both == (("ticket", "a"), ("ticket", "b"))
    many = [f"SELECT 1 /*a{number}='x'*/" for number in range(20)]
    assert ("on_behalf_of", "kim") in claiming.of(*many, "SELECT 2 /*on_behalf_of='kim'*/")


@pytest.mark.parametrize(
    ("text", "about"), [("SET firewall.intent = 'a'", True), ("RESET ALL", True), ("SELECT 1", False)]
)
def test_what_says_something_is_told_apart(text: str, about: bool) -> None:
    assert says(Judged(analyse(text, SHOP, FACTS))) is about


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["/* " * 300_000 + "*/x", "/* " * 300_000 + "a='b'*/", "*/" * 500_000])
def test_hostile_comments_take_no_longer_than_to_read_them(text: str) -> None:
    assert commented(text) == ({"a": "b"} if text.endswith("b'*/") else {})
