"""The Bot Framework connector on loopback, for the real Microsoft Teams SDK.

It keeps what bots post, refuses what the connector refuses, and signs what it sends with a key of its own,
whose public half it publishes as the Bot Framework does. It knows nothing of the firewall.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import jwt
from aiohttp import ClientSession, web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from microsoft_teams.api.auth.cloud_environment import PUBLIC, with_overrides

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
PATIENCE_SECONDS = 30.0
# Teams refuses larger messages (learn.microsoft.com, limits and specifications: 28 KB)
MAX_MESSAGE_BYTES = 28 * 1024
# made once: it takes a tenth of a second
KEY = rsa.generate_private_key(65537, 2048)
ISSUER = "https://api.botframework.example"


@dataclass(slots=True)
class Posted:
    """One message as it stands."""

    id: str
    conversation: str
    activity: Json
    updates: int = 0

    @property
    def card(self) -> Json:
        return self.activity["attachments"][0]["content"]

    @property
    def words(self) -> str:
        return words(self.card)

    @property
    def actions(self) -> dict[str, Json]:
        return actions(self.card)


@dataclass(slots=True)
class TeamsEmulator:
    """`async with TeamsEmulator() as teams`."""

    app = "0a0a0a0a-0000-4000-8000-000000000001"
    tenant = "0b0b0b0b-0000-4000-8000-000000000002"
    conversation = "19:approvals@thread.tacv2"
    # what Entra gives the app: the SDK reads when it expires
    token = jwt.encode({"exp": 4_000_000_000, "appid": app}, "x" * 32, algorithm="HS256")

    messages: dict[str, Posted] = field(default_factory=dict)
    calls: list[tuple[str, str, int]] = field(default_factory=list)
    failing: list[int] = field(default_factory=list)
    # so many messages are taken, and the answer to that is lost
    losing: int = 0
    base: str = ""
    endpoint: str = ""
    key: rsa.RSAPrivateKey = field(default_factory=lambda: KEY)
    _ids: Any = field(default_factory=lambda: itertools.count(1))
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/v1/.well-known/keys", self._keys)
        app.router.add_post("/connector/v3/conversations/{conversation}/activities", self._post)
        app.router.add_put("/connector/v3/conversations/{conversation}/activities/{id}", self._update)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def service_url(self) -> str:
        return f"{self.base}/connector"

    @property
    def cloud(self) -> Any:
        metadata = f"{self.base}/v1/.well-known/openidconfiguration"
        return with_overrides(PUBLIC, openid_metadata_url=metadata, token_issuer=ISSUER)

    async def wait(self, wanted: Callable[[Posted], bool] = lambda _: True) -> Posted:
        """The first message that is as wanted, now or as soon as it is."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
                while (found := next((m for m in self.messages.values() if wanted(m)), None)) is None:
                    await self._changed.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"no such message; calls: {self.calls}") from None

    async def wait_calls(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self.calls) >= number)

    def activity(
        self, on: Posted, title: str, *, user: str, reason: str = "", tenant: str = "", **data: Any
    ) -> Json:
        """What Teams sends for a click; `data` replaces what the button carries, as a forger would."""
        action = on.actions[title]
        home = tenant or self.tenant
        inputs = {"reason": reason} if reason else {}
        return {
            "type": "invoke",
            "name": "adaptiveCard/action",
            "id": f"f:{next(self._ids)}",
            "timestamp": "2030-01-01T00:00:00.000Z",
            "channelId": "msteams",
            "serviceUrl": self.service_url,
            "from": {"id": f"29:{user}", "name": user, "aadObjectId": user},
            "recipient": {"id": f"28:{self.app}", "name": "firewall"},
            "conversation": {
                "id": f"{on.conversation};messageid={on.id}",
                "isGroup": True,
                "conversationType": "channel",
                "tenantId": home,
            },
            "channelData": {"tenant": {"id": home}},
            "replyToId": on.id,
            "value": {
                "action": {**action, "data": {**action["data"], **inputs, **data}},
                "trigger": "manual",
            },
        }

    def claims(self) -> Json:
        now = int(time.time())
        known = {"iss": ISSUER, "aud": self.app, "serviceurl": self.service_url}
        return {**known, "iat": now, "nbf": now - 60, "exp": now + 3600}

    def signed(
        self, claims: Json, *, key: Any = None, algorithm: str = "RS256", kid: str = "emulated"
    ) -> str:
        return jwt.encode(claims, key or self.key, algorithm=algorithm, headers={"kid": kid})

    async def click(self, on: Posted, title: str, *, user: str, **more: Any) -> str:
        """Press a button; what its presser is shown."""
        status, body = await self.send(self.activity(on, title, user=user, **more))
        assert status == 200, (status, body)
        return str(json.loads(body)["value"])

    async def turn(self, on: Posted, title: str, *, user: str, **more: Any) -> Posted:
        """Press a button that answers with a card; the message as its presser alone sees it."""
        status, body = await self.send(self.activity(on, title, user=user, **more))
        answer = json.loads(body)
        assert (status, answer["type"]) == (200, "application/vnd.microsoft.card.adaptive"), answer
        assert len(body) <= MAX_MESSAGE_BYTES
        return Posted(on.id, on.conversation, {"attachments": [{"content": answer["value"]}]})

    async def send(self, activity: Json | str, token: str | None = None) -> tuple[int, str]:
        """Send to the app as the connector does."""
        token = self.signed(self.claims()) if token is None else token
        text = activity if isinstance(activity, str) else json.dumps(activity)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        async with ClientSession() as http, http.post(self.endpoint, data=text, headers=headers) as answer:
            return answer.status, await answer.text()

    async def _keys(self, _: web.Request) -> web.Response:
        public = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        return web.json_response({"keys": [{**public, "kid": "emulated", "use": "sig", "alg": "RS256"}]})

    async def _post(self, request: web.Request) -> web.Response:
        if refused := await self._refused("post", request):
            return refused
        message = Posted(f"17{next(self._ids):011}", request.match_info["conversation"], await request.json())
        self.messages[message.id] = message
        await self._notify()
        if self.losing:
            self.losing -= 1
            return web.json_response({"error": {"code": "GatewayTimeout"}}, status=504)
        return web.json_response({"id": message.id})

    async def _update(self, request: web.Request) -> web.Response:
        if refused := await self._refused("update", request):
            return refused
        message = self.messages.get(request.match_info["id"])
        if message is None:
            return web.json_response({"error": {"code": "ActivityNotFoundInConversation"}}, status=404)
        message.activity = await request.json()
        message.updates += 1
        await self._notify()
        return web.json_response({"id": message.id})

    async def _refused(self, what: str, request: web.Request) -> web.Response | None:
        status = self.failing.pop(0) if self.failing else 200
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            status = 401
        elif len(await request.read()) > MAX_MESSAGE_BYTES:
            status = 413
        self.calls.append((what, request.match_info["conversation"], status))
        await self._notify()
        return None if status == 200 else web.json_response({"error": {"code": "Emulated"}}, status=status)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def actions(card: Json) -> dict[str, Json]:
    """Every button of a card by its title, in what it unfolds as well."""
    found: dict[str, Json] = {}
    sets = [item["actions"] for item in card.get("body", []) if item["type"] == "ActionSet"]
    for action in [*card.get("actions", []), *(action for each in sets for action in each)]:
        found[action["title"]] = action
        if action["type"] == "Action.ShowCard":
            found |= actions(action["card"])
    return found


def words(item: Any) -> str:
    """Everything that a person reads on a card, one block a line."""
    if isinstance(item, list):
        return "".join(words(each) for each in item)
    if not isinstance(item, dict):
        return ""
    if item.get("type") in {"TextRun", "TextBlock"}:
        return str(item["text"])
    inner = "".join(words(item[key]) for key in ("body", "items", "inlines") if key in item)
    return f"{inner}\n"
