"""What is measured: one Postgres, the proxies before it, and the firewall as a process of its own.

The firewall has the shipped production policy and a log that is durable at every commit. A second name of the
same database, in observe mode, is where COPY is measured: in production a person would have to be waited for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
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


class Stage:
    """A database, and ways to it that are put up when they are asked for.

    remarks: what is not as it should be.
    """

    def __init__(self, folder: Path, postgres: EmbeddedPostgres, compiled: Path | None) -> None:
        self.remarks: list[str] = []
        self._folder = folder
        self._postgres = postgres
        self._compiled = compiled
        self._made = 0

    @contextmanager
    def target(self, name: str) -> Iterator[Target | None]:
        """A new process of that name, gone afterwards; None if the program is not installed."""
        address = Address(self._postgres.port, LOGIN, LOGIN_PASSWORD, "bench")
        self._made += 1
        folder = self._folder / f"{name}-{self._made}"
        if name == "direct":
            yield Target(name, address, address)
        elif name == "firewall":
            with serving(self._postgres, folder, self._compiled) as target:
                yield target
        else:
            proxy = proxies.start(name, address, folder)
            if proxy is None:
                remark = f"{name} is not installed and left out ({proxies.HOW_TO_INSTALL})"
                self.remarks += [] if remark in self.remarks else [remark]
                yield None
                return
            try:
                yield Target(name, proxy.address, proxy.address, proxy.process.pid)
            finally:
                proxy.stop()


@contextmanager
def build(*, rows: int, compiled: bool) -> Iterator[Stage]:
    """Put up the database. compiled: the firewall is to run with its inner loops compiled, if they can be."""
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
        copy = folder / "compiled"
        why = "it was not asked for"
        if compiled:
            copy.mkdir()
            sys.path.insert(0, str(ROOT / ".ci"))
            import hatch_build  # noqa: PLC0415 — the build's own code, outside every package

            why = hatch_build.compiled_copy(copy)
        stage = Stage(folder, postgres, None if why else copy)
        if why:
            stage.remarks.append(f"the firewall is not compiled: {why}")
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
def serving(postgres: EmbeddedPostgres, folder: Path, compiled: Path | None) -> Iterator[Target]:
    """`firewall serve` on settings of its own, and one agent."""
    environment = {**os.environ, **({"PYTHONPATH": str(compiled)} if compiled else {})}
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
        "listen: {port: 0}\nweb: {port: 0}\nmax_connections: 2000\nstanding_releases: true\n"
    )
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [PROGRAM, "serve", "--json"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the firewall did not start: {(folder / 'errors').read_text()[-800:]}")
        made = subprocess.run(
            [PROGRAM, "agents", "add", AGENT, "--owner", "owner@example.com", "--as", "operator", "--json"],
            cwd=folder,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise RuntimeError(f"the agent could not be added: {made.stderr[-800:]}")
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
