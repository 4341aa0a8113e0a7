"""A hold's card in Slack: what is posted, changed and replied, and how a lost answer is looked for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError, SlackClientError

from firewall.channels import alarm
from firewall.channels.card import Card, block_id, card, escaped, notice, nudge, outcome
from firewall.channels.cards import Posted, face
from firewall.channels.group import several
from firewall.channels.slack_pen import FINAL, GONE, REVOKED, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from firewall.approval import Hold, Vote
    from firewall.channels.slack_pen import Pen

log = structlog.get_logger(__name__)

# clocks differ, and a card is looked for from a little before its hold was opened
SKEW_SECONDS = 300.0


class SlackWriter:
    """users: the Slack ids of people who may decide a hold now.

    default: the channel whose cards are kept under the hold's id alone.
    """

    platform = "slack"
    failures: tuple[type[Exception], ...] = (SlackClientError, aiohttp.ClientError)

    def __init__(self, pen: Pen, default: str, users: Callable[[Hold, datetime], Sequence[str]]) -> None:
        self._pen = pen
        self._default = default
        self._users = users

    async def find(self, hold: Hold, channel: str) -> str:
        since = hold.opened_at.timestamp() - SKEW_SECONDS
        return await self._pen.find(channel, block_id(hold.id), since=since)

    async def post(self, hold: Hold, channel: str, now: datetime) -> Posted:
        made = await asyncio.to_thread(card, hold, now=now)
        try:
            answer = await self._pen.say(channel, made.text, made.blocks)
        except SlackApiError as error:
            if reason(error) not in FINAL:
                raise
            log.error("slack refuses a card", hold=hold.id, error=reason(error))  # noqa: TRY400 — no traceback reaches a person
            made = _bare(hold)
            answer = await self._pen.say(channel, made.text, made.blocks)
        return Posted(answer["channel"], answer["ts"], face([hold], now), filed=not made.files)

    async def update(self, holds: Sequence[Hold], posted: Posted, now: datetime) -> Posted | None:
        made = await asyncio.to_thread(_made, holds, now)
        try:
            await self._pen.update(posted.channel, posted.ts, made)
        except SlackApiError as error:
            if reason(error) not in GONE:
                raise
            return None
        return replace(posted, filed=posted.filed or not made.files)

    async def tell(self, hold: Hold, posted: Posted) -> None:
        text, blocks = outcome(hold)
        await self._pen.say_once(posted.channel, text, blocks, thread=posted.ts)

    async def nudge(self, hold: Hold, posted: Posted, number: int, now: datetime) -> None:
        text, blocks = nudge(hold, number, self._users(hold, now))
        await self._pen.say_once(posted.channel, text, blocks, thread=posted.ts)

    async def alarm(self, hold: Hold, channel: str, vote: Vote) -> None:
        text, blocks = alarm.slack(hold, vote)
        await self._pen.say_once(channel, text, blocks, since=hold.opened_at.timestamp() - SKEW_SECONDS)

    async def file(self, hold: Hold, posted: Posted, now: datetime) -> None:
        made = await asyncio.to_thread(card, hold, now=now)
        await self._pen.attach(posted.channel, posted.ts, made.files)

    def why(self, error: Exception) -> tuple[str, bool, str]:
        code = reason(error)
        revoked = "slack no longer takes the bot token; put a new one into SLACK_BOT_TOKEN and restart"
        return code, code in FINAL, revoked if code in REVOKED else ""

    def key(self, hold_id: str, channel: str) -> str:
        return hold_id if channel == self._default else f"{hold_id} {channel}"


def _made(holds: Sequence[Hold], now: datetime) -> Card:
    return several(holds, now=now) if len(holds) > 1 else card(holds[0], now=now)


def _bare(hold: Hold) -> Card:
    """A card that Slack cannot object to: nothing on it comes from outside; it is decided elsewhere."""
    words = f"Hold {hold.id} waits, but Slack cannot show it. Decide with: firewall holds show {hold.id}"
    first, *_ = notice(words)
    return Card(escaped(words), [{**first, "block_id": block_id(hold.id)}], {})
