"""Who comes in, how many, who may cancel whom, and how it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from firewall import wire
from firewall.proxy import door
from firewall.proxy import listener as listeners
from tests.e2e.house import OWNER, House, open_house
from tests.proxy.client import Client

if TYPE_CHECKING:
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _signed_in(house: House, minor: int = 0) -> tuple[Client, wire.BackendKeyData]:
    client = await Client.connect(house.app.port)
    messages = await client.log_in(house.agent, house.token, minor=minor)
    return client, next(m for m in messages if isinstance(m, wire.BackendKeyData))


async def _held(house: House, client: Client) -> str:
    """A delete that waits; the id of its hold."""
    waiting = asyncio.ensure_future(house.next_hold())
    client.send(wire.Query("DELETE FROM orders").encode())
    return (await waiting).id


async def _cancel(house: House, pid: int, key: bytes) -> None:
    async with await Client.connect(house.app.port) as other:
        other.send(wire.CancelRequest(pid, key).encode())
        assert await other.take(1) == b""


@pytest.mark.parametrize("minor", [0, 2])
async def test_the_right_key_withdraws_a_held_statement(house: House, minor: int) -> None:
    client, key = await _signed_in(house, minor)
    async with client:
        hold = await _held(house, client)
        await _cancel(house, key.pid, key.key)
        got = await client.until(wire.ReadyForQuery)
        errors = [message for message in got if isinstance(message, wire.ErrorResponse)]
        assert [error.sqlstate for error in errors] == ["57014"]
    found = await house.app.store.hold(hold)
    assert found is not None
    assert found.state.value == "withdrawn"


@pytest.mark.parametrize("minor", [0, 2])
async def test_a_wrong_key_cancels_nothing(house: House, minor: int) -> None:
    client, key = await _signed_in(house, minor)
    async with client:
        hold = await _held(house, client)
        for pid, guess in (
            (key.pid, bytes(len(key.key))),
            (key.pid + 1, key.key),
            (key.pid, key.key + b"x"),
            (key.pid, key.key[:4] if minor else key.key * 8),
        ):
            await _cancel(house, pid, guess)
        found = await house.app.store.hold(hold)
        assert found is not None
        assert found.state.value == "pending"
        client.send(wire.Terminate().encode())


async def test_a_running_statement_is_cancelled_upstream(house: House) -> None:
    """By psycopg, which opens another connection for it as libpq does."""
    connection = await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True)
    async with connection:
        running = asyncio.ensure_future(
            connection.execute(
                "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"
            )
        )
        while not running.done():
            await asyncio.sleep(0.05)
            await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await running
        cursor = await connection.execute("SELECT 1")
        assert await cursor.fetchone() == (1,)


async def test_a_client_that_goes_takes_its_hold_along(house: House) -> None:
    client, _ = await _signed_in(house)
    async with client:
        hold = await _held(house, client)
    found = await asyncio.wait_for(house.app.desk.settled(hold), 10)
    assert found.state.value == "withdrawn"


async def test_an_open_session_is_recorded_from_beginning_to_end(house: House) -> None:
    await _room(house, 0)
    client, _ = await _signed_in(house)
    async with client:
        opened = (await house.records("session"))[-1]
        client.send(wire.Terminate().encode())
        assert await client.take(1) == b""
    async with asyncio.timeout(10):
        while (closed := (await house.records("session"))[-1])["event"] != "closed":
            await asyncio.sleep(0)
    assert (opened["event"], opened["owner"]) == ("opened", OWNER)
    assert (closed["session"], closed["why"]) == (opened["session"], "the client said goodbye")


async def _room(house: House, guests: int) -> None:
    """Until no more than so many are inside; the last word on those who left is being written."""
    listener = house.app._listener
    assert listener is not None
    async with asyncio.timeout(10):
        while listener._admitted > guests:
            await asyncio.sleep(0.01)


async def test_more_than_the_house_holds_are_turned_away_and_room_is_given_back(house: House) -> None:
    await _room(house, 0)
    inside: list[Client] = []
    try:
        while True:
            client = await Client.connect(house.app.port)
            inside.append(client)
            last = (await client.log_in(house.agent, house.token))[-1]
            if isinstance(last, wire.ErrorResponse):
                break
            assert len(inside) <= 20
        assert last.sqlstate == "53300"
        assert len(inside) == 21
        async with inside.pop(0) as first:
            first.send(wire.Terminate().encode())
            assert await first.take(1) == b""
        await _room(house, 19)
        async with await Client.connect(house.app.port) as client:
            assert isinstance((await client.log_in(house.agent, house.token))[-1], wire.ReadyForQuery)
    finally:
        for client in inside:
            await client.__aexit__()


async def test_strangers_are_bounded_and_do_not_shut_others_out_for_long(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "MAX_STRANGERS", 30)
    strangers = [await Client.connect(house.app.port) for _ in range(30)]
    async with await Client.connect(house.app.port) as client:
        refused = await client.error()
        assert refused.sqlstate == "53300"
    # their two seconds pass
    for stranger in strangers:
        assert (await stranger.error()).sqlstate == "08006"
    async with await Client.connect(house.app.port) as client:
        assert isinstance((await client.log_in(house.agent, house.token))[-1], wire.ReadyForQuery)
    for stranger in strangers:
        await stranger.__aexit__()


async def test_a_thousand_connections_that_say_nothing_cost_those_inside_nothing(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    """And the log as many records as it takes; the others are counted (`tests/proxy/test_door.py`)."""
    silent: list[Client] = []
    async with open_house(postgres, shop, tmp_path, login_timeout=3) as house:
        inside, _ = await _signed_in(house)
        for _ in range(10):
            silent += await asyncio.gather(*(Client.connect(house.app.port) for _ in range(100)))
            inside.send(wire.Query("SELECT 1").encode())
            assert isinstance((await inside.until(wire.ReadyForQuery))[-1], wire.ReadyForQuery)
        ends = await asyncio.gather(*(client.error() for client in silent))
        # the time of those who were let in was over; the others were too many
        assert Counter(end.sqlstate for end in ends) == {
            "08006": listeners.MAX_STRANGERS,
            "53300": 1000 - listeners.MAX_STRANGERS,
        }
        async with await Client.connect(house.app.port) as client:
            assert isinstance((await client.log_in(house.agent, house.token))[-1], wire.ReadyForQuery)
        refused = [r for r in await house.records("session") if r["event"] == "refused"]
        assert len(refused) == door.MAX_RECORDS
        for client in (inside, *silent):
            await client.__aexit__()


async def test_logins_at_the_same_time_cannot_exceed_the_bound(house: House) -> None:
    await _room(house, 0)
    clients = [await Client.connect(house.app.port) for _ in range(25)]
    ends = await asyncio.gather(*(client.log_in(house.agent, house.token) for client in clients))
    inside = [end for end in ends if isinstance(end[-1], wire.ReadyForQuery)]
    assert len(inside) == 20
    for client in clients:
        await client.__aexit__()


async def test_the_house_says_goodbye(postgres: EmbeddedPostgres, shop: str, tmp_path: Path) -> None:
    """To the idle and the waiting at once, to the silent without a word, to the running when it is done."""
    async with open_house(postgres, shop, tmp_path) as house:
        idle, _ = await _signed_in(house)
        waiting, _ = await _signed_in(house)
        hold = await _held(house, waiting)
        running, _ = await _signed_in(house)
        running.send(wire.Query("SELECT count(*) FROM generate_series(1, 2000000)").encode())
        silent = await Client.connect(house.app.port)
        while house.app._listener is None or len(house.app._listener._strangers) < 1:
            await asyncio.sleep(0)
        await asyncio.wait_for(house.app._listener.close(), listeners.DRAIN_SECONDS)
        assert (await idle.error()).sqlstate == "57P01"
        assert (await waiting.error()).sqlstate == "57P01"
        last = await running.until(wire.ErrorResponse)
        assert any(isinstance(message, wire.CommandComplete) for message in last) or "57P01" in str(last)
        assert await silent.take(1) == b""
        found = await house.app.store.hold(hold)
        assert found is not None
        assert found.state.value == "withdrawn"
        records = await house.records("session")
        assert sorted(str(record["event"]) for record in records) == ["closed"] * 3 + ["opened"] * 3
        assert all("shutting down" in str(r["why"]) for r in records if r["event"] == "closed")
        for client in (idle, waiting, running, silent):
            await client.__aexit__()


async def test_the_database_login_that_fails_is_no_business_of_the_agent(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    async with open_house(postgres, shop, tmp_path) as house:
        guarded = house.app._listener._house.databases["shop"]  # type: ignore[union-attr]
        object.__setattr__(guarded, "database", guarded.database.model_copy(update={"user": "nobody_here"}))
        async with await Client.connect(house.app.port) as client:
            refused = (await client.log_in(house.agent, house.token))[-1]
            assert isinstance(refused, wire.ErrorResponse)
            assert refused.sqlstate == "08004"
            assert "nobody_here" not in str(refused.fields)
