"""`make conformance`, or `python -m tests.conformance --help`.

Exit code: 0 nothing unexplained, 1 differences, 2 a wrong argument. What is skipped is said with its reason.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.conformance.cache import DEFAULT
from tests.conformance.plan import PARTS, REGRESS_SQL, Plan, cleared, run

if TYPE_CHECKING:
    from tests.conformance.result import Result

_STYLES = {"same": "green", "accepted": "cyan", "skipped": "yellow", "timeout": "red", "differs": "red"}
_SHOWN_LINES = 40


async def compare(plan: Plan, console: Console) -> list[Result]:
    """Run the plan with a progress bar on `console`."""
    found: list[Result] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    folder = Path(tempfile.mkdtemp(prefix="query-firewall-conformance-"))
    folder.chmod(0o755)  # the server may run as another user
    try:
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("starting", total=0)
            async for word in run(plan, folder):
                if isinstance(word, int):
                    progress.update(bar, total=(progress.tasks[0].total or 0) + word)
                    continue
                found.append(word)
                progress.update(bar, advance=1, description=f"{word.suite} {word.name}"[:32].ljust(32))
                if not word.good or not console.is_terminal:
                    said = f"{word.suite} {word.name}: {word.word} ({word.direct} | {word.firewall})"
                    progress.console.print(said, style=_STYLES[word.word], markup=False, highlight=False)
    finally:
        cleared(folder)
    return found


def show(found: list[Result], console: Console) -> None:
    """What differs and why, then one table."""
    for result in found:
        for difference in result.unexplained:
            console.rule(f"{result.suite} {result.name}", align="left")
            lines = difference.splitlines()
            console.print("\n".join(lines[:_SHOWN_LINES]), markup=False, highlight=False)
            if len(lines) > _SHOWN_LINES:
                console.print(f"… and {len(lines) - _SHOWN_LINES} lines more; --json has them all")
    table = Table("suite", "same", "accepted", "differs", "timeout", "skipped", "seconds")
    for suite in dict.fromkeys(result.suite for result in found):
        of = [result for result in found if result.suite == suite]
        counts = [str(sum(r.word == word for r in of)) for word in list(_STYLES)[:2]]
        counts += [str(sum(r.word == word for r in of)) for word in ("differs", "timeout", "skipped")]
        table.add_row(suite, *counts, f"{sum(r.seconds for r in of):.0f}")
    console.print(table)
    for result in found:
        label = f"{result.suite} {result.name}"
        for reason in result.accepted:
            console.print(f"{label}: accepted: {reason}", style="cyan", markup=False, highlight=False)
        for line in result.stale:
            said = f"{label}: accepted, but did not show: {line.splitlines()[0]}"
            console.print(said, style="yellow", markup=False, highlight=False)
        if result.word == "skipped":
            console.print(f"{label}: skipped: {result.direct}", style="yellow", markup=False, highlight=False)


def main() -> int:
    """Parse arguments, run, print. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--files", default="", help="regression files, suites or drivers to keep to")
    parser.add_argument("--shard", default="1/1", help="I/N: every N-th regression file, from the I-th on")
    parser.add_argument("--regress-sql", type=Path, default=REGRESS_SQL)
    parser.add_argument("--cache", type=Path, default=DEFAULT, help="where downloads go")
    parser.add_argument("--seconds", type=int, default=3, help="of pgbench in each mode")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    given = parser.parse_args()
    parts = tuple(part for part in given.parts.replace(",", " ").split() if part)
    if strange := sorted(set(parts) - set(PARTS)):
        parser.error(f"there is no part `{strange[0]}`; the parts are {', '.join(PARTS)}")
    number, _, shards = given.shard.partition("/")
    if not (number.isdigit() and shards.isdigit() and 1 <= int(number) <= int(shards)):
        parser.error(f"`{given.shard}` is no shard; write `1/4` for the first of four")
    names = tuple(given.files.replace(",", " ").split())
    shard = (int(number), int(shards))
    plan = Plan(parts, names, shard, given.regress_sql, given.cache, given.seconds)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console(stderr=given.json)
    found = asyncio.run(compare(plan, console))
    if given.json:
        json.dump([asdict(result) for result in found], sys.stdout, indent=1)
    else:
        show(found, console)
    if not found:
        console.print(f"nothing is called `{given.files}`", style="red", markup=False)
        return 2
    return 0 if all(result.good for result in found) else 1


if __name__ == "__main__":
    sys.exit(main())
