"""`firewall grants`: leave for more than one run, what was made of it, and taking it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from firewall import clock
from firewall.approval import Refused
from firewall.cli import house
from firewall.cli.command import command, group
from firewall.cli.exits import Declined, Exit, NotThere
from firewall.cli.holds import MAX_LISTED, TokenFile, people, signed_in, token_of
from firewall.cli.terminal import brief
from firewall.desk import Desk

if TYPE_CHECKING:
    from firewall.approval import Grant
    from firewall.cli.terminal import Terminal

app = group("grants", "Leave that was given for more than one run, and taking it back.")


@command(app, "list")
async def list_grants(
    terminal: Terminal,
    everything: Annotated[bool, typer.Option("--all", help="those that have ended as well")] = False,  # noqa: FBT002 — typer's way
) -> None:
    """What may run without being asked for again."""
    now = clock.now()
    async with house.store_to_read(terminal) as store:
        grants = await store.grants(since=None if everything else now, limit=MAX_LISTED)
    shown = [grant for grant in grants if everything or grant.state(now) == "open"]
    if terminal.as_json:
        terminal.records(public(grant) for grant in shown)
    elif shown:
        rows = [
            (
                *(grant.id, grant.state(now), grant.agent, grant.database, f"{grant.used} of {grant.uses}"),
                "any" if grant.rows is None else f"{grant.spent} of {grant.rows}",
                clock.stamp(grant.until),
                ", ".join(grant.by),
                brief(grant.sql, 60),
            )
            for grant in shown
        ]
        headings = ("grant", "state", "agent", "database", "runs", "rows", "until", "by", "statement")
        terminal.table(headings, rows)
    else:
        terminal.say("nothing is granted")


@command(app, "revoke")
async def revoke(
    terminal: Terminal,
    grant_id: Annotated[str, typer.Argument(metavar="ID", help="the grant")],
    reason: Annotated[str, typer.Option("--reason", help="why; the log is told")] = "",
    token_file: TokenFile = None,
) -> Exit:
    """Take a grant back: nothing more runs by it."""
    secret = token_of(token_file)
    person = people(terminal)
    async with house.store_to_write(terminal, create=False) as store:
        name = await signed_in(store, secret)
        if await store.grant(grant_id) is None:
            raise NotThere(f"there is no grant `{grant_id}`", hint="`firewall grants list --all` shows them")
        answer = await Desk(store, person).revoke(grant_id, name, reason.strip())
    if isinstance(answer, Refused):
        raise Declined(answer.why)
    if terminal.as_json:
        terminal.document(public(answer))
    else:
        terminal.say(f"{answer.id}: revoked by {name}, after {answer.used} of {answer.uses} runs")
    return Exit.DONE


def public(grant: Grant) -> dict[str, Any]:
    """A grant for programs, as the HTTP API has it."""
    names = ("id", "hold", "agent", "database", "sql", "rule", "uses", "used", "rows", "spent", "revoked_by")
    return {
        **{name: getattr(grant, name) for name in names},
        "by": list(grant.by),
        "given_at": clock.stamp(grant.given_at),
        "until": clock.stamp(grant.until),
        "state": grant.state(clock.now()),
    }
