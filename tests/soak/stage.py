"""What the soak plays on: a Postgres, and a firewall as a process of its own that may be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from firewall import config

if TYPE_CHECKING:
    from firewall.demo.postgres import EmbeddedPostgres

PROGRAM = Path(sys.executable).with_name("firewall")
LOGIN, PASSWORD = "soak_login", "soak-only"  # of a throw-away database on loopback
AGENT = "soaker"
STARTS_WITHIN = 120
PEOPLE = ("ann@example.com", "bob@example.com", "eve@example.com")
POLICY = f"""
version: 1
mode: enforce
default: deny
approvers: {{{", ".join(f"{person}: {{groups: [dba]}}" for person in PEOPLE)}}}
approval: {{groups: [dba]}}
rules:
  - {{name: session, allow: [transaction, setting, session], why: harmless}}
  - {{name: reads, allow: read, why: harmless}}
  - name: as a whole
    hold: insert
    when: {{relations: later}}
    why: somebody decides on each transaction
    decide: at_commit
    obligations: {{max_affected_rows: 1}}
  - name: one by one
    hold: insert
    when: {{relations: acts}}
    why: somebody decides on each of them
    approval: {{wait: 20s, expires: 10m, use_within: 10m, outlives_connection: true}}
"""


class Stage:
    """kills: how often the firewall was. opens: set while it can be connected to."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres) -> None:
        self.kills = 0
        self.opens = asyncio.Event()
        self.token = ""
        self._folder = folder
        self._postgres = postgres
        self._port = _free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def settings(self) -> config.Settings:
        return config.load(self._folder / "firewall.yaml")

    def prepare(self) -> None:
        """The database, the settings and the agent."""
        with psycopg.connect(self._postgres.dsn(), autocommit=True) as admin:
            admin.execute(f"CREATE ROLE {LOGIN} LOGIN PASSWORD '{PASSWORD}'")
            admin.execute("CREATE DATABASE soak")
        with psycopg.connect(self._postgres.dsn("soak"), autocommit=True) as admin:
            # nothing in it keeps an act from being done twice
            admin.execute("CREATE TABLE acts (n integer)")
            admin.execute("CREATE TABLE later (n integer)")
            admin.execute(f"GRANT ALL ON acts, later TO {LOGIN}")
        (self._folder / "policy.yaml").write_text(POLICY)
        (self._folder / "password").write_text(PASSWORD)
        where = (
            f"host: 127.0.0.1, port: {self._postgres.port}, database: soak, user: {LOGIN}, sslmode: disable"
        )
        (self._folder / "firewall.yaml").write_text(
            f"databases:\n  soak: {{{where}, password_file: password, policy: policy.yaml}}\n"
            f"listen: {{port: {self._port}}}\nweb: {{port: 0}}\nanalysis_workers: 1\n"
        )

    def start(self) -> None:
        with (self._folder / "errors").open("ab") as errors:
            self._process = subprocess.Popen(
                [PROGRAM, "serve", "--json"],
                cwd=self._folder,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError(f"the firewall did not start: {self.errors[-2000:]}")
        if not self.token:
            made = subprocess.run(
                [PROGRAM, "agents", "add", AGENT, "--owner", "owner@example.com", "--as", "op", "--json"],
                cwd=self._folder,
                check=True,
                capture_output=True,
                text=True,
            )
            self.token = json.loads(made.stdout)["token"]

    @property
    def errors(self) -> str:
        return (self._folder / "errors").read_text()

    async def kill(self) -> None:
        """As a machine does that loses its power; then it comes back."""
        assert self._process is not None
        self.opens.clear()
        self._process.kill()
        self._process.wait()
        self.kills += 1
        await asyncio.to_thread(self.start)
        self.opens.set()

    def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(60)
        self._process.kill()
        return self._process.wait()

    async def connect(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        """Once it can be."""
        while True:
            await self.opens.wait()
            try:
                return await psycopg.AsyncConnection.connect(
                    f"postgresql://{AGENT}:{self.token}@127.0.0.1:{self._port}/soak",
                    autocommit=True,
                    prepare_threshold=3,
                )
            except psycopg.OperationalError:
                await asyncio.sleep(0.1)

    def done(self) -> dict[int, int]:
        """How often each act was done, as the database says."""
        with psycopg.connect(self._postgres.dsn("soak")) as admin:
            both = "SELECT n FROM acts UNION ALL SELECT n FROM later"
            return dict(admin.execute(f"SELECT n, count(*) FROM ({both}) GROUP BY n").fetchall())


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
