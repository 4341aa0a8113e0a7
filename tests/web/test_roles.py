"""Every route of the console and the API is somebody's, and nobody else's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from firewall.web import Role, api, browse, decisions, events, overview, pages, together
from tests.web.sample import hold, judgement

if TYPE_CHECKING:
    import httpx

    from tests.web.conftest import Browser
    from tests.web.sample import Sample

DANA = "dana@example.com"
BEARER = {"authorization": "Bearer token-dana"}
# whoever may look may do everything else; who decides is the policy's to say, and the desk's to record
FOR = {
    ("/statements/{statement_id}/proof/{record_id}", "GET"): Role.AUDITOR,
    ("/status/verify", "POST"): Role.AUDITOR,
    ("/policy", "POST"): Role.OPERATOR,
}
ROUTES = [
    (route.path, method)
    for room in (events, browse, overview, decisions, pages, together, api)
    for route in room.router.routes
    for method in sorted(route.methods)
]


def test_the_routes_are_all_there() -> None:
    assert len(ROUTES) > 20
    assert FOR.keys() <= set(ROUTES)


async def ask(browser: Browser, token: str, path: str, method: str) -> httpx.Response:
    url = re.sub(r"{\w+}", "x-1", path)
    if path.startswith("/api/"):
        return await browser.http.request(method, url, headers=BEARER, json={"reason": "x"})
    if method == "POST":
        return await browser.post(url, form_token=token, name="x", sql="SELECT 1", database="shop")
    return await browser.get(url)


@pytest.mark.parametrize(("path", "method"), ROUTES)
async def test_who_has_no_role_sees_nothing(sample: Sample, dana: Browser, path: str, method: str) -> None:
    token = await dana.form_token()
    sample.roles[DANA] = frozenset()
    answer = await ask(dana, token, path, method)
    assert answer.status_code == 403
    assert "no role" in answer.text or "for people with the role" in answer.text


@pytest.mark.parametrize("role", Role)
async def test_each_role_does_its_own(sample: Sample, dana: Browser, role: Role) -> None:
    await sample.store.append([judgement("SELECT 1", statement="x-1", id="x-1", session="x-1", agent="x-1")])
    await sample.desk.open(hold(id="x-1"))
    token = await dana.form_token()
    sample.roles[DANA] = frozenset({role})
    for path, method in ROUTES:
        if path == "/events":
            continue  # it does not end; who sees nothing is refused above
        answer = await ask(dana, token, path, method)
        refused = answer.status_code == 403
        assert refused == (FOR.get((path, method), role) is not role), (path, method, answer.text)


async def test_what_a_page_offers_is_what_its_reader_may_do(sample: Sample, dana: Browser) -> None:
    await sample.store.append([judgement("SELECT 1", statement="x-1")])
    sample.roles[DANA] = frozenset({Role.VIEWER})
    assert "/status/verify" not in (await dana.get("/status")).text
    assert "What if" not in (await dana.get("/policy")).text
    assert "Verify here" not in (await dana.get("/statements/x-1")).text


async def test_a_role_that_is_taken_away_is_gone_at_once(sample: Sample, dana: Browser) -> None:
    assert (await dana.get("/log")).status_code == 200
    sample.roles[DANA] = frozenset()
    assert (await dana.get("/log")).status_code == 403
    token = re.search(r'name="form_token" value="([^"]+)"', (await dana.get("/signin")).text)
    assert token, "the way in stays open to others"
