"""Microsoft Teams as a channel, by the Microsoft Teams SDK for Python.

The SDK fetches keys and tokens with calls that block, so all of it lives in a thread and a loop of its own;
only decisions come back to the desk's. A request is heard if it is signed by the Bot Framework for this app;
who clicked is the object id in Entra that it names, and policy says who that is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import jwt
import structlog
from aiohttp import web
from microsoft_teams.api.activities.invoke.adaptive_card.action import (
    AdaptiveCardInvokeActivity,  # noqa: TC002 — the SDK looks at the listener's annotations
)
from microsoft_teams.api.activities.message.message import MessageActivityInput
from microsoft_teams.api.auth.cloud_environment import PUBLIC, CloudEnvironment
from microsoft_teams.api.models.adaptive_card import (
    AdaptiveCardActionCardResponse,
    AdaptiveCardActionMessageResponse,
)
from microsoft_teams.api.models.invoke_response import (
    AdaptiveCardInvokeResponse,  # noqa: TC002 — as above
)
from microsoft_teams.apps import ActivityContext, App
from microsoft_teams.apps.utils.thread import to_threaded_conversation_id
from microsoft_teams.cards import AdaptiveCard

from firewall import clock
from firewall.channels import Standing
from firewall.channels.poster import Poster, places
from firewall.channels.showing import Showing
from firewall.channels.teams_cards import NoTokenError, TeamsWriter
from firewall.channels.teams_clicks import CHANNEL, Click, Clicks
from firewall.errors import FirewallError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime

    from microsoft_teams.apps.http.adapter import HttpRouteHandler

    from firewall.approval import Hold
    from firewall.channels.cards import Cards
    from firewall.desk import Desk

log = structlog.get_logger(__name__)

PATH: Final = "/api/messages"
# a card's action with a reason is a few kilobytes
MAX_REQUEST_BYTES: Final = 256 * 1024
CALL_SECONDS: Final = 30.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TeamsSettings:
    """How to reach Teams; the secret is in no repr.

    tenant: the firewall's own, whose people policy names by id alone. conversation: of the channel, 19:….
    service_url: where Teams takes messages in the tenant's region.
    url: the console's, for what does not fit on a card. token: gives the app's tokens in place of the secret.
    """

    client_id: str
    client_secret: str = field(repr=False)
    tenant: str
    conversation: str
    host: str = "127.0.0.1"
    port: int = 0
    service_url: str = "https://smba.trafficmanager.net/teams"
    url: str = ""
    cloud: CloudEnvironment = PUBLIC
    token: Callable[[Any, str | None], str] | None = field(default=None, repr=False)
    retry_seconds: float = 1.0


class TeamsChannel:
    """Cards in Teams conversations, and the votes that people give on them.

    people: the name in policy of a tenant and user id, or None; an empty tenant is the firewall's own.
    members: names and user ids of those in these groups who may decide this hold.
    """

    def __init__(
        self,
        settings: TeamsSettings,
        desk: Desk,
        people: Callable[[str, str], str | None],
        cards: Cards,
        *,
        members: Callable[[Hold, Sequence[str]], Sequence[tuple[str, str]]] = lambda *_: (),
        origin: str = "",
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._people = people
        self._cards = cards
        self._members = members
        self._origin = origin
        self._here: asyncio.AbstractEventLoop | None = None
        self._there = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._there.run_forever, name="teams", daemon=True)
        self._stack = AsyncExitStack()
        self._app: App | None = None
        self._poster: Poster | None = None
        self._task: asyncio.Task[None] | None = None
        self._unlisten: Callable[[], None] = lambda: None
        self._clicks = Clicks(desk, self._clicked)
        self._showing: Showing | None = None
        self.port = 0

    @property
    def standing(self) -> Standing:
        return self._poster.standing if self._poster else Standing(CHANNEL)

    async def start(self) -> None:
        """Post what is pending and listen; returns at once, whether Teams can be reached or not."""
        self._here = asyncio.get_running_loop()
        self._thread.start()
        try:
            await self._over_there(self._open())
        except OSError as error:
            await self.close()
            where = f"{self._settings.host}:{self._settings.port}"
            raise FirewallError(
                f"Teams' requests cannot be taken at `{where}`: {error.strerror}",
                hint="free the port, or set another under `teams`",
            ) from None
        writer = TeamsWriter(self._send, self._settings.url, self._users)
        self._showing = Showing(writer, self._desk, self._cards)
        poster = self._poster = Poster(
            self._showing, self._desk, self._places, retry_seconds=self._settings.retry_seconds
        )
        self._unlisten = self._desk.listen(poster.want)
        self._task = asyncio.create_task(poster.run(), name="teams cards")

    async def close(self) -> None:
        self._unlisten()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._thread.is_alive():
            await self._over_there(self._stack.aclose())
            self._there.call_soon_threadsafe(self._there.stop)
            await asyncio.to_thread(self._thread.join)
        self._there.close()

    def _users(self, hold: Hold, now: datetime) -> Sequence[tuple[str, str]]:
        return self._members(hold, hold.deciders(now))

    def _places(self, hold: Hold, now: datetime) -> list[str]:
        return places(hold, now, CHANNEL, self._settings.conversation, self._origin)

    async def _over_there(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry it out on the SDK's loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._there))

    # what runs on the SDK's loop

    async def _open(self) -> None:
        settings = self._settings
        # the SDK quotes activities and tokens' claims when it is told to say more
        logging.getLogger("microsoft_teams").setLevel(logging.ERROR)
        options: dict[str, Any] = {"token": settings.token} if settings.token else {}
        if not settings.token:
            options["client_secret"] = settings.client_secret
        server = _Server(settings.cloud.token_issuer)
        self._app = App(
            client_id=settings.client_id,
            tenant_id=settings.tenant,
            service_url=settings.service_url,
            cloud=settings.cloud,
            http_server_adapter=server,
            fetch_user_token=False,
            messaging_endpoint=PATH,
            dangerously_allow_unauthenticated_requests=False,
            **options,
        )
        self._app.on_card_action_execute(self._on_action)
        await self._app.initialize()
        self.port = await server.listen(settings.host, settings.port, self._stack)

    async def _on_action(
        self, ctx: ActivityContext[AdaptiveCardInvokeActivity]
    ) -> AdaptiveCardInvokeResponse:
        assert self._here is not None
        work = asyncio.run_coroutine_threadsafe(self._decide(ctx.activity), self._here)
        said = await asyncio.wrap_future(work)
        if isinstance(said, str):
            return AdaptiveCardActionMessageResponse(value=said)
        return AdaptiveCardActionCardResponse(value=AdaptiveCard.model_validate(said))

    # what runs on the desk's loop

    async def _send(self, conversation: str, reply_to: str, instead_of: str, content: dict[str, Any]) -> str:
        async def send() -> str:
            assert self._app is not None
            activity = MessageActivityInput().add_card(AdaptiveCard.model_validate(content))
            if instead_of:
                activity.id = instead_of
            where = to_threaded_conversation_id(conversation, reply_to) if reply_to else conversation
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    return str((await self._app.send(where, activity)).id)
            except (ValueError, jwt.PyJWTError) as error:
                # what the SDK raises when Entra gives it no token; its message quotes Entra's answer
                raise NoTokenError(type(error).__name__) from None

        return await self._over_there(send())

    async def _decide(self, activity: AdaptiveCardInvokeActivity) -> str | dict[str, Any]:
        """What the person who clicked is told or shown, and nobody else."""
        conversation, _, _ = activity.conversation.id.partition(";")
        click = Click(
            activity.id or "",
            self._who(activity),
            conversation,
            activity.reply_to_id or "",
            activity.value.action.data,
        )
        return await self._clicks.take(click)

    async def _clicked(self, hold: Hold, click: Click) -> None:
        """A card whose posting was not answered is known by a click on it, and kept up from then on."""
        if click.conversation not in self._places(hold, clock.now()) or self._poster is None:
            return
        assert self._showing is not None
        if await self._showing.clicked(hold, click.conversation, click.message):
            self._poster.want(hold)

    def _who(self, activity: AdaptiveCardInvokeActivity) -> str:
        """A person's name in policy; for anybody else what they are called in the log."""
        user = (activity.from_.aad_object_id or "").lower()
        data = activity.channel_data
        tenants = {
            activity.conversation.tenant_id,
            activity.from_.tenant_id,
            data.tenant.id if data and data.tenant else None,
        }
        found = {tenant.lower() for tenant in tenants if tenant}
        tenant = found.pop() if len(found) == 1 else ""
        stranger = f"{CHANNEL}:{tenant or 'unknown'}/{user or 'unknown'}"
        if not user or not tenant:
            return stranger
        exact = self._people(tenant, user)
        own = self._people("", user) if tenant == self._settings.tenant.lower() else None
        return ((own or exact) if None in {own, exact} or own == exact else None) or stranger


class _Server:
    """Takes requests for the SDK, which verifies them; what is plainly wrong stops here."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._application = web.Application(client_max_size=MAX_REQUEST_BYTES)

    def register_route(self, method: str, path: str, handler: HttpRouteHandler) -> None:
        async def take(request: web.Request) -> web.Response:
            try:
                body = json.loads(await request.text())
            except (ValueError, RecursionError):
                return web.Response(status=400)
            # the SDK takes tokens of other issuers for other kinds of apps
            if not isinstance(body, dict) or not body.get("serviceUrl") or not self._issued(request):
                return web.Response(status=401)
            answer = await handler(
                {"body": body, "headers": {k.lower(): v for k, v in request.headers.items()}}
            )
            if answer["body"] is None:
                return web.Response(status=answer["status"])
            return web.json_response(answer["body"], status=answer["status"])

        self._application.router.add_route(method, path, take)

    def serve_static(self, path: str, directory: str) -> None:
        """Nothing is served."""

    async def start(self, port: int) -> None:
        """`listen` has done it."""

    async def stop(self) -> None:
        """Whoever called `listen` does it."""

    async def listen(self, host: str, port: int, stack: AsyncExitStack) -> int:
        runner = web.AppRunner(self._application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, host, port).start()
        bound: int = runner.addresses[0][1]
        return bound

    def _issued(self, request: web.Request) -> bool:
        """Whether the token says that it is the Bot Framework's; its signature is the SDK's to check."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        with suppress(jwt.InvalidTokenError):
            claims = jwt.decode(token, options={"verify_signature": False})
            return scheme == "Bearer" and claims.get("iss") == self._issuer
        return False
