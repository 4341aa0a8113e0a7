"""Slack as a channel: slack-bolt over Socket Mode, so that nothing of the firewall is exposed; or over HTTP.

The desk's listener only notes what is due. Everything that talks to Slack runs in tasks of its own, and no
failure of Slack's ever reaches the desk.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from firewall.channels import Standing
from firewall.channels.cards import MemoryCards
from firewall.channels.poster import Poster, places
from firewall.channels.showing import Showing
from firewall.channels.slack_cards import SlackWriter
from firewall.channels.slack_clicks import Clicks
from firewall.channels.slack_home import Home
from firewall.channels.slack_log import sdk_logger
from firewall.channels.slack_pen import Pen
from firewall.channels.slack_voice import Voice
from firewall.errors import FirewallError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime

    from firewall.approval import Hold
    from firewall.channels.cards import Cards
    from firewall.desk import Desk

API = "https://slack.com/api/"
# of one call; a call that takes longer is taken for lost and looked after
CALL_SECONDS = 30.0
# a rate-limited call is repeated after Retry-After this often before it counts as failed
RATE_LIMIT_RETRIES = 5
# the longest that Slack sends is a dialog (250 KB), form-encoded
MAX_REQUEST_BYTES = 2 * 1024 * 1024
PATH: Final = "/slack/events"
PLATFORM: Final = "slack"
_CHANNEL = re.compile(r"[CG][A-Z0-9]{2,}")


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """How to reach Slack; the tokens are in no repr.

    channel: the id of the channel (C… or G…), not its name; the app must have been invited there.
    ping_seconds: how soon a dead socket is noticed and replaced. retry_seconds: the first back-off.
    signing_secret: if there is one, Slack's requests are taken at host and port, and no socket is opened.
    """

    bot_token: str = field(repr=False)
    app_token: str = field(repr=False)
    channel: str
    signing_secret: str = field(default="", repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    api_url: str = API
    ping_seconds: float = 10.0
    retry_seconds: float = 1.0

    def __post_init__(self) -> None:
        if not self.bot_token.startswith("xoxb-"):
            raise FirewallError(
                "the Slack bot token does not begin with `xoxb-`",
                hint="take it from the app's page, OAuth & Permissions",
            )
        if not self.signing_secret and not self.app_token.startswith("xapp-"):
            raise FirewallError(
                "the Slack app token does not begin with `xapp-`",
                hint="make one on the app's page, Basic Information, with the scope connections:write",
            )
        if not _CHANNEL.fullmatch(self.channel):
            raise FirewallError(
                f"`{self.channel}` is not the id of a Slack channel",
                hint="open the channel's details in Slack and copy the id at the bottom",
            )


class SlackChannel:
    """Cards in Slack channels, and the votes that people give on them.

    people: the name in policy of a Slack team and user id, or None; an empty team is the app's own. It is
        asked at every click. members: the Slack ids of those in these groups who may decide this hold.
    cards: where it is kept which card belongs to which hold; without a durable one a restart looks every
        pending hold's card up in the channel. origin: whose holds are shown, if there are others' as well.
    """

    def __init__(
        self,
        settings: SlackSettings,
        desk: Desk,
        people: Callable[[str, str], str | None],
        cards: Cards | None = None,
        *,
        members: Callable[[Hold, Sequence[str]], Sequence[str]] = lambda *_: (),
        origin: str = "",
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._people = people
        self._cards = cards or MemoryCards()
        self._members = members
        self._origin = origin
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self._poster: Poster | None = None
        self._deaf = False
        self.port = 0

    @property
    def standing(self) -> Standing:
        found = self._poster.standing if self._poster else Standing(PLATFORM)
        if self._deaf and not found.failing:
            return replace(found, failing="there is no connection on which Slack could tell of clicks")
        return found

    async def start(self) -> None:
        """Post what is pending and listen, now or as soon as Slack can be reached; returns at once."""
        settings = self._settings
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS))
        self._stack.push_async_callback(session.close)
        client = AsyncWebClient(
            token=settings.bot_token,
            base_url=settings.api_url,
            session=session,
            logger=sdk_logger(),
            # no handler for lost connections: the library would repeat a post that Slack has carried out
            retry_handlers=[AsyncRateLimitErrorRetryHandler(max_retry_count=RATE_LIMIT_RETRIES)],
        )
        # without a signing secret bolt would only warn; a request over HTTP then has none to be verified by
        app = AsyncApp(
            client=client,
            logger=sdk_logger(),
            name="firewall",
            signing_secret=settings.signing_secret or secrets.token_hex(32),
        )
        voice = Voice(client, self._desk, self._people)
        home = Home(client, voice, self._desk)
        Clicks(client, voice).register(app)
        home.register(app)
        writer = SlackWriter(Pen(client), settings.channel, self._users)
        showing = Showing(writer, self._desk, self._cards)
        poster = self._poster = Poster(
            showing, self._desk, self._channels, retry_seconds=settings.retry_seconds
        )
        for want in (poster.want, home.want):
            self._stack.callback(self._desk.listen(want))
        self._run(poster.run())
        self._run(home.run())
        if settings.signing_secret:
            self.port = await listen(app, settings.host, settings.port, self._stack)
        else:
            self._open_socket(app)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    def _open_socket(self, app: AsyncApp) -> None:
        settings = self._settings
        socket = AsyncSocketModeHandler(
            app, settings.app_token, logger=sdk_logger(), ping_interval=settings.ping_seconds
        )
        self._stack.push_async_callback(socket.close_async)
        self._run(socket.connect_async())  # type: ignore[no-untyped-call] # bolt leaves it bare
        self._run(self._refresh(socket))

    async def _refresh(self, socket: AsyncSocketModeHandler) -> None:
        """The library tries one address until it works, but an address is good for one connection and some
        seconds; whenever there is no connection, have it ask for a new one.
        """
        while True:
            await asyncio.sleep(self._settings.ping_seconds)
            self._deaf = not await socket.client.is_connected()
            if self._deaf:
                socket.client.wss_uri = None

    def _run(self, work: Coroutine[object, object, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name="slack"))

    def _channels(self, hold: Hold, now: datetime) -> list[str]:
        return places(hold, now, PLATFORM, self._settings.channel, self._origin)

    def _users(self, hold: Hold, now: datetime) -> Sequence[str]:
        return self._members(hold, hold.deciders(now))


async def listen(app: AsyncApp, host: str, port: int, stack: AsyncExitStack) -> int:
    """Take Slack's requests over HTTP, each verified by its signature and age; returns the port."""

    async def take(request: web.Request) -> web.StreamResponse:
        try:
            return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))
        except ValueError:
            # signed by nobody, and no text of Slack's
            return web.Response(status=400)

    server = web.Application(client_max_size=MAX_REQUEST_BYTES)
    server.router.add_post(PATH, take)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise FirewallError(
            f"Slack's requests cannot be taken at `{host}:{port}`: {error.strerror}",
            hint="free the port, or set another under `slack.http`",
        ) from None
    bound: int = runner.addresses[0][1]
    return bound
