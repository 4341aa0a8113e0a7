"""Budgets: whose, of what, and what becomes of a statement when one is used up."""

from __future__ import annotations

import pytest

from firewall.policy import Action, Fact, Moment, Requirement
from firewall.sql.analysis import Effect, Kind

from .written import judge, read

BUDGETS = """
budgets:
  - {name: addresses, labels: pii, rows: 500, per: 1h, why: enough for today, approval: {quorum: 2}}
  - {name: cards, labels: pci.pan, rows: 5, per: 1d, when: {teams: bi}, why: no}
  - {name: others, labels: any, rows: 1, per: 1d, when: {agents: nobody}, why: no}
"""
EMAILS = read("email", labels=("pii.email",))


def spent(**rows: int) -> Moment:
    return Moment(spent=rows)


@pytest.mark.parametrize(("rows", "action"), [(0, "allow"), (499, "allow"), (500, "hold"), (9999, "hold")])
def test_what_is_used_up_holds(rows, action):
    verdict = judge("allow: read", effects=(EMAILS,), moment=spent(addresses=rows), more=BUDGETS)
    assert verdict.action.value == action
    assert verdict.budgets == ("addresses",)
    assert verdict.facts == {Fact.SPENT}


def test_the_reason_names_the_budget():
    verdict = judge("allow: read", effects=(EMAILS,), moment=spent(addresses=500), more=BUDGETS)
    assert verdict.rule == "addresses"
    assert verdict.requirement == Requirement(("dba",), 2, 600.0)
    assert verdict.why == (
        "enough for today (the budget of 500 rows is used up, or not known): read public.orders (email)"
    )


def test_what_nobody_knows_is_used_up():
    assert judge("allow: read", effects=(EMAILS,), more=BUDGETS).action is Action.HOLD


def test_only_what_reaches_the_client_counts():
    tested = Effect(Kind.READ, "public.orders", ("id",), tested_labels=("pii.email",))
    written = Effect(Kind.UPDATE, "public.orders", columns=("email",), labels=("pii.email",))
    for effect in (read("id"), tested, written):
        verdict = judge("allow: any", effects=(effect,), more=BUDGETS)
        assert (verdict.action, verdict.budgets, verdict.facts) == (Action.ALLOW, (), frozenset())


def test_a_deny_is_a_deny():
    verdict = judge("deny: read", effects=(EMAILS,), moment=spent(addresses=500), more=BUDGETS)
    assert verdict.action is Action.DENY


def test_several_may_count():
    both = read("email", "pan", labels=("pci.pan", "pii.email"))
    verdict = judge("allow: read", effects=(both,), moment=spent(addresses=1, cards=5), more=BUDGETS)
    assert (verdict.budgets, verdict.rule) == (("addresses", "cards"), "cards")
