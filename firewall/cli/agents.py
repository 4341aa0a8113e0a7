"""`firewall agents`: who may connect. A token is shown once; the store has only what verifies it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from firewall import credentials
from firewall.cli import house
from firewall.cli.command import As, command, group
from firewall.cli.exits import Declined, NotThere, Usage

if TYPE_CHECKING:
    from firewall.cli.terminal import Terminal
    from firewall.store import AgentRow, Store

app = group("agents", "Who may connect: add agents, renew their tokens, lock them out.")

# what every driver and DSN takes unescaped and nobody mistakes for another; no longer than Postgres's names
# (manual 4.1.1)
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")

Name = Annotated[str, typer.Argument(metavar="NAME", help="the agent")]
Owner = Annotated[
    str, typer.Option("--owner", metavar="PERSON", help="who answers for it; may not approve it")
]
Team = Annotated[str, typer.Option("--team", help="its team, for policy to match")]
Certificate = Annotated[
    str,
    typer.Option(
        "--certificate", metavar="NAME", help="the name in its client certificate; needs listen.tls.client_ca"
    ),
]


@command(app, "add")
async def add(
    terminal: Terminal,
    name: Name,
    owner: Owner,
    team: Team = "",
    certificate: Certificate = "",
    by: As = None,
) -> None:
    """Make an agent and show its token, once, with the DSN of each database."""
    if not NAME.fullmatch(name):
        raise Usage(
            f"`{name}` cannot name an agent: write lower-case letters, digits, `_`, `.`, `-`; at most 63",
            hint="it is the user name of a DSN, e.g. `reporter`",
        )
    owner = house.person_named(owner, "an owner")
    # an error in the settings' policies would be found when the agent first connects
    house.policies(terminal.settings)
    who = house.issuer(terminal, by)
    async with house.store_to_write(terminal, create=True) as store:
        if await store.agent(name):
            raise Declined(
                f"there is an agent `{name}` already",
                hint=f"`firewall agents renew {name}` gives it a new token",
            )
        token = await credentials.add_agent(
            store, name, owner=owner, issuer=who, team=team, certificate=certificate
        )
        await _show(terminal, store, name, token)


@command(app, "renew")
async def renew(terminal: Terminal, name: Name, by: As = None) -> None:
    """Give an agent a new token; the old one opens nothing any more."""
    who = house.issuer(terminal, by)
    async with house.store_to_write(terminal, create=False) as store:
        await _known(store, name)
        token = await credentials.renew_agent(store, name, issuer=who)
        await _show(terminal, store, name, token)


@command(app, "certify")
async def certify(terminal: Terminal, name: Name, certificate: Certificate = "", by: As = None) -> None:
    """Let an agent in by client certificates of this name as well; without one, by its token alone."""
    who = house.issuer(terminal, by)
    async with house.store_to_write(terminal, create=False) as store:
        await _known(store, name)
        await credentials.certify_agent(store, name, certificate, issuer=who)
        agent = await _known(store, name)
    if terminal.as_json:
        terminal.document(_public(agent))
    by_what = f"a certificate of `{certificate}` or its token" if certificate else "its token alone"
    terminal.say(f"agent `{name}` signs in with {by_what}")


@command(app, "disable")
async def disable(terminal: Terminal, name: Name, by: As = None) -> None:
    """Lock an agent out: it cannot connect any more. Sessions that are open stay open."""
    await _switch(terminal, name, by, disabled=True)


@command(app, "enable")
async def enable(terminal: Terminal, name: Name, by: As = None) -> None:
    """Let an agent in again, with the token it had."""
    await _switch(terminal, name, by, disabled=False)


@command(app, "list")
async def list_agents(terminal: Terminal) -> None:
    """All agents, by name."""
    async with house.store_to_read(terminal) as store:
        agents = await store.agents()
    if terminal.as_json:
        terminal.records(map(_public, agents))
    elif agents:
        rows = [
            (a.name, a.owner, a.team, a.issuer, "disabled" if a.disabled else "enabled", a.created_at[:19])
            for a in agents
        ]
        terminal.table(("agent", "owner", "team", "issued by", "state", "since (UTC)"), rows)
    else:
        terminal.say("there are no agents; `firewall agents add NAME --owner PERSON` makes one")


async def _switch(terminal: Terminal, name: str, by: str | None, *, disabled: bool) -> None:
    who = house.issuer(terminal, by)
    async with house.store_to_write(terminal, create=False) as store:
        await _known(store, name)
        await credentials.switch_agent(store, name, disabled=disabled, by=who)
        agent = await _known(store, name)
    if terminal.as_json:
        terminal.document(_public(agent))
    terminal.say(f"agent `{name}` is {'disabled' if disabled else 'enabled'}")


async def _known(store: Store, name: str) -> AgentRow:
    agent = await store.agent(name)
    if agent is None:
        raise NotThere(f"there is no agent `{name}`", hint="`firewall agents list` shows them")
    return agent


async def _show(terminal: Terminal, store: Store, name: str, token: str) -> None:
    agent = await _known(store, name)
    settings = terminal.settings
    dsns = {database: house.dsn(settings, database, name, token) for database in settings.databases}
    if terminal.as_json:
        terminal.document({**_public(agent), "token": token, "dsns": dsns})
        return
    terminal.say(f"agent `{name}` of {agent.owner}")
    terminal.facts([("token", token), *dsns.items()])
    terminal.note("the token is shown this once; `firewall agents renew` makes a new one")


def _public(agent: AgentRow) -> dict[str, object]:
    """What may be shown: all but the verifier."""
    return {
        "name": agent.name,
        "owner": agent.owner,
        "team": agent.team,
        "issuer": agent.issuer,
        "disabled": agent.disabled,
        "created_at": agent.created_at,
        "valid_until": agent.valid_until,
        "certificate": agent.certificate,
    }
