"""`firewall policy diff`: what is different between two policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firewall import policy
from firewall.cli import catalogs
from firewall.cli.command import command
from firewall.cli.exits import Exit
from firewall.cli.policy import app, there
from firewall.policy.diff import diff

if TYPE_CHECKING:
    from firewall.cli.terminal import Terminal

First = Annotated[Path, typer.Argument(metavar="FILE", help="a policy")]
Second = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE]",
        help="another one (default: FILE is compared with the settings')",
        show_default=False,
    ),
]
COLOURS = {"+": "green", "-": "red", "~": "yellow"}


@command(app, "diff")
def compare(
    terminal: Terminal, first: First, second: Second = None, name: catalogs.DatabaseName = None
) -> Exit:
    """Show what is different between two policies: rules by name, labels, people. Exits with 1 if any is.

    With one FILE: what would change if it took the place of the policy that the settings name.
    """
    before, after = (first, second) if second else (catalogs.database(terminal, name)[1].policy, first)
    found = diff(policy.load(there(before)), policy.load(there(after)))
    if terminal.as_json:
        terminal.records({"path": d.path, "before": d.before, "after": d.after} for d in found)
    for difference in found:
        line = str(difference)
        terminal.say(line, style=COLOURS[line[0]])
    if not found:
        terminal.say(f"{before} and {after} say the same", style="green")
    return Exit.NO if found else Exit.DONE
