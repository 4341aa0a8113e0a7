"""What is different between two policies, and that nothing else is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from firewall import policy
from firewall.policy.diff import diff

from .test_properties import load, some_rules

BEFORE = """\
version: 1
default: hold
labels: {pii.email: [email]}
approvers: {dana@example.com: {groups: [dba]}}
budgets: [{name: b, labels: pii, rows: 5, per: 1h, why: w}]
rules:
  - {name: reads, allow: read, why: harmless}
  - {name: drops, deny: drop, why: no}
"""


def test_the_same_is_not_different():
    one = policy.parse(BEFORE, Path("a.yaml"))
    swapped = (
        BEFORE.replace("reads, allow: read, why: harmless", "x")
        .replace("drops, deny: drop, why: no", "reads, allow: read, why: harmless")
        .replace("{name: x}", "{name: drops, deny: drop, why: no}")
    )
    assert diff(one, policy.parse(f"# other\n{swapped}", Path("b.yaml"))) == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("default: hold", "default: deny", ["~ default: hold → deny"]),
        ("[email]", "[email, mail]", ['~ labels.pii.email: ["email"] → ["email", "mail"]']),
        ("rows: 5", "rows: 6", ["~ budgets.b.rows: 5 → 6"]),
        (
            "deny: drop, why: no",
            "hold: drop, why: no",
            ['+ rules.drops.hold: ["drop"]', '- rules.drops.deny: ["drop"]'],
        ),
        (
            "  - {name: drops, deny: drop, why: no}\n",
            "",
            ['- rules.drops: {"deny": ["drop"], "why": "no"}'],
        ),
        (
            "allow: read, why",
            'allow: read, if: "rows > 5", when: {agents: x}, why',
            ["+ rules.reads.if: rows > 5", '+ rules.reads.when: {"agents": ["x"]}'],
        ),
        (
            "dana@example.com: {groups: [dba]}",
            "dana@example.com: {groups: [dba]}, sam@example.com: {groups: [dba]}",
            ['+ approvers.sam@example.com: {"groups": ["dba"], "slack": []}'],
        ),
    ],
)
def test_each_field_is_told_by_name(old, new, said):
    assert old in BEFORE
    before, after = (policy.parse(text, Path("p.yaml")) for text in (BEFORE, BEFORE.replace(old, new)))
    assert [str(d) for d in diff(before, after)] == said
    assert len(diff(after, before)) == len(said)


@given(some_rules, some_rules)
@settings(max_examples=100, deadline=None)
def test_there_are_differences_exactly_where_the_revisions_differ(one, other):
    before, after = load(one, "hold"), load(other, "hold")
    assert bool(diff(before, after)) is (before.revision != after.revision)
