"""What policies say beyond rules, as a client sees it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
from house import open_house

if TYPE_CHECKING:
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = """
version: 1
mode: MODE
default: deny
approvers: {dba@example.com: {groups: [dba]}}
approval: {groups: [dba]}
rules:
  - {name: session, allow: [transaction, setting, session], why: harmless}
  - {name: reads, allow: read, why: harmless}
"""


def write(folder: Path, more: str, mode: str = "enforce") -> None:
    (folder / "policy.yaml").write_text(POLICY.replace("MODE", mode) + more)


async def test_what_cannot_be_enforced_does_not_pass(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    write(tmp_path, "  - {name: few, allow: truncate, why: w, obligations: {max_affected_rows: 5}}\n")
    async with (
        open_house(postgres, shop, tmp_path) as house,
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection,
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
            await connection.execute("TRUNCATE orders")
        assert "cannot be counted" in str(caught.value)
        assert caught.value.diag.message_detail == (
            "rule `few` allows at most 5; not counted: truncate public.orders"
        )
        assert [r["message"] for r in await house.records("refusal")] == [caught.value.diag.message_primary]


async def test_observing_owes_nothing(postgres: EmbeddedPostgres, shop: str, tmp_path: Path) -> None:
    write(tmp_path, "  - {name: few, allow: read, why: w, obligations: {mask: {any: hash}}}\n", "observe")
    async with (
        open_house(postgres, shop, tmp_path) as house,
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection,
    ):
        found = await connection.execute("SELECT name FROM products LIMIT 1")
        assert len(await found.fetchall()) == 1


async def test_an_old_transaction_does_nothing_more(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    write(
        tmp_path,
        "  - {name: inside, deny: read, when: {in_transaction: true, relations: products}, why: outside}\n"
        "  - {name: old, deny: read, when: {transaction_over: 7d, relations: orders}, why: too old}\n",
    )
    async with (
        open_house(postgres, shop, tmp_path) as house,
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection,
    ):
        for _ in range(2):  # the second time it is known
            await connection.execute("SELECT name FROM products")
            await connection.execute("BEGIN")
            await connection.execute("SELECT id FROM orders")
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
                await connection.execute("SELECT name FROM products")
            assert "denied by rule `inside`" in str(caught.value)
            await connection.execute("ROLLBACK")
        async with connection.pipeline():
            # nobody has heard yet what became of the BEGIN
            await connection.execute("BEGIN")
            cursor = await connection.execute("SELECT name FROM products")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await cursor.fetchone()


async def test_what_an_agent_has_never_run_waits_once(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    write(tmp_path, "  - {name: new, hold: read, when: {first_use: true, relations: products}, why: look}\n")
    async with (
        open_house(postgres, shop, tmp_path) as house,
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection,
    ):
        asked = asyncio.create_task(connection.execute("SELECT name FROM products WHERE id = 1"))
        await house.decide(approve=True, person="dba@example.com")
        await asked
        await connection.execute("SELECT name FROM products WHERE id = 2")
        assert [r["verdict"] for r in await house.records("judgement")] == ["hold", "allow"]
