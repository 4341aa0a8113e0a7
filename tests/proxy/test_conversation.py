"""What one session's interpreter must hold: bounded memory, and an end for every failure."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from firewall import policy, session, wire
from firewall.catalog import introspect
from firewall.errors import StoreError
from firewall.proxy.conversation import Conversation
from firewall.proxy.link import Link
from tests.e2e.house import DBA, SECURITY, open_house, policy_text
from tests.proxy.client import Client

if TYPE_CHECKING:
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres
    from firewall.proxy.upstream import Upstream
    from tests.e2e.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROWS = "SELECT repeat('x', 1000) FROM generate_series(1, 60000)"  # 60 MB


async def test_a_client_that_does_not_read_is_not_buffered_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = 0
    deliver = Link._deliver

    def count(link: Link, data: bytes) -> None:
        nonlocal received
        received += len(data)
        deliver(link, data)

    monkeypatch.setattr(Link, "_deliver", count)
    async with await Client.connect(house.app.port) as client:
        client._writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
        client._writer.transport.resume_reading()  # type: ignore[attr-defined]
        await client.log_in(house.agent, house.token)
        client._writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(wire.Query(ROWS).encode())
        before = -1
        while before != received:
            before = received
            await asyncio.sleep(0.3)  # as long as nothing comes any more, nothing is read
        # what the kernel's buffers on both sides hold, and no more
        assert received < 20_000_000
        client._writer.transport.resume_reading()  # type: ignore[attr-defined]
        got = await client.until(wire.ReadyForQuery)
        assert sum(isinstance(message, wire.DataRow) for message in got) == 60_000


async def test_a_failure_of_ours_ends_both_sides_and_is_recorded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> list[session.Command]:
        raise ZeroDivisionError

    connection = await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True)
    async with connection:
        row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
        assert row is not None
        monkeypatch.setattr(session.Session, "receive_frontend", broken)
        with pytest.raises(psycopg.Error, match="internal error in query-firewall"):
            await connection.execute("SELECT 1")
    monkeypatch.undo()
    async with asyncio.timeout(10):
        while not (faults := await house.records("fault")):
            await asyncio.sleep(0.01)
    assert faults[-1]["error"] == "ZeroDivisionError"
    with psycopg.connect(house.direct(), autocommit=True) as direct:
        for _ in range(100):
            gone = direct.execute("SELECT FROM pg_stat_activity WHERE pid = %s", row).fetchone() is None
            if gone:
                break
            await asyncio.sleep(0.05)
    assert gone


async def test_a_session_that_cannot_even_fail_is_cut_off(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> list[session.Command]:
        raise ZeroDivisionError

    async with await Client.connect(house.app.port) as client:
        await client.log_in(house.agent, house.token)
        monkeypatch.setattr(session.Session, "receive_frontend", broken)
        monkeypatch.setattr(session.Session, "failed", broken)
        client.send(wire.Query("SELECT 1").encode())
        assert await client.take(1) == b""


async def test_nothing_passes_that_cannot_be_recorded(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: 5. No release without a durable record."""
    async with open_house(postgres, shop, tmp_path) as house:
        connection = await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True)
        async with connection:

            async def broken(*_: object, **__: object) -> None:
                raise StoreError("the disk is full")

            before = house.count("orders")
            for method in ("append", "append_made"):
                monkeypatch.setattr(house.app.store, method, broken, raising=False)
            with pytest.raises(psycopg.Error) as raised:
                await connection.execute("SELECT sku FROM products WHERE stock = 123456")
            assert raised.value.sqlstate == "58030"
            with suppress(psycopg.Error):
                await connection.execute("DELETE FROM orders")
            monkeypatch.undo()
            assert house.count("orders") == before


async def test_policy_that_changes_while_a_hold_waits_voids_its_approval(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    async with open_house(postgres, shop, tmp_path) as house:
        before = house.count("orders")
        connection = await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True)
        async with connection:
            running = asyncio.ensure_future(connection.execute("DELETE FROM orders WHERE id = 1"))
            hold = await house.next_hold()
            (tmp_path / "new.yaml").write_text(policy_text(expires="16m"))
            house.app.gates["shop"].policy = policy.load(tmp_path / "new.yaml")
            await house.app.desk.vote(hold.id, DBA, approve=True, reason="", channel="cli")
            again = await house.next_hold()
            assert f"the approval of hold {hold.id} is void" in again.reasons[0]
            await house.app.desk.vote(again.id, DBA, approve=False, reason="", channel="cli")
            with pytest.raises(psycopg.Error) as raised:
                await running
            assert raised.value.sqlstate == "QF001"
        assert house.count("orders") == before
        # it was judged twice, and the log says so; the second time after the hold that came to nothing
        judged = [r for r in await house.records("judgement") if r["statement"] == hold.statement]
        assert [(r["hold"], r["revision"]) for r in judged] == [
            ("", hold.revision),
            (hold.id, again.revision),
        ]


async def test_a_deep_pipeline_of_known_statements_is_a_loop(house: House) -> None:
    async with await Client.connect(house.app.port) as client:
        await client.log_in(house.agent, house.token)
        one = wire.Query("SELECT 1").encode()
        client.send(one)
        await client.until(wire.ReadyForQuery)
        client.send(one * 300)
        for _ in range(300):
            assert isinstance((await client.until(wire.ReadyForQuery))[-1], wire.ReadyForQuery)


async def test_what_was_changed_is_seen_by_what_is_pipelined_behind_it(house: House) -> None:
    """A view that is replaced by one over labelled data, and read in the same breath."""
    async with await Client.connect(house.app.port) as client:
        await client.log_in(house.agent, house.token)

        async def approved(text: str) -> None:
            """By as many as it takes, where a labelled column is read and the schema is changed."""
            waiting = asyncio.ensure_future(house.next_hold())
            client.send(wire.Query(text).encode(), read)
            hold = await waiting
            for person in (DBA, SECURITY, "second.dba@example.com"):
                await house.app.desk.vote(hold.id, person, approve=True, reason="", channel="cli")
            await client.until(wire.ReadyForQuery)

        read = wire.Query("SELECT x FROM breath").encode()
        await approved("CREATE VIEW breath AS SELECT 1 AS x")
        got = await client.until(wire.ReadyForQuery)
        assert any(isinstance(message, wire.DataRow) for message in got)
        await approved("DROP VIEW breath; CREATE VIEW breath AS SELECT card_number AS x FROM payments")
        hold = await house.next_hold()
        assert hold.sql == "SELECT x FROM breath"
        assert "pci.pan" in hold.labels
        client.send(wire.Terminate().encode())
    with psycopg.connect(house.direct(), autocommit=True) as direct:
        direct.execute("DROP VIEW breath")


async def test_a_temporary_table_does_not_cost_a_catalog_reading_a_statement(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy.yaml").write_text(policy_text(mode="observe"))
    async with open_house(postgres, shop, tmp_path) as house:
        read: list[object] = []
        make = introspect._snapshot
        monkeypatch.setattr(introspect, "_snapshot", lambda *rows: read.append(rows) or make(*rows))
        async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
            await connection.execute("CREATE TEMP TABLE scratch (a int)")
            for n in range(6):
                await connection.execute(f"INSERT INTO scratch VALUES ({n})")
            rows = await (await connection.execute("SELECT count(*) FROM scratch")).fetchone()
        assert rows == (6,)
        # once for CREATE; the rest sees that nothing has changed
        assert len(read) <= 2


async def test_a_session_that_is_over_leaves_no_cycles(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was frozen by `heap` while it lived is never looked at by the collector."""
    parts: list[weakref.ref[object]] = []
    begin = Conversation.__init__

    def noted(self: Conversation, front: Link, back: Upstream, machine: session.Session, *rest: Any) -> None:
        begin(self, front, back, machine, *rest)
        parts.extend(weakref.ref(part) for part in (self, front, back.link, machine))

    monkeypatch.setattr(Conversation, "__init__", noted)
    gc.disable()
    try:
        for _ in range(3):
            async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
                await connection.execute("SELECT %s::int", (1,))
        async with asyncio.timeout(10):
            while any(part() is not None for part in parts):
                await asyncio.sleep(0.01)
    finally:
        left = [repr(part()) for part in parts if part() is not None]
        gc.enable()
    assert len(parts) == 12
    assert not left
