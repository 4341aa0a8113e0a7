"""`python -m tests.benchmarks`: everything in one run, targets interleaved, rounds repeated.

BENCH_QUICK=1 does little of everything, to see that it works. `--only` and `--targets` choose.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import measures, stage
from tests.benchmarks.measures import Effort
from tests.benchmarks.report import TARGETS, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
ROWS_TIMES = 3  # of rows out and in, in each round: they are short
TIMED = ("statements", "connections", "rows-out", "rows-in")


def main(argv: list[str]) -> None:
    quick = bool(os.environ.get("BENCH_QUICK"))
    options = _options(argv, quick=quick)
    effort = QUICK if quick else Effort(seconds=options.seconds)
    report = Report()
    began = time.monotonic()
    with stage.build(rows=effort.rows, compiled=not (quick or options.interpreted)) as built:
        if not quick:
            _weigh_each(built, report, effort, options)
        with ExitStack() as stack:
            found = [stack.enter_context(built.target(name)) for name in options.targets]
            targets = [target for target in found if target is not None]
            if quick:
                _weigh(targets, report, effort, options.only)
            for number in range(1, options.rounds + 1):
                print(f"round {number} of {options.rounds}, {time.monotonic() - began:.0f} s", flush=True)
                _round(targets, report, effort, options)
    report.write(options.report)
    print(report.table())
    print(*built.remarks, sep="\n")
    print(f"{time.monotonic() - began:.0f} s, {os.cpu_count()} cores; written to {options.report}")


def _weigh_each(built: stage.Stage, report: Report, effort: Effort, options: argparse.Namespace) -> None:
    """In processes of their own: what one has freed before would hide what it takes now."""
    for name in (name for name in WEIGHED if name in options.only):
        for way in options.targets:
            if way in WEIGHED[name][1]:
                with built.target(way) as target:
                    _weigh([target] if target else [], report, effort, [name])


def _weigh(targets: list[stage.Target], report: Report, effort: Effort, only: list[str]) -> None:
    for name, (measure, where) in WEIGHED.items():
        for target in targets:
            if name in only and target.name in where:
                _take(report, target, partial(measure, effort=effort))


def _round(targets: list[stage.Target], report: Report, effort: Effort, options: argparse.Namespace) -> None:
    runs: list[Callable[[stage.Target], Iterator[tuple[str, str, float]]]] = []
    if "statements" in options.only:
        runs += [
            partial(measures.statements, mode=mode, clients=clients, effort=effort)
            for mode in options.modes
            for clients in options.clients
        ]
    runs += [
        partial(measure, effort=effort)
        for name, measure, times in (
            ("connections", measures.connections, 1),
            ("rows-out", measures.rows_out, ROWS_TIMES),
            ("rows-in", measures.rows_in, ROWS_TIMES),
        )
        if name in options.only
        for _ in range(times)
    ]
    for run in runs:
        for target in targets:
            _take(report, target, run)


def _take(
    report: Report, target: stage.Target, run: Callable[[stage.Target], Iterator[tuple[str, str, float]]]
) -> None:
    """One failure (a target that is too slow, or breaks) costs one sample, and is told."""
    try:
        for measure, unit, value in run(target):
            report.add(measure, target.name, unit, value)
    except (RuntimeError, OSError) as error:
        print(f"{target.name}: a sample is missing: {error}", flush=True)


def _options(argv: list[str], *, quick: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--only", nargs="+", choices=[*TIMED, *WEIGHED], default=[*TIMED, *WEIGHED])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument(
        "--clients", nargs="+", type=int, choices=CLIENTS, default=list(CLIENTS[:2] if quick else CLIENTS)
    )
    parser.add_argument("--interpreted", action="store_true", help="do not compile the inner loops")
    parser.add_argument("--rounds", type=int, default=1 if quick else 3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--report", type=Path, default=REPORT)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(sys.argv[1:])
