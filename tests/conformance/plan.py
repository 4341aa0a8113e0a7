"""Which parts of the comparison to run, and running them."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conformance import bench, drivers, regress, suites
from tests.conformance.cache import DEFAULT, Cache
from tests.conformance.pair import Pair, open_pair
from tests.conformance.result import Result, skipped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PARTS = ("pgbench", "driver", "suite", "regress")
REGRESS_SQL = Path(__file__).resolve().parents[3] / "shared/data/postgres-regress-sql.tar.gz"
DEBIAN_PSQL = Path("/usr/bin/psql")
# enough of psql's own manners for an older one: it is the client that is tested, the SQL ran above
PSQL_FILES = ("psql", "psql_crosstab", "prepare", "copy", "portals", "transactions")


@dataclass(frozen=True, slots=True)
class Plan:
    """parts: of PARTS. names: suites, drivers or files to keep to; empty for all. shard: I of N."""

    parts: tuple[str, ...] = PARTS
    names: tuple[str, ...] = ()
    shard: tuple[int, int] = (1, 1)
    regress_sql: Path = REGRESS_SQL
    cache: Path = DEFAULT
    seconds: int = 3
    suites: tuple[suites.Suite, ...] = field(default=suites.SUITES)

    def wants(self, name: str) -> bool:
        return not self.names or name in self.names


async def run(plan: Plan, folder: Path) -> AsyncIterator[Result | int]:
    """First how many results there will be, as far as known, then the results; the number may grow."""
    chosen = [suite for suite in plan.suites if plan.wants(suite.name)] if "suite" in plan.parts else []
    programs = [name for name in drivers.NAMES if plan.wants(name)] if "driver" in plan.parts else []
    # drivers that are told no database take the one that is called like the user
    databases = [
        "postgres",
        bench.DATABASE,
        drivers.DATABASE,
        regress.DATABASE,
        *(suite.database for suite in chosen),
    ]
    async with open_pair(folder, databases) as pair:
        yield len(programs) + len(chosen)
        if "pgbench" in plan.parts and plan.wants("pgbench"):
            yield len(bench.MODES) + 2
            async for result in bench.compare(pair, seconds=plan.seconds):
                yield result
        if programs or chosen:
            cache = Cache(plan.cache)
            for name in programs:
                (folder / name).mkdir()
                yield await drivers.compare(pair, name, cache, folder / name)
            for suite in chosen:
                yield await suites.compare(pair, suite, cache, folder)
        if "regress" in plan.parts:
            async for found in _regress(plan, pair, folder / "suite"):
                yield found


async def _regress(plan: Plan, pair: Pair, folder: Path) -> AsyncIterator[Result | int]:
    if not plan.regress_sql.exists():
        yield 1
        yield skipped("regress", "all", f"no `{plan.regress_sql}`; name the archive with REGRESS_SQL=…")
        return
    regress.unpack(plan.regress_sql, folder)
    suite = regress.Regress(pair, folder)
    number, shards = plan.shard
    names = [name for name in suite.names if plan.wants(name)][number - 1 :: shards]
    if not names:
        return
    await suite.prepare()
    yield len(names)
    async for result in suite.compare(names):
        yield result
    if plan.names:
        return
    yield 1
    if not DEBIAN_PSQL.exists():
        yield skipped("psql", "psql", f"no `{DEBIAN_PSQL}`; on Debian: apt-get install postgresql-client")
        return
    older = regress.Regress(pair, folder, psql=DEBIAN_PSQL, suite="debian's psql")
    yield len(PSQL_FILES) - 1
    async for result in older.compare(PSQL_FILES):
        yield result


def cleared(folder: Path) -> None:
    """Remove scratch that a server of another user may have written to."""
    with suppress(OSError):
        shutil.rmtree(folder)
