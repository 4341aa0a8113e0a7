"""Which database a command is about, and its catalog: from the database itself, or from a dumped file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firewall import config
from firewall.catalog import serial
from firewall.cli.exits import NotThere, Usage
from firewall.errors import CatalogError

if TYPE_CHECKING:
    from firewall.catalog import Snapshot
    from firewall.cli.terminal import Terminal

DatabaseName = Annotated[
    str | None,
    typer.Option("--database", metavar="NAME", help="a database of the settings", show_default=False),
]
CatalogFile = Annotated[
    Path | None,
    typer.Option("--catalog", metavar="FILE", help="what `firewall catalog dump` wrote", show_default=False),
]


def database(terminal: Terminal, name: str | None) -> tuple[str, config.Database]:
    """The database of this name, or the only one. Raises NotThere, Usage, ConfigurationError."""
    databases = terminal.settings.databases
    known = ", ".join(sorted(databases))
    if name is None:
        if len(databases) > 1:
            raise Usage("which database is meant?", hint=f"say it with --database: {known}")
        return next(iter(databases.items()))
    if name not in databases:
        raise NotThere(f"the settings have no database `{name}`", hint=f"they have {known}")
    return name, databases[name]


def load(path: Path) -> Snapshot:
    """The catalog in a file. Raises Usage."""
    try:
        return serial.load(path.read_text(encoding="utf-8"))
    except CatalogError as error:
        raise Usage(f"{path}: {error.message}", hint=error.hint) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Usage(f"the catalog file `{path}` cannot be read ({reason})") from None


async def read(name: str, place: config.Database) -> Snapshot:
    """The catalog of a database as it is now. Raises CatalogError, ConfigurationError."""
    from firewall.app import read_catalog  # noqa: PLC0415 — seconds that not every command has to wait

    return await read_catalog(name, place, config.password(name, place))
