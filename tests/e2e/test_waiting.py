"""What can happen while a statement waits, and after: cancel, disconnect, expiry, transactions."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
from house import DBA, OWNER, SECURITY, open_house, policy_text

from firewall.approval import Counted, Refused, State

if TYPE_CHECKING:
    from pathlib import Path

    from house import House

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _settled(house: House, hold_id: str) -> State:
    async with asyncio.timeout(20):
        return (await house.app.desk.settled(hold_id)).state


async def test_cancelling_a_held_statement_withdraws_the_hold(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        asking = asyncio.create_task(connection.execute("DELETE FROM orders"))
        hold = await house.next_hold()
        await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await asking
        assert await _settled(house, hold.id) is State.WITHDRAWN
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_cancelling_a_running_statement_reaches_postgres(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        endless = "SELECT count(*) FROM generate_series(1, 1000000000)"
        asking = asyncio.create_task(connection.execute(endless))
        async with asyncio.timeout(20):
            while not _running(house, endless):
                await asyncio.sleep(0.02)
        await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await asking
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


def _running(house: House, text: str) -> bool:
    with psycopg.connect(house.postgres.dsn(house.database)) as admin:
        query = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = %s"
        return admin.execute(query, [text]).fetchone() is not None


async def test_a_client_that_goes_away_withdraws_its_hold(house: House) -> None:
    connection = await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True)
    asking = asyncio.create_task(connection.execute("DELETE FROM orders"))
    hold = await house.next_hold()
    # not a polite Terminate: the socket is cut
    with socket.socket(fileno=connection.fileno()) as raw:
        raw.shutdown(socket.SHUT_RDWR)
        raw.detach()
    with pytest.raises(psycopg.OperationalError):
        await asking
    assert await _settled(house, hold.id) is State.WITHDRAWN


async def test_a_hold_expires_with_a_native_error(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(policy_text(expires="1s"))
    async with open_house(postgres, shop, tmp_path) as house:
        async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
            with pytest.raises(psycopg.Error, match="expired") as raised:
                await connection.execute("DELETE FROM orders")
            assert raised.value.sqlstate == "QF002"
            assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
        [hold] = await house.app.store.holds([State.EXPIRED])
        late = await house.app.desk.vote(hold.id, DBA, approve=True, reason="", channel="cli")
        assert isinstance(late, Refused)


async def test_nobody_approves_their_own(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        asking = asyncio.create_task(connection.execute("DELETE FROM orders"))
        hold = await house.next_hold()
        for person in (OWNER, "shopper", "operator", "stranger@example.com", SECURITY):
            word = await house.app.desk.vote(hold.id, person, approve=True, reason="", channel="cli")
            assert isinstance(word, Refused), person
        word = await house.app.desk.vote(hold.id, DBA, approve=False, reason="no", channel="cli")
        assert isinstance(word, Counted)
        with pytest.raises(psycopg.Error):
            await asking


async def test_an_approved_write_inside_a_transaction_can_still_be_rolled_back(house: House) -> None:
    before = house.count("order_items")
    async with await psycopg.AsyncConnection.connect(house.dsn()) as connection:
        deciding = asyncio.create_task(house.decide(approve=True))
        cursor = await connection.execute("DELETE FROM order_items WHERE order_id = %s", [2])
        await deciding
        assert cursor.rowcount > 0
        await connection.rollback()
    assert house.count("order_items") == before


async def test_a_refusal_in_a_transaction_can_be_rolled_back_to_a_savepoint(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn()) as connection:
        await connection.execute("SELECT 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with connection.transaction():
                await connection.execute("GRANT ALL ON customers TO PUBLIC")
        assert await (await connection.execute("SELECT 2")).fetchone() == (2,)


async def test_a_held_statement_keeps_no_transaction_open_upstream(house: House) -> None:
    connection = await asyncpg.connect(house.dsn())
    try:
        asking = asyncio.create_task(connection.fetch("SELECT email FROM customers WHERE id = $1", 3))
        hold = await house.next_hold()
        with psycopg.connect(house.postgres.dsn(house.database)) as admin:
            query = """SELECT state, backend_xmin, (SELECT count(*) FROM pg_locks AS l WHERE l.pid = a.pid)
                       FROM pg_stat_activity AS a
                       WHERE usename = 'firewall_login' AND datname = current_database()
                         AND application_name NOT LIKE 'query-firewall%'"""
            states = admin.execute(query).fetchall()
        assert states
        assert all(row == ("idle", None, 0) for row in states)
        word = await house.app.desk.vote(hold.id, DBA, approve=True, reason="", channel="cli")
        assert isinstance(word, Counted)
        assert len(await asking) == 1
    finally:
        await connection.close()


async def test_the_log_tells_the_whole_story_and_verifies(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        deciding = asyncio.create_task(house.decide(approve=True))
        await connection.execute("UPDATE products SET stock = stock WHERE sku = 'SKU-0001'")
        hold = await deciding
    async with asyncio.timeout(20):
        while not any(r["kind"] == "outcome" for r in await house.story(hold.id)):
            await asyncio.sleep(0.02)
    kinds = [r["kind"] for r in await house.story(hold.id)]
    assert kinds == ["judgement", "hold", "vote", "decision", "release", "outcome"]
    story = {r["kind"]: r for r in await house.story(hold.id)}
    assert story["release"]["digest"] == story["decision"]["digest"] == story["hold"]["digest"] == hold.digest
    assert story["release"]["leave"] == f"hold {hold.id}"
    assert story["outcome"]["tag"] == "UPDATE 1"
    report = await house.app.store.verify([house.app.key.public])
    assert report.sound
