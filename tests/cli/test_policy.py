"""Policies checked and tested before they are in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from firewall.cli.exits import Exit

from .conftest import ROOT

if TYPE_CHECKING:
    from .conftest import Prompt

GOOD = str(ROOT / "policies/production.yaml")
BAD = sorted((ROOT / "fixtures/policy/bad").glob("*.yaml"))


def test_shipped_policies_pass(prompt: Prompt) -> None:
    said = prompt("policy", "check", GOOD, str(ROOT / "policies/observe.yaml"))
    assert said.code == Exit.DONE
    assert said.out.count(": OK\n") == 2
    assert prompt("policy", "check", GOOD, "--json").out == ""


def test_the_schema_is_printed_as_it_is_published(prompt: Prompt) -> None:
    said = prompt("policy", "schema")
    assert (said.code, said.out) == (Exit.DONE, (ROOT / "policies/policy.schema.json").read_text())
    assert prompt("policy", "schema", "--json").out == said.out


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_problem_is_told_by_place(prompt: Prompt, path: object) -> None:
    said = prompt("policy", "check", GOOD, str(path))
    assert said.code == Exit.NO
    assert f"{GOOD}: OK" in said.out
    records = prompt("policy", "check", str(path), "--json").records
    assert records
    for record in records:
        assert record["file"] == str(path)
        where = f"{path}:{record['line']}:{record['column']}" if record["line"] else str(path)
        assert where in said.out


def test_a_policy_that_loads_may_have_problems(prompt: Prompt) -> None:
    text = (prompt.folder / "production.yaml").read_text().replace("groups: [dba]", "groups: [owls]")
    (prompt.folder / "production.yaml").write_text(text)
    said = prompt("policy", "check")  # the settings' own
    assert said.code == Exit.NO
    assert "nobody is in the group `dba`" in said.out


@pytest.mark.parametrize(
    "arguments", [("check", "absent.yaml"), ("test", "absent.yaml"), ("check", "."), ("check", "x" * 5000)]
)
def test_no_such_file(prompt: Prompt, arguments: tuple[str, ...]) -> None:
    said = prompt("policy", *arguments)
    assert said.code == Exit.WRONG
    assert f"there is no policy file `{arguments[1]}`" in said.err


def test_cases_run(prompt: Prompt) -> None:
    said = prompt("policy", "test", GOOD)
    assert said.code == Exit.DONE
    document = prompt("policy", "test", GOOD, "--json").document
    assert document["failed"] == document["never_hit"] == document["never_missed"] == []
    assert f"{document['cases']} of {document['cases']} cases are as expected" in said.out


def test_a_case_that_fails_says_what_differs(prompt: Prompt) -> None:
    (prompt.folder / "some.yaml").write_text(
        "cases:\n"
        "  - name: a grant is fine\n"
        "    effects: [{effect: privilege, on: public.orders}]\n"
        "    verdict: allow\n"
        "    rule: default\n"
    )
    said = prompt("policy", "test", GOOD, "--cases", "some.yaml")
    assert said.code == Exit.NO
    assert "some.yaml: a grant is fine" in said.out
    assert "verdict is `deny`, and `allow` was expected" in said.out
    assert "no case hits the rule `exports wait`" in said.out
    assert "0 of 1 cases are as expected" in said.out


def test_rules_left_untried_are_a_failure(prompt: Prompt) -> None:
    (prompt.folder / "some.yaml").write_text(
        "cases:\n"
        "  - {name: a, effects: [{effect: copy_out, on: public.orders}], verdict: hold, rule: exports wait}\n"
    )
    assert prompt("policy", "test", GOOD, "--cases", "some.yaml").code == Exit.NO
    assert prompt("policy", "test", GOOD, "--cases", "some.yaml", "--partial").code == Exit.DONE


def test_the_coverage_can_be_looked_at(prompt: Prompt) -> None:
    said = prompt("policy", "test", GOOD, "--coverage")
    document = prompt("policy", "test", GOOD, "--json").document
    exports = next(entry for entry in document["coverage"] if entry["rule"] == "exports wait")
    assert exports["hit"] > 0
    assert exports["hit"] + exports["missed"] == document["cases"]
    (line,) = [line for line in said.out.splitlines() if line.startswith("exports wait")]
    assert line.split()[-2:] == [str(exports["hit"]), str(exports["missed"])]


def test_policies_are_compared(prompt: Prompt) -> None:
    text = (ROOT / "policies/production.yaml").read_text()
    (prompt.folder / "new.yaml").write_text(text.replace("default: hold", "default: deny"))
    said = prompt("policy", "diff", GOOD, "new.yaml")
    assert (said.code, said.out) == (Exit.NO, "~ default: hold → deny\n")
    # with one, it is compared with the settings'
    assert prompt("policy", "diff", "new.yaml", "--json").records == [
        {"path": "default", "before": "hold", "after": "deny"}
    ]
    assert prompt("policy", "diff", GOOD).code == Exit.DONE
    assert prompt("policy", "diff", GOOD, "absent.yaml").code == Exit.WRONG
    assert prompt("policy", "diff", GOOD, "--json").out == ""


def test_cases_that_do_not_load(prompt: Prompt) -> None:
    (prompt.folder / "some.yaml").write_text("cases:\n  - nmae: x\n")
    said = prompt("policy", "test", GOOD, "--cases", "some.yaml")
    assert said.code == Exit.WRONG
    assert "some.yaml:2:" in said.err
