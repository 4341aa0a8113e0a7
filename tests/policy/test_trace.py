"""Every rule is told with what of it is not true, and agrees with the verdict."""

from __future__ import annotations

from hypothesis import given, settings

from firewall.policy import Action, Moment
from firewall.policy.trace import trace
from firewall.sql.analysis import Effect, Kind

from .test_properties import defaults, load, moments, some_effects, some_rules, subjects
from .written import SUBJECT, read, written

RULES = (
    "allow: read, when: {agents: rep*, relations: orders}",
    "deny: read, when: {agents: nobody, teams: bi, relations: pay, labels: pii}",
    "hold: delete",
    "deny: read, if: \"agent == 'x'\"",
    "deny: read, if: rows > 5",
    "allow: read, when: {columns: id}",
    "hold: read, when: {times: {from: 22:00, to: 06:00}, in_transaction: true}",
)


def test_what_of_a_rule_is_not_true_is_named():
    words = trace(written(*RULES), SUBJECT, [read("id", "total")], Moment(in_transaction=False))
    said = {word.rule: word.missed for word in words}
    assert said["r0"] == ()
    assert said["r1"] == ("agents", "relations", "labels")
    assert said["r2"] == ("hold",)
    assert said["r3"] == ("if",)
    assert said["r4"] == (
        "if, which failed: its types do not fit together; convert with `int(…)`, `double(…)` or `string(…)`",
    )
    assert said["r5"] == ()
    # the clock is not known, and that does not stop a hold
    assert said["r6"] == ("in_transaction",)
    assert [word.partly for word in words] == [False, False, False, False, False, True, False]


def test_selectors_are_asked_too():
    policy = written("allow: read, when: {selectors: s}", more="selectors: {s: {agents: nobody}}\n")
    assert trace(policy, SUBJECT, [read("id")])[0].missed == ("selectors",)


def test_an_effect_is_told_once():
    effect = Effect(Kind.DELETE, "public.orders")
    assert len(trace(written(*RULES), SUBJECT, [effect, effect])) == len(RULES)


@given(some_rules, defaults, subjects, some_effects, moments)
@settings(max_examples=200, deadline=None)
def test_rules_that_match_are_those_of_the_verdict(rules, default, subject, asked, moment):
    policy = load(rules, default)
    verdict = policy.evaluate(subject, asked, moment)
    words = trace(policy, subject, asked, moment)
    if verdict.rule == "error":
        assert verdict.action is Action.DENY
        return
    matching = {(word.rule, word.effect) for word in words if word.matches}
    spoke = {(reason.rule, reason.effect) for reason in verdict.reasons} - {("nothing", "nothing")}
    assert matching == {(rule, effect) for rule, effect in spoke if rule != "default"}
