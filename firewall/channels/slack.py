"""Slack as a channel: slack-bolt over Socket Mode, so that nothing of the firewall is exposed.

The desk's listener only notes what is due. Everything that talks to Slack runs in tasks of its own, and no
failure of Slack's ever reaches the desk.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from firewall.channels.cards import MemoryCards
from firewall.channels.slack_clicks import Clicks
from firewall.channels.slack_log import sdk_logger
from firewall.channels.slack_poster import Poster
from firewall.errors import FirewallError

if TYPE_CHECKING:
    from collections.abc import Callable

    from firewall.channels.cards import Cards
    from firewall.desk import Desk

API = "https://slack.com/api/"
# of one call; a call that takes longer is taken for lost and looked after
CALL_SECONDS = 30.0
# a rate-limited call is repeated after Retry-After this often before it counts as failed
RATE_LIMIT_RETRIES = 5
_CHANNEL = re.compile(r"[CG][A-Z0-9]{2,}")


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """How to reach Slack; the tokens are in no repr.

    channel: the id of the channel (C… or G…), not its name; the app must have been invited there.
    ping_seconds: how soon a dead socket is noticed and replaced. retry_seconds: the first back-off.
    """

    bot_token: str = field(repr=False)
    app_token: str = field(repr=False)
    channel: str
    api_url: str = API
    ping_seconds: float = 10.0
    retry_seconds: float = 1.0

    def __post_init__(self) -> None:
        if not self.bot_token.startswith("xoxb-"):
            raise FirewallError(
                "the Slack bot token does not begin with `xoxb-`",
                hint="take it from the app's page, OAuth & Permissions",
            )
        if not self.app_token.startswith("xapp-"):
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
    """Cards in one Slack channel, and the votes that people give on them.

    people: the name in policy of a Slack team and user id, or None. It is asked at every click.
    cards: where it is kept which card belongs to which hold; without a durable one a restart looks every
        pending hold's card up in the channel.
    """

    def __init__(
        self,
        settings: SlackSettings,
        desk: Desk,
        people: Callable[[str, str], str | None],
        cards: Cards | None = None,
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._people = people
        self._cards = cards or MemoryCards()
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._socket: AsyncSocketModeHandler | None = None
        self._unlisten: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Post what is pending and listen, now or as soon as Slack can be reached; returns at once."""
        settings = self._settings
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS))
        client = AsyncWebClient(
            token=settings.bot_token,
            base_url=settings.api_url,
            session=self._session,
            logger=sdk_logger(),
            # no handler for lost connections: the library would repeat a post that Slack has carried out
            retry_handlers=[AsyncRateLimitErrorRetryHandler(max_retry_count=RATE_LIMIT_RETRIES)],
        )
        app = AsyncApp(client=client, logger=sdk_logger(), name="firewall")
        Clicks(client, self._desk, self._people).register(app)
        poster = Poster(
            client, settings.channel, self._desk, self._cards, retry_seconds=settings.retry_seconds
        )
        self._socket = AsyncSocketModeHandler(
            app, settings.app_token, logger=sdk_logger(), ping_interval=settings.ping_seconds
        )
        self._unlisten = self._desk.listen(poster.want)
        self._tasks = [
            asyncio.create_task(poster.run(), name="slack cards"),
            asyncio.create_task(self._socket.connect_async(), name="slack socket"),  # type: ignore[no-untyped-call] # bolt leaves it bare
            asyncio.create_task(self._refresh(self._socket), name="slack socket address"),
        ]

    async def _refresh(self, socket: AsyncSocketModeHandler) -> None:
        """The library tries one address until it works, but an address is good for one connection and some
        seconds; whenever there is no connection, have it ask for a new one.
        """
        while True:
            await asyncio.sleep(self._settings.ping_seconds)
            if not await socket.client.is_connected():
                socket.client.wss_uri = None

    async def close(self) -> None:
        self._unlisten()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close_async()  # type: ignore[no-untyped-call] # bolt leaves it bare
        if self._session is not None:
            await self._session.close()
