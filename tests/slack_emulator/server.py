"""The emulator itself: what it serves and holds, and the knobs for what goes wrong."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Self

from aiohttp import WSMsgType, web

from tests.slack_emulator.api import Api, Refusal
from tests.slack_emulator.people import PATIENCE_SECONDS, People
from tests.slack_emulator.state import Call, File, Message, View

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

from tests.slack_emulator.state import Json

# Slack's own: an interaction must be acknowledged, and its trigger used, within this time
ACK_SECONDS = 3.0


class SlackEmulator(People):
    """`async with SlackEmulator() as slack`, then point slack-sdk's base_url at `slack.base_url`.

    messages: the current state by (channel, ts). ephemerals: what chat.postEphemeral showed to whom.
    views, files, calls: everything since the start. A user's home workspace is `team` unless said otherwise.
    homes: the app's home of each user. absent: channels where the app may not speak.
    request_url: where interactions go over HTTP, signed with the secret; through a socket if it is empty.
    """

    team = "T0HOME"
    channel = "C0APPROVALS"
    bot_user = "U0FIREWALL"
    bot_token = "xoxb-emulator-bot-token"
    app_token = "xapp-emulator-app-token"

    def __init__(self) -> None:
        self.messages: dict[tuple[str, str], Message] = {}
        self.ephemerals: list[Json] = []
        self.views: dict[str, View] = {}
        self.homes: dict[str, View] = {}
        self.files: list[File] = []
        self.calls: list[Call] = []
        self.channels = {self.channel: "approvals"}
        self.absent: set[str] = set()
        self.request_url = ""
        self.signing_secret = "emulator-signing-secret"
        self.scopes = {"chat:write", "files:write", "users:read", "channels:history", "groups:history"}
        self.triggers: dict[str, tuple[str, str, float]] = {}
        self.exchanged: set[str] = set()
        self.uploads: dict[str, Json] = {}
        self.too_early = 0
        self.connections = 0
        self.base_url = ""
        self._api = Api(self)
        self._sockets: list[web.WebSocketResponse] = []
        self._tickets: set[str] = set()
        self._acks: dict[str, asyncio.Future[Json]] = {}
        self._changed = asyncio.Condition()
        self._down = False
        self._limits: dict[str, tuple[float, float | None]] = {}
        self._lost: dict[str, int] = {}
        self._errors: dict[str, list[str]] = {}
        self._repeat = 1
        self._void = 0
        self._clock = itertools.count(1)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._on_call)
        app.router.add_get("/link/", self._on_socket)
        app.router.add_post("/upload/v1/{file}", self._on_upload)
        app.router.add_post("/actions/{key}", self._on_response_url)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}/api/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drop_sockets()
        assert self._runner is not None
        await self._runner.cleanup()

    # what people see

    async def wait_message(
        self, wanted: Callable[[Message], bool] = lambda _: True, *, patience: float = PATIENCE_SECONDS
    ) -> Message:
        """The first message, oldest first, that is as wanted, now or as soon as it is."""
        return await self._wait(
            lambda: next((m for m in self.messages.values() if wanted(m)), None), "message", patience
        )

    async def wait_ephemeral(self, wanted: Callable[[Json], bool] = lambda _: True) -> Json:
        return await self._wait(
            lambda: next((e for e in self.ephemerals if wanted(e)), None),
            "ephemeral message",
            PATIENCE_SECONDS,
        )

    async def wait_view(self, wanted: Callable[[View], bool] = lambda _: True) -> View:
        """The first open modal that is as wanted."""
        return await self._wait(
            lambda: next((v for v in self.views.values() if not v.closed and wanted(v)), None),
            "view",
            PATIENCE_SECONDS,
        )

    async def wait_file(self, wanted: Callable[[File], bool] = lambda _: True) -> File:
        return await self._wait(
            lambda: next((f for f in self.files if wanted(f)), None), "file", PATIENCE_SECONDS
        )

    async def wait_call(self, wanted: Callable[[Call], bool]) -> Call:
        return await self._wait(
            lambda: next((c for c in self.calls if wanted(c)), None), "call", PATIENCE_SECONDS
        )

    async def wait_connected(self, *, after: int = 0) -> None:
        """Until a socket is open, and more than `after` have been opened in all."""
        await self._wait(
            lambda: True if self._sockets and self.connections > after else None, "socket", PATIENCE_SECONDS
        )

    def thread(self, message: Message) -> list[Message]:
        return [m for m in self.messages.values() if m.thread_ts == message.ts]

    # what goes wrong

    async def go_down(self) -> None:
        """Every call is answered 503, every socket is closed, every socket address is void."""
        self._down = True
        self._tickets.clear()
        await self.drop_sockets()

    def come_up(self) -> None:
        self._down = False

    def ratelimit(self, method: str, seconds: int) -> None:
        """The next call is refused, and so is every one that comes before `seconds` have passed."""
        self._limits[method] = (seconds, None)

    def lose_answers(self, method: str, times: int = 1) -> None:
        """Carry the next calls out, but break the connection in place of an answer."""
        self._lost[method] = times

    def fail(self, method: str, *errors: str) -> None:
        """Answer the next calls with these errors, in order, without carrying them out."""
        self._errors[method] = list(errors)

    def deliver_times(self, times: int) -> None:
        """Deliver every interaction this often, as Slack does when an acknowledgement is lost."""
        self._repeat = times

    def void_tickets(self, number: int) -> None:
        """The next socket addresses are refused when they are used, as ones that have grown old are."""
        self._void = number

    def delete(self, message: Message) -> None:
        del self.messages[message.channel, message.ts]

    async def drop_sockets(self) -> None:
        """Break every socket without a closing handshake."""
        for socket in self._sockets:
            transport = socket._req.transport if socket._req else None
            if transport is not None:
                transport.abort()
        self._sockets.clear()

    async def refresh_sockets(self) -> None:
        """Ask every client to connect anew, as Slack does every few hours."""
        for socket in self._sockets:
            info = {"host": "applink-emulator", "build_number": 1}
            await socket.send_json({"type": "disconnect", "reason": "refresh_requested", "debug_info": info})

    # inside

    def now(self) -> str:
        """A Slack timestamp; no two are the same."""
        return f"{int(time.time())}.{next(self._clock):06d}"

    def issue_ticket(self) -> str:
        ticket = secrets.token_hex(16)
        if self._void:
            self._void -= 1
        else:
            self._tickets.add(ticket)
        return (
            f"{self.base_url.replace('http', 'ws', 1).replace('/api/', '/link/')}?ticket={ticket}&app_id=A0"
        )

    async def changed(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, look: Callable[[], Any], what: str, patience: float) -> Any:
        try:
            async with asyncio.timeout(patience), self._changed:
                while (found := look()) is None:
                    await self._changed.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"no such {what} in {patience} s; calls: {self._told()}") from None

    def _told(self) -> list[str]:
        return [f"{call.method}:{call.error or 'ok'}" for call in self.calls[-30:]]

    async def _on_call(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        arguments = await _arguments(request)
        if self._down:
            return await self._answer(method, arguments, web.Response(status=503, text="down"), "down")
        limited = self._limited(method)
        if limited:
            return await self._answer(method, arguments, limited, "ratelimited")
        try:
            found = self._call(method, request.headers.get("Authorization", ""), arguments)
        except Refusal as refusal:
            body = {"ok": False, "error": refusal.error, **refusal.details}
            return await self._answer(method, arguments, web.json_response(body), refusal.error)
        response = await self._answer(method, arguments, web.json_response({"ok": True, **found}), "")
        if self._lost.get(method, 0) > 0:
            self._lost[method] -= 1
            assert request.transport is not None
            request.transport.abort()
        return response

    def _call(self, method: str, authorization: str, arguments: Json) -> Json:
        if self._errors.get(method):
            raise Refusal(self._errors[method].pop(0))
        return self._api.call(method, authorization, arguments)

    async def _answer(self, method: str, arguments: Json, response: web.Response, error: str) -> web.Response:
        self.calls.append(Call(method, asyncio.get_running_loop().time(), arguments, error))
        await self.changed()
        return response

    def _limited(self, method: str) -> web.Response | None:
        if method not in self._limits:
            return None
        now = asyncio.get_running_loop().time()
        seconds, until = self._limits[method]
        if until is None:
            self._limits[method] = (seconds, now + seconds)
        elif now < until:
            self.too_early += 1
        else:
            del self._limits[method]
            return None
        body = {"ok": False, "error": "ratelimited"}
        return web.json_response(body, status=429, headers={"Retry-After": str(int(seconds))})

    async def _on_socket(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if self._down or ticket not in self._tickets:
            return web.Response(status=503 if self._down else 403)
        # an address is good for one connection
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        hello = {
            "type": "hello",
            "num_connections": len(self._sockets) + 1,
            "connection_info": {"app_id": "A0"},
        }
        await socket.send_json(hello)
        self._sockets.append(socket)
        await self.changed()
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    answer = json.loads(message.data)
                    waiting = self._acks.pop(answer.get("envelope_id", ""), None)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(answer.get("payload") or {})
        finally:
            if socket in self._sockets:
                self._sockets.remove(socket)
        return socket

    async def _on_upload(self, request: web.Request) -> web.Response:
        upload = self.uploads.get(request.match_info["file"])
        data = await request.read()
        if self._down or upload is None or len(data) != upload["length"]:
            return web.Response(status=503 if self._down else 400, text="refused")
        upload["content"] = data.decode()
        return web.Response(text=f"OK - {len(data)}")

    async def _on_response_url(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.ephemerals.append({"via": "response_url", "user": "", "text": body.get("text", ""), **body})
        await self.changed()
        return web.Response(text="ok")


async def _arguments(request: web.Request) -> Json:
    """Slack takes arguments from the query, a form or a JSON body alike."""
    found: Json = dict(request.query)
    if request.content_type == "application/json":
        found |= await request.json()
    elif request.method == "POST":
        found |= dict(await request.post())
    return found
