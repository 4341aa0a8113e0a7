"""`firewall audit erase`: values are taken out of the log, and the log still proves itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firewall import clock
from firewall.cli import house
from firewall.cli.audit import app
from firewall.cli.command import As, command
from firewall.cli.exits import NotThere, Usage
from firewall.cli.when import moment

if TYPE_CHECKING:
    from firewall.cli.terminal import Terminal
    from firewall.store import Erased

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="statements, holds (h-…), records (r-…) or sessions (s-…)"),
]
Before = Annotated[
    str | None,
    typer.Option("--before", metavar="TIME", help="instead: everything older, e.g. 90d", show_default=False),
]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="the reason; it is recorded")]
Sure = Annotated[bool, typer.Option("--yes", help="do not ask")]


@command(app, "erase")
async def erase(
    terminal: Terminal,
    named: Ids = None,
    before: Before = None,
    why: Why = "",
    person: As = None,
    yes: Sure = False,  # noqa: FBT002 — typer's way
) -> None:
    """Erase texts, parameters and error messages of statements, for ever. Records and proofs of them stay.

    Who erased what, and why, is itself a record; `firewall audit verify` counts what was erased.
    """
    if bool(named) is (before is not None):
        raise Usage("say what to erase: ids, or --before TIME", hint="`firewall audit search` shows ids")
    if not why.strip():
        raise Usage("say why, with --why; it is recorded", hint="e.g. --why 'request 1234 to be forgotten'")
    by = house.issuer(terminal, person)
    until = moment(before, clock.now()) if before else None
    what = f"everything before {clock.stamp(until)[:19]}" if until else ", ".join(named or ())
    if not yes:
        typer.confirm(f"erase the values of {what}, for ever?", abort=True, err=True)
    async with house.store_to_write(terminal, create=False) as store:
        if until is not None:
            erased = await store.erasing.before(until, by=by, why=why)
        else:
            erased = await store.erasing.by_name([_id(one) for one in named or ()], by=by, why=why)
    _tell(terminal, erased, what)


def _tell(terminal: Terminal, erased: Erased, what: str) -> None:
    if not erased.records:
        raise NotThere(f"the log has no values of {what}", hint="they may have been erased already")
    if terminal.as_json:
        terminal.document({"erased": erased.records})
    terminal.say(f"the values of {erased.records} record{'s' * (erased.records > 1)} are erased")


def _id(given: str) -> str:
    """As ids are written: `s-ABC.1`, `h-ABC`, `r-ABC`."""
    head, dot, tail = given.strip().partition(".")
    return f"{head[:2].lower()}{head[2:].upper()}{dot}{tail}"
