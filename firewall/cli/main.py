"""The whole command line: groups put together, and every ending of a run turned into an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text
from typer.exceptions import TyperException

from firewall.channels import visible
from firewall.cli import logs, parts
from firewall.cli.command import MARKUP, Common, Config, Json
from firewall.cli.exits import MEANINGS, Exit, code
from firewall.errors import FirewallError

if TYPE_CHECKING:
    from collections.abc import Sequence

REPORT = f"report it to the maintainers with what you ran; {logs.DEBUG}=1 shows more"
EXITS = "\n".join(("\b\nExit codes:", *(f"{number:>4}  {meaning}" for number, meaning in MEANINGS.items())))


def _app(arguments: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        name="firewall",
        help="A Postgres firewall for AI agents.",
        epilog=EXITS,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=MARKUP,
        pretty_exceptions_enable=False,
    )
    app.callback()(_common)
    for part in parts.named(arguments):
        app.add_typer(part)
    return app


def _show_version(asked: bool) -> None:  # noqa: FBT001 — typer's callback
    if asked:
        typer.echo(f"query-firewall {version('query-firewall')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="say which version this is")
]


def _common(
    ctx: typer.Context,
    config: Config = None,
    as_json: Json = False,  # noqa: FBT002 — typer's way
    show_version: Version = False,  # noqa: FBT002, ARG001 — typer's way; its callback answers
) -> None:
    ctx.obj = Common(config, as_json)


def run(arguments: Sequence[str] | None = None) -> Exit | int:
    """Do what the command line says. Returns the exit code; nothing is ever raised."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    logs.configure(logs.QUIET)
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        # not typer's standalone mode: it would print errors in its own way
        result = _app(given)(args=given, standalone_mode=False)
    except FirewallError as error:
        _complain(error.message, error.hint)
        return code(error)
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)  # noqa: T201 — the help, laid out already
            return Exit.WRONG
        _complain(
            _own_style(error.format_message()), "`firewall --help`, or --help behind the command, says more"
        )
        return Exit.WRONG
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # Rich and Typer make the former into the latter, and of nothing else;
        # stdout is closed here, or the interpreter would complain once more when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE
    except Exception as error:  # noqa: BLE001 — no traceback reaches a person
        if os.environ.get(logs.DEBUG):
            traceback.print_exc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{where.filename.rpartition('/')[2]}:{where.lineno}"
        _complain(f"a bug in query-firewall ({type(error).__name__} at {place})", REPORT)
        return Exit.BUG
    return int(result or 0)


def _complain(message: str, hint: str) -> None:
    console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
    console.print(
        Text("error: ", style="bold red").append(visible.visible(logs.clean(message)), style="default")
    )
    if hint:
        console.print(
            Text("hint: ", style="bold cyan").append(visible.visible(logs.clean(hint)), style="default")
        )


def _own_style(message: str) -> str:
    """The parser's message as the house writes: lower case, no period, backticks."""
    text = message.strip().rstrip(".").replace("'", "`")
    return text[:1].lower() + text[1:]
