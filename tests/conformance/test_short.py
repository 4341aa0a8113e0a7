"""A minute of conformance for every run of the tests; `make conformance` has all of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.conformance import bench, plan, regress
from tests.conformance.pair import Pair, open_pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

# psql's own manners, wire corners and types, with little DDL: each takes about a second
FILES = ("prepare", "psql_crosstab", "copyselect", "txid", "errors", "numerology", "select_distinct_on")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    async with open_pair(folder, (bench.DATABASE, regress.DATABASE)) as opened:
        yield opened


async def test_pgbench_does_the_same_in_every_query_mode(pair: Pair):
    found = [result async for result in bench.compare(pair, seconds=1)]
    assert [result.name for result in found] == ["initialise", *bench.MODES, "seeded"]
    assert not [(r.name, r.unexplained) for r in found if not r.good]


async def test_regression_files_print_the_same(pair: Pair, tmp_path: Path):
    archive = Path(os.environ.get("REGRESS_SQL") or plan.REGRESS_SQL)
    if not archive.exists():
        pytest.skip(f"no Postgres regression SQL at `{archive}`; name the archive with REGRESS_SQL")
    regress.unpack(archive, tmp_path / "suite")
    suite = regress.Regress(pair, tmp_path / "suite")
    await suite.prepare(regress.BASE[:1])
    found = [result async for result in suite.compare(FILES)]
    assert [result.name for result in found] == list(FILES)
    assert not [(r.name, r.unexplained) for r in found if not r.good]
    # a comparison of nothing with nothing would be equal too
    assert all(int(result.firewall.split()[0]) > 20 for result in found)
