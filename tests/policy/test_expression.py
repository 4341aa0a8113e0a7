"""`if:` conditions: what they see, what becomes of errors, and what is found when they load."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from firewall.policy import Action, Fact, Moment
from firewall.policy.expression import FUNCTIONS, VARIABLES, complaint
from firewall.sql.analysis import Effect, Kind, ObjectType

from .written import judge, read

EMAILS = read("id", "email", labels=("pii.email",), relation="public.customers")
MOMENT = Moment(
    now=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    rows={"public.customers": 5000.0},
    first_use=True,
    in_transaction=False,
    transaction_age=0.0,
)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("agent == 'reporter' && owner.endsWith('@example.com')", True),
        ("team == 'bi' && database == 'shop' && environment != 'prod'", False),
        ("effect == 'read' && object == 'public.customers' && type == 'relation' && via == ''", True),
        ("'email' in columns && size(tested) == 0", True),
        ("labels.exists(label, label.startsWith('pii.')) && size(tested_labels) == 0", True),
        ("labels.all(label, label == 'pci')", False),
        ("unfiltered", False),
        ("rows > 4999 && rows <= 5000", True),
        ("first_use && !in_transaction && transaction_age == 0", True),
        ("now.getHours() == 9 && now.getDayOfWeek() == 1", True),
        ("risk == 'medium'", True),
        ("object.matches('^public[.]c')", True),
    ],
)
@pytest.mark.parametrize("action", ["allow", "hold", "deny"])
def test_it_is_asked_when_everything_else_matches(action, condition, holds):
    rule = f'{action}: read, when: {{relations: customers}}, if: "{condition}"'
    verdict = judge(rule, effects=(EMAILS,), moment=MOMENT)
    assert (verdict.rule == "r0") is holds
    assert judge(rule, effects=(read("id"),), moment=MOMENT).rule == "default"


@pytest.mark.parametrize("action", ["allow", "hold", "deny"])
@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("rows > 5", "its types do not fit together"),  # not known: null
        ("columns[7] == 'x'", "index out of bounds"),
        ("1 / size(tested) == 1", "division by zero"),
    ],
)
def test_an_error_is_a_deny_whatever_the_rule(action, condition, why):
    verdict = judge("allow: any", f'{action}: read, if: "{condition}"', effects=(EMAILS,))
    assert (verdict.action, verdict.rule) == (Action.DENY, "error")
    assert "the condition of rule `r1` failed" in verdict.why
    assert why in verdict.why
    # with other facts there may be no error, so that nobody may keep it
    assert verdict.facts == set(Fact)


def test_what_it_looks_at_is_known():
    rule = 'deny: read, if: "now.getHours() < 6 || rows > 5"'
    assert judge(rule, effects=(EMAILS,), moment=MOMENT).facts == {Fact.CLOCK, Fact.ROWS}
    assert judge("deny: read, if: \"agent == 'x'\"", effects=(EMAILS,)).facts == frozenset()


UNKNOWN = Effect(Kind.UNKNOWN, "statement", ObjectType.STATEMENT)


def test_what_is_not_understood_may_be_anything():
    about_effect = "if: \"object == 'public.customers'\""
    assert judge(f"deny: any, {about_effect}", effects=(UNKNOWN,)).action is Action.DENY
    assert judge(f"hold: any, {about_effect}", effects=(UNKNOWN,)).rule == "r0"
    assert judge(f"allow: unknown, {about_effect}", effects=(UNKNOWN,)).rule == "default"
    about_agent = "if: \"agent == 'reporter'\""
    assert judge(f"allow: unknown, {about_agent}", effects=(UNKNOWN,)).action is Action.ALLOW
    assert judge("deny: any, if: \"agent == 'x'\"", effects=(UNKNOWN,)).action is Action.HOLD


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_can_be_used(name):
    assert complaint(f"{name} == {name}") == ""
    assert judge(f'allow: read, if: "{name} == {name}"', effects=(EMAILS,), moment=MOMENT).rule == "r0"


CALLS = {
    **{name: f"now.{name}() >= 0" for name in FUNCTIONS if name.startswith("get")},
    **{name: f"agent.{name}('x')" for name in ("contains", "startsWith", "endsWith", "matches")},
    "size": "size(columns) > 0",
    "has": "has({'a': 1}.a)",
    "dyn": "dyn(rows) == 1",
    "int": "int('5') == rows",
    "uint": "uint(rows) == 5u",
    "double": "double(rows) > 1.5",
    "string": "string(rows) == '5'",
    "bytes": "bytes(agent) == b'x'",
    "timestamp": "now > timestamp('2026-01-01T00:00:00Z')",
    "duration": "now - now < duration('5m')",
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_that_is_offered_works(name):
    assert complaint(CALLS[name]) == ""


@pytest.mark.parametrize("text", ["(" * 400, "[" * 400, "!" * 900, "a" * 2000, "\0", "'\ud800'", "1 == 1 //"])
def test_hostile_text_is_refused_in_words(text):
    assert isinstance(complaint(text), str)
    assert len(complaint(text)) < 500


def test_a_macro_may_name_what_it_likes():
    assert complaint("labels.exists(each, each == 'pii')") == ""
    assert "`each` is not a variable" in complaint("labels.exists(one, each == 'pii')")
