"""Policies change between statements: together, with a record, or not at all."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from firewall.approval import State
from firewall.errors import StoreError

sys.path.insert(0, str(Path(__file__).parent / "e2e"))

from house import House, open_house, policy_text, prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from firewall import audit
    from firewall.demo.postgres import EmbeddedPostgres

READ = "SELECT name FROM products"


@pytest.fixture
async def open_shop(postgres: EmbeddedPostgres, database: str, tmp_path: Path) -> AsyncIterator[House]:
    prepare(postgres, database)
    async with open_house(postgres, database, tmp_path) as house:
        yield house


def rewrite(folder: Path, text: str) -> None:
    (folder / "policy.yaml").write_text(text)


def denying() -> str:
    return policy_text().replace("allow: read", "deny: read", 1)


async def test_the_next_statement_is_judged_by_the_new_one(open_shop: House, tmp_path: Path) -> None:
    app, gate = open_shop.app, open_shop.app.gates["shop"]
    before = gate.policy.revision
    async with await psycopg.AsyncConnection.connect(open_shop.dsn(), autocommit=True) as connection:
        await connection.execute(READ)
        rewrite(tmp_path, denying())
        assert await app.reload("dana@example.com") == ""
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(READ)
    _, record = await open_shop.records("policy")
    assert record["by"] == "dana@example.com"
    assert (record["before"], record["revision"]) == (before, gate.policy.revision)
    assert record["changes"] == [
        '+ rules.unlabelled reads flow.deny: ["read"]',
        '- rules.unlabelled reads flow.allow: ["read"]',
    ]
    assert (await open_shop.records("judgement"))[-1]["revision"] == gate.policy.revision


async def test_what_does_not_load_changes_nothing(open_shop: House, tmp_path: Path) -> None:
    app, gate = open_shop.app, open_shop.app.gates["shop"]
    before = gate.policy
    rewrite(tmp_path, denying().replace("default: hold", "default: maybe"))
    refused = await app.reload("dana@example.com")
    assert "`maybe` is not known here; write `hold` or `deny`" in refused
    assert gate.policy is before
    _, record = await open_shop.records("policy")
    assert (record["revision"], record["changes"], record["refused"]) == (before.revision, [], refused)


async def test_all_change_or_none(postgres: EmbeddedPostgres, database: str, tmp_path: Path) -> None:
    prepare(postgres, database)
    (tmp_path / "other.yaml").write_text(policy_text())
    async with open_house(postgres, database, tmp_path) as house:
        app = house.app
        shop = app.settings.databases["shop"]
        other = shop.model_copy(update={"policy": tmp_path / "other.yaml"})
        app.settings = app.settings.model_copy(update={"databases": {"shop": shop, "other": other}})
        await app._guard("other", other)
        rewrite(tmp_path, denying())
        (tmp_path / "other.yaml").write_text("version: 1")
        before = {name: gate.policy for name, gate in app.gates.items()}
        assert await app.reload("dana@example.com")
        assert {name: gate.policy for name, gate in app.gates.items()} == before
        (tmp_path / "other.yaml").write_text(denying())
        assert await app.reload("dana@example.com") == ""
        assert len({gate.policy.revision for gate in app.gates.values()}) == 1


async def test_no_change_without_a_record(
    open_shop: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_shop.app.gates["shop"].policy
    rewrite(tmp_path, denying())

    async def full(records: Sequence[audit.Record]) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(open_shop.app.store, "append", full)
    assert await open_shop.app.reload("dana@example.com") == "the disk is full"
    assert open_shop.app.gates["shop"].policy is before


async def test_a_firewall_hears_what_is_asked_of_all(
    open_shop: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(tmp_path, denying())
    reload, heard = open_shop.app.reload, asyncio.Event()

    async def hear(by: str) -> str:
        told = await reload(by)
        heard.set()
        return told

    monkeypatch.setattr(open_shop.app, "reload", hear)
    await open_shop.app.store.signals.send("dana@example.com")
    async with asyncio.timeout(20):
        await heard.wait()
    assert (await open_shop.records("policy"))[-1]["by"] == "dana@example.com"


async def test_an_approval_from_before_is_void_and_asked_for_again(open_shop: House, tmp_path: Path) -> None:
    desk = open_shop.app.desk
    dba = "first.dba@example.com"
    async with await psycopg.AsyncConnection.connect(open_shop.dsn(), autocommit=True) as connection:
        asked = asyncio.create_task(connection.execute("UPDATE orders SET status = status WHERE id = 1"))
        hold = await open_shop.next_hold()
        rewrite(tmp_path, policy_text(expires="16m"))
        assert await open_shop.app.reload("dana@example.com") == ""
        await desk.vote(hold.id, dba, approve=True, reason="", channel="cli")
        again = await open_shop.next_hold()
        assert again.reasons[0] == f"the approval of hold {hold.id} is void: the policy changed"
        assert again.digest != hold.digest
        assert (await desk.hold(hold.id)).state is State.LAPSED
        await desk.vote(again.id, dba, approve=True, reason="", channel="cli")
        assert (await asked).statusmessage == "UPDATE 1"
    assert [r["leave"] for r in await open_shop.records("release")][-1] == f"hold {again.id}"


async def test_an_approval_from_before_a_denial_is_worth_nothing(open_shop: House, tmp_path: Path) -> None:
    before = open_shop.count("orders")
    async with await psycopg.AsyncConnection.connect(open_shop.dsn(), autocommit=True) as connection:
        asked = asyncio.create_task(connection.execute("DELETE FROM orders WHERE id = 1"))
        hold = await open_shop.next_hold()
        rewrite(tmp_path, denying())
        assert await open_shop.app.reload("dana@example.com") == ""
        await open_shop.app.desk.vote(
            hold.id, "first.dba@example.com", approve=True, reason="", channel="cli"
        )
        with pytest.raises(psycopg.Error, match="denied by rule") as caught:
            await asked
    assert caught.value.sqlstate == "42501"
    assert open_shop.count("orders") == before
