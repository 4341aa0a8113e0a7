"""What an approver sees of a held statement's impact: the same in every channel, and in the log."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from house import DBA

from firewall import clock, credentials
from firewall.channels import dossier
from firewall.channels.card import card
from firewall.cli.holds import public
from tests.slack_emulator.blocks import words

if TYPE_CHECKING:
    from house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_everyone_is_shown_what_it_would_come_to(house: House) -> None:
    with psycopg.connect(house.postgres.dsn(house.database), autocommit=True) as admin:
        admin.execute("ANALYZE orders")
    orders = house.count("orders")
    async with await psycopg.AsyncConnection.connect(house.dsn()) as connection:
        await connection.execute("SELECT count(*) FROM products")
        with pytest.raises(psycopg.Error):
            async with connection.transaction():
                await connection.execute("SELECT nothing FROM products")
        asking = asyncio.create_task(connection.execute("DELETE FROM orders WHERE id > %s", [0]))
        # decided before anything is asserted: whoever leaves here waits for it
        hold = await house.decide(approve=False, reason="too many")
        with pytest.raises(psycopg.Error, match="too many"):
            await asking
    assert house.count("orders") == orders
    impact = hold.impact
    assert impact is not None
    assert impact.estimate is not None, impact.unestimated
    assert impact.estimate.changes[0].rows == pytest.approx(orders, rel=0.05)
    assert impact.writes
    assert impact.ceiling == 10_000
    assert "ceiling: beyond 10,000 rows changed it is rolled back" in impact.lines
    assert impact.transaction is not None
    assert "delete cascade in public.order_items (order_id)" in impact.sets_off
    assert "row exclusive on public.order_items" in impact.takes
    assert "access share on public.products" in impact.holding
    assert ("SELECT count(*) FROM products", "SELECT 1") in [(e.sql, e.outcome) for e in impact.earlier]
    assert any("failed: " in each.outcome and "42703" in each.outcome for each in impact.earlier)

    record = next(r for r in await house.story(hold.id) if r["kind"] == "hold")
    assert record["impact"] == list(impact.lines)
    shown = words(card(hold, now=clock.now()).blocks)
    assert all(line in shown for line in impact.lines[:4])
    told = dossier.lines(hold, clock.now())
    assert all(f"    {line}" in told for line in impact.lines)
    token = await credentials.add_person(house.app.store, DBA, issuer="operator")
    async with httpx.AsyncClient(base_url=house.app.url) as client:
        answer = await client.get(f"/api/v1/holds/{hold.id}", headers={"authorization": f"Bearer {token}"})
    # what JSON has no tuples for is a list in both
    assert answer.json()["impact"] == json.loads(json.dumps(public(hold)["impact"]))
