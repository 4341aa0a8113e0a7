"""One step at a time from what a channel shows of a hold to what it should show, whichever platform it is on.

A hold has a card of its own, or is on the card of a similar hold that still waits (its lead). What was
posted is stored before and after, so that a crash anywhere leaves a card that is found again where the
platform lets it be found.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import structlog

from firewall import clock
from firewall.approval import State
from firewall.channels import alarm
from firewall.channels.card import is_open
from firewall.channels.cards import Posted, face
from firewall.channels.group import MAX_HOLDS, similarity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from firewall.approval import Hold, Vote
    from firewall.channels.cards import Cards
    from firewall.desk import Desk

log = structlog.get_logger(__name__)

# cards that may take similar holds; more agents than people could follow
MAX_LEADS = 1000
# cards of one hold whose posting was not answered, and that somebody clicked on
MAX_STRAYS = 8

# what else must be done at once for these holds, and when to look at this card again
Next = tuple[list["Hold"], "datetime | None"]


class Writer(Protocol):
    """Writes on one platform. A call fails with one of `failures` if the platform cannot do it now."""

    platform: str
    failures: tuple[type[Exception], ...]

    async def find(self, hold: Hold, channel: str) -> str:
        """The id of this hold's card in the channel, if its posting was not answered and it can be found."""
        ...

    async def post(self, hold: Hold, channel: str, now: datetime) -> Posted:
        """A card of its own."""
        ...

    async def update(self, holds: Sequence[Hold], posted: Posted, now: datetime) -> Posted | None:
        """Show them as they are, on the first one's card; None if that is gone."""
        ...

    async def tell(self, hold: Hold, posted: Posted) -> None:
        """The outcome, into the card's thread."""
        ...

    async def nudge(self, hold: Hold, posted: Posted, number: int, now: datetime) -> None:
        """The so many-th reminder, into the card's thread; 0 is the escalation."""
        ...

    async def alarm(self, hold: Hold, channel: str, vote: Vote) -> None:
        """That the glass was broken, in a message of its own, if it is not there."""
        ...

    async def file(self, hold: Hold, posted: Posted, now: datetime) -> None:
        """What the card had no room for, into its thread."""
        ...

    def why(self, error: Exception) -> tuple[str, bool, str]: ...

    def key(self, hold_id: str, channel: str) -> str:
        """Under what it is kept where the hold's card in this channel is."""
        ...


class Showing:
    """The only one who has cards written."""

    def __init__(self, writer: Writer, desk: Desk, cards: Cards) -> None:
        self.platform = writer.platform
        self.failures = writer.failures
        self.why = writer.why
        self._writer = writer
        self._desk = desk
        self._cards = cards
        self._since = clock.now()
        self._leads: OrderedDict[tuple[str, Hold], str] = OrderedDict()
        self._strays: dict[tuple[str, str], list[str]] = {}

    async def clicked(self, hold: Hold, channel: str, ts: str) -> bool:
        """Somebody clicked on this message; whether it is a card of which nobody knew, now to be kept up."""
        posted = await self._get(hold.id, channel) or Posted()
        lead = posted.lead or hold.id
        if posted.lead:
            posted = await self._get(lead, channel) or Posted()
        found = self._strays.get((lead, channel), [])
        if not ts or ts in {posted.ts, *posted.also, *found}:
            return False
        self._strays[lead, channel] = [*found, ts]
        return True

    async def step(self, hold: Hold, channel: str) -> Next:
        """Make one change on the platform, the first that is missing."""
        now = clock.now()
        kept = await self._get(hold.id, channel)
        posted = kept or Posted()
        if (vote := alarm.due(hold, now)) and not posted.alarmed:
            await self._writer.alarm(hold, channel, vote)
            await self._keep(hold, channel, replace(posted, alarmed=True))
            return [], now
        if posted.lead:
            return await self._member(hold, channel, posted)
        if not posted.ts:
            # a hold from before our time may have been posted by whoever was here then
            attempted = kept is not None or hold.opened_at < self._since
            return await self._post(hold, channel, attempted=attempted)
        known = {posted.ts, *posted.also}
        if strays := [ts for ts in self._strays.pop((hold.id, channel), []) if ts not in known]:
            # what a stray shows is not known, so all of them are written anew
            posted = replace(posted, also=(*posted.also, *strays)[-MAX_STRAYS:], shows="")
            await self._keep(hold, channel, posted)
        holds = [hold, *[found for one in posted.members if (found := await self._desk.hold(one))]]
        waiting = next((one for one in holds if is_open(one, now)), None)
        if waiting and (like := similarity(hold)):
            self._leads.setdefault((channel, like), hold.id)
        if posted.shows != face(holds, now):
            return await self._update(holds, channel, posted, now), now
        if hold.outcome and not posted.told:
            await self._writer.tell(hold, posted)
            await self._keep(hold, channel, replace(posted, told=True))
            return [], now
        if waiting and (nudged := await self._nudge(waiting, posted, now)):
            await self._keep(hold, channel, nudged)
            # the channels of the escalation come in only now
            return ([hold] if nudged.escalated and not posted.escalated else []), now
        # last, because it alone needs a scope that an operator may have left out
        if not posted.filed:
            await self._writer.file(hold, posted, now)
            await self._keep(hold, channel, replace(posted, filed=True))
        return [], _next_nudge(waiting, posted) if waiting else None

    async def _member(self, hold: Hold, channel: str, posted: Posted) -> Next:
        """It is on another hold's card, which shows it anew; its outcome goes into that card's thread."""
        lead = await self._desk.hold(posted.lead)
        card_of_lead = await self._get(posted.lead, channel)
        if lead is None or card_of_lead is None or hold.id not in card_of_lead.members:
            # it was told that it would be taken and was not: it begins anew
            await self._keep(hold, channel, Posted())
            return [], clock.now()
        if hold.outcome and not posted.told and card_of_lead.ts:
            await self._writer.tell(hold, card_of_lead)
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
        strays = self._strays.pop((hold.id, channel), [])
        if attempted and (ts := strays[0] if strays else await self._writer.find(hold, channel)):
            # what it shows is not known, so it is written anew
            await self._keep(hold, channel, Posted(channel, ts))
            return [], now
        if hold.state is not State.PENDING:
            return [], None
        if lead := await self._join(hold, channel, now):
            return [lead], None
        await self._keep(hold, channel, Posted())
        await self._keep(hold, channel, await self._writer.post(hold, channel, now))
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
        after = await self._writer.update(holds, posted, now)
        if after is None and any(one.state is State.PENDING for one in holds):
            log.warning("card was deleted, posting it again", hold=hold.id)
            for member in reversed(holds):
                await self._keep(member, channel, Posted())
            return list(holds)
        await self._keep(hold, channel, replace(after or replace(posted, filed=True), shows=face(holds, now)))
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
        await self._writer.nudge(hold, posted, number, now)
        return after

    async def _get(self, hold_id: str, channel: str) -> Posted | None:
        kept = await self._cards.get(self._writer.key(hold_id, channel))
        return Posted.load(kept) if kept else None

    async def _keep(self, hold: Hold, channel: str, posted: Posted) -> None:
        await self._cards.put(self._writer.key(hold.id, channel), posted.dump())


def _next_nudge(hold: Hold, posted: Posted) -> datetime | None:
    times = []
    if hold.escalates_at and not posted.escalated:
        times.append(hold.escalates_at)
    if hold.remind:
        times.append(hold.opened_at + timedelta(seconds=hold.remind * (posted.nudged + 1)))
    return min((at for at in times if at < hold.expires_at), default=None)
