"""psycopg 3 through the firewall: what flows, what waits, what is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
from house import SECURITY

if TYPE_CHECKING:
    from house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_unlabelled_read_flows(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn()) as connection:
        cursor = await connection.execute("SELECT sku, price FROM products WHERE stock > %s ORDER BY id", [0])
        rows = await cursor.fetchall()
    assert len(rows) > 1


async def test_a_labelled_read_waits_for_approval(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        notices: list[str] = []
        connection.add_notice_handler(lambda d: notices.append(d.message_primary or ""))
        deciding = asyncio.create_task(house.decide(approve=True, person=SECURITY))
        cursor = await connection.execute("SELECT card_number FROM payments ORDER BY id LIMIT 3")
        assert len(await cursor.fetchall()) == 3
        hold = await deciding
    assert any(hold.id in notice for notice in notices)


async def test_a_rejected_delete_is_a_native_error(house: House) -> None:
    before = house.count("orders")
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        deciding = asyncio.create_task(house.decide(approve=False, reason="use the archive"))
        with pytest.raises(psycopg.Error) as raised:
            await connection.execute("DELETE FROM orders WHERE id = %s", [1])
        hold = await deciding
        assert hold.id in str(raised.value)
        assert "use the archive" in str(raised.value)
        assert raised.value.sqlstate == "QF001"
        assert (await (await connection.execute("SELECT 1")).fetchone()) == (1,)
    assert house.count("orders") == before


async def test_a_grant_is_denied(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn()) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="denied by rule"):
            await connection.execute("GRANT ALL ON customers TO PUBLIC")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        await connection.rollback()
        assert (await (await connection.execute("SELECT 1")).fetchone()) == (1,)


async def test_a_misspelt_table_is_postgres_own_error(house: House) -> None:
    pending = len(await house.app.store.holds())
    async with await psycopg.AsyncConnection.connect(house.dsn()) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable) as raised:
            await connection.execute("SELECT * FROM custmers")
    assert raised.value.diag.statement_position == "15"
    assert len(await house.app.store.holds()) == pending


async def test_dropping_what_is_not_there_is_for_nobody_to_decide_but_only_then(house: House) -> None:
    drop = "DROP TABLE IF EXISTS nobody_has_this CASCADE"
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        await connection.execute(drop)
        await connection.execute(drop, prepare=True)
        with psycopg.connect(house.postgres.dsn(house.database), autocommit=True) as other:
            other.execute("CREATE TABLE nobody_has_this (a int)")
        # the catalog that was read has no such table, but what Postgres has counts
        waiting = asyncio.create_task(connection.execute(drop))
        await house.decide(approve=False, reason="it is there")
        with pytest.raises(psycopg.Error, match="it is there"):
            await waiting
    assert house.count("nobody_has_this") == 0
