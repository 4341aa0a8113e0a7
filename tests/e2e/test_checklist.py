"""What has gone wrong in other proxies, line by line, through a real server; each name says the line.

Lines that other tests hold already:

- SSLRequest and GSSENCRequest in either order, plaintext behind them, direct TLS with ALPN, start-ups in
  pieces or too long, floods, hostile SCRAM, `VALID UNTIL`: `tests/proxy/test_login.py`, `test_bad_input.py`;
  by libpq in every version and with channel binding: `tests/proxy/test_libpq.py`; client certificates:
  `tests/proxy/test_certified.py`.
- Each of these ends in a record: `test_each_bad_beginning_ends_in_a_record` in `tests/proxy/test_login.py`.
- TLS without close_notify, bytes buffered behind the handshake: `tests/proxy/test_link.py`.
- Hostile SCRAM, `y` where -PLUS was offered, authzid, certificates without a binding hash:
  `tests/wire/test_scram.py`.
- options, repeated and forbidden start-up parameters, search paths: `tests/proxy/test_parameters.py`.
- SQLSTATEs of failed start-ups, servers without cancel keys: `tests/proxy/test_upstream.py`; what leaks:
  `tests/e2e/test_secrets.py`.
- Wrong and lost keys, cancel before TLS, drain, thousands who say nothing: `tests/proxy/test_listener.py`,
  `tests/proxy/test_login.py`; slow start-ups: `test_who_is_slow_is_sent_away` there.
- A slow client: `tests/proxy/test_conversation.py`. Holds: `test_held.py`, `test_waiting.py`; a client that
  dies while nothing is read from it: `tests/proxy/test_hangup.py`.
- CopyBoth, late CopyData, injected messages, as playbooks: `tests/session/test_backend.py`, `test_turn.py`.
- What parsers do with hostile texts: `tests/sql`, `tests/test_workers.py`; caches in bytes:
  `tests/test_gate.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from firewall import credentials, wire
from firewall.approval import State
from firewall.proxy import conversation
from tests.proxy.client import Client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres

from house import OWNER, House, open_house, policy_text

pytestmark = pytest.mark.asyncio(loop_scope="session")

SYNC, FLUSH = wire.Sync().encode(), wire.Flush().encode()


async def _client(house: House, **more: str) -> Client:
    client = await Client.connect(house.app.port)
    messages = await client.log_in(house.agent, house.token, pairs=tuple(more.items()))
    assert isinstance(messages[-1], wire.ReadyForQuery), messages
    return client


def _parse(sql: str, name: str = "") -> bytes:
    return wire.Parse(name, sql).encode()


def _run(portal: str = "", statement: str = "", rows: int = 0) -> bytes:
    return wire.Bind(portal, statement).encode() + wire.Execute(portal, rows).encode()


def _query(sql: str) -> bytes:
    return wire.Query(sql).encode()


def _brief(messages: Sequence[wire.BackendMessage]) -> list[str]:
    """One word for each message: a SQLSTATE, a tag, a status, a row's values, else its type."""
    words: list[str] = []
    for message in messages:
        match message:
            case wire.ErrorResponse() | wire.NoticeResponse():
                words.append(message.sqlstate)
            case wire.CommandComplete(tag):
                words.append(tag)
            case wire.ReadyForQuery(status):
                words.append(status)
            case wire.DataRow(values):
                words.append(",".join("NULL" if v is None else v.decode() for v in values))
            case _:
                words.append(type(message).__name__)
    return words


async def _answers(client: Client, times: int = 1) -> list[str]:
    """Everything up to so many ReadyForQuery."""
    words: list[str] = []
    for _ in range(times):
        words += _brief(await client.until(wire.ReadyForQuery))
    return words


# --- startup, TLS, negotiation


async def test_libpq_19_is_told_once_of_the_version_and_of_every_unknown_option(house: House) -> None:
    async with await Client.connect(house.app.port) as client:
        option = ("_pq_.test_protocol_negotiation", "")
        messages = await client.log_in(house.agent, house.token, minor=9999, pairs=(option,))
        told = [m for m in messages if isinstance(m, wire.NegotiateProtocolVersion)]
        assert told == [wire.NegotiateProtocolVersion(2, ("_pq_.test_protocol_negotiation",))]
        assert [len(m.key) for m in messages if isinstance(m, wire.BackendKeyData)] == [32]
        client.send(_query("SELECT 1"))
        assert (await _answers(client))[-2:] == ["SELECT 1", "I"]


@pytest.mark.parametrize(("version", "length"), [("3.0", 4), ("3.2", 32), ("latest", 32)])
async def test_cancel_keys_are_as_long_as_the_version_says(house: House, version: str, length: int) -> None:
    """By libpq itself, which takes the key, keeps it and sends it."""
    assert psycopg.pq.version() >= 180000
    dsn = house.dsn(min_protocol_version=version, max_protocol_version=version)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        assert house.app._listener is not None
        assert length in {len(key) for _, key in house.app._listener._conversations}
        asking = asyncio.create_task(connection.execute("DELETE FROM orders WHERE id = -1"))
        hold = await house.next_hold()
        await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await asking
        assert (await house.app.desk.settled(hold.id)).state is State.WITHDRAWN


@pytest.mark.parametrize("minor", [0, 2])
async def test_the_process_id_is_the_servers_and_the_key_is_not(house: House, minor: int) -> None:
    """Clients know their own notifications by it, and ask pg_stat_activity about it."""
    async with await Client.connect(house.app.port) as client:
        messages = await client.log_in(house.agent, house.token, minor=minor)
        [told] = [m for m in messages if isinstance(m, wire.BackendKeyData)]
        client.send(_query("SELECT pg_backend_pid()"))
        assert (await _answers(client))[1] == str(told.pid)
        [conversation] = _conversations(house, told.pid)
        assert conversation._back.pid == told.pid
        assert conversation._back.key != told.key


def _conversations(house: House, pid: int) -> list[conversation.Conversation]:
    assert house.app._listener is not None
    return [one for (known, _), one in house.app._listener._conversations.items() if known == pid]


async def test_startup_settings_reach_the_session_and_no_query_of_our_own(house: House) -> None:
    options = r"-c search_path=pg_temp,\"nowhere\" -c statement_timeout=9s"
    async with await _client(house, options=options, extra_float_digits="1", DateStyle="German") as client:
        client.send(_query("SELECT current_setting('search_path'), current_setting('statement_timeout')"))
        assert "9s" in (await _answers(client))[1]
    async with await _client(house) as client:
        client.send(_query("SELECT current_setting('statement_timeout')"))
        assert (await _answers(client))[1] == "0"


# --- cancel


async def test_cancel_meets_its_own_session_alone_however_many_there_are(house: House) -> None:
    connections = [await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) for _ in range(6)]
    asking = []
    holds = []
    for connection in connections:
        asking.append(asyncio.create_task(connection.execute("DELETE FROM orders WHERE id = -1")))
        holds.append(await house.next_hold(after=len(holds)))
    await asyncio.gather(*(connection.cancel_safe() for connection in connections[::2]))
    ends = await asyncio.gather(*asking[::2], return_exceptions=True)
    assert all(isinstance(end, psycopg.errors.QueryCanceled) for end in ends)
    assert not any(task.done() for task in asking[1::2])
    await asyncio.gather(*(connection.cancel_safe() for connection in connections[1::2]))
    await asyncio.gather(*asking, return_exceptions=True)
    for connection in connections:
        await connection.close()


async def test_cancel_of_an_idle_session_does_not_meet_its_next_statement(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        for number in range(20):
            await connection.cancel_safe()
            assert await (await connection.execute("SELECT %s::int", [number])).fetchone() == (number,)


# --- simple query


async def test_several_statements_in_one_query_are_one_transaction(house: House) -> None:
    before = house.count("order_items")
    async with await _client(house) as client:
        client.send(_query("DELETE FROM order_items; SELECT 1/0; SELECT 2"))
        await house.decide(approve=True)
        said = await _answers(client)
        assert said[-2:] == ["22012", "I"]
        assert "SELECT 1" not in said
    assert house.count("order_items") == before > 0


async def test_an_empty_query_has_its_own_answer(house: House) -> None:
    async with await _client(house) as client:
        for text in ("", ";", " -- nothing\n;; "):
            client.send(_query(text))
            assert await _answers(client) == ["EmptyQueryResponse", "I"]
            client.send(_parse(text), _run(), SYNC)
            assert await _answers(client) == ["ParseComplete", "BindComplete", "EmptyQueryResponse", "I"]


# --- extended query


@pytest.mark.parametrize(
    ("wrong", "sqlstate"),
    [
        (_parse("SELEC 1"), "42601"),
        (_parse("SELECT * FROM custmers"), "42P01"),
        (_parse("GRANT ALL ON customers TO PUBLIC") + _run(), "42501"),
        (_run("", "unknown"), "26000"),
        (wire.Execute("unknown", 0).encode(), "34000"),
        (wire.Describe("S", "unknown").encode(), "26000"),
        (wire.Describe("P", "unknown").encode(), "34000"),
    ],
)
async def test_an_error_is_flushed_at_once_and_everything_discarded_until_sync(
    house: House, wrong: bytes, sqlstate: str
) -> None:
    async with await _client(house) as client:
        client.send(wrong)
        # no Flush, no Sync
        assert _brief(await client.until(wire.ErrorResponse))[-1] == sqlstate
        client.send(_query("SELECT 1"), _parse("SELECT 2"), _run(), FLUSH, _query("SELECT 3"), SYNC)
        assert await _answers(client) == ["I"]
        client.send(_query("SELECT 4"))
        assert await _answers(client) == ["RowDescription", "4", "SELECT 1", "I"]


async def test_a_local_error_has_all_its_fields_and_its_position(house: House) -> None:
    asked = "SELECT name, nme FROM products"
    async with await psycopg.AsyncConnection.connect(house.direct(), autocommit=True) as connection:
        with pytest.raises(psycopg.Error) as direct:
            await connection.execute(asked, prepare=True)
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        for prepare in (True, False):
            with pytest.raises(psycopg.Error) as through:
                await connection.execute(asked, prepare=prepare)
            mine, its = through.value.diag, direct.value.diag
            for field in dir(its):
                if not field.startswith("_"):
                    assert getattr(mine, field) == getattr(its, field), field
    assert direct.value.diag.statement_position == "14"


async def test_flush_without_sync_and_describe_after_execute(house: House) -> None:
    async with await _client(house) as client:
        client.send(_parse("SELECT 1 AS one"), _run("p"), wire.Describe("P", "p").encode(), FLUSH)
        said = _brief(await client.until(wire.RowDescription))
        assert said == ["ParseComplete", "BindComplete", "1", "SELECT 1", "RowDescription"]
        client.send(wire.Close("P", "p").encode(), SYNC)
        assert await _answers(client) == ["CloseComplete", "I"]


async def test_every_sync_of_a_packet_has_its_ready_for_query(house: House) -> None:
    async with await _client(house) as client:
        client.send(SYNC * 50, (_parse("SELECT 1") + _run() + SYNC) * 50, _parse("x") + SYNC * 3)
        said = await _answers(client, 50)
        assert said == ["I"] * 50
        assert await _answers(client, 50) == ["ParseComplete", "BindComplete", "1", "SELECT 1", "I"] * 50
        assert await _answers(client, 3) == ["42601", "I", "I", "I"]


async def test_what_looks_like_ready_for_query_is_none(house: House) -> None:
    """A row whose last bytes are a ReadyForQuery's."""
    async with await _client(house) as client:
        client.send(_query("SELECT E'Z\\x01\\x01\\x01\\x05I' AS x"), _query("SELECT 2"))
        assert len(await _answers(client)) == 4
        assert (await _answers(client))[1] == "2"


async def test_a_client_that_leaves_in_the_middle_of_a_batch_leaves_nothing_behind(house: House) -> None:
    async with await _client(house, application_name="leaver") as client:
        client.send(_parse("SELECT 1", "s"), wire.Bind("", "s").encode(), b"E\0\0")
        client.abort()
    await _nobody(house, "leaver")


async def _nobody(house: House, name: str) -> None:
    with psycopg.connect(house.postgres.dsn(house.database), autocommit=True) as admin:
        async with asyncio.timeout(10):
            while admin.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = %s", [name]
            ).fetchone():
                await asyncio.sleep(0.01)


async def test_a_refusal_keeps_its_place_in_the_order_of_replies(house: House) -> None:
    async with await _client(house) as client:
        allowed, denied = _parse("SELECT 1") + _run(), _parse("CREATE ROLE x") + _run()
        client.send(allowed, SYNC, denied, allowed, SYNC, allowed, SYNC)
        went = ["ParseComplete", "BindComplete", "1", "SELECT 1", "I"]
        assert await _answers(client, 3) == [*went, "ParseComplete", "42501", "I", *went]


async def test_a_parse_that_failed_can_be_closed(house: House) -> None:
    async with await _client(house) as client:
        client.send(_parse("SELEC 1", "s"), wire.Close("S", "s").encode(), SYNC)
        assert await _answers(client) == ["42601", "I"]
        client.send(wire.Close("S", "s").encode(), SYNC, _parse("SELECT 1", "s"), _run("", "s"), SYNC)
        said = await _answers(client, 2)
        assert said == ["CloseComplete", "I", "ParseComplete", "BindComplete", "1", "SELECT 1", "I"]


async def test_sql_prepares_and_protocol_executes_and_the_other_way_round(house: House) -> None:
    async with await _client(house) as client:
        client.send(_query("PREPARE q AS SELECT 7"), _run("", "q"), SYNC)
        assert await _answers(client, 2) == ["PREPARE", "I", "BindComplete", "7", "SELECT 1", "I"]
        client.send(_parse("SELECT 8", "p"), SYNC, _query("EXECUTE p"))
        assert await _answers(client, 2) == ["ParseComplete", "I", "RowDescription", "8", "SELECT 1", "I"]
        client.send(_query("DEALLOCATE p"), _query("EXECUTE p"), _run("", "p"), SYNC)
        assert await _answers(client, 3) == ["DEALLOCATE", "I", "26000", "I", "26000", "I"]
        client.send(_query("DISCARD ALL"), _run("", "q"), SYNC)
        assert await _answers(client, 2) == ["DISCARD ALL", "I", "26000", "I"]


async def test_a_prepared_statement_is_judged_by_what_it_runs(house: House) -> None:
    async with await _client(house) as client:
        client.send(_query("PREPARE d AS DELETE FROM orders WHERE id = -1"))
        assert (await _answers(client))[-1] == "I"
        client.send(_query("EXECUTE d"))
        hold = await house.decide(approve=True)
        assert any("orders" in effect for effect in hold.effects)
        assert (await _answers(client))[-2:] == ["DELETE 0", "I"]


async def test_cursors_of_sql_and_of_the_protocol(house: House) -> None:
    async with await _client(house) as client:
        client.send(_query("BEGIN"), _query("DECLARE c CURSOR FOR SELECT * FROM generate_series(1, 5)"))
        assert await _answers(client, 2) == ["BEGIN", "T", "DECLARE CURSOR", "T"]
        client.send(_query("FETCH 2 FROM c"), wire.Execute("c", 1).encode(), SYNC, _query("FETCH ALL FROM c"))
        said = await _answers(client, 3)
        assert said[:5] == ["RowDescription", "1", "2", "FETCH 2", "T"]
        assert said[5:8] == ["3", "PortalSuspended", "T"]
        assert said[-4:] == ["4", "5", "FETCH 2", "T"]
        client.send(_query("CLOSE c"), _query("COMMIT"))
        assert await _answers(client, 2) == ["CLOSE CURSOR", "T", "COMMIT", "I"]


async def test_a_portal_is_suspended_and_resumed(house: House) -> None:
    async with await _client(house) as client:
        client.send(_query("BEGIN"), _parse("SELECT * FROM generate_series(1, 5)"), _run("p", "", 2), FLUSH)
        assert (await _answers(client)) == ["BEGIN", "T"]
        suspended = _brief(await client.until(wire.PortalSuspended))
        assert suspended == ["ParseComplete", "BindComplete", "1", "2", "PortalSuspended"]
        more = wire.Execute("p", 2).encode()
        client.send(more, SYNC, more, SYNC)
        said = await _answers(client, 2)
        assert said == ["3", "4", "PortalSuspended", "T", "5", "SELECT 1", "T"]


async def test_parameter_status_in_the_middle_of_a_pipeline(house: House) -> None:
    async with await _client(house) as client:
        change = _parse("SET TimeZone = 'Asia/Tokyo'") + _run()
        one = _parse("SELECT 1") + _run()
        client.send(one, change, one, SYNC)
        said = await _answers(client)
        went = ["ParseComplete", "BindComplete", "1", "SELECT 1"]
        assert said[:4] == went
        # since version 14 Postgres reports it before ReadyForQuery, where it may
        assert said[4:] == ["ParseComplete", "BindComplete", "SET", *went, "ParameterStatus", "I"]


async def test_function_call_is_refused_and_costs_nothing_else(house: House) -> None:
    async with await _client(house) as client:
        client.send(wire.FunctionCall(1299).encode(), _query("SELECT 1"))
        assert await _answers(client) == ["0A000", "I"]
        assert (await _answers(client))[-2:] == ["SELECT 1", "I"]


@pytest.mark.parametrize("replication", ["true", "database"])
async def test_replication_is_refused(house: House, replication: str) -> None:
    async with await Client.connect(house.app.port) as client:
        pairs = (("replication", replication),)
        refused = (await client.log_in(house.agent, house.token, pairs=pairs))[-1]
    assert isinstance(refused, wire.ErrorResponse)
    assert refused.sqlstate == "0A000"


async def test_an_unknown_message_ends_the_session_with_its_sqlstate(house: House) -> None:
    async with await _client(house) as client:
        client.send(b"y\0\0\0\4")
        assert (await client.error()).sqlstate == "08P01"


# --- COPY

INTO = "COPY order_items (order_id, product_id, quantity, unit_price) FROM STDIN"


async def _approved(house: House, client: Client, *sent: bytes) -> None:
    client.send(*sent)
    await house.decide(approve=True)
    await client.until(wire.CopyInResponse)


async def test_copy_in_by_the_extended_protocol_ignores_sync(house: House) -> None:
    async with await _client(house) as client:
        await _approved(house, client, _parse(INTO), _run(), SYNC)
        client.send(SYNC, FLUSH, wire.CopyDone().encode(), SYNC, _query("SELECT 1"))
        assert await _answers(client, 2) == ["COPY 0", "I", "RowDescription", "1", "SELECT 1", "I"]


async def test_copy_data_that_comes_late_is_dropped(house: House) -> None:
    async with await _client(house) as client:
        await _approved(house, client, _query(INTO))
        client.send(*[wire.CopyData(b"no number\n").encode()] * 1000, wire.CopyDone().encode())
        assert await _answers(client) == ["22P02", "I"]
        client.send(wire.CopyData(b"1\n").encode(), wire.CopyFail("late").encode(), _query("SELECT 1"))
        assert (await _answers(client))[-2:] == ["SELECT 1", "I"]


async def test_copy_that_the_client_fails(house: House) -> None:
    async with await _client(house) as client:
        await _approved(house, client, _query(INTO))
        client.send(wire.CopyFail("changed my mind").encode())
        assert await _answers(client) == ["57014", "I"]


async def test_a_statement_in_the_middle_of_copy_in_ends_the_session(house: House) -> None:
    async with await _client(house) as client:
        await _approved(house, client, _query(INTO))
        client.send(_query("SELECT 1"))
        assert (await client.error()).sqlstate == "08P01"


# --- flow and life cycle


async def test_notifications_reach_an_idle_client(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        deciding = asyncio.create_task(house.decide(approve=True))
        await connection.execute("LISTEN news")
        await deciding
        with psycopg.connect(house.direct(), autocommit=True) as direct:
            for number in range(3):
                direct.execute("SELECT pg_notify('news', %s)", [str(number)])
        got = [n.payload async for n in connection.notifies(timeout=20, stop_after=3)]
        assert got == ["0", "1", "2"]


async def test_a_half_closed_client_hears_what_it_asked_for(house: House) -> None:
    """As `… | nc` does it, and as Postgres answers it."""
    async with await _client(house) as client:
        client.send(_query("SELECT count(*) FROM generate_series(1, 200000)"), _query("SELECT 'last'"))
        client.end()
        assert (await _answers(client, 2))[-4:] == ["RowDescription", "last", "SELECT 1", "I"]
        assert await client.take(1) == b""


async def test_the_work_of_a_client_that_is_gone_is_cancelled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "HALF_CLOSED_SECONDS", 0.05)
    async with await _client(house, application_name="gone") as client:
        client.send(_query("SELECT count(*) FROM generate_series(1, 10000000000)"))
        with psycopg.connect(house.postgres.dsn(house.database), autocommit=True) as admin:
            running = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'gone' AND state = 'active'"
            async with asyncio.timeout(10):
                while not admin.execute(running).fetchone():
                    await asyncio.sleep(0.01)
    await _nobody(house, "gone")


# --- limits of this firewall's own


async def test_sessions_of_one_agent_are_bounded_and_others_come_in(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    async with open_house(postgres, shop, tmp_path, max_connections_per_agent=2) as house:
        other = await credentials.add_agent(house.app.store, "other", owner=OWNER, issuer="operator")
        inside = [await _client(house) for _ in range(2)]
        async with await Client.connect(house.app.port) as client:
            refused = (await client.log_in(house.agent, house.token))[-1]
        assert isinstance(refused, wire.ErrorResponse)
        assert (refused.sqlstate, refused.message) == ("53300", 'too many connections for role "shopper"')
        # nor do wrong tokens take seats away
        for token in ("wrong", other):
            async with await Client.connect(house.app.port) as client:
                end = (await client.log_in("other", token))[-1]
                assert isinstance(end, wire.ReadyForQuery) is (token == other)
        inside[0].send(wire.Terminate().encode())
        assert await inside[0].take(1) == b""
        assert house.app._listener is not None
        async with asyncio.timeout(10):
            while house.app._listener._of_agent["shopper"] > 1:
                await asyncio.sleep(0.01)
        again = await _client(house)
        for client in (*inside, again):
            await client.__aexit__()


async def test_idle_sessions_are_ended_and_busy_ones_are_not(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(policy_text())
    async with open_house(postgres, shop, tmp_path, idle_timeout=3600) as house:
        assert house.app._listener is not None
        look = house.app._listener.look_for_idle
        idle, open_, held, busy = [await _client(house) for _ in range(4)]
        open_.send(_query("BEGIN"))
        await _answers(open_)
        held.send(_query("DELETE FROM orders WHERE id = -1"))
        await house.next_hold()
        # it takes as many looks as there are in the time, and one that saw the session stir
        for _ in range(4):
            look()
            busy.send(_query("SELECT 1"))
            await _answers(busy)
        busy_again = _query("SELECT 1")
        look()
        assert (await idle.error()).sqlstate == "57P05"
        assert (await open_.error()).sqlstate == "25P03"
        busy.send(busy_again)
        assert (await _answers(busy))[-1] == "I"
        assert [h.state for h in await house.app.store.holds([State.PENDING])] == [State.PENDING]
        for client in (idle, open_, held, busy):
            await client.__aexit__()


async def test_silent_peers_are_asked_whether_they_live(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket  # noqa: PLC0415 — this test alone looks at sockets

    made: list[socket.socket] = []
    from firewall.proxy import link  # noqa: PLC0415 — as above

    keep = link._keep_alive

    def seen(transport: asyncio.BaseTransport, keepalive: link.Keepalive) -> None:
        keep(transport, keepalive)
        made.append(transport.get_extra_info("socket"))

    monkeypatch.setattr(link, "_keep_alive", seen)
    listen = {"port": 0, "keepalive": {"idle": 7, "interval": 3, "count": 2}}
    async with open_house(postgres, shop, tmp_path, listen=listen) as house, await _client(house):
        found = [
            tuple(
                sock.getsockopt(level, option)
                for level, option in (
                    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
                )
            )
            for sock in made
        ]
    # the client's, then the server's
    assert found == [(1, 7, 3, 2), (1, 60, 10, 6)]


async def test_what_is_turned_away_at_the_door_is_recorded(house: House) -> None:
    async with await Client.connect(house.app.port) as client:
        client.send(b"\xff\xff\xff\xff")
        await client.error()
    last = (await house.records("session"))[-1]
    assert (last["event"], last["agent"]) == ("refused", "")
    assert "invalid length" in str(last["why"])
