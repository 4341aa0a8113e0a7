"""The database's count against the log's: a real pg_stat_statements, a real firewall before it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import psycopg
import pytest
import structlog

from firewall import clock
from firewall.cli.main import run as firewall
from firewall.demo.postgres import EmbeddedPostgres
from firewall.evidence import bypass
from firewall.proxy import planner

from house import LOGIN, open_house, prepare  # isort: skip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = """\
store: sqlite:///firewall.db
databases:
  shop:
    host: 127.0.0.1
    port: {port}
    database: postgres
    user: {user}
    password_file: password
    policy: policy.yaml
"""


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A cluster of its own: the library has to be there when the server starts."""
    settings = {"shared_preload_libraries": "pg_stat_statements", "fsync": "off", "synchronous_commit": "off"}
    with EmbeddedPostgres(tmp_path_factory.mktemp("counting"), settings=settings) as server:
        prepare(server, "postgres")
        yield server


Watch = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def watch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Watch]:
    """The command, in a thread of this process: it has an event loop of its own."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    async def run(*more: str) -> tuple[int, str]:
        capsys.readouterr()
        config = str(tmp_path / "firewall.yaml")
        code = await asyncio.to_thread(
            firewall, ("audit", "bypass", "--config", config, "--as", "auditor", *more)
        )
        said = capsys.readouterr()
        return int(code), said.out if "--json" in more else said.out + said.err

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def test_what_did_not_come_through_is_named(
    counting: EmbeddedPostgres, tmp_path: Path, watch: Watch
) -> None:
    async with open_house(counting, "postgres", tmp_path) as house:
        (tmp_path / "firewall.yaml").write_text(SETTINGS.format(port=counting.port, user=LOGIN))
        code, told = await watch()
        assert code == 3, told
        assert "CREATE EXTENSION pg_stat_statements" in told
        with psycopg.connect(counting.dsn("postgres"), autocommit=True) as admin:
            admin.execute("CREATE EXTENSION pg_stat_statements")
        assert (await watch())[0] == 0
        async with await psycopg.AsyncConnection.connect(house.dsn()) as agent:
            for number in range(3):
                await agent.execute(f"SELECT name FROM products WHERE id = {number}")
            await agent.execute("SELECT count(*) FROM products WHERE id = %s", (1,))
            await agent.commit()
        code, told = await watch()
        assert (code, "all came through" in told) == (0, True), told
        # what was held came through, and so did what the planner was asked of it, and what kept its bounds
        async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as agent:
            asking = asyncio.create_task(agent.execute("DELETE FROM order_items WHERE order_id = %s", (1,)))
            await house.decide(approve=True)
            await asking
            await agent.execute("SELECT name FROM products WHERE id = 5")
        # also where nobody can read any more what it was
        await house.app.store.erasing.before(clock.now(), by="auditor", why="asked to")
        assert {record["sql"] for record in await house.records("judgement")} == {""}
        code, told = await watch()
        assert (code, "all came through" in told) == (0, True), told
        # past it: one that the log never saw, one that it saw less often, one with a secret in it
        async with await psycopg.AsyncConnection.connect(house.dsn()) as agent:
            await agent.execute("SELECT name FROM products WHERE id = 9")
        with psycopg.connect(house.direct(), autocommit=True) as thief:
            thief.execute("SELECT email FROM customers WHERE id = 7")
            thief.execute("SELECT name FROM products WHERE id = 8")
            thief.execute(f"ALTER ROLE {LOGIN} SET work_mem = '5MB'")
        code, told = await watch("--json")
        assert code == 1, told

        past = {one["sql"]: (one["calls"], one["through"]) for one in json.loads(told)["past"]}
        assert past == {
            "SELECT email FROM customers WHERE id = $1": (1, 0),
            "SELECT name FROM products WHERE id = $1": (2, 1),
            f"ALTER ROLE {LOGIN} SET work_mem = $1": (1, 0),
        }
        # what was told once is not told again
        code, told = await watch()
        assert code == 0, told
        with psycopg.connect(counting.dsn("postgres"), autocommit=True) as admin:
            admin.execute("SELECT pg_stat_statements_reset()")
        code, told = await watch()
        assert code == 1
        assert "was reset at" in told


def _csvlog(*messages: str, zone: str = "UTC", user: str = LOGIN) -> io.StringIO:
    quoted = [message.replace('"', '""') for message in messages]
    return io.StringIO("".join(
        f'2026-03-01 12:00:0{n}.5 {zone},"{user}","shop",7,"[local]","s",1,"SELECT","t","v",0,LOG,00000,'
        f'"{message}",,,,,,,,,"psql","client backend",,0\n'
        for n, message in enumerate(quoted)
    ))  # fmt: skip


def test_what_pgaudit_writes_is_read() -> None:
    lines = _csvlog(
        'AUDIT: SESSION,1,1,READ,SELECT,,,"SELECT email FROM customers WHERE id = 7",<not logged>',
        "AUDIT: SESSION,2,1,READ,SELECT,,,<previously logged>,<previously logged>",
        "checkpoint complete",
        "AUDIT: SESSION,3,1,WRITE,DELETE,,,DELETE FROM orders,<not logged>",
    )
    found = list(bypass.pgaudit(lines, "shop", {LOGIN}))
    assert [ran.sql for _, ran in found] == ["SELECT email FROM customers WHERE id = 7", "DELETE FROM orders"]
    assert (
        list(bypass.pgaudit(_csvlog("AUDIT: SESSION,1,1,READ,SELECT,,,SELECT 1,", user="x"), "shop", {LOGIN}))
        == []
    )
    counted, past = bypass.compare(
        [ran for _, ran in found], dict.fromkeys(bypass.fingerprints("DELETE FROM orders"), 1)
    )
    assert (counted, [one.sql for one in past]) == (2, ["SELECT email FROM customers WHERE id = $1"])
    for wrong in (io.StringIO("a,b\n"), _csvlog("AUDIT: SESSION,1,1,READ,SELECT,,,SELECT 1,", zone="CET")):
        with pytest.raises(bypass.BypassError):
            list(bypass.pgaudit(wrong, "shop", {LOGIN}))


def test_the_planner_is_asked_no_more_often_than_something_is_held() -> None:
    asked = bypass.Ran("r", f"{planner.PLAN}DELETE FROM orders WHERE id = $1", 2)
    (part,) = bypass.fingerprints("DELETE FROM orders WHERE id = 7")
    for holds, past in ((2, []), (1, [(2, 1)]), (0, [(2, 0)])):
        _, found = bypass.compare([asked], {f"{bypass.PLANNED}{part}": holds})
        assert [(one.calls, one.through) for one in found] == past
    # leave to ask is no leave to run, or to ask for more
    for sql in (
        "DELETE FROM orders WHERE id = $1",
        f"{planner.PLAN}DELETE FROM orders",
        "EXPLAIN ANALYZE DELETE FROM orders WHERE id = $1",
    ):
        assert bypass.compare([bypass.Ran("r", sql, 1)], {f"{bypass.PLANNED}{part}": 1})[1]
    # what holds for one transaction only touches nothing by itself
    for sql, kinds in (("SET LOCAL ROLE x", 0), ("SET ROLE x", 1), ("ALTER ROLE x SET work_mem = 1", 1)):
        assert bypass.compare([bypass.Ran("r", sql, 1)], {})[0] == kinds


def test_no_secret_is_named() -> None:
    ran = [bypass.Ran("r", "ALTER ROLE x PASSWORD 'hunter2'", 1), bypass.Ran("r", "ALTER 'hunter2'", 1)]
    _, past = bypass.compare(ran, {})
    assert len(past) == 2
    assert "hunter2" not in repr(past)
