"""What is measured: one Postgres, the proxies before it, and the firewall as a process of its own.

The firewall has the shipped production policy and a log that is durable at every commit. A second name of the
same database, in observe mode, is where COPY is measured: in production a person would have to be waited for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from firewall.demo.postgres import EmbeddedPostgres
from tests.benchmarks import proxies
from tests.benchmarks.plain import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.executable).with_name("firewall")
LOGIN = "bench_login"
LOGIN_PASSWORD = "bench-only"  # of a throw-away database on loopback
AGENT = "bencher"
ITEMS = 100_000  # as pgbench's scale factor 1 has accounts

SCHEMA = f"""
CREATE TABLE items (id integer PRIMARY KEY, balance integer NOT NULL, filler character(84) NOT NULL);
INSERT INTO items SELECT n, n % 1000, '' FROM generate_series(1, {ITEMS}) n;
CREATE TABLE lines (id integer, what text, weight integer);
CREATE TABLE loaded (LIKE lines);
CREATE TABLE slow (LIKE lines);
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END $$;
CREATE TRIGGER slow_down BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION dawdle();
"""


@dataclass
class Target:
    """One way to the database. bulk: the address for COPY; pid: the one process to weigh, if there is one."""

    name: str
    address: Address
    bulk: Address
    pid: int = 0


@dataclass
class Stage:
    """Everything that runs, by name, and what is not there."""

    targets: dict[str, Target] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def direct(self) -> Target:
        return self.targets["direct"]


@contextmanager
def build(wanted: list[str], *, rows: int) -> Iterator[Stage]:
    """Put up the database and the wanted targets; all of it is gone afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="query-firewall-bench-")))
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(
            folder / "postgres",
            settings={
                "fsync": "off",
                "synchronous_commit": "off",
                "autovacuum": "off",
                "max_connections": "2200",
                "shared_buffers": "512MB",
                "jit": "off",
            },
        )
        stack.enter_context(postgres)
        prepare(postgres, rows)
        address = Address(postgres.port, LOGIN, LOGIN_PASSWORD, "bench")
        stage = Stage({"direct": Target("direct", address, address)})
        for name in proxies.PROGRAMS:
            if name not in wanted:
                continue
            proxy = proxies.start(name, address, folder / name)
            if proxy is None:
                stage.missing.append(name)
                continue
            stack.callback(proxy.stop)
            stage.targets[name] = Target(name, proxy.address, proxy.address, proxy.process.pid)
        if "firewall" in wanted:
            stage.targets["firewall"] = stack.enter_context(serving(postgres, folder / "firewall"))
        yield stage


def prepare(postgres: EmbeddedPostgres, rows: int) -> None:
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {LOGIN} LOGIN PASSWORD '{LOGIN_PASSWORD}'")
        admin.execute("CREATE DATABASE bench")
    with psycopg.connect(postgres.dsn("bench"), autocommit=True) as admin:
        admin.execute(SCHEMA)
        admin.execute(
            "INSERT INTO lines SELECT n, 'item ' || n || ' of a delivery, with a note beside it', n % 97"
            f" FROM generate_series(1, {rows}) n"
        )
        admin.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {LOGIN}")
        admin.execute("VACUUM ANALYZE")


@contextmanager
def serving(postgres: EmbeddedPostgres, folder: Path) -> Iterator[Target]:
    """`firewall serve` on settings of its own, and one agent."""
    folder.mkdir()
    production = (ROOT / "policies/production.yaml").read_text()
    (folder / "production.yaml").write_text(production)
    (folder / "observe.yaml").write_text(production.replace("mode: enforce", "mode: observe"))
    (folder / "password").write_text(LOGIN_PASSWORD)
    where = f"host: 127.0.0.1, port: {postgres.port}, database: bench, user: {LOGIN}, sslmode: disable"
    (folder / "firewall.yaml").write_text(
        "databases:\n"
        f"  bench: {{{where}, password_file: password, policy: production.yaml}}\n"
        f"  bulk: {{{where}, password_file: password, policy: observe.yaml}}\n"
        "listen: {port: 0}\nweb: {port: 0}\nmax_connections: 2000\n"
    )
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [PROGRAM, "serve", "--json"], cwd=folder, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the firewall did not start: {(folder / 'errors').read_text()[-800:]}")
        made = subprocess.run(
            [PROGRAM, "agents", "add", AGENT, "--owner", "owner@example.com", "--as", "operator", "--json"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        token = json.loads(made.stdout)["token"]
        address = Address(int(json.loads(line)["port"]), AGENT, token, "bench")
        yield Target("firewall", address, replace(address, database="bulk"), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
