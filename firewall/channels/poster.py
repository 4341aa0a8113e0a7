"""Keeps every hold's card in its channels as the hold stands, through outages, refusals and restarts.

One task makes one call to the platform at a time, the oldest due card first. A hold's latest state replaces
what was due for it, so an outage of any length leaves one piece of work for each card. Before anything is
posted the intention is stored; when the answer is lost, the card is looked for before another is posted.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from firewall import clock
from firewall.approval import State
from firewall.channels import Standing, alarm
from firewall.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from firewall.approval import Hold
    from firewall.desk import Desk

MAX_PENDING = 100_000
# decided holds whose card may be behind after a restart
MAX_RECENT = 500
MAX_BACKOFF_SECONDS = 60.0


class Steps(Protocol):
    """What writes cards, one change at a time."""

    # what it calls itself in the log
    platform: str
    # what a step may fail with beside a `StoreError`, an `OSError` and a `TimeoutError`
    failures: tuple[type[Exception], ...]

    async def step(self, hold: Hold, channel: str) -> tuple[list[Hold], datetime | None]:
        """Make the first change that is missing on this hold's card in this channel.

        Returns the holds whose cards have changes to make at once, and when to come back to this one.
        """
        ...

    def why(self, error: Exception) -> tuple[str, bool, str]:
        """What went wrong, without secrets; whether it always will; what the operator has to do, if so."""
        ...


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
        cards: Steps,
        desk: Desk,
        channels: Callable[[Hold, datetime], list[str]],
        *,
        retry_seconds: float,
    ) -> None:
        self._cards = cards
        self._failures: tuple[type[Exception], ...] = (*cards.failures, StoreError, OSError, TimeoutError)
        self._log = structlog.get_logger(__name__).bind(platform=cards.platform)
        self._desk = desk
        self._channels = channels
        self._retry = retry_seconds
        self._due: dict[tuple[str, str], _Due] = {}
        self._wake = asyncio.Event()
        self._failing = ""
        # cards in hand
        self._working = 0

    @property
    def standing(self) -> Standing:
        """For health: a card that is to be looked at again later is not behind."""
        now = asyncio.get_running_loop().time()
        behind = sum(1 for due in self._due.values() if due.tries or due.at <= now)
        return Standing(self._cards.platform, self._failing, behind + self._working)

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
                self._working = 1
                await self._work(due)
                self._working = 0

    async def _catch_up(self) -> None:
        """Holds that were opened or changed while nobody was listening."""
        tries = 0
        while True:
            try:
                pending = await self._desk.holds([State.PENDING], limit=MAX_PENDING)
                recent = await self._desk.holds(limit=MAX_RECENT)
            except StoreError as error:
                tries += 1
                self._log.warning("holds cannot be read", error=error.message)
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
        except self._failures as error:
            self._failed(due, error)
            return
        except Exception as error:  # noqa: BLE001 — one card that cannot be made must not stop the others
            self._log.error("card cannot be made", hold=due.hold.id, error=type(error).__name__)
            return
        self._failing = ""
        if due.tries:
            self._log.info("the platform answers again", hold=due.hold.id)
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
        code, final, advice = (
            (error.message, False, "") if isinstance(error, StoreError) else self._cards.why(error)
        )
        if final:
            self._log.error("the platform refuses a card", hold=due.hold.id, error=code)
            return
        tries = due.tries + 1
        seconds = self._backoff(tries)
        self._failing = advice or f"it cannot be reached ({code})"
        if advice:
            self._log.error(advice, hold=due.hold.id, error=code)
        self._log.warning("the platform cannot be reached", hold=due.hold.id, error=code, again_in=seconds)
        at = asyncio.get_running_loop().time() + seconds
        later = self._due.setdefault((due.hold.id, due.channel), _Due(due.hold, due.channel))
        later.at, later.tries = at, tries

    def _backoff(self, tries: int) -> float:
        return min(self._retry * float(2 ** min(tries - 1, 16)), MAX_BACKOFF_SECONDS)


def places(hold: Hold, now: datetime, platform: str, default: str, origin: str) -> list[str]:
    """Where a hold is to be shown on a platform by now: where policy says, else where the settings say; and
    where the settings say that the glass was broken.

    origin: whose holds are shown; the firewall that opened a hold shows it.
    """
    if origin and hold.origin and hold.origin != origin:
        return []
    escalated = hold.escalates_at is not None and now >= hold.escalates_at
    named = [*hold.channels, *(hold.escalate_channels if escalated else ())]
    found = [name.removeprefix(f"{platform}:") for name in named if name.startswith(f"{platform}:")]
    named_alone = hold.channels and not alarm.due(hold, now)
    return list(dict.fromkeys(found if named_alone or not default else [default, *found]))
