"""One step at a time from what a Teams conversation shows of a hold to what it should show.

Teams gives a bot no way to look its own messages up. What is being posted is stored before and after, so a
card is never lost; an answer that was lost on the way costs a second card, and a decision counts once anyway.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import structlog

from firewall import clock
from firewall.approval import State
from firewall.channels import visible
from firewall.channels.card import is_open
from firewall.channels.cards import Posted, face
from firewall.channels.teams_card import card

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from firewall.approval import Hold
    from firewall.channels.cards import Cards

log = structlog.get_logger(__name__)


class NoTokenError(Exception):
    """The app's credentials gave no token, now."""


class TeamsCards:
    """The only one who writes cards.

    send: a card into a conversation, as a reply to a message or in place of one, if they are named; its id.
    """

    platform = "teams"
    failures: tuple[type[Exception], ...] = (httpx.HTTPError, NoTokenError)

    def __init__(
        self, send: Callable[[str, str, str, dict[str, Any]], Awaitable[str]], cards: Cards, url: str
    ) -> None:
        self._send = send
        self._cards = cards
        self._url = url

    async def step(self, hold: Hold, channel: str) -> tuple[list[Hold], datetime | None]:
        now = clock.now()
        kept = await self._cards.get(_key(hold, channel))
        posted = Posted.load(kept) if kept else Posted()
        if not posted.ts:
            if hold.state is not State.PENDING:
                return [], None
            await self._keep(hold, channel, Posted())
            ts = await self._send(channel, "", "", await self._made(hold, now))
            await self._keep(hold, channel, Posted(channel, ts, face([hold], now)))
            return [], now
        if posted.shows != face([hold], now):
            try:
                await self._send(channel, "", posted.ts, await self._made(hold, now))
            except httpx.HTTPStatusError as error:
                if error.response.status_code not in {403, 404}:
                    raise
                if hold.state is State.PENDING:
                    log.warning("card was deleted, posting it again", hold=hold.id)
                    await self._keep(hold, channel, Posted())
                    return [], now
            await self._keep(hold, channel, replace(posted, shows=face([hold], now)))
            return [], now
        if hold.outcome and not posted.told:
            # a text is markdown to Teams, a card's text run is not
            said = visible.cut(visible.line(hold.outcome), 1000)
            run = {"type": "TextRun", "text": f"Outcome of hold {hold.id}: {said}"}
            body = [{"type": "RichTextBlock", "inlines": [run]}]
            await self._send(channel, posted.ts, "", {"type": "AdaptiveCard", "version": "1.5", "body": body})
            await self._keep(hold, channel, replace(posted, told=True))
            return [], None
        if is_open(hold, now) and hold.escalates_at and not posted.escalated:
            if now < hold.escalates_at:
                return [], hold.escalates_at
            await self._keep(hold, channel, replace(posted, escalated=True))
            # the channels of the escalation come in only now
            return [hold], None
        return [], None

    def why(self, error: Exception) -> tuple[str, bool, str]:
        """Never the message, which quotes URLs and may quote answers."""
        advice = "teams does not take the app's credentials; put new ones into the environment and restart"
        if isinstance(error, NoTokenError):
            return "no token", False, advice
        if not isinstance(error, httpx.HTTPStatusError):
            return type(error).__name__, False, ""
        status = error.response.status_code
        # 413 and 400: this card, again and again
        return f"status {status}", status in {400, 413}, advice if status == 401 else ""

    async def _made(self, hold: Hold, now: datetime) -> dict[str, Any]:
        return await asyncio.to_thread(card, hold, now=now, url=self._url)

    async def _keep(self, hold: Hold, channel: str, posted: Posted) -> None:
        await self._cards.put(_key(hold, channel), posted.dump())


def _key(hold: Hold, channel: str) -> str:
    return json.dumps([hold.id, "teams", channel])
