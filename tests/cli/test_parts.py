"""What only a part of the commands is imported for is the same as with all of them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import firewall.cli
from firewall.cli import parts

if TYPE_CHECKING:
    import typer

# not commands: what commands are made with
SHARED = {
    "__init__",
    "main",
    "parts",
    "command",
    "terminal",
    "exits",
    "logs",
    "house",
    "when",
    "keys",
    "catalogs",
}
SHARED |= {"explain_lines", "explained", "origins", "counting"}


def _names(app: typer.Typer) -> set[str | None]:
    return (
        {app.info.name} if isinstance(app.info.name, str) else {each.name for each in app.registered_commands}
    )


def test_each_name_imports_what_answers_to_it() -> None:
    for name in parts.PARTS:
        (app,) = parts.named([name])
        assert _names(app) == {name}
    assert [*parts.named([])] == [app for name in parts.PARTS for app in parts.named([name])]


def test_every_module_with_a_command_is_in_the_table() -> None:
    """A command in a module that nobody imports would be missing only when it is asked for."""
    there = {path.stem for path in Path(firewall.cli.__path__[0]).glob("*.py")}
    assert there - SHARED == {module for modules in parts.PARTS.values() for module in modules}


def test_a_command_that_is_registered_is_so_by_its_own_parts() -> None:
    for name, modules in parts.PARTS.items():
        app = import_module(f"firewall.cli.{modules[0]}").app
        for each in app.registered_commands:
            module = each.callback.__module__.rpartition(".")[2]
            assert module in modules, f"`{name} {each.name}` lives in `{module}`"
