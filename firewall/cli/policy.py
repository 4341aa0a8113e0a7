"""`firewall policy`: is a policy right before it is in force?"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firewall import policy
from firewall.cli import catalogs
from firewall.cli.command import command, group
from firewall.cli.exits import Exit, Usage
from firewall.errors import ConfigurationError, Problem
from firewall.policy import cases, schema
from firewall.policy.check import check as findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall.catalog import Snapshot
    from firewall.cli.terminal import Terminal

app = group("policy", "Check a policy, and test what it says.")

Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", help="policies (default: those of the settings)", show_default=False),
]
File = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="a policy (default: that of the settings)", show_default=False),
]
CasesFile = Annotated[
    Path | None,
    typer.Option("--cases", metavar="FILE", help="default: NAME.cases.yaml beside it", show_default=False),
]
Partial = Annotated[
    bool, typer.Option("--partial", help="a rule that no case hits, or none misses, is no failure")
]
Report = Annotated[bool, typer.Option("--coverage", help="show how many cases hit and miss each rule")]


@command(app, "check")
async def check(
    terminal: Terminal,
    files: Files = None,
    catalog: catalogs.CatalogFile = None,
    name: catalogs.DatabaseName = None,
) -> Exit:
    """Find what is wrong with policies; against a catalog also names that the database does not have."""
    snapshot = catalogs.load(catalog) if catalog else None
    if name:
        snapshot = await catalogs.read(*catalogs.database(terminal, name))
    paths = files or _of_settings(terminal, name)
    wrong = {path: _problems(there(path), snapshot) for path in paths}
    if terminal.as_json:
        terminal.records(map(_public, (problem for found in wrong.values() for problem in found)))
    for path, found in wrong.items():
        for problem in found:
            terminal.say(str(problem), style="red")
        if not found:
            terminal.say(f"{path}: OK", style="green")
    return Exit.NO if any(wrong.values()) else Exit.DONE


@command(app, "schema")
def print_schema(terminal: Terminal) -> None:
    """Print the JSON Schema of policy files, by which editors complete and check them."""
    terminal.out.file.write(schema.text())


@command(app, "test")
def try_cases(
    terminal: Terminal,
    file: File = None,
    given: CasesFile = None,
    partial: Partial = False,  # noqa: FBT002 — typer's way
    report: Report = False,  # noqa: FBT002 — typer's way
) -> Exit:
    """Judge a policy's cases. Every rule must be hit by one of them, and missed by one."""
    paths = [file] if file else _of_settings(terminal, None)
    if given and len(paths) > 1:
        raise Usage("which policy do these cases belong to?", hint="name it before --cases")
    passed = [
        _run(terminal, there(path), given or path.with_suffix(".cases.yaml"), partial=partial, report=report)
        for path in paths
    ]
    return Exit.DONE if all(passed) else Exit.NO


def _run(terminal: Terminal, path: Path, beside: Path, *, partial: bool, report: bool) -> bool:
    rules = policy.load(path)
    results = cases.run(rules, cases.load(beside))
    failed = [result for result in results if result.differences]
    covered = cases.coverage(rules, results)
    whole = not (covered.never_hit or covered.never_missed)
    hits = list(covered.hits.items())
    if terminal.as_json:
        terminal.document(
            {
                "policy": str(path),
                "cases": len(results),
                "failed": [{"case": r.case.name, "differences": list(r.differences)} for r in failed],
                "never_hit": list(covered.never_hit),
                "never_missed": list(covered.never_missed),
                "coverage": [{"rule": name, "hit": hit, "missed": len(results) - hit} for name, hit in hits],
            }
        )
    elif report:
        lines = [[name, str(hit), str(len(results) - hit)] for name, hit in hits]
        terminal.table(["rule", "hit", "missed"], lines)
    for result in failed:
        terminal.say(f"{beside}: {result.case.name}", style="red")
        for difference in result.differences:
            terminal.say(f"    {difference}")
    for rule in covered.never_hit:
        terminal.say(f"{path}: no case hits the rule `{rule}`", style="yellow")
    for rule in covered.never_missed:
        terminal.say(f"{path}: every case hits the rule `{rule}`", style="yellow")
    told = f"{len(results) - len(failed)} of {len(results)} cases are as expected"
    terminal.say(f"{path}: {told}", style="red" if failed else "green")
    return not failed and (whole or partial)


def _problems(path: Path, snapshot: Snapshot | None) -> Sequence[Problem]:
    """A policy that does not load has problems too."""
    try:
        return findings(policy.load(path), snapshot)
    except ConfigurationError as error:
        return error.problems


def _of_settings(terminal: Terminal, name: str | None) -> list[Path]:
    if name:
        return [catalogs.database(terminal, name)[1].policy]
    return sorted({database.policy for database in terminal.settings.databases.values()})


def there(path: Path) -> Path:
    """The path, if it is a file's. Raises Usage."""
    # a name that is too long is an error to the system, and no file either
    with suppress(OSError):
        if path.is_file():
            return path
    raise Usage(f"there is no policy file `{path}`")


def _public(problem: Problem) -> dict[str, Any]:
    place = problem.place
    return {
        "file": str(place.file),
        "line": place.line,
        "column": place.column,
        "field": problem.field,
        "message": problem.message,
    }
