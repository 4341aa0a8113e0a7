"""One firewall before several databases: each has its own policy, its own approvers and its own revision."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
from house import LOGIN, LOGIN_PASSWORD, House, open_house

from firewall.approval import Counted

if TYPE_CHECKING:
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = """
version: 1
mode: enforce
default: deny
approvers: {{{approver}: {{groups: [deciders]}}}}
approval: {{groups: [deciders]}}
rules:
  - {{name: session, allow: [transaction, setting, session], why: harmless}}
  - {{name: reads, allow: read, why: w, when: {{relations: {read}}}}}
  - {{name: asked, hold: update, why: w, when: {{relations: customers}}}}
"""


def connect(house: House, name: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    dsn = house.dsn().removesuffix("/shop") + f"/{name}"
    return psycopg.AsyncConnection.connect(dsn, autocommit=True)  # type: ignore[return-value]  # awaited there


async def refusal(connection: psycopg.AsyncConnection[tuple[object, ...]], sql: str) -> str | None:
    with pytest.raises(psycopg.Error) as caught:
        await connection.execute(sql)
    return caught.value.sqlstate


async def test_each_database_is_judged_by_its_own_policy(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    front, vault = tmp_path / "front.yaml", tmp_path / "vault.yaml"
    front.write_text(POLICY.format(approver="front@example.com", read="products"))
    vault.write_text(POLICY.format(approver="vault@example.com", read="customers"))
    (tmp_path / "password").write_text(LOGIN_PASSWORD)
    place = {"host": "127.0.0.1", "port": postgres.port, "database": shop, "user": LOGIN}
    databases = {
        name: {**place, "password_file": tmp_path / "password", "policy": policy}
        for name, policy in (("shop", front), ("vault", vault))
    }
    async with (
        open_house(postgres, shop, tmp_path, databases=databases) as house,
        await connect(house, "shop") as at_front,
        await connect(house, "vault") as at_vault,
    ):
        app = house.app
        products, customers = "SELECT id FROM products LIMIT 1", "SELECT id FROM customers LIMIT 1"
        # the same texts, of the same agent, by turns: what is remembered of one is nothing to the other
        for _ in range(2):
            await at_front.execute(products)
            assert await refusal(at_front, customers) == "42501"
            await at_vault.execute(customers)
            assert await refusal(at_vault, products) == "42501"
        with pytest.raises(psycopg.OperationalError, match="guards: shop, vault"):
            await connect(house, "elsewhere")

        # each asks its own people
        asked = asyncio.create_task(at_vault.execute("UPDATE customers SET name = name WHERE id = 1"))
        hold = await house.next_hold()
        other = await app.desk.vote(hold.id, "front@example.com", approve=True, reason="", channel="cli")
        assert not isinstance(other, Counted), other
        own = await app.desk.vote(hold.id, "vault@example.com", approve=True, reason="", channel="cli")
        assert isinstance(own, Counted), own
        await asked
        assert hold.database == "vault"

        # a change of one is none of the other
        before = {name: gate.policy.revision for name, gate in app.gates.items()}
        vault.write_text(POLICY.format(approver="vault@example.com", read="orders"))
        assert await app.reload("dana@example.com") == ""
        assert app.gates["shop"].policy.revision == before["shop"]
        assert app.gates["vault"].policy.revision != before["vault"]
        await at_front.execute(products)
        assert await refusal(at_vault, customers) == "42501"

        # and the log tells them apart
        revisions = {
            name: {
                record["revision"]
                for record in await house.records("judgement")
                if record["database"] == name
            }
            for name in databases
        }
        assert revisions["shop"] == {before["shop"]}
        assert revisions["vault"] == {before["vault"], app.gates["vault"].policy.revision}
