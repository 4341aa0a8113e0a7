"""What one remembered statement costs on one connection, beside a direct one of the same run.

    python -m tests.benchmarks.latency [rounds]

The firewall runs in a process of its own, as it would; prepared `SELECT 1`, autocommit, one round trip each.
"""

from __future__ import annotations

import asyncio
import cProfile
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import uvloop

from firewall.demo.postgres import EmbeddedPostgres
from tests.e2e.house import open_house, prepare

ROUNDS = 2_000
DATABASE = "latency"


def measure(dsn: str, rounds: int) -> list[float]:
    """Microseconds of each round."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(rounds // 10):
            connection.execute("SELECT 1", prepare=True)
        found = []
        for _ in range(rounds):
            begun = time.perf_counter()
            connection.execute("SELECT 1", prepare=True).fetchone()
            found.append((time.perf_counter() - begun) * 1_000_000)
    return found


def table(runs: dict[str, list[float]]) -> str:
    """Median and 99th percentile in microseconds, and the ratio of the medians to the first run's."""
    base = statistics.median(next(iter(runs.values())))
    rows = [f"{'':<12}{'median':>10}{'p99':>10}{'added':>10}{'ratio':>8}"]
    for name, found in runs.items():
        median, p99 = statistics.median(found), statistics.quantiles(found, n=100)[98]
        rows.append(f"{name:<12}{median:>8.0f}µs{p99:>8.0f}µs{median - base:>8.0f}µs{median / base:>8.2f}")
    return "\n".join(rows)


async def serve(postgres: EmbeddedPostgres, folder: Path) -> None:
    """A firewall, until standard input ends; says where it is. With PROFILE set, writes a profile there."""
    async with open_house(postgres, DATABASE, folder) as house:
        print(house.dsn(), flush=True)
        profile = cProfile.Profile() if os.environ.get("PROFILE") else None
        if profile:
            profile.enable()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        if profile:
            profile.disable()
            profile.dump_stats(os.environ["PROFILE"])


def _child(port: int, password: str, folder: Path) -> None:
    postgres = EmbeddedPostgres(folder)
    postgres.port, postgres.password = port, password
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(postgres, folder))


def main(rounds: int) -> None:
    """Direct, through the firewall, and direct again: first and last differ by noise alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        with EmbeddedPostgres(Path(name) / "postgres") as postgres:
            with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE {DATABASE}")
            prepare(postgres, DATABASE)
            house = Path(name) / "house"
            house.mkdir()
            command = [sys.executable, "-m", "tests.benchmarks.latency", "serve"]
            with subprocess.Popen(
                [*command, str(postgres.port), str(house)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "LATENCY_PASSWORD": postgres.password},
                text=True,
            ) as firewall:
                assert firewall.stdout is not None
                dsn = next(line for line in firewall.stdout if line.startswith("postgresql://")).strip()
                direct = postgres.dsn(DATABASE)
                runs = {
                    "direct": measure(direct, rounds),
                    "firewall": measure(dsn, rounds),
                    "direct again": measure(direct, rounds),
                }
                firewall.communicate()
            print(table(runs))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        _child(int(sys.argv[2]), os.environ["LATENCY_PASSWORD"], Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
