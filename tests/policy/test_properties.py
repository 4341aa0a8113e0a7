"""Invariants 3 and 4 over arbitrary policies, subjects and effects."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from firewall import policy
from firewall.policy import Action, Subject
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
}


@st.composite
def conditions(draw):
    keys = draw(st.lists(st.sampled_from(sorted(matchers)), max_size=3, unique=True))
    if "labels" in keys and "unlabelled" in keys:
        keys.remove("unlabelled")
    return {key: draw(matchers[key]) for key in keys} or "any"


@st.composite
def rules(draw, actions=("allow", "hold", "deny")):
    named = patterns(*(kind.value for kind in Kind), "c*")
    return {draw(st.sampled_from(actions)): draw(named), "when": draw(conditions()), "why": "because"}


def load(written: list[dict], default: str) -> policy.Policy:
    named = [{"name": f"rule {number:02}", **rule} for number, rule in enumerate(written)]
    return load_named(named, default)


def load_named(named: list[dict], default: str) -> policy.Policy:
    data = {"version": 1, "default": default, "approval": {"groups": ["dba"]}, "rules": named}
    return policy.parse(json.dumps(data), Path("p.yaml"))


some_rules = st.lists(rules(), min_size=1, max_size=5)
some_effects = st.lists(effects, max_size=3)
defaults = st.sampled_from(["hold", "deny"])


@given(some_rules, rules(actions=("deny",)), defaults, subjects, some_effects)
@settings(max_examples=300, deadline=None)
def test_adding_a_deny_lets_nothing_more_through(written, deny, default, subject, asked):
    before = load(written, default).evaluate(subject, asked)
    after = load([*written, deny], default).evaluate(subject, asked)
    assert ORDER.index(after.action) >= ORDER.index(before.action)


@given(some_rules, rules(actions=("hold",)), defaults, subjects, some_effects)
@settings(max_examples=200, deadline=None)
def test_adding_a_hold_allows_nothing_more(written, hold, default, subject, asked):
    before = load(written, default).evaluate(subject, asked)
    after = load([*written, hold], default).evaluate(subject, asked)
    assert before.action is Action.ALLOW or after.action is not Action.ALLOW


@given(some_rules, defaults, subjects, some_effects, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_order_of_rules_means_nothing(written, default, subject, asked, chance):
    named = [{"name": f"rule {number}", **rule} for number, rule in enumerate(written)]
    shuffled = chance.sample(named, len(named))
    first, second = load_named(named, default), load_named(shuffled, default)
    assert first.evaluate(subject, asked) == second.evaluate(subject, asked)


@given(some_rules, defaults, subjects, some_effects)
@settings(max_examples=200, deadline=None)
def test_the_same_question_has_the_same_answer(written, default, subject, asked):
    loaded = load(written, default)
    assert loaded.evaluate(subject, asked) == loaded.evaluate(subject, asked)
    assert loaded.evaluate(subject, asked) == load(written, default).evaluate(subject, asked)


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
