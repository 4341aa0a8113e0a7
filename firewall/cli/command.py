"""How a function becomes a command: it is given a `Terminal`, may be a coroutine, and has the common options.

`--config` and `--json` may stand before the group's name or behind the command's; the latter counts.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firewall.cli.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = "FIREWALL_CONFIG"
DEFAULT_PATH = "firewall.yaml"
# plain help where nobody looks at it
MARKUP: Any = "rich" if os.isatty(1) else None

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help=f"settings file (default: ${CONFIG}, else {DEFAULT_PATH})", show_default=False
    ),
]
# of the commands that change who may do what
As = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="PERSON", help="who you are (default: the system's user)", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON: one document, or one line for each record")]


@dataclass(frozen=True, slots=True)
class Common:
    """The common options as they stood before the group's name."""

    config: Path | None = None
    as_json: bool = False


def group(name: str, about: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(name=name, help=about, no_args_is_help=True, rich_markup_mode=MARKUP)


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function whose first parameter is the terminal. It returns nothing, or the exit code."""

    def register(work: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(work)
        def run(ctx: typer.Context, config: Path | None, as_json: bool, **given: Any) -> None:  # noqa: FBT001 — called by typer alone
            outer = ctx.find_object(Common) or Common()
            path = config or outer.config or Path(os.environ.get(CONFIG) or DEFAULT_PATH)
            result = work(Terminal(path, as_json=as_json or outer.as_json), **given)
            if inspect.iscoroutine(result):
                result = asyncio.run(result)
            raise typer.Exit(int(result or 0))

        only = inspect.Parameter.KEYWORD_ONLY
        own = list(inspect.signature(work, eval_str=True, locals={"Terminal": Terminal}).parameters.values())[
            1:
        ]
        parameters = [
            inspect.Parameter("ctx", only, annotation=typer.Context),
            *(parameter.replace(kind=only) for parameter in own),
            inspect.Parameter("config", only, default=None, annotation=Config),
            inspect.Parameter("as_json", only, default=False, annotation=Json),
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # typer reads it
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name)(run)
        return work

    return register
