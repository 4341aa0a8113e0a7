"""`firewall people`: who may decide. Policy says who is an approver; a token here says that it is them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firewall import credentials
from firewall.cli import house
from firewall.cli.command import As, command, group
from firewall.cli.exits import NotThere

if TYPE_CHECKING:
    from firewall.cli.terminal import Terminal

app = group("people", "Who may decide: give people tokens for console, API and command line.")

Person = Annotated[str, typer.Argument(metavar="PERSON", help="as the policy's `approvers` name them")]


@command(app, "token")
async def token(terminal: Terminal, person: Person, by: As = None) -> None:
    """Make a token with which a person signs in, and show it, once."""
    name = house.person_named(person, "a person").lower()
    groups = house.groups_of(house.policies(terminal.settings), name)
    who = house.issuer(terminal, by)
    async with house.store_to_write(terminal, create=True) as store:
        made = await credentials.add_person(store, name, issuer=who)
    if terminal.as_json:
        terminal.document({"person": name, "issuer": who, "token": made, "groups": groups})
    else:
        terminal.say(f"token of {name}")
        terminal.facts([("token", made), *((f"groups in {db}", ", ".join(g)) for db, g in groups.items())])
        terminal.note(
            "the token is shown this once; it opens the console, the API and `firewall holds approve`"
        )
    if not groups:
        terminal.note(
            f"warning: no policy has `{name}` under `approvers`: they can look, and decide nothing",
            style="yellow",
        )


@command(app, "link")
async def link(terminal: Terminal, person: Person, by: As = None) -> None:
    """Print a link by which a person signs in to the console: once, soon, and on this machine alone."""
    settings = terminal.settings
    name = house.person_named(person, "a person").lower()
    where = house.loopback(settings.web)
    known = house.policies(settings)
    groups = house.groups_of(known, name)
    roles = sorted(role for role, names in settings.web.roles.items() if name in names)
    who = house.issuer(terminal, by)
    async with house.store_to_write(terminal, create=True) as store:
        if not groups and not roles and not any(not one.revoked for one in await store.tokens(name)):
            raise NotThere(
                f"`{name}` is nobody here: no policy has them under `approvers`, nor have they a token",
                hint="name them in the policy or under `web.roles` in the settings",
            )
        secret = await credentials.link_person(store, name, issuer=who)
    url = f"{where}/signin/link?once={secret}"
    minutes = credentials.LINK_SECONDS // 60
    if terminal.as_json:
        document = {"person": name, "issuer": who, "url": url, "seconds": credentials.LINK_SECONDS}
        terminal.document({**document, "groups": groups, "roles": roles})
    else:
        terminal.say(url)
        terminal.note(f"signs in `{name}`, once, within {minutes} minutes, in a browser on this machine")


@command(app, "list")
async def list_people(terminal: Terminal) -> None:
    """Approvers by policy, and everybody who has a token."""
    known = house.policies(terminal.settings)
    async with house.store_to_read(terminal) as store:
        tokens = await store.tokens()
    valid = [one for one in tokens if not one.revoked]
    names = sorted(
        {one.person for one in tokens} | {name for rules in known.values() for name in rules.people}
    )
    people = [
        {
            "person": name,
            "groups": house.groups_of(known, name),
            "tokens": [
                {"issuer": one.issuer, "created_at": one.created_at} for one in valid if one.person == name
            ],
        }
        for name in names
    ]
    if terminal.as_json:
        terminal.records(people)
        return
    rows = []
    for name in names:
        groups = house.groups_of(known, name)
        told = "; ".join(f"{database}: {', '.join(found)}" for database, found in groups.items())
        many = sum(one.person == name for one in valid)
        rows.append((name, told or "in no policy", str(many or "none")))
    terminal.table(("person", "groups", "tokens"), rows)


@command(app, "revoke")
async def revoke(terminal: Terminal, person: Person, by: As = None) -> None:
    """Void every token and link of a person. They stay an approver in Slack until the policy drops them."""
    name = house.person_named(person, "a person").lower()
    who = house.issuer(terminal, by)
    async with house.store_to_write(terminal, create=False) as store:
        if not await credentials.revoke_person(store, name, by=who):
            raise NotThere(f"`{name}` has no token", hint="`firewall people list` shows who has")
    if terminal.as_json:
        terminal.document({"person": name, "tokens": []})
    terminal.say(f"the tokens of {name} open nothing any more")
