"""The console as the app puts it together: a person of the policy comes in by link and sees how it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from house import DBA

from firewall import credentials

if TYPE_CHECKING:
    from house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_person_of_the_policy_comes_in_by_link_and_sees_how_it_stands(house: House) -> None:
    secret = await credentials.link_person(house.app.store, DBA, issuer="operator")
    origin = {"origin": house.app.url}
    async with (
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as agent,
        httpx.AsyncClient(base_url=house.app.url) as client,
    ):
        await agent.execute("SELECT name FROM products")
        page = await client.get("/signin/link", params={"once": secret})
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert token
        form = {"once": secret, "form_token": token[1]}
        assert (await client.post("/signin/link", data=form, headers=origin)).status_code == 303
        health = (await client.get("/status")).text
        assert DBA in health
        assert house.app.gates["shop"].policy.revision in health
        status = await house.app.health.status()
        stranger = await credentials.link_person(house.app.store, "guest@example.com", issuer="operator")
        page = await client.get("/signin/link", params={"once": stranger})
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert token
        form = {"once": stranger, "form_token": token[1]}
        refused = await client.post("/signin/link", data=form, headers=origin)
        assert (refused.status_code, "is nobody here" in refused.text) == (401, True)
    assert status.sessions >= 1
    assert status.databases[0].read_at is not None
    assert status.databases[0].relations > 5
    assert not status.troubles
    assert status.log is not None
    assert status.log.records > 0 < status.log.bytes
    assert status.workers is not None
    assert 0 < status.workers.alive <= status.workers.number
