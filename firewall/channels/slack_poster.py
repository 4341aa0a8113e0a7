"""Keeps every hold's card in its channels as the hold stands, through outages, refusals and restarts.

One task makes one call to Slack at a time, the oldest due card first. A hold's latest state replaces what
was due for it, so an outage of any length leaves one piece of work for each card. Before anything is posted
the intention is stored; when the answer is lost, the card is looked for before another is posted.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import structlog
from slack_sdk.errors import SlackClientError

from firewall import clock
from firewall.approval import State
from firewall.channels.slack_pen import FINAL, REVOKED, reason
from firewall.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from firewall.approval import Hold
    from firewall.channels.slack_cards import SlackCards
    from firewall.desk import Desk

log = structlog.get_logger(__name__)

MAX_PENDING = 100_000
# decided holds whose card may be behind after a restart
MAX_RECENT = 500
MAX_BACKOFF_SECONDS = 60.0


@dataclass(slots=True)
class _Due:
    """Work on one card: not before `at` on the loop's clock; `tries` have failed since the last success."""

    hold: Hold
    channel: str
    at: float = 0.0
    tries: int = 0


class Poster:
    """Decides when each card is worked on. `want` may be called from anywhere on the loop and never fails.

    channels: of a hold, where it is to be shown by now.
    """

    def __init__(
        self,
        cards: SlackCards,
        desk: Desk,
        channels: Callable[[Hold, datetime], list[str]],
        *,
        retry_seconds: float,
    ) -> None:
        self._cards = cards
        self._desk = desk
        self._channels = channels
        self._retry = retry_seconds
        self._due: dict[tuple[str, str], _Due] = {}
        self._wake = asyncio.Event()

    def want(self, hold: Hold) -> None:
        """Bring this hold's cards up to date some time soon."""
        for channel in self._channels(hold, clock.now()):
            due = self._due.setdefault((hold.id, channel), _Due(hold, channel))
            due.hold = hold
            if not due.tries:
                due.at = 0.0
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
                heard = {hold for hold, _ in self._due}
                for hold in reversed([*recent, *pending]):
                    if hold.id not in heard:
                        self.want(hold)
                return

    async def _pause(self) -> None:
        self._wake.clear()
        earliest = min((due.at for due in self._due.values()), default=None)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(earliest):
                await self._wake.wait()

    async def _work(self, due: _Due) -> None:
        del self._due[due.hold.id, due.channel]
        try:
            others, again = await self._cards.step(due.hold, due.channel)
        except (SlackClientError, aiohttp.ClientError, StoreError, OSError, TimeoutError) as error:
            self._failed(due, error)
            return
        except Exception as error:  # noqa: BLE001 — one card that cannot be made must not stop the others
            log.error("card cannot be made", hold=due.hold.id, error=type(error).__name__)  # noqa: TRY400 — no traceback reaches a person
            return
        if due.tries:
            log.info("slack answers again", hold=due.hold.id)
            for other in self._due.values():
                if other.tries:
                    other.at, other.tries = 0.0, 0
        for hold in others:
            self.want(hold)
        if again is not None:
            seconds = max((again - clock.now()).total_seconds(), 0.0)
            at = asyncio.get_running_loop().time() + seconds
            self._due.setdefault((due.hold.id, due.channel), _Due(due.hold, due.channel, at))

    def _failed(self, due: _Due, error: Exception) -> None:
        code = reason(error)
        if code in FINAL:
            log.error("slack refuses a card", hold=due.hold.id, error=code)
            return
        tries = due.tries + 1
        seconds = self._backoff(tries)
        if code in REVOKED:
            log.error(
                "slack no longer takes the bot token; put a new one into SLACK_BOT_TOKEN and restart",
                hold=due.hold.id,
                error=code,
            )
        log.warning("slack cannot be reached", hold=due.hold.id, error=code, again_in=seconds)
        at = asyncio.get_running_loop().time() + seconds
        later = self._due.setdefault((due.hold.id, due.channel), _Due(due.hold, due.channel))
        later.at, later.tries = at, tries

    def _backoff(self, tries: int) -> float:
        return min(self._retry * float(2 ** min(tries - 1, 16)), MAX_BACKOFF_SECONDS)
