"""The schema that editors use: in step with the models, and no stricter than loading."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest

from firewall.policy import schema
from firewall.policy.source import read

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "policies" / "policy.schema.json"
BAD = ROOT / "fixtures" / "policy" / "bad"
SHIPPED = sorted(p for p in (ROOT / "policies").glob("*.yaml") if not p.name.endswith(".cases.yaml"))
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (ROOT / "policies" / "README.md").read_text(), re.DOTALL)
BASE = {"version": 1, "default": "hold", "rules": [{"name": "r", "allow": "read", "why": "w"}]}
CHECKER = jsonschema.Draft202012Validator(schema.schema())


def test_the_published_schema_is_that_of_the_models():
    assert PUBLISHED.read_text() == schema.text(), "`firewall policy schema > policies/policy.schema.json`"


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_policies_fit_and_name_it(path):
    assert path.read_text().startswith("# yaml-language-server: $schema=policy.schema.json\n")
    assert [error.message for error in CHECKER.iter_errors(read(path.read_text(), path).data)] == []


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_reference_fit(example):
    data = read(example, PUBLISHED).data
    if "cases" not in data:
        assert [error.message for error in CHECKER.iter_errors({**BASE, **data})] == []


@pytest.mark.parametrize("name", ["keys", "types", "obligations"])
def test_it_finds_mistakes(name):
    assert list(CHECKER.iter_errors(read((BAD / f"{name}.yaml").read_text(), BAD).data))


def test_every_key_tells_what_it_is():
    for model in [schema.schema(), *schema.schema()["$defs"].values()]:
        for key, field in model.get("properties", {}).items():
            assert "description" in field, key
