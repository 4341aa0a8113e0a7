"""Invariants 3 and 4 over arbitrary policies, subjects and effects."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from firewall import policy
from firewall.policy import Action, Fact, Moment, Subject
from firewall.policy.compile import kinds
from firewall.policy.rule import Rule
from firewall.sql.analysis import Effect, Kind, ObjectType

ORDER = [Action.ALLOW, Action.HOLD, Action.DENY]
WORDS = ["a", "b", "c"]
LABELS = ["pii.email", "pii.phone", "pci.pan"]
# few names, so that rules and effects meet often
OBJECTS = ["s.a", "s.b", "t.a", "s", "x.y.z"]

effects = st.builds(
    Effect,
    kind=st.sampled_from(Kind),
    object=st.sampled_from(OBJECTS),
    type=st.sampled_from(
        [
            ObjectType.RELATION,
            ObjectType.FUNCTION,
            ObjectType.SETTING,
            ObjectType.SCHEMA,
            ObjectType.STATEMENT,
        ]
    ),
    columns=st.lists(st.sampled_from([*WORDS, "*"]), max_size=3, unique=True).map(tuple),
    tested=st.lists(st.sampled_from(WORDS), max_size=2, unique=True).map(tuple),
    unfiltered=st.booleans(),
    labels=st.lists(st.sampled_from(LABELS), max_size=2, unique=True).map(tuple),
    tested_labels=st.lists(st.sampled_from(LABELS), max_size=2, unique=True).map(tuple),
)
subjects = st.builds(
    Subject,
    agent=st.sampled_from(WORDS),
    owner=st.sampled_from(WORDS),
    database=st.sampled_from(WORDS),
    environment=st.sampled_from(WORDS),
    team=st.sampled_from(WORDS),
)


def patterns(*choices: str):
    return st.one_of(st.just("any"), st.lists(st.sampled_from(choices), min_size=1, max_size=2, unique=True))


words = patterns(*WORDS, "*", "?")
matchers = {
    **dict.fromkeys(("agents", "owners", "teams", "databases", "environments"), words),
    "relations": patterns("s.*", "a", "s.a", "*.b"),
    "functions": patterns("s.*", "a"),
    "settings": patterns("s", "s.*", "*"),
    "objects": patterns("s.a", "s"),
    "columns": patterns("a", "b", "s.a.*", "*.c", "s.*.b"),
    "labels": patterns("pii", "pci.*", "pii.email"),
    "tested_labels": patterns("pii", "pci.*", "pii.email"),
    "unlabelled": st.booleans(),
    "unfiltered": st.booleans(),
    "temporary": st.booleans(),
    "rows_over": st.sampled_from([0, 100]),
    "rows_up_to": st.sampled_from([101, 1000]),
    "first_use": st.booleans(),
    "in_transaction": st.booleans(),
    "transaction_over": st.sampled_from(["1s", "5m"]),
    "times": st.sampled_from(
        [{"from": "09:00", "to": "17:00"}, {"from": "22:00", "to": "06:00", "days": "mon"}]
    ),
    "risk": st.lists(st.sampled_from(["low", "medium", "high", "critical"]), min_size=1, unique=True),
}
expressions = st.sampled_from(
    [
        "agent == 'a'",
        "rows > 50",
        "unfiltered || size(labels) > 0",
        "columns[0] == 'a'",
        "first_use",
        "risk != 'low'",
    ]
)
moments = st.builds(
    Moment,
    now=st.none() | st.datetimes(timezones=st.just(UTC)),
    rows=st.dictionaries(st.sampled_from(OBJECTS), st.sampled_from([0.0, 100.0, 5e6])),
    first_use=st.none() | st.booleans(),
    in_transaction=st.none() | st.booleans(),
    transaction_age=st.none() | st.sampled_from([0.0, 2.0, 1000.0]),
)


@st.composite
def conditions(draw):
    keys = draw(st.lists(st.sampled_from(sorted(matchers)), max_size=3, unique=True))
    if "labels" in keys and "unlabelled" in keys:
        keys.remove("unlabelled")
    if "transaction_over" in keys and "in_transaction" in keys:
        keys.remove("in_transaction")
    return {key: draw(matchers[key]) for key in keys} or "any"


@st.composite
def rules(draw, actions=("allow", "hold", "deny")):
    named = patterns(*(kind.value for kind in Kind), "c*")
    rule = {draw(st.sampled_from(actions)): draw(named), "when": draw(conditions()), "why": "because"}
    # most rules have none
    return {**rule, "if": draw(expressions)} if draw(st.integers(0, 3)) == 0 else rule


def load(written: list[dict], default: str) -> policy.Policy:
    named = [{"name": f"rule {number:02}", **rule} for number, rule in enumerate(written)]
    return load_named(named, default)


def load_named(named: list[dict], default: str, **more: object) -> policy.Policy:
    data = {"version": 1, "default": default, "approval": {"groups": ["dba"]}, "rules": named, **more}
    return policy.parse(json.dumps(data), Path("p.yaml"))


some_rules = st.lists(rules(), min_size=1, max_size=5)
some_effects = st.lists(effects, max_size=3)
defaults = st.sampled_from(["hold", "deny"])


@given(some_rules, rules(actions=("deny",)), defaults, subjects, some_effects, moments)
@settings(max_examples=300, deadline=None)
def test_adding_a_deny_lets_nothing_more_through(written, deny, default, subject, asked, moment):
    before = load(written, default).evaluate(subject, asked, moment)
    after = load([*written, deny], default).evaluate(subject, asked, moment)
    assert ORDER.index(after.action) >= ORDER.index(before.action)


@given(some_rules, rules(actions=("hold",)), defaults, subjects, some_effects, moments)
@settings(max_examples=200, deadline=None)
def test_adding_a_hold_allows_nothing_more(written, hold, default, subject, asked, moment):
    before = load(written, default).evaluate(subject, asked, moment)
    after = load([*written, hold], default).evaluate(subject, asked, moment)
    assert before.action is Action.ALLOW or after.action is not Action.ALLOW


BUDGET = {"name": "rows", "labels": "pii", "rows": 10, "per": "1h", "why": "enough"}
owed = st.fixed_dictionaries(
    {},
    optional={
        "max_rows": st.integers(0, 3),
        "max_affected_rows": st.integers(0, 3),
        "statement_timeout": st.sampled_from(["1s", "5s"]),
        "read_only": st.just(value=True),
    },
).filter(bool)


@given(some_rules, st.integers(0, 20) | st.none(), defaults, subjects, some_effects, moments)
@settings(max_examples=200, deadline=None)
def test_a_budget_lets_nothing_more_through(written, rows, default, subject, asked, moment):
    named = [{"name": f"rule {number:02}", **rule} for number, rule in enumerate(written)]
    before = load_named(named, default).evaluate(subject, asked, moment)
    moment = replace(moment, spent={} if rows is None else {"rows": rows})
    after = load_named(named, default, budgets=[BUDGET]).evaluate(subject, asked, moment)
    assert ORDER.index(after.action) >= ORDER.index(before.action)
    if after.budgets and (rows is None or rows >= BUDGET["rows"]):
        assert after.action is not Action.ALLOW


@given(some_rules, owed, st.integers(0, 4), defaults, subjects, some_effects, moments)
@settings(max_examples=200, deadline=None)
def test_an_obligation_changes_no_verdict_and_loosens_no_other(
    written, more, where, default, subject, asked, moment
):
    rule = written[where % len(written)]
    stricter = [
        {**each, "obligations": more} if each is rule and "deny" not in each else each for each in written
    ]
    before = load(written, default).evaluate(subject, asked, moment)
    after = load(stricter, default).evaluate(subject, asked, moment)
    assert after.action is before.action
    for limit in ("max_rows", "max_affected_rows", "statement_timeout"):
        was, now = getattr(before.obligations, limit), getattr(after.obligations, limit)
        assert was is None or (now is not None and now <= was)
    assert after.obligations.read_only >= before.obligations.read_only


@given(some_rules, defaults, subjects, some_effects, moments, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_order_of_rules_means_nothing(written, default, subject, asked, moment, chance):
    named = [{"name": f"rule {number}", **rule} for number, rule in enumerate(written)]
    shuffled = chance.sample(named, len(named))
    first, second = load_named(named, default), load_named(shuffled, default)
    assert first.evaluate(subject, asked, moment) == second.evaluate(subject, asked, moment)


@given(some_rules, defaults, st.lists(st.tuples(subjects, some_effects, moments), min_size=2, max_size=4))
@settings(max_examples=200, deadline=None)
def test_the_same_question_has_the_same_answer(written, default, questions):
    # whatever was asked before, and is remembered
    asked = load(written, default)
    for question in (*questions, *questions):
        found = asked.evaluate(*question)
    assert found == load(written, default).evaluate(*questions[-1])


@given(some_rules, defaults, subjects, some_effects, moments, moments)
@settings(max_examples=300, deadline=None)
def test_a_verdict_that_looks_at_nothing_is_true_at_any_moment(written, default, subject, asked, now, then):
    """Which is why it may be kept. The tier looks at rows, and whoever keeps it has to know."""
    loaded = load(written, default)
    first, second = (
        loaded.evaluate(subject, asked, now),
        loaded.evaluate(subject, asked, replace(then, rows=now.rows)),
    )
    if not first.facts - {Fact.ROWS}:
        assert first == second


@given(some_rules, defaults, subjects, some_effects, moments)
@settings(max_examples=300, deadline=None)
def test_knowing_less_allows_nothing_more(written, default, subject, asked, moment):
    loaded = load(written, default)
    if loaded.evaluate(subject, asked, Moment(rows=moment.rows)).action is Action.ALLOW:
        assert loaded.evaluate(subject, asked, moment).action is Action.ALLOW


@given(some_rules, defaults, subjects, effects)
@settings(max_examples=300, deadline=None)
def test_an_effect_is_allowed_only_where_allow_rules_cover_all_of_it(written, default, subject, effect):
    """Worked out here the slow way: every combination of a label, a tested label and a column on its own."""
    loaded = load(written, default)
    if loaded.evaluate(subject, [effect]).action is not Action.ALLOW:
        return
    allows = [
        Rule(rule.name, rule.action, kinds(rule.effects, rule.action), rule.when, rule.why)
        for rule in loaded.document.rules
        if rule.action is Action.ALLOW
    ]
    able = [rule for rule in allows if rule.concerns(subject) and rule.may_touch(effect)]
    for label in effect.labels or ("",):
        for tested in effect.tested_labels or ("",):
            for column in (*effect.columns, *effect.tested) or ("",):
                covers = [cover for rule in able if (cover := rule.cover(effect)) is not None]
                assert any(
                    (cover.labels is None or label in cover.labels)
                    and (cover.tested is None or tested in cover.tested)
                    and (cover.columns is None or column in cover.columns)
                    for cover in covers
                )


@given(defaults, subjects, effects)
def test_what_no_rule_is_about_is_never_allowed(default, subject, effect):
    verdict = load([{"allow": "any", "when": {"agents": "nobody"}, "why": "w"}], default).evaluate(
        subject, [effect]
    )
    assert verdict.action is Action(default)
    assert verdict.rule == "default"


@given(st.lists(rules(actions=("allow",)), min_size=1, max_size=5), defaults, subjects)
@settings(deadline=None)
def test_what_is_not_understood_passes_by_its_own_name_only(written, default, subject):
    assume(all("unknown" not in rule["allow"] for rule in written))
    verdict = load(written, default).evaluate(subject, [Effect(Kind.UNKNOWN, "s", ObjectType.STATEMENT)])
    assert verdict.action is not Action.ALLOW


@given(some_rules, defaults, subjects, st.one_of(st.none(), st.integers(), st.lists(st.text(), min_size=1)))
@settings(deadline=None)
def test_an_error_while_judging_is_a_deny(written, default, subject, nonsense):
    assume(nonsense)
    verdict = load(written, default).evaluate(subject, nonsense)
    assert (verdict.action, verdict.rule, verdict.enforced) == (Action.DENY, "error", True)


@given(some_rules, subjects, some_effects)
@settings(deadline=None)
def test_a_verdict_is_complete(written, subject, asked):
    verdict = load(written, "hold").evaluate(subject, asked)
    assert verdict.reasons
    assert any(reason.action is verdict.action for reason in verdict.reasons)
    assert (verdict.requirement is not None) is (verdict.action is Action.HOLD)
