"""Statements with their whole expected analysis: fixtures/sql/*.yaml."""

from __future__ import annotations

import pytest
import yaml

from firewall.sql.analyse import analyse
from firewall.sql.analysis import Facts
from tests.sql.shop import FIXTURES, SHOP, compact

CASES = [
    (sql, effects)
    for path in sorted((FIXTURES / "sql").glob("*.yaml"))
    for sql, effects in yaml.safe_load(path.read_text()).items()
]


@pytest.mark.parametrize(("sql", "effects"), CASES, ids=[sql[:60] for sql, _ in CASES])
def test_the_effects_are_these_and_no_others(sql, effects):
    assert [compact(effect) for effect in analyse(sql, SHOP, Facts()).effects] == effects


def test_the_corpus_is_there():
    assert len(CASES) > 30
