"""What people do on a card, as votes. Slack says who clicked, policy says who that is, the desk decides.

Each click is acknowledged first (Slack waits three seconds) and acted on once, however often it is delivered.
Whatever does not count is told to the person who clicked, and to nobody else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog
from slack_sdk.errors import SlackApiError

from firewall import clock
from firewall.approval import Refused, State
from firewall.channels import dossier
from firewall.channels.card import APPROVE, DENY, REVIEW, escaped, needs_review, notice
from firewall.channels.review import (
    DENIED,
    NEXT,
    PREVIOUS,
    REASON,
    REVIEWED,
    Mark,
    closing,
    denial,
    is_last,
    review,
)
from firewall.channels.slack_poster import reason as error_code
from firewall.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from slack_bolt.async_app import AsyncApp
    from slack_bolt.context.ack.async_ack import AsyncAck
    from slack_sdk.web.async_client import AsyncWebClient

    from firewall.approval import Hold
    from firewall.channels.card import Json
    from firewall.desk import Desk

log = structlog.get_logger(__name__)

CHANNEL = "slack"
# deliveries remembered to tell a repeated one; Slack repeats within minutes
MAX_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Click:
    """One thing that one person did. `team` is the person's own workspace, not the one that owns the app."""

    team: str
    user: str
    channel: str
    trigger: str
    hold: str
    digest: str

    @property
    def stranger(self) -> str:
        """What somebody unknown to policy is called in the log."""
        return f"slack:{self.team}/{self.user}"


class Clicks:
    """The listeners of a bolt app. people: Slack team and user to a person's name in policy."""

    def __init__(self, client: AsyncWebClient, desk: Desk, people: Callable[[str, str], str | None]) -> None:
        self._client = client
        self._desk = desk
        self._people = people
        self._handled: OrderedDict[str, None] = OrderedDict()

    def register(self, app: AsyncApp) -> None:
        app.action(APPROVE)(self._on_approve)
        app.action(DENY)(self._on_deny)
        app.action(REVIEW)(self._on_review)
        app.action(NEXT)(self._on_turn)
        app.action(PREVIOUS)(self._on_turn)
        app.view(DENIED)(self._on_denied)
        app.view(REVIEWED)(self._on_reviewed)
        app.error(self._on_error)

    async def _on_approve(self, ack: AsyncAck, body: Json) -> None:
        await ack()
        if (click := self._click(body)) is None or (hold := await self._look(click)) is None:
            return
        # a card that shows less than everything has no Approve; such a click is not from any card of ours
        if await asyncio.to_thread(needs_review, hold):
            await self._say(click, "this statement does not fit on a card: read it with Review first")
            return
        await self._cast(click, self._who(click), approve=True)

    async def _on_deny(self, ack: AsyncAck, body: Json) -> None:
        await ack()
        if (click := self._click(body)) is None:
            return
        if (hold := await self._open(click, approve=False)) is not None:
            await self._show(click, denial(hold, Mark(hold.id, click.digest, click.channel)))

    async def _on_review(self, ack: AsyncAck, body: Json) -> None:
        await ack()
        if (click := self._click(body)) is None:
            return
        if (hold := await self._open(click, approve=True)) is not None:
            mark = Mark(hold.id, click.digest, click.channel)
            await self._show(click, await asyncio.to_thread(review, hold, mark))

    async def _on_turn(self, ack: AsyncAck, body: Json) -> None:
        await ack()
        if self._repeated(body):
            return
        old = body["view"]
        mark = Mark.load(old["private_metadata"])
        step = 1 if body["actions"][0]["action_id"] == NEXT else -1
        hold = await self._look(_marked(body, mark))
        if hold is None:
            return
        if not _is_open(hold):
            view = closing("Nothing to decide", f"Hold {mark.hold} is {dossier.standing(hold)}.")
        else:
            view = await asyncio.to_thread(review, hold, replace(mark, page=mark.page + step))
        try:
            await self._client.views_update(view_id=old["id"], hash=old["hash"], view=view)
        except SlackApiError as error:
            # hash_conflict: the page was turned twice at once, and the first turn has won
            if error_code(error) != "hash_conflict":
                log.warning("page cannot be shown", hold=mark.hold, error=error_code(error))

    async def _on_denied(self, ack: AsyncAck, body: Json) -> None:
        view = body["view"]
        why = (view["state"]["values"][REASON][REASON].get("value") or "").strip()
        if not why:
            await ack(response_action="errors", errors={REASON: "say why in a few words"})
            return
        await ack()
        if not self._repeated(body):
            click = _marked(body, Mark.load(view["private_metadata"]))
            await self._cast(click, self._who(click), approve=False, why=why)

    async def _on_reviewed(self, ack: AsyncAck, body: Json) -> None:
        mark = Mark.load(body["view"]["private_metadata"])
        click = _marked(body, mark)
        hold = await self._look(click)
        if hold is not None and not await asyncio.to_thread(is_last, hold, mark.page):
            view = closing("Not yet", "Nothing was decided: read to the last page first.")
            await ack(response_action="update", view=view)
            return
        await ack()
        if hold is not None and not self._repeated(body):
            await self._cast(click, self._who(click), approve=True)

    async def _on_error(self, error: Exception) -> None:
        log.error("click could not be handled", error=type(error).__name__)

    async def _open(self, click: Click, *, approve: bool) -> Hold | None:
        """The hold, if this person may still decide on it; else the refusal is recorded and told.

        Opening a dialog is no vote. What is cast here is cast to be refused: a stranger's, a requester's or a
        foreign digest's word never counts, whatever changes meanwhile; lateness might, so it is cast as a no.
        """
        if (hold := await self._look(click)) is None:
            return None
        person = self._who(click)
        if person == click.stranger or person in hold.requesters or hold.digest != click.digest:
            await self._cast(click, person, approve=approve)
        elif not _is_open(hold):
            await self._cast(click, person, approve=False)
        else:
            return hold
        return None

    def _who(self, click: Click) -> str:
        return self._people(click.team, click.user) or click.stranger

    async def _cast(self, click: Click, person: str, *, approve: bool, why: str = "") -> None:
        try:
            word = await self._desk.vote(
                click.hold, person, approve=approve, reason=why, channel=CHANNEL, digest=click.digest
            )
        except StoreError as error:
            await self._unable(click, error)
            return
        if isinstance(word, Refused):
            await self._say(click, f"not counted: {word.why}")

    async def _look(self, click: Click) -> Hold | None:
        """The hold as it stands; None, and the person is told why, when there is nothing to look at."""
        try:
            hold = await self._desk.hold(click.hold)
        except StoreError as error:
            await self._unable(click, error)
            return None
        if hold is None:
            await self._say(click, f"there is no hold `{click.hold}`")
        return hold

    async def _unable(self, click: Click, error: StoreError) -> None:
        log.error("store fails a click", hold=click.hold, error=error.message)
        await self._say(click, "not counted: the firewall cannot record it now; try again in a moment")

    async def _show(self, click: Click, view: Json) -> None:
        try:
            await self._client.views_open(trigger_id=click.trigger, view=view)
        except SlackApiError as error:
            log.warning("dialog cannot be opened", hold=click.hold, error=error_code(error))
            await self._say(click, "Slack could not open the dialog: click once more")

    async def _say(self, click: Click, words: str) -> None:
        try:
            await self._client.chat_postEphemeral(
                channel=click.channel,
                user=click.user,
                text=escaped(words),
                blocks=notice(words),
                parse="none",
            )
        except Exception as error:  # noqa: BLE001 — the vote is decided; only the message about it is lost
            log.warning("answer to a click is lost", hold=click.hold, error=error_code(error))

    def _click(self, body: Json) -> Click | None:
        """A button on a card; None for a repeated delivery or a value that no card of ours has."""
        if self._repeated(body):
            return None
        hold, _, digest = str(body["actions"][0].get("value", "")).partition(" ")
        if not hold or not digest:
            log.warning("click on a button with a foreign value")
            return None
        channel = (body.get("channel") or {}).get("id", "")
        return _of(body, channel, hold, digest)

    def _repeated(self, body: Json) -> bool:
        """Whether this very delivery was seen before; two clicks by one person are two deliveries."""
        view = body.get("view") or {}
        acts: list[Json] = body.get("actions") or [{}]
        act = acts[0]
        key = "\n".join(
            str(part)
            for part in (
                body["user"]["id"],
                act.get("action_id"),
                act.get("action_ts"),
                view.get("id"),
                view.get("hash"),
                body.get("type"),
            )
        )
        if key in self._handled:
            return True
        self._handled[key] = None
        if len(self._handled) > MAX_REMEMBERED:
            self._handled.popitem(last=False)
        return False


def _of(body: Json, channel: str, hold: str, digest: str) -> Click:
    user: dict[str, Any] = body["user"]
    team = user.get("team_id") or (body.get("team") or {}).get("id", "")
    return Click(team, user["id"], channel, body.get("trigger_id", ""), hold, digest)


def _marked(body: Json, mark: Mark) -> Click:
    return _of(body, mark.channel, mark.hold, mark.digest)


def _is_open(hold: Hold) -> bool:
    return hold.state is State.PENDING and clock.now() < hold.expires_at
