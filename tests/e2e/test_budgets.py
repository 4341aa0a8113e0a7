"""Rows of a label by the hour, with Postgres behind: exact over sessions, drivers, firewalls and crashes."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
from house import House, open_house

from firewall.budgets import Window

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = """
version: 1
mode: enforce
default: deny
labels: {pii.email: customers.email, pii.name: customers.name}
approvers: {first.dba@example.com: {groups: [dba]}}
approval: {groups: [dba]}
budgets:
  - {name: personal data, labels: pii, rows: 10, per: 1h, why: enough for an hour}
rules:
  - {name: session, allow: [transaction, setting, session, create, insert], why: harmless}
  - {name: exports, allow: copy_out, why: counted}
  - {name: reads, allow: [read, execute], why: counted}
"""
WINDOW = Window("personal data", 10, 3600.0)
READ = "SELECT email FROM customers LIMIT "


@asynccontextmanager
async def counting(postgres: EmbeddedPostgres, shop: str, folder: Path) -> AsyncIterator[House]:
    (folder / "policy.yaml").write_text(POLICY)
    async with open_house(postgres, shop, folder) as house:
        yield house


def connecting(house: House) -> psycopg.AsyncConnection[tuple[object, ...]]:
    return psycopg.AsyncConnection.connect(house.dsn(), autocommit=True)  # type: ignore[return-value]


async def counted(house: House) -> int:
    """Rows that the store counts now, once all that ran has ended."""
    past = house.app.store.past("shop")
    async with asyncio.timeout(30):
        name = secrets.token_hex(4)
        while (taken := await past.take("shopper", name, [WINDOW], most=None)).busy:
            await asyncio.sleep(0.01)
    await past.settle(name, 0)
    return 10 - taken.rows


async def test_many_small_reads_are_one_large_one(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    async with counting(postgres, shop, tmp_path) as house, await connecting(house) as connection:
        for number in range(4):
            # the same text, by the simple and by the extended protocol
            found = await connection.execute(
                READ + ("2" if number % 2 else "%s"), None if number % 2 else [2]
            )
            assert len(await found.fetchall()) == 2
        assert await counted(house) == 8
        # what is not labelled does not count, nor what only tests
        assert await (await connection.execute("SELECT id FROM customers WHERE email <> ''")).fetchall()
        assert await counted(house) == 8
        with pytest.raises(psycopg.Error) as caught:
            await connection.execute(READ + "5")
        assert caught.value.sqlstate == "QF008"
        assert "all that was left of `personal data`" in str(caught.value)
        assert await counted(house) == 10
        held = asyncio.create_task(connection.execute(READ + "5"))
        hold = await house.decide(approve=True)
        assert hold.rule == "personal data"
        assert len(await (await held).fetchall()) == 5
        refused = asyncio.create_task(connection.execute(READ + "1"))
        await house.decide(approve=False)
        with pytest.raises(psycopg.Error) as caught:
            await refused
        assert caught.value.sqlstate == "QF001"


async def test_firewalls_together_return_no_more_than_there_is(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    """Two firewalls on one store on Postgres, both at once."""
    name = f"budgets_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    store = postgres.dsn(name)
    # each sets aside more than it returns, and some wait for others
    policy = POLICY.replace("execute], why: counted", "execute], why: counted, obligations: {max_rows: 3}")
    (tmp_path / "policy.yaml").write_text(policy)
    async with (
        open_house(postgres, shop, tmp_path, store=store) as house,
        open_house(postgres, shop, tmp_path, token=house.token, store=store) as other,
    ):
        got = 0

        async def read(which: House) -> None:
            nonlocal got
            connection = await asyncpg.connect(which.dsn())
            try:
                while True:
                    rows = await connection.fetch("SELECT email FROM customers LIMIT 1")
                    got += len(rows)
            except asyncpg.PostgresError as error:
                assert error.sqlstate == "QF001"  # noqa: PT017 — not of the first that are read
            finally:
                await connection.close()

        async def reject() -> None:
            while True:
                await house.decide(approve=False)

        rejecting = asyncio.create_task(reject())
        try:
            await asyncio.gather(*(read(which) for which in (house, other)))
        finally:
            rejecting.cancel()
        assert got == 10
        assert await counted(house) == 10


async def test_what_ends_early_gives_back_what_it_did_not_return(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    async with counting(postgres, shop, tmp_path) as house:
        connection = await asyncpg.connect(house.dsn())
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetch("SELECT email, 1 / (id - id) FROM customers")
        with pytest.raises(asyncpg.UndefinedColumnError):
            await connection.fetch("SELECT nothing, email FROM customers")
        assert await counted(house) == 0
        async with connection.transaction():
            cursor = await connection.cursor("SELECT email FROM customers")
            assert len(await cursor.fetch(3)) == 3
            # it could still return all others
            past = house.app.store.past("shop")
            assert (await past.take("shopper", "probe", [WINDOW], most=None)).busy
        assert await counted(house) == 3
        # cursors of SQL and several statements at once could not be counted
        for refused in ("DECLARE c CURSOR FOR SELECT email FROM customers", f"{READ} 1; {READ} 1"):
            with pytest.raises(asyncpg.FeatureNotSupportedError):
                await connection.execute(refused)
        tables = await connection.fetch("SELECT email FROM customers LIMIT 2")
        connection.terminate()
        assert len(tables) == 2
        assert await counted(house) == 5
        async with (
            await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as other,
            other.cursor() as rows,
            rows.copy(f"COPY ({READ} 4) TO STDOUT") as copy,
        ):
            assert len([row async for row in copy.rows()]) == 4
        assert await counted(house) == 9


async def test_what_was_set_aside_when_a_firewall_died_counts(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    async with counting(postgres, shop, tmp_path) as house:
        await house.app.store.past("shop").take("shopper", "of.1", [WINDOW], most=7)
    async with open_house(postgres, shop, tmp_path, token=house.token) as house:
        assert await counted(house) == 7


async def test_observing_counts_and_stops_nothing(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY.replace("mode: enforce", "mode: observe"))
    async with open_house(postgres, shop, tmp_path) as house:
        connection = await asyncpg.connect(house.dsn())
        for _ in range(3):
            assert len(await connection.fetch(READ + "8")) == 8
        await connection.close()
        async with asyncio.timeout(30):
            while len(found := await house.records("outcome")) < 3:
                await asyncio.sleep(0.01)
        assert [r["verdict"] for r in await house.records("judgement") if "customers" in str(r["sql"])] == [
            *("allow", "allow"),
            "hold",
        ]
        assert sum(int(str(r["rows"])) for r in found) == 24
