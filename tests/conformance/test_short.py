"""A minute of conformance for every run of the tests; `make conformance` has all of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance import bench, plan, regress
from tests.conformance.pair import open_pair

# psql's own manners, wire corners and types, with little DDL: each takes about a second
FILES = ("prepare", "psql_crosstab", "copyselect", "txid", "errors", "numerology", "select_distinct_on")


async def test_pgbench_does_the_same_in_every_query_mode(tmp_path: Path):
    async with open_pair(tmp_path, (bench.DATABASE,)) as pair:
        found = [result async for result in bench.compare(pair, seconds=1)]
    assert [result.name for result in found] == ["initialise", *bench.MODES, "seeded"]
    assert not [(r.name, r.unexplained) for r in found if not r.good]


async def test_regression_files_print_the_same(tmp_path: Path):
    archive = Path(os.environ.get("REGRESS_SQL") or plan.REGRESS_SQL)
    if not archive.exists():
        pytest.skip(f"no Postgres regression SQL at `{archive}`; name the archive with REGRESS_SQL")
    async with open_pair(tmp_path, (regress.DATABASE,)) as pair:
        regress.unpack(archive, tmp_path / "suite")
        suite = regress.Regress(pair, tmp_path / "suite")
        await suite.prepare()
        found = [result async for result in suite.compare(FILES)]
    assert [result.name for result in found] == list(FILES)
    assert not [(r.name, r.unexplained) for r in found if not r.good]
    # a comparison of nothing with nothing would be equal too
    assert all(int(result.firewall.split()[0]) > 20 for result in found)
