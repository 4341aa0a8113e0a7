"""`firewall policy reload`: running firewalls read their policies again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from firewall import clock
from firewall.cli import house
from firewall.cli.command import As, command
from firewall.cli.exits import Declined, Exit
from firewall.cli.policy import app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall import audit
    from firewall.cli.terminal import Terminal
    from firewall.store import Store

WAIT_SECONDS = 15.0
ASK_SECONDS = 0.1

Wait = Annotated[float, typer.Option("--wait", metavar="SECONDS", help="how long to wait for the answer")]


@command(app, "reload")
async def reload(terminal: Terminal, by: As = None, wait: Wait = WAIT_SECONDS) -> Exit:
    """Put the policies of the settings in force in every firewall that runs on the store.

    They are checked first. A firewall takes all of them or none, between statements; who asked, and what is
    different, is in its log. SIGHUP does the same to one firewall.
    """
    house.policies(terminal.settings)
    who = house.issuer(terminal, by)
    async with house.store_to_write(terminal, create=False) as store:
        since = clock.stamp(clock.now())
        await store.signals.send(who)
        answers = await _answers(store, since, len(terminal.settings.databases), time.monotonic() + wait)
    if not answers:
        raise Declined(
            f"no firewall has answered within {wait:g} s",
            hint="is one running on this store? it reads its policies when it starts",
        )
    if terminal.as_json:
        terminal.records(answer.model_dump(mode="json") for answer in answers)
    for answer in answers:
        _tell(terminal, answer)
    return Exit.NO if any(answer.refused for answer in answers) else Exit.DONE


async def _answers(store: Store, since: str, expected: int, until: float) -> Sequence[audit.Policy]:
    """What firewalls have recorded of it."""
    while True:
        found = await store.policy_records(since)
        if len(found) >= expected or time.monotonic() >= until:
            return found
        await asyncio.sleep(ASK_SECONDS)


def _tell(terminal: Terminal, answer: audit.Policy) -> None:
    if answer.refused:
        terminal.say(f"{answer.database}: {answer.revision[:12]} stays in force", style="red")
        terminal.say(answer.refused)
        return
    what = "in force" if answer.changes else "in force as before"
    terminal.say(f"{answer.database}: {answer.revision[:12]} is {what}", style="green")
    for change in answer.changes:
        terminal.say(f"    {change}")
