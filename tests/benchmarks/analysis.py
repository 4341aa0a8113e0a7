"""`python -m tests.benchmarks.analysis`: what a statement costs that nobody has sent before.

One gate over a real catalog of 2,000 tables, with the shipped production policy and warm workers. Texts are
an analyst's, each made new by a literal; they are judged one after the other. Every callback of the event
loop is timed meanwhile, also while the catalog is read again: nothing else can happen while one runs. Its
time on the processor is what counts; on a busy machine the time on the clock says more about the others.
"""

from __future__ import annotations

import argparse
import asyncio
import asyncio.events
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from pydantic import SecretStr

from firewall import config, policy, sql
from firewall.app import catalog_reader
from firewall.demo.postgres import EmbeddedPostgres
from firewall.gate import Gate
from firewall.policy import Action, Subject
from firewall.sql.analyse import analyse
from firewall.workers import Analysts
from tests.policy.test_speed import MANY, quickest, ruled
from tests.sql.shop import FIXTURES, cases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firewall.catalog import Snapshot

TABLES = 2_000
STATEMENTS = 2_000
POLICY = FIXTURES.parent / "policies" / "production.yaml"
SUBJECT = Subject("bencher", "ola@example.com", "bench", "production")
# what the issue asks for, in milliseconds
MARKS = {
    "new statement, p50": 3.0,
    "new statement, p99": 10.0,
    "event loop blocked": 5.0,
    "verdict by 200 rules, analysis at hand": 0.05,
}

WIDE = """
CREATE TABLE area_{n} (id int PRIMARY KEY, parent int, name text, kind text, amount numeric, price numeric,
    quantity int, opened date, closed date, note text, email text, details jsonb, updated timestamptz);
COMMENT ON COLUMN area_{n}.note IS 'free text';
"""
OF_AREAS = (
    "SELECT kind, sum(amount) FROM area_{a} WHERE opened > '2024-01-01' AND quantity > {n} GROUP BY kind",
    "SELECT a.name, b.name FROM area_{a} a JOIN area_{b} b ON b.parent = a.id WHERE a.amount > {n} LIMIT 50",
    "WITH t AS (SELECT parent, max(id) AS top FROM area_{a} GROUP BY 1) SELECT * FROM t WHERE top > {n}",
    "SELECT date_trunc('month', opened) AS m, avg(price * quantity) FROM area_{a} WHERE id <> {n} GROUP BY 1",
    "SELECT * FROM area_{a} WHERE id IN (SELECT parent FROM area_{b} WHERE amount > {n})",
)


@dataclass
class Loop:
    """How long each callback has kept the event loop, in milliseconds: on the processor, on the clock."""

    processor: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)

    @contextmanager
    def watched(self) -> Iterator[None]:
        run = asyncio.events.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            began, used = time.perf_counter(), time.thread_time()
            run(handle)
            self.processor.append((time.thread_time() - used) * 1000)
            self.clock.append((time.perf_counter() - began) * 1000)

        asyncio.events.Handle._run = timed  # type: ignore[method-assign]  # asyncio's debug mode tells no figures
        try:
            yield
        finally:
            asyncio.events.Handle._run = run  # type: ignore[method-assign]  # as it was


def texts(count: int, tables: int) -> list[str]:
    """An analyst's questions, of the shop and of the many tables, no two of them the same."""
    of_shop = [case.sql for case in cases("benign/shop", "query") if case.name.startswith("questions")]
    made: list[str] = []
    for n in range(count):
        if n % 2:
            shape = OF_AREAS[n // 2 % len(OF_AREAS)]
            made.append(shape.format(a=n * 37 % tables, b=n * 91 % tables, n=n))
        else:
            made.append(f"{of_shop[n // 2 % len(of_shop)]} -- {n}")
    return made


def furnish(dsn: str, tables: int) -> None:
    """The demo's shop and `tables` more."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute((FIXTURES / "demo" / "shop.sql").read_text())
        for start in range(0, tables, 100):  # a transaction each, to stay within the lock table
            admin.execute("".join(WIDE.format(n=n) for n in range(start, min(start + 100, tables))))


def spent(text: str, snapshot: Snapshot, facts: sql.Facts) -> float:
    """Milliseconds of the processor for the analysis alone, as a worker does it."""
    began = time.thread_time()
    analyse(text, snapshot, facts)
    return (time.thread_time() - began) * 1000


async def measure(postgres: EmbeddedPostgres, count: int, tables: int) -> dict[str, float]:
    """Milliseconds, but for the rate."""
    place = config.Database(host="127.0.0.1", port=postgres.port, user="postgres", policy=POLICY)
    place = place.model_copy(update={"database": "analysis"})
    password = SecretStr(psycopg.conninfo.conninfo_to_dict(postgres.dsn()).get("password") or "")
    analysts = Analysts(2)
    try:
        gate = Gate(policy.load(POLICY), analysts, catalog_reader("bench", place, password))
        loop, took, stopped = Loop(), list[float](), 0
        began = time.perf_counter()
        await analysts.warm(await gate.refresh())
        first = time.perf_counter() - began
        snapshot = gate.snapshot
        facts = sql.Facts(database="analysis", role=snapshot.role, search_path=snapshot.search_path)
        with loop.watched():
            for text in texts(count, tables):
                at = time.perf_counter()
                judgement = await gate.judge(SUBJECT, text, facts)
                took.append((time.perf_counter() - at) * 1000)
                assert not judgement.analysis.opaque, text
                stopped += judgement.verdict.action is not Action.ALLOW
            await asyncio.sleep(0)
        judging = max(loop.processor), max(loop.clock)
        with psycopg.connect(postgres.dsn("analysis"), autocommit=True) as admin:
            admin.execute("CREATE TABLE one_more (id int)")
        again = Loop()
        began = time.perf_counter()
        with again.watched():
            await gate.refresh()
            reread = time.perf_counter() - began
            await asyncio.sleep(0)
        alone = [spent(text, snapshot, facts) for text in texts(count, tables)]
    finally:
        analysts.close()
    cuts, cuts_alone = statistics.quantiles(took, n=100), statistics.quantiles(alone[1:], n=100)
    return {
        "new statement, p50": cuts[49],
        "new statement, p99": cuts[98],
        "new statement, longest": max(took),
        "its analysis on the processor, p50": cuts_alone[49],
        "its analysis on the processor, p99": cuts_alone[98],
        "event loop blocked": judging[0],
        "event loop blocked, on the clock": judging[1],
        "catalog and workers ready": first * 1000,
        "catalog read again": reread * 1000,
        "event loop blocked, reading again": max(again.processor),
        "event loop blocked, reading again, on the clock": max(again.clock),
        "held or denied, of 100": 100 * stopped / count,
        "verdict by 200 rules, analysis at hand": quickest(ruled(MANY)) * 1000,
    }


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.analysis", description=__doc__)
    parser.add_argument("--statements", type=int, default=STATEMENTS)
    parser.add_argument("--tables", type=int, default=TABLES)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as postgres:
        with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
            admin.execute("CREATE DATABASE analysis")
        furnish(postgres.dsn("analysis"), options.tables)
        found = asyncio.run(measure(postgres, options.statements, options.tables))
    print(f"{options.statements} statements, {options.tables} tables; milliseconds")
    for name, value in found.items():
        mark = f"  (to reach: {MARKS[name]:g})" if name in MARKS else ""
        print(f"{name:<50}{value:>10.3f}{mark}")


if __name__ == "__main__":
    main(sys.argv[1:])
