"""`firewall catalog`: what the database is, as a file to explain and check against without it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firewall.catalog import serial
from firewall.cli import catalogs
from firewall.cli.command import command, group
from firewall.cli.exits import Usage

if TYPE_CHECKING:
    from firewall.cli.terminal import Terminal

app = group("catalog", "What the database is: its tables, columns and functions.")

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="where to (default: stdout)", show_default=False),
]


@command(app, "dump")
async def dump(terminal: Terminal, name: catalogs.DatabaseName = None, output: Output = None) -> None:
    """Write a database's catalog as JSON. It holds names and definitions, and no rows."""
    chosen, place = catalogs.database(terminal, name)
    snapshot = await catalogs.read(chosen, place)
    text = serial.dump(snapshot)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Usage(f"`{output}` cannot be written ({error.strerror})") from None
    many = {"file": str(output), "relations": len(snapshot.relations), "functions": len(snapshot.functions)}
    if terminal.as_json:
        terminal.document({**many, "version": snapshot.version})
    terminal.say(f"wrote {output}: {many['relations']} relations, {many['functions']} functions")
