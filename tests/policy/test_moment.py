"""What only the moment knows: who is told it, what is made of not knowing it, and what depends on it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from firewall.policy import Action, Fact, Moment
from firewall.policy.moment import rows_of
from firewall.sql.analysis import Effect, Kind, ObjectType

from .written import SUBJECT, judge, read, written

DELETE = Effect(Kind.DELETE, "public.orders", unfiltered=True)
MONDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
KNOWN = Moment(
    now=MONDAY,
    rows={"public.orders": 5000.0},
    first_use=False,
    in_transaction=True,
    transaction_age=90.0,
)
MATCHERS = [
    ("rows_over: 4999", True, Fact.ROWS),
    ("rows_over: 5000", False, Fact.ROWS),
    ("rows_up_to: 5000", True, Fact.ROWS),
    ("rows_up_to: 4999", False, Fact.ROWS),
    ("rows_over: 10, rows_up_to: 10000", True, Fact.ROWS),
    ("first_use: false", True, Fact.FIRST_USE),
    ("first_use: true", False, Fact.FIRST_USE),
    ("in_transaction: true", True, Fact.TRANSACTION),
    ("in_transaction: false", False, Fact.TRANSACTION),
    ("transaction_over: 89s", True, Fact.TRANSACTION),
    ("transaction_over: 90s", False, Fact.TRANSACTION),
    ("times: {from: 09:30, to: 09:31}", True, Fact.CLOCK),
    ("times: {from: 09:31, to: 17:00}", False, Fact.CLOCK),
    ("times: [{from: 01:00, to: 02:00}, {from: 09:00, to: 10:00, days: [mon]}]", True, Fact.CLOCK),
    ("times: {from: 09:00, to: 10:00, days: [tue]}", False, Fact.CLOCK),
]


@pytest.mark.parametrize(("when", "matches", "fact"), MATCHERS)
@pytest.mark.parametrize("action", ["allow", "hold", "deny"])
def test_a_matcher_is_told_the_moment_and_says_that_it_looks_at_it(action, when, matches, fact):
    verdict = judge(f"{action}: delete, when: {{{when}}}", effects=(DELETE,), moment=KNOWN)
    assert (verdict.rule == "r0") is matches
    assert verdict.facts == {fact}


@pytest.mark.parametrize(("when", "matches", "fact"), MATCHERS)
def test_what_is_not_known_stops_and_does_not_pass(when, matches, fact):
    assert judge(f"allow: delete, when: {{{when}}}", effects=(DELETE,)).action is Action.HOLD
    assert judge(f"allow: delete, when: {{{when}}}", effects=(DELETE,)).rule == "default"
    assert judge(f"hold: delete, when: {{{when}}}", effects=(DELETE,)).rule == "r0"
    assert judge(f"deny: delete, when: {{{when}}}", effects=(DELETE,)).action is Action.DENY


def test_one_thing_known_to_be_otherwise_is_enough_not_to_match():
    verdict = judge(
        "deny: delete, when: {first_use: true, in_transaction: true}",
        effects=(DELETE,),
        moment=Moment(first_use=False),
    )
    assert verdict.action is Action.HOLD


def test_a_verdict_depends_on_what_the_rules_about_its_objects_look_at():
    policy = written(
        "allow: read",
        "deny: delete, when: {times: {from: 22:00, to: 06:00}}",
        "deny: read, when: {relations: public.pay, rows_over: 5}",
    )
    assert policy.evaluate(SUBJECT, (read("id"),)).facts == frozenset()
    assert policy.evaluate(SUBJECT, (DELETE,)).facts == {Fact.CLOCK}
    assert policy.evaluate(SUBJECT, (read("id", relation="public.pay"),)).facts == {Fact.ROWS}
    both = policy.evaluate(SUBJECT, (DELETE, read("id", relation="public.pay")))
    assert both.facts == {Fact.CLOCK, Fact.ROWS}


@pytest.mark.parametrize(
    ("effect", "rows"),
    [
        (read("id"), 5000.0),
        (read("id", relation="public.new"), None),
        (Effect(Kind.SETTING, "role", ObjectType.SETTING), 0),
        (Effect(Kind.TRANSACTION, "begin", ObjectType.STATEMENT), 0),
        (Effect(Kind.EXECUTE, "public.f", ObjectType.FUNCTION), 0),
        (Effect(Kind.DROP, "public", ObjectType.SCHEMA), None),
        (Effect(Kind.CODE, "do_stmt", ObjectType.STATEMENT), None),
        (Effect(Kind.UNKNOWN, "statement", ObjectType.STATEMENT), None),
    ],
)
def test_rows_are_those_of_the_relation(effect, rows):
    assert rows_of(effect, KNOWN) == rows


@pytest.mark.parametrize(
    ("window", "at", "inside"),
    [
        ("from: 22:00, to: 06:00", "2026-03-02 23:00", True),
        ("from: 22:00, to: 06:00", "2026-03-02 05:59", True),
        ("from: 22:00, to: 06:00", "2026-03-02 06:00", False),
        # Friday's night reaches into Saturday, and Saturday has none of its own
        ("from: 22:00, to: 06:00, days: fri", "2026-03-07 05:00", True),
        ("from: 22:00, to: 06:00, days: fri", "2026-03-07 23:00", False),
        ("from: 22:00, to: 06:00, days: fri", "2026-03-06 05:00", False),
        ("from: 22:00, to: 06:00, days: sun", "2026-03-02 05:00", True),
        ("from: 00:00, to: 24:00, days: mon", "2026-03-02 23:59", True),
        # 08:30 in UTC is 09:30 in Berlin's winter and 10:30 in its summer
        ("from: 09:00, to: 10:00, zone: Europe/Berlin", "2026-03-02 08:30", True),
        ("from: 09:00, to: 10:00, zone: Europe/Berlin", "2026-07-01 08:30", False),
        # already Tuesday there
        ("from: 00:00, to: 12:00, days: tue, zone: Asia/Tokyo", "2026-03-02 16:00", True),
    ],
)
def test_windows(window, at, inside):
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    verdict = judge(f"deny: delete, when: {{times: {{{window}}}}}", effects=(DELETE,), moment=Moment(now=now))
    assert (verdict.action is Action.DENY) is inside


@pytest.mark.parametrize(("risk", "matches"), [("high", True), ("[low, high]", True), ("critical", False)])
def test_the_tier_that_is_matched_is_that_of_the_effects(risk, matches):
    rules = (f"deny: delete, when: {{risk: {risk}}}", "hold: delete, risk: critical")
    verdict = judge(*rules, effects=(DELETE,))
    assert (verdict.action is Action.DENY) is matches
    assert verdict.risk.value == "critical"


def test_many_rows_make_a_tier_and_a_rule_on_it_looks_at_rows():
    rule = "deny: delete, when: {risk: critical}"
    large = Effect(Kind.DELETE, "public.orders", unfiltered=True, tested_labels=("pii",))
    assert judge(rule, effects=(large,), moment=KNOWN).action is Action.HOLD
    verdict = judge(rule, effects=(large,), moment=Moment(rows={"public.orders": 2e6}))
    assert (verdict.action, verdict.facts) == (Action.DENY, {Fact.ROWS})
