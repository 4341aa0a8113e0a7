"""The real application over a real store and a real desk, and browsers and programs that talk to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from firewall.store import Store
from firewall.web import create_app
from tests.web.sample import KEY, ORIGIN, Sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fastapi import FastAPI

BASE = "http://console.test"
FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


@dataclass
class Browser:
    """A client that keeps cookies and fills in forms as a browser does; redirects are not followed."""

    http: httpx.AsyncClient

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers=headers)

    async def post(self, path: str, origin: str = BASE, **values: str) -> httpx.Response:
        return await self.http.post(path, data=values, headers={"origin": origin})

    async def form_token(self, path: str = "/") -> str:
        found = FORM_TOKEN.search((await self.get(path)).text)
        assert found, f"{path} has no form"
        return found.group(1)

    async def sign_in(self, token: str, to: str = "/") -> httpx.Response:
        form_token = await self.form_token("/signin")
        return await self.post("/signin", token=token, to=to, form_token=form_token)

    async def decide(self, hold_id: str, word: str, **values: str) -> httpx.Response:
        """Send the form as the hold's page has it, with other fields where they are given."""
        text = (await self.get(f"/holds/{hold_id}")).text
        digest = re.search(r'name="digest" value="([^"]+)"', text)
        shown = {"form_token": FORM_TOKEN.search(text)[1]} | ({"digest": digest[1]} if digest else {})
        return await self.post(f"/holds/{hold_id}/{word}", **(shown | values))


@pytest.fixture
async def sample(tmp_path: Path) -> AsyncIterator[Sample]:
    async with await Store.open(f"sqlite:///{tmp_path / 'store.db'}", origin=ORIGIN, key=KEY) as store:
        yield Sample(store)


@pytest.fixture
def app(sample: Sample) -> FastAPI:
    return create_app(sample.house)


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A program without credentials."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        yield client


@pytest.fixture
async def nobody(app: FastAPI) -> AsyncIterator[Browser]:
    """A browser that is not signed in."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        yield Browser(client)


@pytest.fixture
async def dana(app: FastAPI) -> AsyncIterator[Browser]:
    """A browser that dana signed in, an approver of the group dba."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        browser = Browser(client)
        assert (await browser.sign_in("token-dana")).status_code == 303
        yield browser
