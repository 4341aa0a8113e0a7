"""The parts of a firewall that commands work on without starting one: the store, the policies, the names."""

from __future__ import annotations

import getpass
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import quote

from firewall import policy
from firewall.audit import SigningKey
from firewall.cli.exits import Usage
from firewall.errors import ConfigurationError
from firewall.keyfile import signing_key
from firewall.store import Reader, Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from firewall.cli.terminal import Terminal
    from firewall.config import Settings, Web
    from firewall.policy import Policy

MAX_NAME = 200
EVERYWHERE = {"", "0.0.0.0", "::", "*"}  # noqa: S104 — told apart, not listened on


@asynccontextmanager
async def store_to_write(terminal: Terminal, *, create: bool) -> AsyncIterator[Store]:
    """The settings' store. With `create`, store and key are made if they are not there."""
    settings = terminal.settings
    key = signing_key(settings) if create else SigningKey.load(settings.key)
    keep = settings.records.keep
    opened = await Store.open(settings.store, origin=settings.origin, key=key, create=create, keep=keep)
    async with opened as store:
        with suppress(ConfigurationError):
            # without policies it is as the settings say
            known = {name: rules.document.keep for name, rules in policies(settings).items()}
            store.keeping.follow(lambda: known)
        yield store


@asynccontextmanager
async def store_to_read(terminal: Terminal) -> AsyncIterator[Reader]:
    async with await Reader.open_reader(terminal.settings.store) as reader:
        yield reader


def policies(settings: Settings) -> dict[str, Policy]:
    """The policy of each database. Raises ConfigurationError."""
    read = {path: policy.load(path) for path in {db.policy for db in settings.databases.values()}}
    return {name: read[database.policy] for name, database in settings.databases.items()}


def groups_of(known: dict[str, Policy], person: str) -> dict[str, list[str]]:
    """In which groups a person is, for each database whose policy knows them."""
    found = {name: rules.person(person) for name, rules in known.items()}
    return {name: sorted(approver.groups) for name, approver in found.items() if approver}


def person_named(name: str, what: str) -> str:
    """A person's name as given, if it can be one. Raises Usage."""
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable() or any(c.isspace() for c in name):
        raise Usage(
            f"`{name[:MAX_NAME]}` cannot be {what}: a person is named by one word, usually an e-mail address",
            hint="write it as the policy's `approvers` do, e.g. first.dba@example.com",
        )
    return name


def issuer(terminal: Terminal, given: str | None) -> str:
    """Who does this: `--as`, or the operating system's user. It is recorded, and counts as a requester."""
    if given is not None:
        return person_named(given, "who does this")
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        raise Usage("the system does not say who you are", hint="say it with --as PERSON") from None
    terminal.note(f"recorded as done by `{user}`; if you are an approver, say who with --as")
    return user


def loopback(web: Web) -> str:
    """Where the console is reached on this machine. Raises Usage."""
    named = web.host in EVERYWHERE or web.host == "localhost"
    try:
        here = named or ip_address(web.host).is_loopback
    except ValueError:
        here = False
    if not here or not web.port:
        raise Usage(
            f"the console is not reached on this machine's loopback: `web` says `{web.host}:{web.port}`",
            hint="sign in with a token instead: `firewall people token PERSON`",
        )
    host = "localhost" if named else web.host
    return f"http://[{host}]:{web.port}" if ":" in host else f"http://{host}:{web.port}"


def dsn(settings: Settings, database: str, agent: str, token: str, port: int | None = None) -> str:
    """How an agent reaches a database through the firewall. `port`: the one in use, where it is known."""
    listen = settings.listen
    host = "localhost" if listen.host in EVERYWHERE else listen.host
    host = f"[{host}]" if ":" in host else host
    shown = port or listen.port or "PORT"
    tls = "?sslmode=require" if listen.require_tls else ""
    user, secret, name = (quote(part, safe="") for part in (agent, token, database))
    return f"postgresql://{user}:{secret}@{host}:{shown}/{name}{tls}"
