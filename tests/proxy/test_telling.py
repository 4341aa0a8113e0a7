"""Each refusal names the rule, the hold and the next step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from firewall import session, sql
from firewall.approval import Hold, State, Vote
from firewall.judgement import Judgement
from firewall.policy import Action, Reason, Risk, Subject, Verdict
from firewall.proxy import telling, text

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOLD = Hold(
    id="h_1234",
    digest="d" * 64,
    state=State.PENDING,
    opened_at=NOW,
    expires_at=NOW + timedelta(minutes=15),
    session="s",
    statement="s.1",
    agent="shopper",
    owner="ola@example.com",
    database="shop",
    environment="production",
    role="app",
    sql="DELETE FROM orders",
    parameters=(),
    rule="changes wait",
    reasons=("changes wait: data would change (delete public.orders without WHERE)",),
    effects=(),
    labels=(),
    risk="high",
    groups=("dba", "security"),
    quorum=1,
    requesters=frozenset(),
    revision="r",
)


def decided(state: State, reason: str = "") -> Hold:
    vote = Vote("first.dba@example.com", state is not State.REJECTED, reason, "slack", NOW)
    return replace(HOLD, state=state, votes=(vote,))


def test_a_denial_names_rule_and_reason() -> None:
    verdict = Verdict(
        Action.DENY,
        Risk.HIGH,
        (
            Reason("reads flow", Action.ALLOW, "read public.orders", "harmless"),
            Reason("no grants", Action.DENY, "privilege public.orders", "rights are out of reach"),
        ),
        "r",
    )
    judgement = Judgement("GRANT", Subject("a", "o", "d"), sql.Analysis(), (), verdict, "c", sql.Facts())
    refusal = telling.denied(judgement)
    assert refusal.sqlstate == "42501"
    assert "`no grants`" in refusal.message
    assert "rights are out of reach" in refusal.detail
    assert refusal.hint


def test_a_rejection_names_who_and_why_and_what_next() -> None:
    refusal = telling.undecided(decided(State.REJECTED, "use the archive"))
    assert refusal.sqlstate == "QF001"
    assert refusal.message == (
        "query-firewall: hold h_1234 was rejected by first.dba@example.com: use the archive"
    )
    assert "`changes wait`" in refusal.detail
    assert "change the statement" in refusal.hint


@pytest.mark.parametrize(
    ("hold", "sqlstate", "hint"),
    [
        (replace(HOLD, state=State.EXPIRED), "QF002", "again"),
        (decided(State.APPROVED), "QF003", "again"),
        (decided(State.CONSUMED), "QF003", "again"),
    ],
)
def test_every_other_end_says_what_next(hold: Hold, sqlstate: str, hint: str) -> None:
    refusal = telling.undecided(hold)
    assert refusal.sqlstate == sqlstate
    assert hold.id in refusal.message
    assert hint in refusal.hint


@pytest.mark.parametrize("state", [State.WITHDRAWN, State.LAPSED])
def test_a_withdrawn_statement_sounds_like_postgres(state: State) -> None:
    refusal = telling.undecided(replace(HOLD, state=state))
    assert (refusal.sqlstate, refusal.message) == ("57014", "canceling statement due to user request")
    assert HOLD.id in refusal.detail


def test_what_waits_says_for_whom_where_and_until_when() -> None:
    message, detail, hint = telling.waiting(HOLD, "https://firewall.example.com")
    assert "h_1234" in message
    assert "dba or security" in message
    assert "without WHERE" in detail
    assert "https://firewall.example.com/holds/h_1234" in hint
    assert "2026-01-02 03:19:05 UTC" in hint
    again, _, _ = telling.still_waiting(HOLD, 61.9)
    assert "expires in 1:01" in again


@pytest.mark.parametrize("refusal", [telling.too_long(), telling.not_recorded("disk full")])
def test_house_troubles_say_what_next(refusal: session.Refusal) -> None:
    assert refusal.message.startswith("query-firewall: ")
    assert refusal.hint


def test_nothing_unprintable_reaches_a_record() -> None:
    assert text.printable("a\0b\udcff") == "a\u2400b\\udcff"


def test_values_are_shown_as_what_they_are() -> None:
    act = session.Act("SELECT", (b"text", None, b"\x00\xff"), (0, 0, 1))
    assert text.values(act) == ["text", None, "\\x00ff"]
    binary = session.Act("SELECT", (b"\x01", b"\x02"), (1,))
    assert text.values(binary) == ["\\x01", "\\x02"]
    (cut,) = text.values(session.Act("SELECT", (b"x" * 100,)), longest=10)
    assert cut is not None
    assert cut.startswith("x" * 10 + " ")
    assert "90" in cut


@pytest.mark.parametrize(
    ("tags", "rows"), [(("INSERT 0 5",), 5), (("SELECT 3", "DELETE 2"), 5), (("CREATE TABLE",), 0), ((), 0)]
)
def test_an_outcome_counts_rows(tags: tuple[str, ...], rows: int) -> None:
    done = session.Done(1, None, tags, 10)
    record = telling.outcome_record(done, "a", "s", "s.1", hold="", micros=3)
    assert (record.rows, record.bytes, record.micros) == (rows, 10, 3)
