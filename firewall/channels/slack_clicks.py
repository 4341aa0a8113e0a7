"""What people do on cards and in dialogs, as votes.

Each click is acknowledged first (Slack waits three seconds) and acted on once, however often it is delivered.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from slack_sdk.errors import SlackApiError

from firewall import clock
from firewall.channels import dossier
from firewall.channels.card import (
    APPROVE,
    APPROVE_ALL,
    DENY,
    DENY_ALL,
    REVIEW,
    WHILE,
    grantable,
    is_open,
    needs_review,
)
from firewall.channels.granting import GRANTED, asked, granting
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
from firewall.channels.slack_pen import reason as error_code
from firewall.channels.slack_voice import Click, click_of, pairs

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncApp
    from slack_bolt.context.ack.async_ack import AsyncAck
    from slack_bolt.context.async_context import AsyncBoltContext
    from slack_sdk.web.async_client import AsyncWebClient

    from firewall.approval import Hold
    from firewall.channels.card import Json
    from firewall.channels.slack_voice import Voice

log = structlog.get_logger(__name__)

# deliveries remembered to tell a repeated one; Slack repeats within minutes
MAX_REMEMBERED = 4096


class Clicks:
    """The listeners of a bolt app for buttons and dialogs."""

    def __init__(self, client: AsyncWebClient, voice: Voice) -> None:
        self._client = client
        self._voice = voice
        self._handled: OrderedDict[str, None] = OrderedDict()

    def register(self, app: AsyncApp) -> None:
        app.action(APPROVE)(self._on_approve)
        app.action(APPROVE_ALL)(self._on_approve)
        app.action(DENY)(self._on_deny)
        app.action(DENY_ALL)(self._on_deny)
        app.action(REVIEW)(self._on_review)
        app.action(WHILE)(self._on_while)
        app.action(NEXT)(self._on_turn)
        app.action(PREVIOUS)(self._on_turn)
        app.view(DENIED)(self._on_denied)
        app.view(REVIEWED)(self._on_reviewed)
        app.view(GRANTED)(self._on_granted)
        app.error(self._on_error)

    async def _on_approve(self, ack: AsyncAck, body: Json, context: AsyncBoltContext) -> None:
        await ack()
        told = []
        for click in self._clicks(body, context):
            hold = await self._voice.look(click)
            if isinstance(hold, str):
                told.append(hold)
            # a card that shows less than everything has no Approve; such a click is not from any card of ours
            elif await asyncio.to_thread(needs_review, hold):
                told.append("this statement does not fit on a card: read it with Review first")
            else:
                told.append(await self._voice.cast(click, approve=True))
        if told:
            await self._voice.say(click, *told)

    async def _on_deny(self, ack: AsyncAck, body: Json, context: AsyncBoltContext) -> None:
        await ack()
        found: list[tuple[Click, Hold]] = []
        told = []
        for click in self._clicks(body, context):
            hold = await self._voice.openable(click, approve=False)
            if isinstance(hold, str):
                told.append(hold)
            else:
                found.append((click, hold))
        if found:
            click, hold = found[0]
            mark = Mark(
                hold.id, click.digest, click.channel, more=tuple((c.hold, c.digest) for c, _ in found[1:])
            )
            told.append(await self._voice.show(click, denial(hold, mark)))
        if told:
            await self._voice.say(click, *told)

    async def _on_review(self, ack: AsyncAck, body: Json, context: AsyncBoltContext) -> None:
        await ack()
        for click in self._clicks(body, context)[:1]:
            hold = await self._voice.openable(click, approve=True)
            if isinstance(hold, str):
                await self._voice.say(click, hold)
            else:
                mark = Mark(hold.id, click.digest, click.channel)
                await self._voice.say(
                    click, await self._voice.show(click, await asyncio.to_thread(review, hold, mark))
                )

    async def _on_while(self, ack: AsyncAck, body: Json, context: AsyncBoltContext) -> None:
        await ack()
        for click in self._clicks(body, context)[:1]:
            hold = await self._voice.openable(click, approve=True)
            if isinstance(hold, str):
                told = hold
            elif not grantable(hold) or await asyncio.to_thread(needs_review, hold):
                told = f"hold {hold.id} can be approved for one run only"
            else:
                told = await self._voice.show(
                    click, granting(hold, Mark(hold.id, click.digest, click.channel))
                )
            if told:
                await self._voice.say(click, told)

    async def _on_granted(self, ack: AsyncAck, body: Json, context: AsyncBoltContext) -> None:
        view = body["view"]
        mark = Mark.load(view["private_metadata"])
        click = _marked(body, context, mark)
        hold = await self._voice.look(click)
        if isinstance(hold, str) or hold.grants is None:
            await ack()
            await self._voice.say(click, hold if isinstance(hold, str) else "nothing was decided")
            return
        terms = asked(view["state"]["values"], hold.grants)
        if isinstance(terms, dict):
            await ack(response_action="errors", errors=terms)
            return
        await ack()
        if not self._repeated(body):
            await self._voice.say(click, await self._voice.cast(click, approve=True, terms=terms))

    async def _on_turn(self, ack: AsyncAck, body: Json, context: AsyncBoltContext) -> None:
        await ack()
        if self._repeated(body):
            return
        old = body["view"]
        mark = Mark.load(old["private_metadata"])
        step = 1 if body["actions"][0]["action_id"] == NEXT else -1
        click = _marked(body, context, mark)
        hold = await self._voice.look(click)
        if isinstance(hold, str):
            await self._voice.say(click, hold)
            return
        if not is_open(hold, clock.now()):
            view = closing("Nothing to decide", f"Hold {mark.hold} is {dossier.standing(hold)}.")
        else:
            view = await asyncio.to_thread(review, hold, replace(mark, page=mark.page + step))
        try:
            await self._client.views_update(view_id=old["id"], hash=old["hash"], view=view)
        except SlackApiError as error:
            # hash_conflict: the page was turned twice at once, and the first turn has won
            if error_code(error) != "hash_conflict":
                log.warning("page cannot be shown", hold=mark.hold, error=error_code(error))

    async def _on_denied(self, ack: AsyncAck, body: Json, context: AsyncBoltContext) -> None:
        view = body["view"]
        why = (view["state"]["values"][REASON][REASON].get("value") or "").strip()
        if not why:
            await ack(response_action="errors", errors={REASON: "say why in a few words"})
            return
        await ack()
        if self._repeated(body):
            return
        mark = Mark.load(view["private_metadata"])
        click = _marked(body, context, mark)
        acts = ((mark.hold, mark.digest), *mark.more)
        told = [await self._voice.cast(click.on(*act), approve=False, why=why) for act in acts]
        await self._voice.say(click, *told)

    async def _on_reviewed(self, ack: AsyncAck, body: Json, context: AsyncBoltContext) -> None:
        mark = Mark.load(body["view"]["private_metadata"])
        click = _marked(body, context, mark)
        hold = await self._voice.look(click)
        if not isinstance(hold, str) and not await asyncio.to_thread(is_last, hold, mark.page):
            view = closing("Not yet", "Nothing was decided: read to the last page first.")
            await ack(response_action="update", view=view)
            return
        await ack()
        if isinstance(hold, str):
            await self._voice.say(click, hold)
        elif not self._repeated(body):
            await self._voice.say(click, await self._voice.cast(click, approve=True))

    async def _on_error(self, error: Exception) -> None:
        log.error("click could not be handled", error=type(error).__name__)

    def _clicks(self, body: Json, context: AsyncBoltContext) -> list[Click]:
        """A button, once for each hold; none for a repeated delivery or a value that no card has."""
        if self._repeated(body):
            return []
        found = pairs(str(body["actions"][0].get("value") or ""))
        if not found:
            log.warning("click on a button with a foreign value")
        click = click_of(body, context, channel=(body.get("channel") or {}).get("id", ""))
        return [click.on(*pair) for pair in found]

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


def _marked(body: Json, context: AsyncBoltContext, mark: Mark) -> Click:
    return click_of(body, context, channel=mark.channel).on(mark.hold, mark.digest)
