"""What people do on cards in Teams, as votes: who it was, what they may do, and what they are shown for it.

An answer is a sentence, or a card that Teams shows to whoever clicked alone: that is how a long statement is
read page by page. A page is shown only to who was shown the one before, and nobody approves a statement that
does not fit on a card before its last page was on their screen.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from firewall import clock
from firewall.approval import Refused
from firewall.channels.card import grantable, is_open
from firewall.channels.granting import FOR, ROWS, USES, asked
from firewall.channels.slack_voice import pairs
from firewall.channels.teams_card import (
    ACTS,
    APPROVE,
    DENY,
    MAX_REASON,
    PAGE,
    REASON,
    REVIEW,
    WHILE,
    needs_reading,
    page_of,
    pages,
)
from firewall.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from firewall.approval import Hold
    from firewall.desk import Desk
    from firewall.policy import Terms

    Json = dict[str, Any]

log = structlog.get_logger(__name__)

CHANNEL: Final = "teams"
# clicks that are told from their repetition, and people in the middle of reading
MAX_REMEMBERED: Final = 4096
FOREIGN = "not counted: this is no button of a card"


@dataclass(frozen=True, slots=True)
class Click:
    """One thing that one person did. person: as policy names them, or what a stranger is called in the log.

    message: of the card, in the conversation.
    """

    id: str
    person: str
    conversation: str
    message: str
    data: Json

    @property
    def known(self) -> bool:
        return not self.person.startswith(f"{CHANNEL}:")


class Clicks:
    """clicked: is told of every card that somebody clicked on."""

    def __init__(self, desk: Desk, clicked: Callable[[Hold, Click], Awaitable[None]]) -> None:
        self._desk = desk
        self._clicked = clicked
        self._handled: OrderedDict[str, None] = OrderedDict()
        # up to which page somebody was shown a hold
        self._read: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    async def take(self, click: Click) -> str | Json:
        """What whoever clicked is told, and nobody else; or a card that they are shown."""
        if self._repeated(click.id):
            return "this click was taken already"
        action, acts = click.data.get("action"), pairs(str(click.data.get(ACTS) or ""))
        if not acts or action not in {APPROVE, DENY, REVIEW, WHILE}:
            log.warning("click on a button with a foreign value")
            return FOREIGN
        try:
            if action == REVIEW:
                return await self._page(click, *acts[0])
            said = [await self._decide(click, str(action), *act) for act in acts]
        except StoreError as error:
            log.error("store fails a click", person=click.person, error=error.message)  # noqa: TRY400 — no traceback reaches a person
            return "not counted: the firewall cannot record it now; try again in a moment"
        return "\n".join(dict.fromkeys(said))

    async def _decide(self, click: Click, action: str, hold_id: str, digest: str) -> str:
        hold = await self._desk.hold(hold_id)
        if hold is None:
            return f"not counted: there is no hold {hold_id[:40]}"
        await self._clicked(hold, click)
        approve = action != DENY
        why = "" if approve else str(click.data.get(REASON) or "").strip()[:MAX_REASON]
        if approve and not await self._has_read(click, hold):
            return "not counted: it does not fit on a card; read it to its end with Review first"
        terms: Terms | None = None
        if action == WHILE:
            found = self._terms(click, hold)
            if isinstance(found, str):
                return found
            terms = found
        if not approve and not why and click.known and is_open(hold, clock.now()):
            return "not counted: write why into the field first; the agent reads it"
        word = await self._desk.vote(
            hold_id,
            click.person,
            approve=approve,
            reason=why,
            channel=CHANNEL,
            digest=digest,
            terms=terms,
            # a card shows all of it, or it was read page by page
            opened=True,
        )
        return f"not counted: {word.why}" if isinstance(word, Refused) else "counted"

    def _terms(self, click: Click, hold: Hold) -> Terms | str:
        if not grantable(hold) or hold.grants is None:
            return f"not counted: hold {hold.id} can be approved for one run only"
        values = {name: {name: {"value": click.data.get(name)}} for name in (FOR, USES, ROWS)}
        found = asked(values, hold.grants)
        return "not counted: " + "; ".join(found.values()) if isinstance(found, dict) else found

    async def _page(self, click: Click, hold_id: str, digest: str) -> str | Json:
        """The page that was asked for, if this person may still decide and has been shown the one before.

        A stranger's, a requester's or a foreign digest's word never counts: it is cast to be refused, and so
        recorded. Reading is no vote.
        """
        hold = await self._desk.hold(hold_id)
        if hold is None:
            return f"not counted: there is no hold {hold_id[:40]}"
        await self._clicked(hold, click)
        if not click.known or click.person in hold.requesters or digest != hold.digest:
            word = await self._desk.vote(
                hold_id, click.person, approve=True, reason="", channel=CHANNEL, digest=digest
            )
            return f"not counted: {word.why}" if isinstance(word, Refused) else "counted"
        if not is_open(hold, clock.now()):
            return f"hold {hold.id} is not open any more"
        key = (click.person, hold.id, hold.digest)
        number = click.data.get(PAGE)
        asked_for = number if isinstance(number, int) and number >= 0 else 0
        number = min(asked_for, self._read.get(key, -1) + 1)
        found = await asyncio.to_thread(pages, hold)
        number = min(number, len(found) - 1)
        self._read[key] = max(number, self._read.get(key, -1))
        self._read.move_to_end(key)
        if len(self._read) > MAX_REMEMBERED:
            self._read.popitem(last=False)
        return page_of(hold, found, number)

    async def _has_read(self, click: Click, hold: Hold) -> bool:
        if not await asyncio.to_thread(needs_reading, hold):
            return True
        shown = self._read.get((click.person, hold.id, hold.digest), -1)
        return shown >= 0 and shown == len(await asyncio.to_thread(pages, hold)) - 1

    def _repeated(self, activity_id: str) -> bool:
        if not activity_id or activity_id in self._handled:
            return True
        self._handled[activity_id] = None
        if len(self._handled) > MAX_REMEMBERED:
            self._handled.popitem(last=False)
        return False
