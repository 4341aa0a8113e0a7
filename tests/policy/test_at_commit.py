"""`decide: at_commit`: which verdicts may wait for COMMIT, and what a policy may say of that."""

from __future__ import annotations

import pytest

from firewall.errors import ConfigurationError
from firewall.policy import Action
from firewall.policy.check import check
from firewall.sql.analysis import Effect, Kind

from .written import judge, read, written

INSERT, DELETE = Effect(Kind.INSERT, "public.orders"), Effect(Kind.DELETE, "public.orders")
AHEAD = "hold: [insert, update, delete], decide: at_commit"


def waits(*rules: str, effects: tuple[Effect, ...], more: str = "") -> float | None:
    verdict = judge(*rules, effects=effects, more=more)
    assert verdict.action is Action.HOLD
    assert verdict.requirement is not None
    return verdict.requirement.at_commit


def test_writes_wait_for_a_minute_or_as_long_as_it_says():
    assert waits(AHEAD, effects=(INSERT, DELETE)) == 60
    longer = "hold: delete, decide: {at_commit: 2m}"
    assert waits(longer, effects=(DELETE,)) == 120
    # what several rules hold waits no longer than any of them lets it
    assert waits(AHEAD, longer, effects=(DELETE,)) == 60


def test_what_is_allowed_beside_it_is_no_matter():
    assert waits(AHEAD, "allow: read", effects=(read("id"), INSERT)) == 60


@pytest.mark.parametrize(
    ("rules", "effects"),
    [
        ((AHEAD, "hold: delete"), (DELETE,)),
        ((AHEAD, "hold: delete"), (INSERT, DELETE)),
        ((AHEAD,), (INSERT, read("id"))),  # the default holds the read
        (("hold: any, decide: at_commit",), (INSERT, read("id"))),
        (("hold: any, decide: at_commit",), (Effect(Kind.COPY_IN, "public.orders"),)),
        (("hold: any, decide: at_commit",), (Effect(Kind.TRUNCATE, "public.orders"),)),
        (("hold: any, decide: at_commit",), (Effect(Kind.UNKNOWN, "statement"),)),
    ],
)
def test_one_hold_that_cannot_wait_is_decided_at_once(rules, effects):
    assert waits(*rules, effects=effects) is None


def test_a_budget_that_is_used_up_does_not_wait():
    budget = "labels: {pii: email}\nbudgets: [{name: b, labels: pii, rows: 5, per: 1h, why: w}]\n"
    returning = read("email", labels=("pii",))
    assert waits(AHEAD, "allow: read", effects=(returning, INSERT), more=budget) is None


def test_it_is_part_of_the_policys_revision():
    plain = written("hold: delete")
    assert plain.revision != written("hold: delete, decide: at_commit").revision


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ("allow: delete, decide: at_commit", "only a `hold` is decided"),
        ("hold: delete, decide: later", "rules[0].decide"),
        ("hold: delete, decide: {at_commit: 1h}", "write between `5s` and `10m`"),
        ("hold: delete, decide: {at_commit: 1s}", "write between `5s` and `10m`"),
    ],
)
def test_nothing_else_is_written(rule, error):
    with pytest.raises(ConfigurationError) as raised:
        written(rule)
    assert error in str(raised.value)


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("hold: read, decide: at_commit", ["only `insert`, `update` and `delete` wait for COMMIT"]),
        ("hold: delete, decide: at_commit", ["it runs before anyone decides"]),
        ("hold: delete, decide: at_commit, obligations: {max_affected_rows: 5}", []),
    ],
)
def test_what_is_found_in_a_policy_that_loads(rule, found):
    findings = [str(problem) for problem in check(written(rule))]
    assert len(findings) == len(found)
    assert all(part in finding for part, finding in zip(found, findings, strict=True))
