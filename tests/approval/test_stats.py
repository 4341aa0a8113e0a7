"""What a heap of holds tells of those who decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from firewall.approval import State, Vote, stats
from firewall.approval.stats import LONG

from .test_hold import HOLD, OPENED


def decided(state: State, after: int, person: str = "bob", **of_vote: object):
    vote = Vote(person, state is not State.REJECTED, "", "cli", OPENED + timedelta(seconds=after), **of_vote)
    return replace(HOLD, state=state, votes=(vote,))


def test_nothing_tells_nothing() -> None:
    found = stats([])
    assert (found.holds, found.approval_rate, found.seconds_median, found.seconds_p90) == (
        0,
        None,
        None,
        None,
    )


def test_how_fast_and_how_often_yes() -> None:
    found = stats(
        [
            HOLD,
            replace(HOLD, state=State.EXPIRED),
            replace(HOLD, state=State.WITHDRAWN),
            decided(State.CONSUMED, 10),
            replace(decided(State.LAPSED, 20), rule="another"),
            decided(State.REJECTED, 60),
        ]
    )
    assert (found.holds, found.pending, found.approved, found.rejected, found.undecided) == (6, 1, 2, 1, 2)
    assert (found.approval_rate, found.seconds_median) == (2 / 3, 20.0)
    assert found.seconds_p90 == 52.0
    assert [(of.rule, of.holds, of.approved, of.rejected) for of in found.busiest] == [
        ("writes", 5, 1, 1),
        ("another", 1, 1, 0),
    ]


def test_when_and_in_what_time() -> None:
    found = stats(
        [
            decided(State.CONSUMED, 10),
            decided(State.REJECTED, 11),
            decided(State.APPROVED, 4000),
            replace(HOLD, state=State.EXPIRED, opened_at=OPENED - timedelta(days=1)),
            HOLD,
        ]
    )
    assert [(of.within, of.approved, of.rejected) for of in found.speeds if of.approved or of.rejected] == [
        (10, 1, 0),
        (60, 0, 1),
        (None, 1, 0),
    ]
    assert [(of.day, of.approved, of.rejected, of.undecided, of.pending) for of in found.days] == [
        (f"{OPENED - timedelta(days=1):%Y-%m-%d}", 0, 0, 1, 0),
        (f"{OPENED:%Y-%m-%d}", 2, 1, 0, 1),
    ]


def test_who_approves_long_statements_without_opening_them() -> None:
    long = "x" * (LONG + 1)
    found = stats(
        [
            replace(decided(State.CONSUMED, 1), sql=long),
            replace(decided(State.CONSUMED, 1), parameters=(long,)),
            replace(decided(State.CONSUMED, 1, "eve"), sql=long),
            replace(decided(State.CONSUMED, 1, opened=True), sql=long),
            replace(decided(State.REJECTED, 1), sql=long),
            decided(State.CONSUMED, 1, break_glass=True),
        ]
    )
    assert (found.approvals, found.unread, found.unread_by) == (5, 3, (("bob", 2), ("eve", 1)))
    assert found.glass == 1
