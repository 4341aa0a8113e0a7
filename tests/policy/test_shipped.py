"""The shipped policies say what their cases say, and every rule is tried both ways."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from firewall import policy
from firewall.policy import cases
from firewall.policy.check import check

POLICIES = Path(__file__).parents[2] / "policies"
SHIPPED = sorted(path for path in POLICIES.glob("*.yaml") if not path.name.endswith(".cases.yaml"))
CASES = [(path, case) for path in SHIPPED for case in cases.load(path.with_suffix(".cases.yaml"))]


NAMES = {"observe", "read-only", "analyst", "production", "strict", "migrations", "pci", "hipaa"}


def test_they_are_there():
    assert {path.stem for path in SHIPPED} == NAMES


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_nothing_is_wrong_with_them(path):
    assert check(policy.load(path)) == ()


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_each_has_a_page_that_tells_of_every_rule(path):
    page = path.with_suffix(".md").read_text()
    document = policy.load(path).document
    told = re.findall(r"^\| `([^`]+)` \| (?:allow|hold|deny|\d+ rows)", page, re.MULTILINE)
    assert told == [entry.name for entry in (*document.rules, *document.budgets)]
    for entry in (*document.rules, *document.budgets):
        assert entry.why in page
    assert f"({path.stem}.cases.yaml)" in page


@pytest.mark.parametrize(("path", "case"), CASES, ids=[f"{path.stem}: {case.name}" for path, case in CASES])
def test_it_says_what_its_case_says(path, case):
    (result,) = cases.run(policy.load(path), [case])
    assert result.differences == ()


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_every_rule_is_hit_and_missed(path):
    shipped = policy.load(path)
    results = cases.run(shipped, cases.load(path.with_suffix(".cases.yaml")))
    assert cases.coverage(shipped, results) == cases.Coverage((), ())


def test_case_names_tell_cases_apart():
    names = [(path, case.name) for path, case in CASES]
    assert len(names) == len(set(names))


def test_observe_enforces_nothing_and_production_does():
    subject = policy.Subject("agent", "owner@example.com", "shop")
    for path, enforced in ((POLICIES / "observe.yaml", False), (POLICIES / "production.yaml", True)):
        assert policy.load(path).evaluate(subject, ()).enforced is enforced
