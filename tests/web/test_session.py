"""The door and the cookie: who gets in, for how long, and what a forged or foreign post is worth."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import clock
from firewall.approval import State
from firewall.web.session import SESSION_COOKIE, SESSION_SECONDS, Seal
from firewall.web.signin import local
from tests.web.sample import COOKIE_KEY, hold

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tests.web.conftest import Browser
    from tests.web.sample import Sample


async def test_signing_in_makes_a_session_and_a_record(sample: Sample, nobody: Browser) -> None:
    answer = await nobody.sign_in("  token-dana ", to="/log?agent=bot")
    assert (answer.status_code, answer.headers["location"]) == (303, "/log?agent=bot")
    cookies = answer.headers.get_list("set-cookie")
    session = next(cookie for cookie in cookies if cookie.startswith(f"{SESSION_COOKIE}="))
    assert "HttpOnly" in session
    assert "SameSite=strict" in session
    assert f"Max-Age={SESSION_SECONDS}" in session
    assert "token-dana" not in session
    assert (await nobody.get("/")).status_code == 200
    (record,) = await sample.records("sign_in")
    assert (record.person, record.channel, record.succeeded) == ("dana@example.com", "web", True)


async def test_over_https_the_cookie_is_secure_and_of_this_host_only(app: FastAPI) -> None:
    base = "https://console.test"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
        text = (await client.get("/signin")).text
        form_token = text.partition('name="form_token" value="')[2].partition('"')[0]
        values = {"token": "token-dana", "form_token": form_token}
        answer = await client.post("/signin", data=values, headers={"origin": base})
        session = next(c for c in answer.headers.get_list("set-cookie") if "firewall-session" in c)
        assert session.startswith("__Host-firewall-session=")
        assert "; Secure" in session
        assert "max-age" in answer.headers["strict-transport-security"]
        assert (await client.get("/")).status_code == 200


async def test_a_wrong_token_signs_nobody_in(sample: Sample, nobody: Browser) -> None:
    answer = await nobody.sign_in("<b>token-nobody</b>")
    assert answer.status_code == 401
    assert "belongs to no person" in answer.text
    assert "token-nobody" not in answer.text
    assert SESSION_COOKIE not in nobody.http.cookies
    (record,) = await sample.records("sign_in")
    assert (record.person, record.succeeded) == ("", False)


async def test_nobody_is_in_before_it_is_on_the_record(sample: Sample, nobody: Browser) -> None:
    form_token = await nobody.form_token("/signin")
    await sample.store.close()
    answer = await nobody.post("/signin", token="token-dana", form_token=form_token)
    assert answer.status_code == 503
    assert SESSION_COOKIE not in nobody.http.cookies


async def test_signing_out_ends_copies_of_the_cookie_too(dana: Browser) -> None:
    copy = dana.http.cookies[SESSION_COOKIE]
    answer = await dana.post("/signout", form_token=await dana.form_token())
    assert answer.headers["location"] == "/signin"
    dana.http.cookies.set(SESSION_COOKIE, copy, domain="console.test")
    assert (await dana.get("/")).status_code == 303


async def test_a_session_ends_after_its_time(dana: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = dana.http.cookies[SESSION_COOKIE]
    now = clock.now()
    for seconds, status in ((SESSION_SECONDS - 5, 200), (SESSION_SECONDS + 5, 303)):
        monkeypatch.setattr(clock, "now", lambda at=now + timedelta(seconds=seconds): at)
        dana.http.cookies.set(SESSION_COOKIE, cookie, domain="console.test")
        assert (await dana.get("/")).status_code == status


async def test_a_person_without_a_token_is_out_at_once(sample: Sample, dana: Browser) -> None:
    del sample.tokens["token-dana"]
    assert (await dana.get("/")).status_code == 303


@pytest.mark.parametrize("change", ["flip", "cut", "add", "empty", "json", "other key", "door"])
async def test_a_tampered_cookie_is_nobody(dana: Browser, nobody: Browser, change: str) -> None:
    good = dana.http.cookies[SESSION_COOKIE]
    await nobody.get("/signin")
    other = Seal(bytes(32))
    forged = {
        "flip": good[:40] + ("A" if good[40] != "A" else "B") + good[41:],
        "cut": good[:-4],
        "add": f"{good}AAAA",
        "empty": "",
        "json": '["dana@example.com","x",99999999999]',
        "other key": other.write(other.open("dana@example.com")),
        "door": nobody.http.cookies["firewall-door"],
    }[change]
    dana.http.cookies.set(SESSION_COOKIE, forged, domain="console.test")
    assert (await dana.get("/")).status_code == 303


@given(st.text(max_size=80), st.integers(0, 10**6))
def test_no_changed_byte_of_a_cookie_is_taken(person: str, at: int) -> None:
    seal = Seal(COOKIE_KEY)
    visit = seal.open(person.encode(errors="replace").decode())
    sealed = seal.write(visit)
    assert seal.read(sealed) == visit
    at %= len(sealed.rstrip("=")) - 1
    changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
    assert seal.read(changed) is None


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 32"):
        Seal(b"short")


def test_the_key_is_in_no_representation() -> None:
    assert "ABCDEF" in repr(COOKIE_KEY)
    assert "ABCDEF" not in repr(Seal(COOKIE_KEY))


@pytest.mark.parametrize("path", ["approve", "deny"])
@pytest.mark.parametrize("form_token", [None, "", "0" * 64, "☃"])
async def test_a_form_without_its_token_is_refused(
    sample: Sample, dana: Browser, path: str, form_token: str | None
) -> None:
    await sample.desk.open(made := hold())
    values = {"digest": made.digest, "reason": "x"} | (
        {} if form_token is None else {"form_token": form_token}
    )
    assert (await dana.post(f"/holds/{made.id}/{path}", **values)).status_code == 403
    assert (await sample.desk.hold(made.id)).state is State.PENDING


async def test_another_sessions_form_token_is_refused(sample: Sample, dana: Browser, nobody: Browser) -> None:
    await nobody.sign_in("token-omar")
    await sample.desk.open(made := hold())
    answer = await dana.decide(made.id, "approve", form_token=await nobody.form_token())
    assert answer.status_code == 403
    assert (await sample.desk.hold(made.id)).state is State.PENDING


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "https://console.test"},
        {"origin": "http://console.test:8080"},
        {"origin": "http://console.test.evil.test"},
        {"origin": "null"},
        {"origin": "http://["},
        {"referer": "http://evil.test/console.test"},
        {"origin": "http://console.test", "sec-fetch-site": "cross-site"},
        {"origin": "http://console.test", "sec-fetch-site": "same-site"},
        {},
    ],
    ids=str,
)
async def test_a_post_from_elsewhere_is_refused(
    sample: Sample, dana: Browser, headers: dict[str, str]
) -> None:
    await sample.desk.open(made := hold())
    values = {"form_token": await dana.form_token(), "digest": made.digest}
    answer = await dana.http.post(f"/holds/{made.id}/approve", data=values, headers=headers)
    assert answer.status_code == 403
    assert (await sample.desk.hold(made.id)).state is State.PENDING


async def test_signing_someone_in_from_elsewhere_is_refused(nobody: Browser) -> None:
    form_token = await nobody.form_token("/signin")
    answer = await nobody.post(
        "/signin", origin="http://evil.test", token="token-dana", form_token=form_token
    )
    assert answer.status_code == 403
    answer = await nobody.post("/signin", token="token-dana", form_token="0" * 64)
    assert answer.status_code == 403
    assert SESSION_COOKIE not in nobody.http.cookies


async def test_opening_the_door_again_signs_nobody_out(dana: Browser) -> None:
    await dana.get("/signin")
    assert (await dana.get("/")).status_code == 200


async def test_a_link_from_another_site_is_asked_once_more_with_the_cookie(nobody: Browser) -> None:
    answer = await nobody.get("/holds/h-1?x=1", **{"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0;url=/holds/h-1?x=1"' in answer.text
    again = await nobody.get("/holds/h-1?x=1", **{"sec-fetch-site": "same-origin"})
    assert again.headers["location"] == "/signin?to=%2Fholds%2Fh-1%3Fx%3D1"


@pytest.mark.parametrize(
    "to",
    [
        "//evil.test",
        "/\\evil.test",
        "https://evil.test",
        "javascript:alert(1)",
        "",
        "evil.test",
        "/a\r\nx: y",
        "/☃",
        "/a;url=//evil",
    ],
)
async def test_after_signing_in_one_stays_here(nobody: Browser, to: str) -> None:
    assert local(to) == "/"
    answer = await nobody.sign_in("token-dana", to=to)
    assert answer.headers["location"] == "/"
