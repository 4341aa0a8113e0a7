"""The reference names every key there is, and every example in it loads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from firewall import policy
from firewall.catalog.labels import said
from firewall.policy import cases, risk
from firewall.policy.document import Document
from firewall.policy.expression import VARIABLES
from firewall.policy.source import read
from firewall.sql.analysis import Kind

README = Path(__file__).parents[2] / "policies" / "README.md"
TEXT = README.read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
BASE = {
    "version": 1,
    "default": "hold",
    "approvers": {"dba@example.com": {"groups": ["dba", "security"]}},
    "approval": {"groups": ["dba"]},
    "rules": [{"name": "r", "allow": "read", "why": "w"}],
}


def models(annotation) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        inner = {m for f in annotation.model_fields.values() for m in models(f.annotation)}
        return {annotation, *inner}
    return {found for argument in get_args(annotation) for found in models(argument)}


def keys(model: type[BaseModel]) -> set[str]:
    """`hash` and `null` of a mask are values to whoever writes it."""
    found = {field.alias or name for m in models(model) for name, field in m.model_fields.items()}
    return found - {"hash", "null"}


@pytest.mark.parametrize("key", sorted(keys(Document) | keys(cases.Cases) - {"cases"}))
def test_every_key_is_explained(key):
    assert f"`{key}`" in TEXT


@pytest.mark.parametrize("key", sorted(keys(Document)))
def test_every_key_has_an_example(key):
    # what is included has to be a file, so that its example is not loaded below
    examples = re.findall(r"^```\w*\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    assert any(re.search(rf"(?<![\w.]){key}:", example) for example in examples), key


@pytest.mark.parametrize("kind", list(Kind))
def test_every_effect_is_named(kind):
    assert f"`{kind}`" in TEXT


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_loads(example, tmp_path):
    data = read(example, README).data
    if "cases" in data:
        path = tmp_path / "cases.yaml"
        path.write_text(example)
        assert cases.load(path)
    else:
        assert policy.parse(json.dumps({**BASE, **data}), README).document


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_is_explained(name):
    assert f"`{name}`" in TEXT


def test_the_points_people_read_are_those_that_count():
    table = TEXT.partition("## Risk")[2].partition("## Cases")[0]
    written = {}
    for names, points in re.findall(r"^\| ([`a-z_ ]+?) \| (\d) \|$", table, re.MULTILINE):
        written.update(dict.fromkeys(names.replace("`", "").split(), int(points)))
    assert written == {kind.value: points for kind, points in risk.POINTS.items()}
    assert f"{risk.LARGE:,}" in table


def test_every_shipped_policy_is_listed():
    for path in README.parent.glob("*.yaml"):
        assert path.name.endswith(".cases.yaml") or f"`{path.name}`" in TEXT


def test_the_comment_in_the_reference_is_read_as_labels():
    [comment] = re.findall(r"COMMENT ON COLUMN \S+ IS '(.*)';", TEXT)
    assert said(comment).labels == ("phi", "pii.name")
