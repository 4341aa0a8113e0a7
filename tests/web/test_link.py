"""Sign-in by one-time link: once, soon, from this machine, as the person whom it was made for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from firewall import clock, credentials
from firewall.web.session import SESSION_SECONDS
from firewall.web.throttle import FAILURES
from tests.web.conftest import FORM_TOKEN, Browser
from tests.web.sample import hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from tests.web.sample import Sample

HERE = "http://localhost:8432"
# named in policy, and without any token
LENA = "lena@example.com"


def reaching(app: FastAPI, base: str = HERE, address: str = "127.0.0.1") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 5)), base_url=base)


@pytest.fixture
async def here(app: FastAPI, sample: Sample) -> AsyncIterator[Browser]:
    """A browser on the firewall's machine."""
    del sample.tokens["token-lena"]
    async with reaching(app) as client:
        yield Browser(client)


async def made(sample: Sample, person: str = LENA) -> str:
    return await credentials.link_person(sample.store, person, issuer="root")


async def follow(browser: Browser, secret: str, origin: str = HERE, **other: str) -> httpx.Response:
    """Open the link and press its button."""
    page = await browser.get(f"/signin/link?once={secret}")
    found = FORM_TOKEN.search(page.text)
    values = {"once": secret, "form_token": found[1] if found else ""} | other
    return await browser.post("/signin/link", origin, **values)


async def test_it_signs_in_once_as_its_person(sample: Sample, here: Browser, app: FastAPI) -> None:
    secret = await made(sample)
    answer = await follow(here, secret)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers.get_list("set-cookie")[0]
    assert {"HttpOnly", "SameSite=strict", f"Max-Age={SESSION_SECONDS}"} <= set(cookie.split("; "))
    assert LENA in (await here.get("/")).text
    async with reaching(app) as client:
        again = await follow(other := Browser(client), secret)
        assert again.status_code == 401
        assert "used already" in again.text
        assert (await other.get("/")).status_code == 303
    assert [(r.person, r.channel, r.succeeded) for r in await sample.records("sign_in")] == [
        (LENA, "link", True),
        ("", "link", False),
    ]
    [issued] = await sample.records("credential")
    assert (issued.event, issued.name, issued.by) == ("linked", LENA, "root")
    assert secret not in "".join([str(record) for record in await sample.records()])


async def test_who_signed_in_so_is_that_person_with_their_role(sample: Sample, here: Browser) -> None:
    await sample.desk.open(own := hold())
    await follow(here, await made(sample))
    token = await here.form_token()
    answer = await here.post(f"/holds/{own.id}/approve", HERE, form_token=token, digest=own.digest)
    assert answer.status_code == 403
    assert "you asked for this yourself" in answer.text
    sample.roles[LENA] = frozenset()
    assert (await here.get("/")).status_code == 403


async def test_opening_it_does_not_use_it_up(sample: Sample, here: Browser) -> None:
    secret = await made(sample)
    for _ in range(2):
        page = await here.get(f"/signin/link?once={secret}")
        assert page.status_code == 200
        assert "firewall-session" not in page.headers["set-cookie"]
    assert await sample.records("sign_in") == []
    assert (await follow(here, secret)).status_code == 303


async def test_it_is_over_soon_and_leaves_nothing_behind(
    sample: Sample, here: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = await made(sample)
    later = clock.now() + timedelta(seconds=credentials.LINK_SECONDS + 1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert (await follow(here, secret)).status_code == 401
    monkeypatch.undo()
    assert (await follow(here, secret)).status_code == 401, "late or not, it was shown"


async def test_revoking_a_person_voids_what_they_have_not_used(sample: Sample, here: Browser) -> None:
    secret = await made(sample)
    assert await credentials.revoke_person(sample.store, LENA, by="root")
    assert (await follow(here, secret)).status_code == 401


@pytest.mark.parametrize(
    ("base", "address", "headers"),
    [
        (HERE, "192.0.2.7", {}),
        (HERE, "", {}),
        ("http://firewall.example", "127.0.0.1", {}),
        (HERE, "127.0.0.1", {"x-forwarded-for": "192.0.2.7"}),
        (HERE, "127.0.0.1", {"forwarded": "for=192.0.2.7"}),
        (HERE, "::ffff:192.0.2.7", {}),
    ],
)
async def test_it_works_on_this_machine_alone(
    sample: Sample, app: FastAPI, here: Browser, base: str, address: str, headers: dict[str, str]
) -> None:
    secret = await made(sample)
    page = await here.get(f"/signin/link?once={secret}")
    values = {"once": secret, "form_token": FORM_TOKEN.search(page.text)[1]}
    async with reaching(app, base, address) as client:
        client.cookies.update(here.http.cookies)
        assert (await client.get("/signin/link", params=values, headers=headers)).status_code == 403
        posted = await client.post("/signin/link", data=values, headers=headers | {"origin": base})
        assert posted.status_code == 403
        assert "own machine alone" in posted.text
    assert (await here.post("/signin/link", HERE, **values)).status_code == 303, "it was not used up"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_every_loopback_address_is_this_machine(sample: Sample, app: FastAPI, address: str) -> None:
    async with reaching(app, "http://[::1]:8432" if address == "::1" else HERE, address) as client:
        assert (await client.get("/signin/link?once=x")).status_code == 200


async def test_no_other_site_signs_a_browser_in(sample: Sample, here: Browser) -> None:
    secret = await made(sample)
    assert (await follow(here, secret, "http://evil.example")).status_code == 403
    assert (await follow(here, secret, form_token="x")).status_code == 403
    here.http.cookies.clear()
    assert (await here.post("/signin/link", HERE, once=secret)).status_code == 403
    assert (await follow(here, secret)).status_code == 303, "none of that used it up"


async def test_forged_ones_are_recorded_and_throttled(sample: Sample, here: Browser) -> None:
    for forged in ("", "qfl_x", "x" * 600, "token-dana"):
        assert (await follow(here, forged)).status_code in {401, 403}
    for _ in range(FAILURES):
        answer = await follow(here, "qfl_guess")
    assert answer.status_code == 429
    # a token is no link, and a link no token
    secret = await made(sample)
    bearer = {"authorization": f"Bearer {secret}"}
    assert (await here.http.get("/api/v1/holds", headers=bearer)).status_code in {401, 429}
    assert not any(record.succeeded for record in await sample.records("sign_in"))


async def test_who_is_nobody_any_more_is_not_let_in(sample: Sample, here: Browser) -> None:
    secret, other = await made(sample), await made(sample)
    sample.named.remove(LENA)
    answer = await follow(here, secret)
    assert answer.status_code == 401
    assert "is nobody here" in answer.text
    sample.named.add(LENA)
    await follow(here, other)
    assert (await here.get("/log")).status_code == 200
    sample.named.remove(LENA)
    assert (await here.get("/log")).status_code == 303, "and is out as soon as the policy drops them"
