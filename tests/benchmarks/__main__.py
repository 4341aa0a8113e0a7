"""`python -m tests.benchmarks`: everything in one run, targets interleaved, rounds repeated.

BENCH_QUICK=1 does little of everything, to see that it works. `--only` and `--targets` choose.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.benchmarks import measures, proxies, stage
from tests.benchmarks.measures import Effort
from tests.benchmarks.report import TARGETS, Report

REPORT = Path(__file__).with_name("report.json")
MODES = ("prepared", "extended", "simple", "one-text")
CLIENTS = (1, 8, 64)
QUICK = Effort(transactions=20, rows=20_000, sessions=20, trickle=0.5)
WEIGHED = {
    "idle-sessions": (measures.idle_sessions, ("pgbouncer", "haproxy", "firewall")),
    "held-sessions": (measures.held_sessions, ("firewall",)),
    "slow-reader": (measures.slow_reader, ("pgbouncer", "haproxy", "firewall")),
    "slow-server": (measures.slow_server, ("pgbouncer", "haproxy", "firewall")),
}
TIMED = ("statements", "connections", "rows-out", "rows-in")


def main(argv: list[str]) -> None:
    quick = bool(os.environ.get("BENCH_QUICK"))
    options = _options(argv, quick=quick)
    effort = QUICK if quick else Effort(seconds=options.seconds)
    report = Report()
    began = time.monotonic()
    with stage.build(options.targets, rows=effort.rows) as built:
        for name in built.missing:
            print(f"{name} is not installed and left out ({proxies.HOW_TO_INSTALL})")
        for number in range(1, options.rounds + 1):
            print(f"round {number} of {options.rounds}, {time.monotonic() - began:.0f} s", flush=True)
            _round(built, report, effort, options)
        for name, (measure, where) in WEIGHED.items():
            if name not in options.only:
                continue
            for target in (built.targets[n] for n in where if n in built.targets):
                for found in measure(target, effort):
                    report.add(found[0], target.name, *found[1:])
    report.write(options.report)
    print(report.table())
    print(f"\n{time.monotonic() - began:.0f} s, {os.cpu_count()} cores; written to {options.report}")


def _round(built: stage.Stage, report: Report, effort: Effort, options: argparse.Namespace) -> None:
    targets = list(built.targets.values())
    if "statements" in options.only:
        for mode in options.modes:
            for clients in options.clients:
                for target in targets:
                    for found in measures.statements(target, mode, clients, effort):
                        report.add(found[0], target.name, *found[1:])
    for name, measure in (
        ("connections", measures.connections),
        ("rows-out", measures.rows_out),
        ("rows-in", measures.rows_in),
    ):
        if name in options.only:
            for target in targets:
                for found in measure(target, effort):
                    report.add(found[0], target.name, *found[1:])


def _options(argv: list[str], *, quick: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--only", nargs="+", choices=[*TIMED, *WEIGHED], default=[*TIMED, *WEIGHED])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument(
        "--clients", nargs="+", type=int, choices=CLIENTS, default=list(CLIENTS[:2] if quick else CLIENTS)
    )
    parser.add_argument("--rounds", type=int, default=1 if quick else 3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--report", type=Path, default=REPORT)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(sys.argv[1:])
