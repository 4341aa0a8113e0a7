"""What every response carries, whatever it is, and what no request may be."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from firewall.web import create_app, shield
from tests.web.sample import hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from tests.web.conftest import Browser
    from tests.web.sample import Sample

DANA = {"authorization": "Bearer token-dana"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/log",
        "/log?since=x",
        "/status",
        "/signin",
        "/nothing",
        "/holds/h-1",
        "/health",
        "/api/v1/holds",
        "/api/v1/nothing",
        "/api/v1/openapi.json",
        "/static/console.css",
        "/static/console.js",
        "/static/nothing",
        "/static/%2e%2e/house.py",
    ],
)
async def test_every_response_is_dressed(dana: Browser, nobody: Browser, path: str) -> None:
    for browser in (dana, nobody):
        headers = (await browser.get(path)).headers
        assert headers["content-security-policy"] == shield.POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")
        assert "strict-transport-security" not in headers


def test_the_policy_allows_nothing_inline_and_no_other_host() -> None:
    directives = dict(part.strip().partition(" ")[::2] for part in shield.POLICY.split(";"))
    assert directives["default-src"] == directives["base-uri"] == directives["frame-ancestors"] == "'none'"
    assert not {"unsafe", "http", "data:", "*"} & {
        word for word in ("unsafe", "http", "data:", "*") if word in shield.POLICY
    }


@pytest.mark.parametrize(
    ("path", "of"),
    [
        ("/static/console.css", "text/css"),
        ("/static/console.js", "text/javascript"),
        ("/static/mark.svg", "image/svg+xml"),
    ],
)
async def test_static_files_are_served_as_what_they_are(nobody: Browser, path: str, of: str) -> None:
    answer = await nobody.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(of)


async def test_an_oversized_body_is_refused_before_anyone_reads_it(http: httpx.AsyncClient) -> None:
    body = b"x" * (shield.MAX_BODY_BYTES + 1)
    answer = await http.post("/api/v1/holds/h-1/deny", content=body, headers=DANA)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["content-security-policy"]
    answer = await http.post("/signin", content=body, headers={"origin": "http://console.test"})
    assert answer.status_code == 413
    assert "<!doctype html>" in answer.text


async def test_a_body_that_does_not_say_its_size_is_bounded_too(http: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 4096

    answer = await http.post("/api/v1/holds/h-1/deny", content=endless(), headers=DANA)
    assert answer.status_code == 413
    assert sent <= shield.MAX_BODY_BYTES // 4096 + 2


@pytest.mark.parametrize("length", ["-1", "x", "99999999999999999999"])
async def test_a_size_that_is_none_is_refused(http: httpx.AsyncClient, length: str) -> None:
    answer = await http.post("/signin", content=b"x", headers={"content-length": length})
    assert answer.status_code == 413


async def test_a_body_that_does_not_arrive_is_given_up(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shield, "BODY_SECONDS", 0.01)

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    assert (await http.post("/signin", content=stuck())).status_code == 408


@pytest.mark.parametrize(
    "body",
    [
        b"--x\r\n",
        b"a=1&" * 500,
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nx\r\n--x--\r\n',
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(dana: Browser, body: bytes) -> None:
    of = "multipart/form-data; boundary=x" if body.startswith(b"--") else "application/x-www-form-urlencoded"
    headers = {"content-type": of, "origin": "http://console.test"}
    answer = await dana.http.post("/holds/h-1/approve", content=body, headers=headers)
    assert answer.status_code in {400, 403}


@pytest.mark.parametrize("path", ["/", "/api/v1/holds"])
async def test_a_bug_is_a_recorded_fault_and_no_traceback(sample: Sample, path: str) -> None:
    async def broken(*_: object) -> Any:
        raise RuntimeError("password=hunter2")

    house = dataclasses.replace(sample.house, person_by_token=broken, is_person=broken)
    app: FastAPI = create_app(house)
    cookies = {"firewall-session": app.state.seal.write(app.state.seal.open("dana@example.com"))}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://console.test", cookies=cookies
    ) as client:
        answer = await client.get(path, headers=DANA)
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == shield.POLICY
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    (fault,) = await sample.records("fault")
    assert (fault.where, fault.error) == (f"console GET {path}", "RuntimeError")


async def test_a_fault_in_one_request_leaves_the_next_alone(sample: Sample, dana: Browser) -> None:
    await sample.desk.open(made := hold())
    assert (await dana.get("/holds/%00")).status_code == 404
    assert (await dana.get(f"/holds/{made.id}")).status_code == 200
