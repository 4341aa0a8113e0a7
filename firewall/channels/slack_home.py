"""The app's home in Slack, everything pending; and `/firewall`, the same by typing. For approvers alone."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

import structlog

from firewall import clock
from firewall.approval import State
from firewall.channels import dossier, visible
from firewall.channels.card import (
    actions,
    block_id,
    bold,
    button,
    button_value,
    code,
    is_open,
    moment,
    notice,
    plain,
    preformatted,
    rich,
    risk,
    section,
)
from firewall.channels.review import Mark, review
from firewall.channels.slack_pen import reason as error_code
from firewall.channels.slack_voice import Click, command_of
from firewall.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slack_bolt.async_app import AsyncApp
    from slack_bolt.context.ack.async_ack import AsyncAck
    from slack_bolt.context.async_context import AsyncBoltContext
    from slack_sdk.web.async_client import AsyncWebClient

    from firewall.approval import Hold
    from firewall.channels.card import Json
    from firewall.channels.slack_voice import Voice
    from firewall.desk import Desk

log = structlog.get_logger(__name__)

COMMAND = "/firewall"
USAGE = f"{COMMAND} pending · {COMMAND} show HOLD · {COMMAND} deny HOLD why"
# three blocks each, of the 100 that a home may have; a message may have 50
MAX_SHOWN, MAX_LISTED = 30, 15
MAX_BEGINNING, MAX_BEGINNING_COST = 300, 900
MAX_PENDING = 1000
# people whose home is open, or may be, and how often it is painted anew at most
MAX_HOMES = 50
HOME_SECONDS = 2.0


class Home:
    """Listeners for the home and the command; `want` says that something has changed."""

    def __init__(self, client: AsyncWebClient, voice: Voice, desk: Desk) -> None:
        self._client = client
        self._voice = voice
        self._desk = desk
        self._open: OrderedDict[str, Click] = OrderedDict()
        self._changed = asyncio.Event()

    def register(self, app: AsyncApp) -> None:
        app.event("app_home_opened")(self._on_home)
        app.command(COMMAND)(self._on_command)

    def want(self, _: Hold) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Paint the homes of those who look at them anew; until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            for click in tuple(self._open.values()):
                await self._paint(click)
            await asyncio.sleep(HOME_SECONDS)

    async def _on_home(self, event: Json, body: Json, context: AsyncBoltContext) -> None:
        if event.get("tab") != "home":
            return
        # a home is opened in the workspace where the app is, by somebody of it or by a guest of another
        click = command_of({"team_id": body.get("team_id", ""), "user_id": event.get("user", "")}, context)
        if self._voice.known(click):
            self._open[click.user] = click
            self._open.move_to_end(click.user)
            if len(self._open) > MAX_HOMES:
                self._open.popitem(last=False)
        await self._paint(click)

    async def _paint(self, click: Click) -> None:
        if self._voice.known(click) is None:
            self._open.pop(click.user, None)
            blocks = notice("You are not an approver in the firewall's policy. Ask whoever keeps it.")
        else:
            try:
                blocks = _listed(await self._pending(), MAX_SHOWN, buttons=True)
            except StoreError as error:
                log.warning("holds cannot be read", error=error.message)
                blocks = notice("The firewall cannot read its holds now. Try again in a moment.")
        try:
            await self._client.views_publish(user_id=click.user, view={"type": "home", "blocks": blocks})
        except Exception as error:  # noqa: BLE001 — a home that stays as it was delays nobody's decision
            log.warning("home cannot be shown", error=error_code(error))

    async def _on_command(self, ack: AsyncAck, body: Json, context: AsyncBoltContext) -> None:
        click = command_of(body, context)
        verb, _, rest = str(body.get("text") or "").strip().partition(" ")
        hold_id, _, why = rest.strip().partition(" ")
        try:
            blocks = await self._answer(click, verb, hold_id, why.strip())
        except StoreError as error:
            log.error("store fails a command", error=error.message)  # noqa: TRY400 — no traceback reaches a person
            blocks = notice("not done: the firewall cannot read or record it now; try again in a moment")
        if blocks:
            await ack(response_type="ephemeral", text="query-firewall", blocks=blocks)
        else:
            await ack()

    async def _answer(self, click: Click, verb: str, hold_id: str, why: str) -> list[Json]:
        """What the person alone gets to see; nothing where a dialog opened."""
        if self._voice.known(click) is None and verb != "deny":
            log.warning("command by a stranger", who=click.stranger)
            return notice("you are not an approver in the firewall's policy")
        match verb:
            case "pending" | "":
                return _listed(await self._pending(), MAX_LISTED, buttons=False)
            case "show" if hold_id:
                return await self._show(click, hold_id)
            case "deny" if hold_id and why:
                # by the name alone: who types it has read what it is about elsewhere
                told = await self._voice.cast(click.on(hold_id, ""), approve=False, why=why)
                return notice(told or f"hold {hold_id[:60]} is denied")
            case "deny" if hold_id:
                return notice("say why: the agent reads it")
            case _:
                return notice(USAGE)

    async def _show(self, click: Click, hold_id: str) -> list[Json]:
        hold = await self._desk.hold(hold_id)
        if hold is None:
            return notice(f"there is no hold `{hold_id[:60]}`")
        if not is_open(hold, clock.now()):
            return notice(f"Hold {hold.id} is {dossier.standing(hold)}.")
        found = await self._voice.openable(click.on(hold.id, hold.digest), approve=True)
        if isinstance(found, str):
            return notice(found)
        view = await asyncio.to_thread(review, found, Mark(found.id, found.digest, click.channel))
        told = await self._voice.show(click, view)
        return notice(told) if told else []

    async def _pending(self) -> list[Hold]:
        """Soonest to expire first."""
        now = clock.now()
        found = await self._desk.holds([State.PENDING], limit=MAX_PENDING)
        return sorted((hold for hold in found if is_open(hold, now)), key=lambda hold: hold.expires_at)


def _listed(holds: Sequence[Hold], limit: int, *, buttons: bool) -> list[Json]:
    number = f"{len(holds):,} {'statement waits' if len(holds) == 1 else 'statements wait'} for a decision"
    blocks: list[Json] = [rich(section(bold(number if holds else "Nothing waits for a decision")))]
    spent = 0
    for shown, hold in enumerate(holds[:limit]):
        beginning = visible.visible(hold.sql[:MAX_BEGINNING])
        sql = visible.cut(beginning, MAX_BEGINNING, MAX_BEGINNING_COST)
        whole = sql == beginning and len(hold.sql) <= MAX_BEGINNING
        cut = [] if whole else [section(bold("…and more: this is only the beginning"))]
        found = rich(section(*_line(hold)), preformatted(sql or "(empty)"), *cut)
        # a message has room for some 13,000 characters of JSON (see card.py); a home for 250,000
        spent += 1200
        if not buttons and spent > 10_000:
            blocks += notice(f"and {len(holds) - shown:,} more: see the app's home, or the console")
            return blocks
        blocks.append({**found, "block_id": block_id(hold.id)})
        if buttons:
            value = button_value(hold)
            blocks.append(actions(f"decide {hold.id}", button("review", value), button("deny", value)))
    if len(holds) > limit:
        blocks += notice(f"and {len(holds) - limit:,} more: see the console, or `firewall holds list`")
    return blocks


def _line(hold: Hold) -> list[Json]:
    where = visible.line(hold.environment or hold.database, 60)
    words = [bold(f"{risk(hold)}: {dossier.verb(hold)} "), plain("in "), code(where), plain(" by agent ")]
    words += [code(visible.line(hold.agent, 60)), plain(" · hold "), code(hold.id), plain(" · expires ")]
    return [*words, moment(hold.expires_at)]
