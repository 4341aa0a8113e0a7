"""Cases beside a policy: what is compared, what is left untried."""

from __future__ import annotations

from pathlib import Path

import pytest

from firewall import policy
from firewall.errors import ConfigurationError
from firewall.policy import Action, cases
from firewall.sql.analysis import Effect, Kind, ObjectType

POLICY = policy.parse(
    """
version: 1
default: deny
labels: {pii.email: email}
approval: {groups: dba}
rules:
  - {name: reads, allow: read, when: {unlabelled: true}, why: w}
  - {name: addresses, hold: read, when: {labels: pii}, why: w}
  - {name: other, hold: drop, when: {agents: x}, why: w}
""",
    Path("p.yaml"),
)


def loaded(tmp_path: Path, *lines: str) -> tuple[cases.Case, ...]:
    path = tmp_path / "p.cases.yaml"
    path.write_text("cases:\n" + "".join(f"  - {{{line}}}\n" for line in lines))
    return cases.load(path)


def test_effects_get_the_policys_labels_and_the_cases_own(tmp_path):
    (case,) = loaded(
        tmp_path,
        "name: n, verdict: allow, rule: r, effects: "
        "[{effect: read, on: s.t, columns: [id, email], tested: [email], labels: [x]}, "
        "{effect: setting, on: role}]",
    )
    assert cases.effects_of(POLICY, case) == (
        Effect(
            Kind.READ,
            "s.t",
            columns=("id", "email"),
            tested=("email",),
            labels=("pii.email", "x"),
            tested_labels=("pii.email",),
        ),
        Effect(Kind.SETTING, "role", ObjectType.SETTING),
    )


def test_differences_are_told_one_by_one(tmp_path):
    (case,) = loaded(
        tmp_path,
        "name: n, verdict: allow, rule: reads, risk: low, groups: [ops], quorum: 2, "
        "effects: [{effect: read, on: s.t, columns: [email]}]",
    )
    (result,) = cases.run(POLICY, [case])
    assert result.verdict.action is Action.HOLD
    assert result.differences == (
        "verdict is `hold`, and `allow` was expected",
        "rule is `addresses`, and `reads` was expected",
        "risk is `medium`, and `low` was expected",
        "groups is `dba`, and `ops` was expected",
        "quorum is `1`, and `2` was expected",
    )


def test_coverage_names_what_is_untried(tmp_path):
    found = loaded(tmp_path, "name: n, verdict: allow, rule: reads, effects: [{effect: read, on: s.t}]")
    assert cases.coverage(POLICY, cases.run(POLICY, found)) == cases.Coverage(
        never_hit=("addresses", "other"), never_missed=("reads",)
    )


def test_who_asks_counts(tmp_path):
    asks = "verdict: hold, rule: other, effects: [{effect: drop, on: s.t}]"
    found = loaded(tmp_path, f"name: a, as: {{agent: x}}, {asks}", f"name: b, {asks}")
    first, second = cases.run(POLICY, found)
    assert first.differences == ()
    assert second.verdict.rule == "default"


def test_a_broken_file_of_cases_names_the_place(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, "name: n, verdict: maybe, rule: r, effects: [{effect: raed, in: s.t}]")
    text = str(caught.value)
    assert "2:24: `cases[0].verdict`: `maybe` is not known here; write `allow`, `hold` or `deny`" in text
    assert "`cases[0].effects[0].effect`: `raed` is not known here" in text
    assert "`in` is not a key here" in text
