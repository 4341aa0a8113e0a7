"""Holds on the wire: everything that can happen to a client, a server and their bytes while a person decides.

Elsewhere: CancelRequest, a cut socket, locks in `test_waiting.py`; shutdown in `test_the_house_says_goodbye`
of `tests/proxy/test_listener.py`; every case as a playbook in `tests/session/test_session.py`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import psycopg
import pytest

from firewall import wire
from firewall.approval import State
from firewall.proxy import conversation, holding
from firewall.proxy.link import Link
from firewall.session.session import MAX_QUEUED
from tests.proxy.client import Client

if TYPE_CHECKING:
    from house import House

    from firewall.proxy.conversation import Conversation

pytestmark = pytest.mark.asyncio(loop_scope="session")

DELETE = "DELETE FROM orders WHERE id = -1"
SESSIONS = """SELECT pid, state, backend_xmin, (SELECT count(*) FROM pg_locks AS l WHERE l.pid = a.pid)
              FROM pg_stat_activity AS a WHERE usename = 'firewall_login' AND datname = current_database()
              AND application_name = %s"""


async def _client(house: House, name: str = "held", **more: str) -> Client:
    client = await Client.connect(house.app.port)
    pairs = {"application_name": name, **more}
    messages = await client.log_in(house.agent, house.token, pairs=tuple(pairs.items()))
    assert isinstance(messages[-1], wire.ReadyForQuery), messages
    return client


async def _held(house: House, client: Client, *sent: bytes) -> str:
    waiting = asyncio.ensure_future(house.next_hold())
    client.send(*sent or [wire.Query(DELETE).encode()])
    return (await waiting).id


async def _settled(house: House, hold: str) -> State:
    async with asyncio.timeout(20):
        return (await house.app.desk.settled(hold)).state


def _upstream(house: House, name: str) -> list[tuple[int, str, object, int]]:
    """The server's sessions of this name: pid, state, snapshot, locks."""
    with psycopg.connect(house.postgres.dsn(house.database), autocommit=True) as admin:
        return admin.execute(SESSIONS, [name]).fetchall()


async def _gone(house: House, name: str) -> None:
    async with asyncio.timeout(10):
        while _upstream(house, name):
            await asyncio.sleep(0.01)


async def _notice(client: Client) -> str:
    message = await client.message()
    assert isinstance(message, wire.NoticeResponse), message
    return message.message


async def test_it_is_told_at_once_and_again_and_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assert holding.REMINDER_SECONDS == 30
    monkeypatch.setattr(holding, "REMINDER_SECONDS", 0.05)
    async with await _client(house) as client:
        hold = await _held(house, client)
        assert hold in await _notice(client)
        for _ in range(3):
            assert f"hold {hold} is still pending" in await _notice(client)
        await house.decide(approve=False, reason="no")
        rest = await client.until(wire.ReadyForQuery)
        assert [m.sqlstate for m in rest if isinstance(m, wire.ErrorResponse)] == ["QF001"]


async def test_a_client_that_says_terminate_withdraws(house: House) -> None:
    async with await _client(house, "says-terminate") as client:
        hold = await _held(house, client)
        client.send(wire.Terminate().encode())
        assert await _settled(house, hold) is State.WITHDRAWN
        await client.until(wire.ReadyForQuery)
        assert await client.take(1) == b""
    await _gone(house, "says-terminate")


@pytest.mark.parametrize("how", ["reset", "half"])
async def test_a_client_that_vanishes_withdraws(house: House, how: str) -> None:
    async with await _client(house, f"vanishes-{how}") as client:
        hold = await _held(house, client)
        if how == "half":
            client.end()
        else:
            raw = client.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.abort()
        assert await _settled(house, hold) is State.WITHDRAWN
    await _gone(house, f"vanishes-{how}")


async def test_what_is_pipelined_behind_it_is_not_taken_without_bound(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, deliver = [0], Link._deliver
    links: set[Link] = set()

    def count(link: Link, data: bytes) -> None:
        if link.on_pressure is not None and link._on_made is not None:
            links.add(link)
            taken[0] += len(data)
        deliver(link, data)

    monkeypatch.setattr(conversation, "KNOCK_SECONDS", 0.1)
    async with await _client(house) as client:
        hold = await _held(house, client)
        monkeypatch.setattr(Link, "_deliver", count)
        # 300 statements of a mebibyte each
        one = wire.Query(f"SELECT 1 -- {'x' * (1 << 20)}").encode()
        sending = asyncio.ensure_future(_send_all(client, one, 300))
        async with asyncio.timeout(20):
            while not any(link._paused for link in links):
                await asyncio.sleep(0.01)
        for _ in range(50):
            await asyncio.sleep(0)
        [link] = links
        assert link._paused
        # the bound, and what one read may bring
        assert MAX_QUEUED < taken[0] < MAX_QUEUED + 3 * (1 << 20)
        assert not sending.done()
        client.abort()
        with pytest.raises((ConnectionResetError, RuntimeError)):  # the latter is uvloop's word for it
            await sending
    # its last byte is behind more than the window lets through: what it is sent meanwhile finds it gone
    assert await _settled(house, hold) is State.WITHDRAWN


@pytest.mark.parametrize("how", ["reset", "half"])
async def test_a_client_that_vanishes_behind_full_back_pressure_withdraws(house: House, how: str) -> None:
    name = f"behind-{how}"
    assert holding.REMINDER_SECONDS > 20  # what `_settled` waits: no reminder finds it
    async with await _client(house, name) as client:
        hold = await _held(house, client)
        assert hold in await _notice(client)
        client.send(wire.Query(f"SELECT 1 -- {'x' * MAX_QUEUED}").encode())
        async with asyncio.timeout(20):
            while not any(one._front._paused for one in _conversations(house)):
                await asyncio.sleep(0.01)
        client.send(wire.Query("SELECT 'this stays unread'").encode())
        if how == "half":
            client.end()
        else:
            raw = client.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.abort()
        assert await _settled(house, hold) is State.WITHDRAWN
    await _gone(house, name)


def _conversations(house: House) -> list[Conversation]:
    assert house.app._listener is not None
    return list(house.app._listener._conversations.values())


async def _send_all(client: Client, one: bytes, times: int) -> None:
    for _ in range(times):
        client.send(one)
        await client.drain()


async def test_what_is_pipelined_behind_it_is_answered_in_order(house: House) -> None:
    async with await _client(house) as client:
        await _held(house, client)
        for number in range(20):
            client.send(wire.Query(f"SELECT {number} AS n").encode())
        await house.decide(approve=True)
        first = await client.until(wire.ReadyForQuery)
        assert [m.tag for m in first if isinstance(m, wire.CommandComplete)] == ["DELETE 0"]
        for number in range(20):
            answer = await client.until(wire.ReadyForQuery)
            assert [m.values for m in answer if isinstance(m, wire.DataRow)] == [(str(number).encode(),)]


async def test_a_server_that_dies_withdraws_and_is_told_of(house: House) -> None:
    async with await _client(house, "server-dies") as client:
        hold = await _held(house, client)
        [(pid, *_)] = _upstream(house, "server-dies")
        with psycopg.connect(house.postgres.dsn(house.database), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        last = await client.error()
        assert (last.severity, last.sqlstate) == ("FATAL", "57P01")
        assert await _settled(house, hold) is State.WITHDRAWN


async def test_statement_timeout_does_not_run_while_it_waits(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "REMINDER_SECONDS", 0.1)
    async with await _client(house, statement_timeout="100") as client:
        await _held(house, client)
        # three reminders are three times as long as a statement may take
        for _ in range(4):
            await _notice(client)
        await house.decide(approve=True)
        rest = await client.until(wire.ReadyForQuery)
        assert [m.tag for m in rest if isinstance(m, wire.CommandComplete)] == ["DELETE 0"]
        client.send(wire.Query("SELECT count(*) FROM generate_series(1, 1000000000)").encode())
        rest = await client.until(wire.ReadyForQuery)
        assert [m.sqlstate for m in rest if isinstance(m, wire.ErrorResponse)] == ["57014"]


async def test_postgres_does_not_take_it_for_idle_while_it_waits(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "REMINDER_SECONDS", 0.1)
    async with await _client(house, idle_session_timeout="500") as client:
        await _held(house, client)
        # these reminders take twice the time
        for _ in range(11):
            await _notice(client)
        await house.decide(approve=True)
        rest = await client.until(wire.ReadyForQuery)
        assert [m.tag for m in rest if isinstance(m, wire.CommandComplete)] == ["DELETE 0"]
        # and when it waits for nothing it is idle
        assert (await client.error()).sqlstate == "57P05"


async def test_a_transaction_that_waits_too_long_for_postgres_is_ended_by_it(house: House) -> None:
    """Its locks are in others' way, whoever it waits for."""
    async with await _client(house, idle_in_transaction_session_timeout="300") as client:
        client.send(wire.Query("BEGIN").encode())
        await client.until(wire.ReadyForQuery)
        hold = await _held(house, client)
        assert (await client.error()).sqlstate == "25P03"
        assert await _settled(house, hold) is State.WITHDRAWN


def _extended(sql: str) -> bytes:
    return b"".join(m.encode() for m in (wire.Parse("", sql), wire.Bind("", ""), wire.Execute("", 0)))


SYNC = wire.Sync().encode()
READ = "SELECT count(*) FROM products"


async def test_in_a_pipeline_it_keeps_no_snapshot_or_lock_behind_a_sync(house: House) -> None:
    async with await _client(house, "pipelined") as client:
        await _held(house, client, _extended(READ), SYNC, _extended(DELETE), SYNC, _extended(READ), SYNC)
        [(_, *state)] = _upstream(house, "pipelined")
        assert state == ["idle", None, 0]
        await house.decide(approve=True)
        answers = [await client.until(wire.ReadyForQuery) for _ in range(3)]
        tags = [m.tag for answer in answers for m in answer if isinstance(m, wire.CommandComplete)]
        assert tags == ["SELECT 1", "DELETE 0", "SELECT 1"]


async def test_within_one_implicit_transaction_it_keeps_what_that_needs(house: House) -> None:
    """What ran before it in the same transaction must not be committed by a Sync of ours."""
    async with await _client(house, "implicit") as client:
        await _held(house, client, _extended(READ), _extended(DELETE), SYNC)
        [(_, state, _, locks)] = _upstream(house, "implicit")
        assert state in {"active", "idle in transaction"}
        assert locks > 0
        await house.decide(approve=False, reason="no")
        answer = await client.until(wire.ReadyForQuery)
        assert [m.sqlstate for m in answer if isinstance(m, wire.ErrorResponse)] == ["QF001"]
        assert answer[-1] == wire.ReadyForQuery("I")
