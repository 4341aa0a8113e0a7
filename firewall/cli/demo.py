"""`firewall demo`: the door to `firewall.demo`, which is looked into only when somebody knocks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firewall.cli.command import command

if TYPE_CHECKING:
    from firewall.cli.terminal import Terminal

app = typer.Typer()

Unattended = Annotated[
    bool, typer.Option("--unattended", help="play the approver as well, verify the log and exit")
]
Folder = Annotated[
    Path | None,
    typer.Option("--dir", help="keep store, keys and database in this folder", show_default=False),
]


@command(app, "demo")
def demo(terminal: Terminal, *, unattended: Unattended = False, directory: Folder = None) -> None:  # noqa: ARG001 — it has settings of its own
    """Play the main job: a small shop, an agent that asks for too much, and you as its approver."""
    from firewall.demo import command as playing  # noqa: PLC0415 — all of the app, which other commands need not

    playing.demo(unattended=unattended, directory=directory)
