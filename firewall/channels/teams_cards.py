"""A hold's card in Teams: what is posted, changed and replied.

Teams gives a bot no way to look its own messages up. What is being posted is stored before and after, so a
card is never lost; where the answer to posting one was lost there is a second one. Somebody who clicks on the
first tells of it, and from then on both are kept up; a decision counts once anyway.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx

from firewall.channels import alarm
from firewall.channels.cards import Posted, face
from firewall.channels.teams_card import card, nudge, outcome, several

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from firewall.approval import Hold, Vote

GONE = frozenset({403, 404})


class NoTokenError(Exception):
    """The app's credentials gave no token, now."""


class TeamsWriter:
    """send: a card into a conversation, as a reply to a message or in place of one, if named; its id.

    users: names and ids in Entra of people who may decide a hold now.
    """

    platform = "teams"
    failures: tuple[type[Exception], ...] = (httpx.HTTPError, NoTokenError)

    def __init__(
        self,
        send: Callable[[str, str, str, dict[str, Any]], Awaitable[str]],
        url: str,
        users: Callable[[Hold, datetime], Sequence[tuple[str, str]]],
    ) -> None:
        self._send = send
        self._url = url
        self._users = users

    async def find(self, hold: Hold, channel: str) -> str:
        """Never: see above."""
        del hold, channel
        return ""

    async def post(self, hold: Hold, channel: str, now: datetime) -> Posted:
        ts = await self._send(channel, "", "", await self._made([hold], now))
        return Posted(channel, ts, face([hold], now), filed=True)

    async def update(self, holds: Sequence[Hold], posted: Posted, now: datetime) -> Posted | None:
        made = await self._made(holds, now)
        also = tuple([ts for ts in posted.also if await self._there(posted.channel, ts, made)])
        return replace(posted, also=also) if await self._there(posted.channel, posted.ts, made) else None

    async def tell(self, hold: Hold, posted: Posted) -> None:
        await self._send(posted.channel, posted.ts, "", outcome(hold))

    async def nudge(self, hold: Hold, posted: Posted, number: int, now: datetime) -> None:
        await self._send(posted.channel, posted.ts, "", nudge(hold, number, self._users(hold, now)))

    async def alarm(self, hold: Hold, channel: str, vote: Vote) -> None:
        await self._send(channel, "", "", alarm.teams(hold, vote))

    async def file(self, hold: Hold, posted: Posted, now: datetime) -> None:
        """Nothing: what does not fit is read page by page."""

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

    def key(self, hold_id: str, channel: str) -> str:
        return json.dumps([hold_id, "teams", channel])

    async def _there(self, channel: str, ts: str, made: dict[str, Any]) -> bool:
        """Write it over that message, if there is one."""
        try:
            await self._send(channel, "", ts, made)
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in GONE:
                raise
            return False
        return True

    async def _made(self, holds: Sequence[Hold], now: datetime) -> dict[str, Any]:
        if len(holds) > 1:
            return await asyncio.to_thread(several, holds, now=now)
        return await asyncio.to_thread(card, holds[0], now=now, url=self._url)
