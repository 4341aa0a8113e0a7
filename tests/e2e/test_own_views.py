"""An agent asks about itself, in whatever protocol and format its driver likes, and says why it asks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
from house import DBA

from firewall import credentials
from firewall.approval import State

if TYPE_CHECKING:
    from house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT = "DELETE FROM orders WHERE id = -77 /*ticket='OPS-9',traceparent='00-1-2-01'*/"
VIEW = "SELECT id, state, quorum, opened_at, statement FROM firewall.holds WHERE id = %s"


async def _rejected(house: House, connection: psycopg.AsyncConnection) -> str:
    asked = asyncio.create_task(connection.execute(TEXT))
    hold = await house.decide(approve=False, reason="not 'now'", person=DBA)
    with pytest.raises(psycopg.Error):
        await asked
    return hold.id


async def test_it_sees_its_holds_as_they_are_now_however_it_asks(house: House) -> None:
    async with (
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection,
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as other,
    ):
        asked = asyncio.create_task(connection.execute(TEXT))
        hold = await house.next_hold()
        # prepared once, answered anew each time
        for binary in (False, True, False):
            cursor = other.cursor(binary=binary)
            await cursor.execute(VIEW, [hold.id], prepare=True)
            assert await cursor.fetchall() == [(hold.id, "pending", 1, hold.opened_at, TEXT)]
        await house.decide(approve=False, reason="not 'now'", person=DBA)
        with pytest.raises(psycopg.Error):
            await asked
        await cursor.execute(VIEW, [hold.id], prepare=True)
        assert (await cursor.fetchall())[0][1] == "rejected"
        simple = await connection.execute(f"SELECT reason FROM firewall.holds h WHERE h.id = '{hold.id}'")
        assert await simple.fetchall() == [("not 'now'",)]
    driver = await asyncpg.connect(house.dsn())
    try:
        for _ in range(2):
            rows = await driver.fetch("SELECT state, opened_at FROM firewall.holds WHERE id = $1", hold.id)
            assert [tuple(row) for row in rows] == [("rejected", hold.opened_at)]
        assert await driver.fetch("SELECT * FROM firewall.grants") == []
    finally:
        await driver.close()


async def test_it_sees_nobody_elses(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        await _rejected(house, connection)
    token = await credentials.add_agent(house.app.store, "stranger", owner="x@example.com", issuer="op")
    dsn = house.dsn().replace(f"shopper:{house.token}", f"stranger:{token}")
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        assert await (await connection.execute("SELECT id FROM firewall.holds")).fetchall() == []


async def test_in_a_failed_transaction_it_is_postgres_own_error(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn()) as connection:
        assert await (await connection.execute(VIEW, ["h-x"], prepare=True)).fetchall() == []
        with pytest.raises(psycopg.errors.UndefinedTable):
            await connection.execute("SELECT * FROM nowhere_at_all")
        for prepare in (True, False):
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                await connection.execute(VIEW, ["h-x"], prepare=prepare)
        await connection.rollback()
        assert await (await connection.execute(VIEW, ["h-x"], prepare=True)).fetchall() == []


async def test_what_it_says_is_shown_as_a_claim_and_recorded(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        await connection.execute("SET firewall.intent = 'the customer asked for it'")
        await connection.execute("SELECT set_config('firewall.on_behalf_of', %s, false)", ["kim@example.com"])
        hold_id = await _rejected(house, connection)
    hold = await house.app.desk.hold(hold_id)
    assert hold.state is State.REJECTED
    assert dict(hold.claims) == {
        "intent": "the customer asked for it",
        "on_behalf_of": "kim@example.com",
        "ticket": "OPS-9",
        "traceparent": "00-1-2-01",
    }
    [record] = [r for r in await house.records("hold") if r["hold"] == hold_id]
    assert "intent: the customer asked for it" in record["claims"]
