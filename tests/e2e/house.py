"""A whole firewall for end-to-end tests: real Postgres behind it, real store beside it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from firewall import config, credentials
from firewall.app import App
from firewall.approval import Counted, Hold, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from firewall.demo.postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]
SHOP = (ROOT / "fixtures/demo/shop.sql").read_text()
LOGIN = "firewall_login"
LOGIN_PASSWORD = "only-the-firewall-knows"  # of a throw-away database on loopback
OWNER = "ola@example.com"
DBA = "first.dba@example.com"
SECURITY = "first.security@example.com"


@dataclass
class House:
    """A running firewall, and how to reach both it and the database behind it."""

    app: App
    postgres: EmbeddedPostgres
    database: str
    token: str
    agent: str = "shopper"

    def dsn(self, **options: str) -> str:
        """Through the firewall, as an agent."""
        query = "&".join(f"{name}={value}" for name, value in options.items())
        address = f"127.0.0.1:{self.app.port}"
        return f"postgresql://{self.agent}:{self.token}@{address}/shop" + (f"?{query}" if query else "")

    def direct(self) -> str:
        """Past the firewall, as the same login that the firewall uses."""
        return self.postgres.dsn(self.database, user=LOGIN, password=LOGIN_PASSWORD)

    def count(self, table: str) -> int:
        """Rows in a table, asked past the firewall."""
        with psycopg.connect(self.postgres.dsn(self.database)) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row is not None
        return int(row[0])

    async def next_hold(self, *, after: int = 0) -> Hold:
        """The newest pending hold, once there is one; `after` holds are there already."""
        seen = asyncio.Event()
        undo = self.app.desk.listen(lambda _: seen.set())
        try:
            async with asyncio.timeout(30):
                while True:
                    seen.clear()
                    holds = await self.app.store.holds([State.PENDING])
                    if len(holds) > after:
                        return holds[0]
                    await seen.wait()
        finally:
            undo()

    async def next_hold_of(self, sql: str) -> Hold:
        """The pending hold of exactly this text, once there is one."""
        async with asyncio.timeout(30):
            while True:
                for hold in await self.app.store.holds([State.PENDING]):
                    if hold.sql == sql and hold.awaited:
                        return hold
                await asyncio.sleep(0.02)

    async def decide(self, *, approve: bool, reason: str = "", person: str = DBA) -> Hold:
        """Wait for a hold and vote on it."""
        hold = await self.next_hold()
        word = await self.app.desk.vote(hold.id, person, approve=approve, reason=reason, channel="cli")
        assert isinstance(word, Counted), word
        return hold

    async def story(self, hold_id: str) -> list[dict[str, object]]:
        """Everything in the log about a hold and its statement, in the order in which it was written."""
        records = await self.records()
        statement = next(r["statement"] for r in records if r["hold"] == hold_id)
        return [r for r in records if statement == r["statement"]]

    async def records(self, kind: str | None = None) -> list[dict[str, object]]:
        """The log as JSON, oldest first."""
        found = [json.loads(row.opened()) async for row in self.app.store.records()]
        return [record for record in found if kind is None or record["kind"] == kind]


def prepare(postgres: EmbeddedPostgres, database: str) -> None:
    """Fill a database with the demo shop and let the firewall's login use it."""
    with psycopg.connect(postgres.dsn(database), autocommit=True) as admin:
        admin.execute(SHOP)
        admin.execute(
            f"""DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{LOGIN}') THEN
                    CREATE ROLE {LOGIN} LOGIN PASSWORD '{LOGIN_PASSWORD}' CREATEROLE;
                END IF; END $$"""
        )
        admin.execute(f"GRANT ALL ON DATABASE {database} TO {LOGIN}")
        admin.execute(f"GRANT ALL ON SCHEMA public TO {LOGIN}")
        admin.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {LOGIN}")
        admin.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {LOGIN}")


def policy_text(*, mode: str = "enforce", expires: str = "15m") -> str:
    """production.yaml, whose people are examples anyway."""
    text = (ROOT / "policies/production.yaml").read_text()
    return text.replace("mode: enforce", f"mode: {mode}").replace("expires: 15m", f"expires: {expires}")


@asynccontextmanager
async def open_house(
    postgres: EmbeddedPostgres, database: str, folder: Path, *, token: str = "", **changes: object
) -> AsyncIterator[House]:
    """A firewall before `database`, with one agent that OWNER owns; token: of one that the store knows."""
    policy = folder / "policy.yaml"
    if not policy.exists():
        policy.write_text(policy_text())
    (folder / "password").write_text(LOGIN_PASSWORD)
    settings = config.Settings.model_validate(
        {
            "listen": {"port": 0},
            "web": {"port": 0},
            "store": f"sqlite:///{folder / 'firewall.db'}",
            "key": folder / "firewall.key",
            "analysis_workers": 1,
            "databases": {
                "shop": {
                    "host": "127.0.0.1",
                    "port": postgres.port,
                    "database": database,
                    "user": LOGIN,
                    "password_file": folder / "password",
                    "policy": policy,
                }
            },
            **changes,
        }
    )
    app = await App.open(settings)
    token = token or await credentials.add_agent(app.store, "shopper", owner=OWNER, issuer="operator")
    await app.start()
    try:
        yield House(app, postgres, database, token)
    finally:
        await app.close()
