"""What is found in policies that load."""

from __future__ import annotations

from pathlib import Path

import pytest

from firewall import policy
from firewall.catalog import Column, Function, Relation, RelationKind, Snapshot
from firewall.policy.check import check

HEAD = """\
version: 1
default: deny
labels: {pii.email: email}
approvers:
  dana@example.com: {groups: [dba]}
  sam@example.com: {groups: [dba, security]}
rules:
"""
SHOP = Snapshot(
    "v",
    "shop",
    180000,
    (Relation("public", "orders", RelationKind.TABLE, (Column("id", "int"), Column("email", "text"))),),
    (Function("public", "refresh", "sql", "volatile", 0, 0),),
)


def findings(*rules: str, head: str = HEAD, snapshot: Snapshot | None = None) -> list[str]:
    lines = "".join(f"  - {{name: r{number}, why: w, {rule}}}\n" for number, rule in enumerate(rules))
    problems = check(policy.parse(head + lines, Path("p.yaml")), snapshot)
    assert all(problem.place.line for problem in problems)
    return [str(problem) for problem in problems]


def test_a_good_policy_has_no_findings():
    rules = ("allow: read, when: {relations: orders}", "hold: drop, approval: {groups: dba, quorum: 2}")
    assert findings(*rules, snapshot=SHOP) == []


@pytest.mark.parametrize(
    ("rule", "finding"),
    [
        ("hold: drop", "8:30: `rules[0].hold`: nobody can decide this hold"),
        (
            "hold: drop, approval: {groups: security, quorum: 2}",
            "2 people must approve, and its groups have only 1",
        ),
        (
            "hold: drop, approval: {groups: security, break_glass: [oncall]}",
            "`oncall` may break the glass, and nobody is in that group",
        ),
        (
            "hold: drop, approval: {groups: security, wait: 1h, expires: 15m}",
            "the hold expires before the agent has waited",
        ),
        (
            "hold: drop, when: {owners: sam@example.com}, approval: {groups: security}",
            "`sam@example.com` owns these agents, and without them nobody is left",
        ),
        (
            "deny: any, when: {relations: a, functions: b}",
            "no effect is on `relations` and `functions` at once",
        ),
        (
            "deny: setting, when: {settings: a, labels: pii}",
            "no effect is on `labels` and `settings` at once",
        ),
        ("deny: drop, when: {unfiltered: true}", "only update and delete can lack a WHERE"),
        ("deny: read, when: {settings: role}", "only the effect `setting` is on settings"),
        ("allow: unknown, when: {relations: a}", "so `relations` never allows one"),
        (
            "deny: read, when: {labels: pii.emial}",
            "no label is called `pii.emial`; did you mean `pii.email`?",
        ),
        ("deny: read, when: {labels: pci}", "no label is called `pci`; did you mean `pii`?"),
        ("deny: read, when: {tested_labels: zzz}", "no label is called `zzz`; define it under `labels`"),
    ],
)
def test_findings(rule, finding):
    found = findings(rule)
    assert len(found) == 1
    assert finding in found[0]


def test_a_default_hold_needs_someone_as_well():
    head = HEAD.replace("default: deny", "default: hold")
    assert "nobody can decide" in findings("allow: read", head=head)[0]
    assert findings("allow: read", head=head.replace("rules:", "approval: {groups: dba}\nrules:")) == []


def test_rules_that_change_nothing():
    denied = ("allow: [drop, alter], when: {agents: x}", "deny: any, when: {agents: x}")
    assert findings(*denied) == ["p.yaml:8:5: `rules[0]`: `r0` changes nothing: `r1` denies all of it"]
    assert findings("allow: drop, when: {agents: x}", "deny: any, when: {agents: y}") == []
    assert findings("allow: any", "deny: drop") == []


@pytest.mark.parametrize(
    ("rule", "finding"),
    [
        ("deny: read, when: {relations: order}", "no relation in database `shop` matches `order`"),
        ("deny: read, when: {relations: public.ordres}", "did you mean `public.orders`?"),
        ("deny: execute, when: {functions: refrsh}", "no function in database `shop` matches `refrsh`"),
        ("deny: read, when: {columns: orders.emial}", "no column in database `shop` matches `orders.emial`"),
    ],
)
def test_names_the_catalog_does_not_have(rule, finding):
    assert findings(rule) == []
    (found,) = findings(rule, snapshot=SHOP)
    assert finding in found


def test_a_label_that_stands_nowhere():
    (found,) = findings("allow: read", head=HEAD.replace("email}", "email, pii.phone: phone}"), snapshot=SHOP)
    assert found.startswith("p.yaml:3:")
    assert "no column in database `shop` is labelled `pii.phone`" in found


@pytest.mark.parametrize(
    ("rule", "finding"),
    [
        (
            "allow: read, obligations: {max_affected_rows: 5}",
            "`rules[0].obligations.max_affected_rows`: the rule names no effect that changes rows",
        ),
        (
            "allow: [insert, delete], obligations: {read_only: true}",
            "everything that the rule names writes, and Postgres would refuse it",
        ),
        ("allow: insert, obligations: {max_rows: 5}", "the rule names no effect that returns rows"),
        ("allow: read, obligations: {mask: {pi.email: hash}}", "no label is called `pi.email`; did you mean"),
        (
            "hold: drop, when: {owners: '*@example.com'}, approval: {groups: security}",
            "`sam@example.com` owns these agents, and without them nobody is left",
        ),
    ],
)
def test_findings_about_what_is_owed(rule, finding):
    (found,) = findings(rule)
    assert finding in found


def test_obligations_that_can_be_owed_are_fine():
    assert findings("allow: any, obligations: {max_affected_rows: 5, max_rows: 5, read_only: true}") == []
    assert findings("allow: read, obligations: {mask: {pii: hash, any: null}}") == []


def test_a_rule_within_another_changes_nothing():
    wide = "deny: [read, delete], when: {agents: [a, b], relations: orders}"
    assert "`r1` changes nothing: `r0` denies all of it" in "".join(
        findings(wide, "allow: read, when: {agents: a, relations: orders, labels: pii}")
    )
    assert findings(wide, "allow: read, when: {agents: [a, c], relations: orders}") == []
    # a condition or a time may leave something over
    for more in ("if: \"agent == 'a'\"", "when: {times: {from: 09:00, to: 10:00}}"):
        assert findings(f"deny: read, {more}", "allow: read") == []


def test_what_is_held_may_owe_more():
    wide = "hold: read, approval: {groups: dba}"
    assert findings(wide, "allow: read, obligations: {max_rows: 5}") == []
    assert findings(wide, "allow: read, risk: high") == []


def test_selectors_and_budgets_are_looked_at():
    head = HEAD.replace(
        "rules:\n",
        "selectors: {used: {teams: bi}, left: {teams: x}}\n"
        "budgets: [{name: b, labels: [phi, pii], rows: 5, per: 1h, why: w,\n"
        "  approval: {groups: dba, quorum: 3}}]\n"
        "rules:\n",
    )
    found = "\n".join(findings("allow: read, when: {selectors: used}", head=head))
    assert "`selectors.left`: no rule names the selector `left`" in found
    assert "`budgets[0].labels[0]`: no label is called `phi`" in found
    assert "`budgets[0].name`: 3 people must approve, and its groups have only 2" in found
    assert len(found.splitlines()) == 3
