"""Sign-in by a provider: a real one on loopback, that says what the test lets it say."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from aiohttp import web
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from firewall.web import create_app
from firewall.web.oidc import Oidc
from tests.web.conftest import BASE, Browser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.web.sample import Sample

KEY = RSAKey.generate_key(2048, parameters={"kid": "1"})
OTHER = RSAKey.generate_key(2048, parameters={"kid": "1"})


@dataclass
class Provider:
    """Signs with `key` (its own, if that is None) what a browser asked for, changed by `claims`."""

    url: str = ""
    key: Any = None
    algorithm: str = "RS256"
    claims: dict[str, object] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    exchanged: list[dict[str, str]] = field(default_factory=list)

    async def configuration(self, _: web.Request) -> web.Response:
        places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return web.json_response(
            {"issuer": self.url, **{name: f"{self.url}/{path}" for name, path in places.items()}}
        )

    async def keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [KEY.as_dict(private=False)]})

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.exchanged.append(form)
        if create_s256_code_challenge(form["code_verifier"]) != self.asked["code_challenge"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "console",
            "sub": "1",
            "iat": now,
            "exp": now + 300,
            "nonce": self.asked["nonce"],
            "email": "dana@example.com",
            "email_verified": True,
        } | self.claims
        header = {"alg": self.algorithm, "kid": "1"}
        signed = jwt.encode(header, claims, self.key or KEY, algorithms=[self.algorithm])
        return web.json_response({"id_token": signed, "access_token": "x", "token_type": "bearer"})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", made.configuration)
    app.router.add_get("/keys", made.keys)
    app.router.add_post("/token", made.token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def visitor(sample: Sample, provider: Provider) -> AsyncIterator[Browser]:
    house = dataclasses.replace(sample.house, oidc=Oidc(provider.url, "console", "s3cret", "Acme"))
    transport = httpx.ASGITransport(create_app(house))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        yield Browser(client)


async def go(visitor: Browser, provider: Provider, to: str = "/log") -> None:
    """Off to the provider, as far as the console sends the browser there."""
    sent = await visitor.get(f"/signin/provider?to={to}")
    assert sent.status_code == 303
    query = parse_qs(urlsplit(sent.headers["location"]).query)
    provider.asked = {name: values[0] for name, values in query.items()}


async def come_back(visitor: Browser, provider: Provider, **other: str) -> httpx.Response:
    answer = {"code": "c", "state": provider.asked["state"]} | other
    return await visitor.http.get("/signin/back", params=answer)


async def test_a_known_person_is_in(visitor: Browser, provider: Provider, sample: Sample) -> None:
    assert "Sign in by" in (await visitor.get("/signin?to=/log")).text
    await go(visitor, provider)
    assert provider.asked["redirect_uri"] == f"{BASE}/signin/back"
    assert provider.asked["code_challenge_method"] == "S256"
    back = await come_back(visitor, provider)
    assert (back.status_code, back.headers["location"]) == (303, "/log")
    assert provider.exchanged[0]["client_secret"] == "s3cret"
    assert "dana@example.com" in (await visitor.get("/log")).text
    (record,) = await sample.records("sign_in")
    assert (record.person, record.channel, record.succeeded) == ("dana@example.com", "oidc", True)
    again = await come_back(visitor, provider)
    assert again.status_code == 401, "an answer counts once"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": "https://other.example"}, "cannot be believed"),
        ({"aud": "another"}, "cannot be believed"),
        ({"aud": ["console", "another"]}, "meant for others"),
        ({"azp": "another"}, "meant for others"),
        ({"nonce": "another"}, "cannot be believed"),
        ({"exp": 1}, "cannot be believed"),
        ({"email_verified": False}, "does not vouch"),
        ({"email_verified": "true"}, "does not vouch"),
        ({"email": None}, "does not vouch"),
        ({"email": "eve@example.com"}, "nobody here"),
    ],
)
async def test_what_a_token_must_say(
    visitor: Browser, provider: Provider, sample: Sample, claims: dict[str, object], said: str
) -> None:
    provider.claims = claims
    await go(visitor, provider)
    back = await come_back(visitor, provider)
    assert back.status_code == 401
    assert said in back.text
    assert (await visitor.get("/log")).status_code == 303
    (record,) = await sample.records("sign_in")
    assert not record.succeeded


@pytest.mark.parametrize("how", ["other key", "shared secret", "state", "no code", "no cookie", "verifier"])
async def test_what_is_forged(visitor: Browser, provider: Provider, how: str) -> None:
    other: dict[str, str] = {}
    await go(visitor, provider)
    match how:
        case "other key":
            provider.key = OTHER
        case "shared secret":
            # what a client of the provider knows must not sign
            provider.key, provider.algorithm = OctKey.import_key("s3cret" * 8), "HS256"
        case "state":
            other["state"] = "another"
        case "no code":
            other["code"] = ""
        case "no cookie":
            visitor.http.cookies.clear()
        case "verifier":
            provider.asked["code_challenge"] = "another"
    back = await come_back(visitor, provider, **other)
    assert back.status_code == 401
    assert "firewall-session" not in back.headers.get("set-cookie", "")


async def test_a_provider_that_is_gone_or_another(visitor: Browser, provider: Provider) -> None:
    provider.url = "https://other.example"
    sent = await visitor.get("/signin/provider")
    assert sent.status_code == 502
    assert "calls itself otherwise" in sent.text


async def test_without_a_provider_there_is_no_such_door(nobody: Browser) -> None:
    assert "Sign in by" not in (await nobody.get("/signin")).text
    assert (await nobody.get("/signin/provider")).status_code == 404
    assert (await nobody.get("/signin/back?code=c&state=s")).status_code == 404
