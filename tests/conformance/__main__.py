"""`make conformance`, or `python -m tests.conformance --help`.

Exit code: 0 nothing unexplained, 1 differences, 2 a wrong argument. What is skipped is said with its reason.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.conformance.cache import DEFAULT
from tests.conformance.plan import PARTS, REGRESS_SQL, Plan, cleared, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.result import Result, Word

_STYLES: dict[Word, str] = {
    "same": "green",
    "accepted": "cyan",
    "skipped": "yellow",
    "timeout": "red",
    "differs": "red",
}
_SHOWN_LINES = 40
# Of what goes to a file.
_WIDTH = 160
# More results of one kind than a table should have rows.
_MANY = 12
# A disk's fsync is not what is compared, and takes most of the time; a file system in memory has none.
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 1024**3


def _scratch() -> Path:
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES
    folder = Path(tempfile.mkdtemp(prefix="query-firewall-conformance-", dir=_MEMORY if roomy else None))
    folder.chmod(0o755)  # the server may run as another user
    return folder


async def compare(plan: Plan, console: Console) -> list[Result]:
    """Run the plan with a progress bar on `console`."""
    found: list[Result] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    folder = _scratch()
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
    """What differs, what is accepted and why, what was skipped; then a table, and the whole in one line."""
    for result in found:
        for difference in result.unexplained:
            console.rule(f"{result.suite} {result.name}", align="left")
            lines = difference.splitlines()
            console.print("\n".join(lines[:_SHOWN_LINES]), markup=False, highlight=False)
            if len(lines) > _SHOWN_LINES:
                console.print(f"… and {len(lines) - _SHOWN_LINES} lines more; --json has them all")
    for result in found:
        label = f"{result.suite} {result.name}"
        for reason in result.accepted:
            _say(console, f"{label}: accepted: {reason}", "accepted")
        for line in result.stale:
            _say(console, f"{label}: accepted, but did not show: {line.splitlines()[0]}", "skipped")
        if result.word == "skipped":
            _say(console, f"{label}: skipped: {result.direct}", "skipped")
    console.print(_table(found))
    _say(console, summed(found), "same" if all(result.good for result in found) else "differs")


def summed(found: Sequence[Result]) -> str:
    """The whole in one sentence, which does not call a thing the same that nobody has looked at."""
    counts = Counter(result.word for result in found)
    compared = len(found) - counts["skipped"]
    words = [f"{counts[word]} {word}" for word in ("same", "accepted", "differs", "timeout") if counts[word]]
    said = f"{compared} comparisons: {', '.join(words)}" if compared else "nothing was compared"
    return f"{said}; {counts['skipped']} skipped, of which nothing is known" if counts["skipped"] else said


def _table(found: Sequence[Result]) -> Table:
    """A row for each; of transcripts, which are many, one for those that are the same."""
    table = Table("what", "outcome", "direct", "firewall", "seconds")
    for suite in dict.fromkeys(result.suite for result in found):
        of = [result for result in found if result.suite == suite]
        many = [result for result in of if result.word == "same"] if len(of) > _MANY else []
        if many:
            seconds = sum(result.seconds for result in many)
            table.add_row(f"{suite}: {len(many)} of {len(of)}", "same", "", "", f"{seconds:.0f}")
        for result in (result for result in of if result not in many):
            words = ("", "") if result.word == "skipped" else (result.direct, result.firewall)
            row = (f"{suite} {result.name}", result.word, *words, f"{result.seconds:.0f}")
            table.add_row(*map(escape, row), style=_STYLES[result.word])
    return table


def _say(console: Console, text: str, word: Word) -> None:
    console.print(text, style=_STYLES[word], markup=False, highlight=False)


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
    # a table that is cut to 80 columns in a file tells nobody anything
    console = Console(stderr=given.json, width=None if sys.stdout.isatty() else _WIDTH)
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
