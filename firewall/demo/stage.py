"""Sets the stage: a Postgres with a shop in it, a policy with one approver, and a firewall in between.

Everything lives in one folder: database cluster, store, keys, policy, settings. Opened again, the folder's
state is taken up where it was left.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import yaml
from psycopg import sql

from firewall import config, credentials, resources
from firewall.app import App
from firewall.demo.postgres import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack
    from pathlib import Path

SHOP = "shop"
LOGIN = "firewall_login"
AGENT = "shop_assistant"
OWNER = "maria.owner@example.com"
APPROVER = "you@example.com"
OPERATOR = "demo"


@dataclass
class Stage:
    """The running demo. `agent_token` and `person_token` are fresh at every start."""

    app: App
    postgres: EmbeddedPostgres
    folder: Path
    agent_token: str = field(repr=False)
    person_token: str = field(repr=False)

    @property
    def dsn(self) -> str:
        """What the agent connects with."""
        return f"postgresql://{AGENT}:{self.agent_token}@127.0.0.1:{self.app.port}/{SHOP}"


async def set_up(
    stack: AsyncExitStack, folder: Path, say: Callable[[str], None], *, ports: tuple[int, int]
) -> Stage:
    """Start everything; `stack` ends it. `ports` for agents and people, 0 where any will do."""
    postgres = EmbeddedPostgres(folder / "postgres", settings={"fsync": "off"})
    stack.callback(postgres.stop)
    say("starting Postgres")
    await asyncio.to_thread(postgres.start)
    say("filling the shop")
    settings = await asyncio.to_thread(_furnish, postgres, folder, ports)
    say("starting the firewall")
    app = await App.open(settings)
    await app.start()
    stack.push_async_callback(app.close)
    if await app.store.agent(AGENT) is None:
        token = await credentials.add_agent(app.store, AGENT, owner=OWNER, issuer=OPERATOR)
    else:
        token = await credentials.renew_agent(app.store, AGENT, issuer=OPERATOR)
    person = await credentials.add_person(app.store, APPROVER, issuer=OPERATOR)
    return Stage(app, postgres, folder, token, person)


def _furnish(postgres: EmbeddedPostgres, folder: Path, ports: tuple[int, int]) -> config.Settings:
    password_file = _fill(postgres, folder)
    return config.load(_write_settings(folder, postgres.port, password_file, ports))


def _fill(postgres: EmbeddedPostgres, folder: Path) -> Path:
    """Make the shop and the firewall's own login, once; the login's password stays in a file."""
    password_file = folder / "login-password"
    if not password_file.exists():
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(24))
    password = password_file.read_text()
    login = sql.Identifier(LOGIN)
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        verb = "ALTER" if _exists(admin, "pg_roles", "rolname", LOGIN) else "CREATE"
        admin.execute(
            sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(sql.SQL(verb), login, sql.Literal(password))
        )
        fresh = not _exists(admin, "pg_database", "datname", SHOP)
        if fresh:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(SHOP)))
    if fresh:
        with psycopg.connect(postgres.dsn(SHOP)) as admin:
            admin.execute(resources.demo_sql().encode())
            for what in ("TABLES", "SEQUENCES"):
                admin.execute(
                    sql.SQL("GRANT ALL ON ALL {} IN SCHEMA public TO {}").format(sql.SQL(what), login)
                )
    return password_file


def _exists(admin: psycopg.Connection[tuple[object, ...]], catalog: str, column: str, name: str) -> bool:
    query = sql.SQL("SELECT 1 FROM {} WHERE {} = %s").format(sql.Identifier(catalog), sql.Identifier(column))
    return admin.execute(query, [name]).fetchone() is not None


def _write_settings(folder: Path, port: int, password_file: Path, ports: tuple[int, int]) -> Path:
    slack_user = os.environ.get("SLACK_USER_ID", "")
    person = {"groups": ["dba", "security"], **({"slack": slack_user} if slack_user else {})}
    shipped = (resources.policies() / "production.yaml").read_text()
    people = yaml.safe_dump({"approvers": {APPROVER: person}}, sort_keys=False)
    policy = re.sub(r"(?ms)^approvers:.*?(?=^approval:)", lambda _: people + "\n", shipped)
    (folder / "policy.yaml").write_text(policy)
    settings: dict[str, object] = {
        "listen": {"port": ports[0]},
        "web": {"port": ports[1]},
        "origin": "query-firewall-demo",
        "databases": {
            SHOP: {
                "host": "127.0.0.1",
                "port": port,
                "user": LOGIN,
                "password_file": str(password_file),
                "sslmode": "disable",
                "environment": "demo",
                "policy": "policy.yaml",
            }
        },
    }
    channel = os.environ.get("SLACK_CHANNEL")
    if channel and os.environ.get("SLACK_BOT_TOKEN") and os.environ.get("SLACK_APP_TOKEN"):
        settings["slack"] = {"channel": channel}
    path = folder / "firewall.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path
