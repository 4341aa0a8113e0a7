"""What a vote does to a hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.approval import Counted, Hold, Person, Refused, State, Vote, cast

OPENED = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOLD = Hold(
    id="h-1",
    digest="ab" * 32,
    state=State.PENDING,
    opened_at=OPENED,
    expires_at=OPENED + 900 * SECOND,
    session="s-1",
    statement="q-1",
    agent="bot",
    owner="ann@shop.example",
    database="shop",
    environment="production",
    role="reader",
    sql="DELETE FROM orders",
    parameters=(),
    rule="writes",
    reasons=(),
    effects=(),
    labels=(),
    risk="high",
    groups=("dba", "security"),
    quorum=1,
    requesters=frozenset({"ann@shop.example", "bot"}),
    revision="1",
)
DBA = frozenset({"dba"})
NAMES = st.sampled_from(["bob", "Bob", "eve", "ann@shop.example", "Ann@Shop.Example", "bot", "BOT", "kim"])
GROUPS = st.frozensets(st.sampled_from(["dba", "security", "sales", "admin"]))
CASTS = st.lists(st.tuples(NAMES, GROUPS, st.booleans(), st.integers(0, 1000)), max_size=12)


def _cast(hold: Hold, name: str, groups: frozenset[str] = DBA, *, approve: bool = True, after: int = 1):
    vote = Vote(name, approve, "", "cli", OPENED + after * SECOND)
    return cast(hold, Person(name, groups), vote)


def _why(word: Counted | Refused) -> str:
    assert isinstance(word, Refused)
    return word.why


def _hold(word: Counted | Refused) -> Hold:
    assert isinstance(word, Counted)
    return word.hold


def test_an_escalated_hold_is_decided_by_more_groups_from_then_on():
    hold = replace(HOLD, escalates_at=OPENED + 60 * SECOND, escalate_groups=("leads",))
    leads = frozenset({"leads"})
    assert "may decide: dba, security" in _why(_cast(hold, "kim", leads, after=59))
    assert _hold(_cast(hold, "kim", leads, after=60)).state is State.APPROVED
    assert _hold(_cast(hold, "bob", after=61)).state is State.APPROVED
    assert "requester" in _why(_cast(hold, "ann@shop.example", leads, after=61))


def test_one_approval_of_one_is_enough() -> None:
    after = _hold(_cast(HOLD, "bob"))
    assert (after.state, after.decided_by) == (State.APPROVED, "bob")


def test_quorum_counts_distinct_people() -> None:
    hold = replace(HOLD, quorum=2)
    once = _hold(_cast(hold, "bob"))
    assert (once.state, once.decided_by) == (State.PENDING, "")
    assert "has voted" in _why(_cast(once, "bob"))
    assert "has voted" in _why(_cast(once, "BOB", frozenset({"security"})))
    twice = _hold(_cast(once, "eve", frozenset({"security"})))
    assert (twice.state, twice.decided_by) == (State.APPROVED, "bob, eve")


def test_one_rejection_is_enough() -> None:
    once = _hold(_cast(replace(HOLD, quorum=3), "bob"))
    after = _hold(_cast(once, "eve", approve=False))
    assert (after.state, after.decided_by) == (State.REJECTED, "eve")


@pytest.mark.parametrize("name", ["ann@shop.example", "ANN@shop.example", "bot"])
@pytest.mark.parametrize("approve", [True, False])
def test_a_requester_does_not_decide(name: str, approve: bool) -> None:
    assert "you asked for this yourself" in _why(_cast(HOLD, name, approve=approve))


def test_a_group_is_needed() -> None:
    for groups in (frozenset(), frozenset({"sales", "DBA"})):
        assert "none of the groups" in _why(_cast(HOLD, "bob", groups))


def test_a_hold_without_groups_is_decided_by_nobody() -> None:
    assert "none of the groups" in _why(_cast(replace(HOLD, groups=()), "bob"))


def test_time_runs_out() -> None:
    assert isinstance(_cast(HOLD, "bob", after=899), Counted)
    assert "expired at 00:15:00" in _why(_cast(HOLD, "bob", after=900))


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_what_is_decided_stays_decided(state: State) -> None:
    assert f"already {state}" in _why(_cast(replace(HOLD, state=state), "bob"))


@given(CASTS, st.integers(1, 3))
def test_whoever_votes_and_however_often(
    casts: list[tuple[str, frozenset[str], bool, int]], quorum: int
) -> None:
    # INVARIANT: 7. a requester's vote never counts
    hold = replace(HOLD, quorum=quorum)
    requesters = {name.casefold() for name in hold.requesters}
    for name, groups, approve, after in casts:
        word = _cast(hold, name, groups, approve=approve, after=after)
        if isinstance(word, Refused):
            continue
        assert hold.state is State.PENDING
        assert after < 900
        assert name.casefold() not in requesters
        assert groups & {"dba", "security"}
        hold = word.hold
    people = [vote.person.casefold() for vote in hold.votes]
    assert len(set(people)) == len(people)
    approvals = sum(vote.approve for vote in hold.votes)
    assert (hold.state is State.APPROVED) == (approvals >= quorum)
    assert (hold.state is State.REJECTED) == (approvals < len(hold.votes))
    # what was fixed when it was opened stays as it was
    assert replace(hold, state=State.PENDING, votes=()) == replace(HOLD, quorum=quorum)


def test_whom_the_agent_says_it_acts_for_cannot_approve_and_can_reject():
    claimed = replace(HOLD, claims=(("intent", "eve"), ("on_behalf_of", " Bob ")))
    assert "says that it acts for you" in _why(_cast(claimed, "bob"))
    assert _hold(_cast(claimed, "bob", approve=False)).state is State.REJECTED
    assert _hold(_cast(claimed, "eve")).state is State.APPROVED
    alone = replace(claimed, break_glass=("dba",))
    vote = Vote("bob", True, "fire", "cli", OPENED, break_glass=True)
    assert "says that it acts for you" in _why(cast(alone, Person("bob", DBA), vote))
