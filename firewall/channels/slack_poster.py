"""Keeps every hold's card in the channel as the hold stands, through outages, refusals and restarts.

One task makes one call to Slack at a time, the oldest due hold first. A hold's latest state replaces what
was due for it, so an outage of any length leaves one piece of work for each hold. Before anything is posted
the intention is stored; when the answer is lost, the card is looked for before another is posted.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError, SlackClientError

from firewall import clock
from firewall.approval import State
from firewall.channels.card import Card, block_id, card, escaped, notice, outcome, outcome_id
from firewall.channels.cards import Posted, face
from firewall.errors import StoreError

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

    from firewall.approval import Hold
    from firewall.channels.card import Json
    from firewall.channels.cards import Cards
    from firewall.desk import Desk

log = structlog.get_logger(__name__)

MAX_PENDING = 100_000
# decided holds whose card may be behind after a restart
MAX_RECENT = 500
MAX_BACKOFF_SECONDS = 60.0
# clocks differ, and a card is looked for from a little before its hold was opened
SKEW_SECONDS = 300.0
# errors that the same call will meet again, whatever the operator does (docs.slack.dev, chat.postMessage)
_FINAL = frozenset(
    {
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "invalid_arguments",
        "cant_update_message",
        "edit_window_closed",
    }
)
_GONE = frozenset({"message_not_found", "thread_not_found"})


@dataclass(slots=True)
class _Due:
    """Work on one card: not before `at` on the loop's clock; `tries` have failed since the last success."""

    hold: Hold
    at: float = 0.0
    tries: int = 0


class Poster:
    """The only one who writes cards. `want` may be called from anywhere on the loop and never fails."""

    def __init__(
        self, client: AsyncWebClient, channel: str, desk: Desk, cards: Cards, *, retry_seconds: float
    ) -> None:
        self._client = client
        self._channel = channel
        self._desk = desk
        self._cards = cards
        self._retry = retry_seconds
        self._due: dict[str, _Due] = {}
        self._wake = asyncio.Event()
        self._me = ""
        self._since = clock.now()

    def want(self, hold: Hold) -> None:
        """Bring this hold's card up to date some time soon."""
        self._due.setdefault(hold.id, _Due(hold)).hold = hold
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        await self._catch_up()
        while True:
            now = asyncio.get_running_loop().time()
            due = next((due for due in self._due.values() if due.at <= now), None)
            if due is None:
                await self._pause()
            else:
                await self._work(due)

    async def _catch_up(self) -> None:
        """Holds that were opened or changed while nobody was listening."""
        tries = 0
        while True:
            try:
                pending = await self._desk.holds([State.PENDING], limit=MAX_PENDING)
                recent = await self._desk.holds(limit=MAX_RECENT)
            except StoreError as error:
                tries += 1
                log.warning("holds cannot be read", error=error.message)
                await asyncio.sleep(self._backoff(tries))
            else:
                for hold in reversed([*recent, *pending]):
                    self._due.setdefault(hold.id, _Due(hold))
                return

    async def _pause(self) -> None:
        self._wake.clear()
        earliest = min((due.at for due in self._due.values()), default=None)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(earliest):
                await self._wake.wait()

    async def _work(self, due: _Due) -> None:
        hold = due.hold
        del self._due[hold.id]
        try:
            more = await self._step(hold)
        except (SlackClientError, aiohttp.ClientError, StoreError, OSError, TimeoutError) as error:
            self._failed(due, error)
            return
        except Exception as error:  # noqa: BLE001 — one card that cannot be made must not stop the others
            log.error("card cannot be made", hold=hold.id, error=type(error).__name__)  # noqa: TRY400 — no traceback reaches a person
            return
        if due.tries:
            log.info("slack answers again", hold=hold.id)
            for other in self._due.values():
                other.at, other.tries = 0.0, 0
        if more:
            self._due.setdefault(hold.id, _Due(hold))

    def _failed(self, due: _Due, error: Exception) -> None:
        code = reason(error)
        if code in _FINAL:
            log.error("slack refuses a card", hold=due.hold.id, error=code)
            return
        tries = due.tries + 1
        seconds = self._backoff(tries)
        log.warning("slack cannot be reached", hold=due.hold.id, error=code, again_in=seconds)
        at = asyncio.get_running_loop().time() + seconds
        later = self._due.setdefault(due.hold.id, _Due(due.hold))
        later.at, later.tries = at, tries

    def _backoff(self, tries: int) -> float:
        return min(self._retry * float(2 ** min(tries - 1, 16)), MAX_BACKOFF_SECONDS)

    async def _step(self, hold: Hold) -> bool:
        """Make one change in Slack, the first that is missing; true if there may be another."""
        kept = await self._cards.get(hold.id)
        posted = Posted.load(kept) if kept else Posted()
        if not posted.ts:
            # a hold from before our time may have been posted by whoever was here then
            attempted = kept is not None or hold.opened_at < self._since
            return await self._post(hold, attempted=attempted)
        if posted.shows != face(hold):
            await self._update(hold, posted)
            return True
        if hold.outcome and not posted.told:
            await self._tell(hold, posted)
            return True
        # last, because it alone needs a scope that an operator may have left out
        if not posted.filed:
            await self._file(hold, posted)
        return False

    async def _post(self, hold: Hold, *, attempted: bool) -> bool:
        if attempted:
            ts = await self._find(block_id(hold.id), since=hold.opened_at.timestamp() - SKEW_SECONDS)
            if ts:
                # what it shows is not known, so it is written anew
                await self._keep(hold, Posted(self._channel, ts))
                return True
        if hold.state is not State.PENDING:
            return False
        await self._keep(hold, Posted())
        made = await asyncio.to_thread(card, hold, now=clock.now())
        try:
            answer = await self._say(made.text, made.blocks)
        except SlackApiError as error:
            if reason(error) not in _FINAL:
                raise
            log.error("slack refuses a card", hold=hold.id, error=reason(error))  # noqa: TRY400 — no traceback reaches a person
            made = _bare(hold)
            answer = await self._say(made.text, made.blocks)
        posted = Posted(answer["channel"], answer["ts"], face(hold), filed=not made.files)
        await self._keep(hold, posted)
        return True

    async def _update(self, hold: Hold, posted: Posted) -> None:
        made = await asyncio.to_thread(card, hold, now=clock.now())
        try:
            await self._client.chat_update(
                channel=posted.channel, ts=posted.ts, text=made.text, blocks=made.blocks, parse="none"
            )
        except SlackApiError as error:
            if reason(error) not in _GONE:
                raise
            if hold.state is State.PENDING:
                log.warning("card was deleted, posting it again", hold=hold.id)
                await self._keep(hold, Posted())
                return
        filed = posted.filed or not made.files
        await self._keep(hold, replace(posted, shows=face(hold), filed=filed))

    async def _file(self, hold: Hold, posted: Posted) -> None:
        made = await asyncio.to_thread(card, hold, now=clock.now())
        uploads: list[dict[str, Any]] = [
            {"filename": name, "title": name, "content": text, "snippet_type": "text"}
            for name, text in made.files.items()
        ]
        if uploads:
            await self._client.files_upload_v2(
                file_uploads=uploads, channel=posted.channel, thread_ts=posted.ts
            )
        await self._keep(hold, replace(posted, filed=True))

    async def _tell(self, hold: Hold, posted: Posted) -> None:
        if not await self._find(outcome_id(hold.id), thread=posted.ts):
            text, blocks = outcome(hold)
            await self._say(text, blocks, thread=posted.ts)
        await self._keep(hold, replace(posted, told=True))

    async def _say(self, text: str, blocks: list[Json], *, thread: str | None = None) -> Any:
        return await self._client.chat_postMessage(
            channel=self._channel,
            text=text,
            blocks=blocks,
            thread_ts=thread,
            parse="none",
            unfurl_links=False,
            unfurl_media=False,
        )

    async def _find(self, first_block: str, *, since: float = 0.0, thread: str = "") -> str:
        """The ts of our own message whose first block has this id; empty when there is none to be seen."""
        cursor = None
        try:
            self._me = self._me or (await self._client.auth_test())["user_id"]
            while True:
                if thread:
                    answer = await self._client.conversations_replies(
                        channel=self._channel, ts=thread, limit=200, cursor=cursor
                    )
                else:
                    answer = await self._client.conversations_history(
                        channel=self._channel, oldest=f"{since:.6f}", limit=200, cursor=cursor
                    )
                for message in answer["messages"]:
                    blocks = message.get("blocks") or [{}]
                    if message.get("user") == self._me and blocks[0].get("block_id") == first_block:
                        return str(message["ts"])
                cursor = (answer.get("response_metadata") or {}).get("next_cursor")
                if not cursor:
                    return ""
        except SlackApiError as error:
            if reason(error) != "missing_scope":
                raise
            # a second card is an annoyance, a lost one is a hold that nobody sees
            log.warning("slack app lacks channels:history and groups:history, a card may be doubled")
            return ""

    async def _keep(self, hold: Hold, posted: Posted) -> None:
        await self._cards.put(hold.id, posted.dump())


def reason(error: Exception) -> str:
    """Slack's error code, or the kind of failure; never the message, which may quote a request."""
    if isinstance(error, StoreError):
        return error.message
    data = getattr(getattr(error, "response", None), "data", None)
    return str(data.get("error", "")) or "no answer" if isinstance(data, dict) else type(error).__name__


def _bare(hold: Hold) -> Card:
    """A card that Slack cannot object to: nothing on it comes from outside; it is decided elsewhere."""
    words = f"Hold {hold.id} waits, but Slack cannot show it. Decide with: firewall holds show {hold.id}"
    first, *_ = notice(words)
    return Card(escaped(words), [{**first, "block_id": block_id(hold.id)}], {})
