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


@pytest.mark.parametrize("name", ["production", "observe"])
def test_the_shipped_policies_are_clean(name):
    assert check(policy.load(Path(__file__).parents[2] / "policies" / f"{name}.yaml")) == ()


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
