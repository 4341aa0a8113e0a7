"""One step at a time from what a channel shows of a hold to what it should show.

A hold has a card of its own, or is on the card of a similar hold that still waits (its lead). What was
posted is stored before and after, so that a crash anywhere leaves a card that is found again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError, SlackClientError

from firewall import clock
from firewall.approval import State
from firewall.channels.card import Card, block_id, card, escaped, is_open, notice, nudge, outcome
from firewall.channels.cards import Posted, face
from firewall.channels.group import MAX_HOLDS, several, similarity
from firewall.channels.slack_pen import FINAL, GONE, REVOKED, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from firewall.approval import Hold
    from firewall.channels.cards import Cards
    from firewall.channels.slack_pen import Pen
    from firewall.desk import Desk

log = structlog.get_logger(__name__)

# clocks differ, and a card is looked for from a little before its hold was opened
SKEW_SECONDS = 300.0
# cards that may take similar holds; more agents than people could follow
MAX_LEADS = 1000

# what else must be done at once for these holds, and when to look at this card again
Next = tuple[list["Hold"], "datetime | None"]


class SlackCards:
    """The only one who writes cards. users: the Slack ids of people who may decide a hold now.

    default: the channel whose cards are kept under the hold's id alone.
    """

    platform = "slack"
    failures: tuple[type[Exception], ...] = (SlackClientError, aiohttp.ClientError)

    def __init__(
        self,
        pen: Pen,
        desk: Desk,
        cards: Cards,
        default: str,
        users: Callable[[Hold, datetime], Sequence[str]],
    ) -> None:
        self._pen = pen
        self._desk = desk
        self._cards = cards
        self._default = default
        self._users = users
        self._since = clock.now()
        self._leads: OrderedDict[tuple[str, Hold], str] = OrderedDict()

    async def step(self, hold: Hold, channel: str) -> Next:
        """Make one change in Slack, the first that is missing."""
        now = clock.now()
        kept = await self._get(hold.id, channel)
        posted = kept or Posted()
        if posted.lead:
            return await self._member(hold, channel, posted)
        if not posted.ts:
            # a hold from before our time may have been posted by whoever was here then
            attempted = kept is not None or hold.opened_at < self._since
            return await self._post(hold, channel, attempted=attempted)
        holds = [hold, *[found for one in posted.members if (found := await self._desk.hold(one))]]
        waiting = next((one for one in holds if is_open(one, now)), None)
        if waiting and (like := similarity(hold)):
            self._leads.setdefault((channel, like), hold.id)
        if posted.shows != face(holds, now):
            return await self._update(holds, channel, posted, now), now
        if hold.outcome and not posted.told:
            await self._tell(hold, posted)
            await self._keep(hold, channel, replace(posted, told=True))
            return [], now
        if waiting and (nudged := await self._nudge(waiting, posted, now)):
            await self._keep(hold, channel, nudged)
            # the channels of the escalation come in only now
            return ([hold] if nudged.escalated and not posted.escalated else []), now
        # last, because it alone needs a scope that an operator may have left out
        if not posted.filed:
            made = await asyncio.to_thread(card, hold, now=now)
            await self._pen.attach(posted.channel, posted.ts, made.files)
            await self._keep(hold, channel, replace(posted, filed=True))
        return [], _next_nudge(waiting, posted) if waiting else None

    def why(self, error: Exception) -> tuple[str, bool, str]:
        code = reason(error)
        revoked = "slack no longer takes the bot token; put a new one into SLACK_BOT_TOKEN and restart"
        return code, code in FINAL, revoked if code in REVOKED else ""

    async def _member(self, hold: Hold, channel: str, posted: Posted) -> Next:
        """It is on another hold's card, which shows it anew; its outcome goes into that card's thread."""
        lead = await self._desk.hold(posted.lead)
        card_of_lead = await self._get(posted.lead, channel)
        if lead is None or card_of_lead is None or hold.id not in card_of_lead.members:
            # it was told that it would be taken and was not: it begins anew
            await self._keep(hold, channel, Posted())
            return [], clock.now()
        if hold.outcome and not posted.told and card_of_lead.ts:
            await self._tell(hold, card_of_lead)
            await self._keep(hold, channel, replace(posted, told=True))
        if posted.escalated or not hold.escalates_at or not is_open(hold, now := clock.now()):
            return [lead], None
        if now < hold.escalates_at:
            return [lead], hold.escalates_at
        await self._keep(hold, channel, replace(posted, escalated=True))
        # the channels of the escalation come in only now
        return [lead, hold], None

    async def _post(self, hold: Hold, channel: str, *, attempted: bool) -> Next:
        now = clock.now()
        if attempted:
            since = hold.opened_at.timestamp() - SKEW_SECONDS
            ts = await self._pen.find(channel, block_id(hold.id), since=since)
            if ts:
                # what it shows is not known, so it is written anew
                await self._keep(hold, channel, Posted(channel, ts))
                return [], now
        if hold.state is not State.PENDING:
            return [], None
        if lead := await self._join(hold, channel, now):
            return [lead], None
        await self._keep(hold, channel, Posted())
        made = await asyncio.to_thread(card, hold, now=now)
        try:
            answer = await self._pen.say(channel, made.text, made.blocks)
        except SlackApiError as error:
            if reason(error) not in FINAL:
                raise
            log.error("slack refuses a card", hold=hold.id, error=reason(error))  # noqa: TRY400 — no traceback reaches a person
            made = _bare(hold)
            answer = await self._pen.say(channel, made.text, made.blocks)
        posted = Posted(answer["channel"], answer["ts"], face([hold], now), filed=not made.files)
        await self._keep(hold, channel, posted)
        if like := similarity(hold):
            # similar holds may come onto this card, the newest that there is
            self._leads[channel, like] = hold.id
            while len(self._leads) > MAX_LEADS:
                self._leads.popitem(last=False)
        return [], now

    async def _join(self, hold: Hold, channel: str, now: datetime) -> Hold | None:
        """The hold whose card takes this one as well, if there is one."""
        like = similarity(hold)
        lead_id = self._leads.get((channel, like)) if like and is_open(hold, now) else None
        if lead_id is None or lead_id == hold.id:
            return None
        lead, posted = await self._desk.hold(lead_id), await self._get(lead_id, channel)
        if lead is None or posted is None or not posted.ts:
            return None
        if hold.id not in posted.members:
            if len(posted.members) + 1 >= MAX_HOLDS:
                return None
            there = [lead, *[found for one in posted.members if (found := await self._desk.hold(one))]]
            if not any(is_open(one, now) for one in there):
                return None
            # in this order: what only one of the two knows is undone by `_member`
            await self._keep(hold, channel, Posted(lead=lead.id))
            await self._keep(lead, channel, replace(posted, members=(*posted.members, hold.id)))
        return lead

    async def _update(self, holds: Sequence[Hold], channel: str, posted: Posted, now: datetime) -> list[Hold]:
        """Show them as they are; a card that is gone is posted again, and these holds begin anew."""
        hold = holds[0]
        made = await asyncio.to_thread(_made, holds, now)
        try:
            await self._pen.update(posted.channel, posted.ts, made)
        except SlackApiError as error:
            if reason(error) not in GONE:
                raise
            if any(one.state is State.PENDING for one in holds):
                log.warning("card was deleted, posting it again", hold=hold.id)
                for member in reversed(holds):
                    await self._keep(member, channel, Posted())
                return list(holds)
        filed = posted.filed or not made.files
        await self._keep(hold, channel, replace(posted, shows=face(holds, now), filed=filed))
        return []

    async def _nudge(self, hold: Hold, posted: Posted, now: datetime) -> Posted | None:
        """One reminder, if one is due; several that were missed are one."""
        if hold.escalates_at and now >= hold.escalates_at and not posted.escalated:
            number, after = 0, replace(posted, escalated=True)
        elif (
            hold.remind and (due := int((now - hold.opened_at).total_seconds() / hold.remind)) > posted.nudged
        ):
            number, after = due, replace(posted, nudged=due)
        else:
            return None
        text, blocks = nudge(hold, number, self._users(hold, now))
        await self._pen.say_once(posted.channel, text, blocks, thread=posted.ts)
        return after

    async def _tell(self, hold: Hold, posted: Posted) -> None:
        text, blocks = outcome(hold)
        await self._pen.say_once(posted.channel, text, blocks, thread=posted.ts)

    async def _get(self, hold_id: str, channel: str) -> Posted | None:
        kept = await self._cards.get(self._key(hold_id, channel))
        return Posted.load(kept) if kept else None

    async def _keep(self, hold: Hold, channel: str, posted: Posted) -> None:
        await self._cards.put(self._key(hold.id, channel), posted.dump())

    def _key(self, hold_id: str, channel: str) -> str:
        return hold_id if channel == self._default else f"{hold_id} {channel}"


def _made(holds: Sequence[Hold], now: datetime) -> Card:
    return several(holds, now=now) if len(holds) > 1 else card(holds[0], now=now)


def _next_nudge(hold: Hold, posted: Posted) -> datetime | None:
    times = []
    if hold.escalates_at and not posted.escalated:
        times.append(hold.escalates_at)
    if hold.remind:
        times.append(hold.opened_at + timedelta(seconds=hold.remind * (posted.nudged + 1)))
    return min((at for at in times if at < hold.expires_at), default=None)


def _bare(hold: Hold) -> Card:
    """A card that Slack cannot object to: nothing on it comes from outside; it is decided elsewhere."""
    words = f"Hold {hold.id} waits, but Slack cannot show it. Decide with: firewall holds show {hold.id}"
    first, *_ = notice(words)
    return Card(escaped(words), [{**first, "block_id": block_id(hold.id)}], {})
