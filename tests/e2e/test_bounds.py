"""Obligations that sessions see to, with Postgres behind them: rows and time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
from house import House, open_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = """
version: 1
mode: enforce
default: deny
approvers: {dba@example.com: {groups: [dba]}}
approval: {groups: [dba]}
rules:
  - {name: session, allow: [transaction, setting, session, create, insert], why: harmless}
  - {name: exports, allow: copy_out, why: in bounds}
  - {name: reads, allow: [read, execute], why: in bounds, obligations: {max_rows: 5, statement_timeout: 1s}}
"""


@asynccontextmanager
async def bounded(postgres: EmbeddedPostgres, shop: str, folder: Path) -> AsyncIterator[House]:
    (folder / "policy.yaml").write_text(POLICY)
    async with open_house(postgres, shop, folder) as house:
        yield house


async def stopped(house: House) -> list[dict[str, object]]:
    return [r for r in await house.records("outcome") if r["sqlstate"] == "QF005"]


async def test_rows_beyond_do_not_come(postgres: EmbeddedPostgres, shop: str, tmp_path: Path) -> None:
    async with (
        bounded(postgres, shop, tmp_path) as house,
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection,
    ):
        for more in ([], ["%s"]):  # a simple and an extended query
            text = "SELECT id FROM products WHERE true LIMIT "
            values = [5] if more else None
            found = await connection.execute(text + "".join(more or ["5"]), values)
            assert len(await found.fetchall()) == 5
            with pytest.raises(psycopg.Error) as caught:
                await connection.execute(text + "".join(more or ["6"]), [6] if more else None)
            assert caught.value.sqlstate == "QF005"
            assert "stopped after 5 rows" in str(caught.value)
            # it goes on
            found = await connection.execute("SELECT count(*) FROM products")
            assert len(await found.fetchall()) == 1
        endless = "SELECT a.id FROM products a, products b, products c, products d, products e"
        with pytest.raises(psycopg.Error) as caught:
            await connection.execute(endless)
        assert caught.value.sqlstate == "QF005"
        await connection.execute("BEGIN")
        with pytest.raises(psycopg.Error):
            await connection.execute("SELECT id FROM products")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            await connection.execute("SELECT 1 FROM products LIMIT 1")
        await connection.execute("ROLLBACK")
        async with connection.cursor() as cursor:
            with pytest.raises(psycopg.Error) as caught:
                async with cursor.copy("COPY (SELECT id FROM products) TO STDOUT") as copy:
                    [row async for row in copy.rows()]
            assert caught.value.sqlstate == "QF005"
        async with asyncio.timeout(30):
            while len(await stopped(house)) < 5:
                await asyncio.sleep(0.01)
        # what the client got, and no more
        assert [r["rows"] for r in await stopped(house)] == [5] * 5


async def test_what_takes_too_long_ends(postgres: EmbeddedPostgres, shop: str, tmp_path: Path) -> None:
    async with (
        bounded(postgres, shop, tmp_path) as house,
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection,
    ):
        for values in (None, ["60"]):
            with pytest.raises(psycopg.Error) as caught:
                await connection.execute(
                    "SELECT pg_sleep(60) FROM products LIMIT 1"
                    if values is None
                    else "SELECT pg_sleep(%s::float8) FROM products LIMIT 1",
                    values,
                )
            assert caught.value.sqlstate == "QF006", caught.value
            assert await (await connection.execute("SELECT count(*) FROM products")).fetchone()


async def test_portals_are_counted_and_cursors_refused(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    async with bounded(postgres, shop, tmp_path) as house:
        connection = await asyncpg.connect(house.dsn())
        try:
            async with connection.transaction():
                cursor = await connection.cursor("SELECT id FROM products")
                assert len(await cursor.fetch(4)) == 4
                with pytest.raises(asyncpg.PostgresError) as caught:
                    await cursor.fetch(4)
                assert caught.value.sqlstate == "QF005"
                raise asyncpg.exceptions.InterfaceError("over")  # noqa: TRY301 — the transaction has failed
        except asyncpg.exceptions.InterfaceError:
            pass
        for refused in (
            "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM products",
            "SELECT id FROM products LIMIT 1; SELECT id FROM products LIMIT 1",
            "FETCH ALL FROM c",
        ):
            with pytest.raises(asyncpg.FeatureNotSupportedError):
                await connection.execute(refused)
        await connection.close()
