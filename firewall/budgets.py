"""Budgets as statements are run: what an agent has had, what is set aside for a statement, what it returned.

What counts is in the store, so that all firewalls on it count together. A statement runs only once all that
it may return has been set aside there, and its session stops it at that; so no more is ever returned than a
budget has, however many run at once. Beyond it a person decides, and what they let through counts as well.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Mapping, Sequence

    from firewall.policy import Policy

# A statement waits so long for others of its agent that have set aside what is left, and looks so often.
PATIENCE: Final = 10.0
PAUSE: Final = 0.02
# Agents and budgets of which is known what was had last.
MAX_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class Window:
    """A budget as it is counted: so many rows in so many seconds."""

    budget: str
    rows: int
    per: float


@dataclass(frozen=True, slots=True)
class Taken:
    """rows: how many may be returned, 0 if none. busy: none, because of statements that still run.

    gone: the budgets of which nothing is left.
    """

    rows: int
    busy: bool = False
    gone: tuple[str, ...] = ()


class Ledger(Protocol):
    """Where it is counted, of one database. Raises StoreError."""

    async def spent(self, agent: str, windows: Sequence[Window]) -> Mapping[str, int]: ...
    async def take(
        self, agent: str, statement: str, windows: Sequence[Window], *, most: int | None
    ) -> Taken: ...
    async def permit(self, agent: str, statement: str, windows: Sequence[Window]) -> None: ...
    def settle(self, statement: str, rows: int) -> Coroutine[None, None, None]: ...


class Budgets:
    """The budgets of one database. ledger: None where nobody counts; then all are used up."""

    def __init__(self, ledger: Ledger | None) -> None:
        self._ledger = ledger
        self._known: dict[tuple[str, str], int] = {}
        self._settling: set[asyncio.Future[None]] = set()

    def foreseen(self, policy: Policy, agent: str) -> Mapping[str, int]:
        """Budget → rows as they were last known: what a verdict is likely to be. None counts by it."""
        if self._ledger is None:
            return {}
        return {b.name: self._known.get((agent, b.name), 0) for b in policy.document.budgets}

    async def spent(self, policy: Policy, agent: str, budgets: Collection[str]) -> Mapping[str, int]:
        """Budget → rows that count in its window now. Raises StoreError."""
        if self._ledger is None or not budgets:
            return {}
        if self._settling:
            # what was answered before this was asked has been counted
            await asyncio.wait(self._settling)
        found = await self._ledger.spent(agent, _windows(policy, budgets))
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known.update(((agent, budget), rows) for budget, rows in found.items())
        return found

    async def take(
        self,
        policy: Policy,
        agent: str,
        statement: str,
        budgets: Collection[str],
        *,
        most: int | None,
        beyond: Collection[str] = (),
    ) -> Taken | None:
        """Set aside what the statement may return of all these; None if nobody has to stop it.

        most: what it may return anyway. beyond: those of which a person has let it have what it returns.
        Nothing is set aside where it has got no rows. Raises StoreError; then `settle` it.
        """
        assert self._ledger is not None, "what nobody counts is used up, and so not let through"
        taken: Taken | None = None
        windows = _windows(policy, [budget for budget in budgets if budget not in beyond])
        if windows:
            until = time.monotonic() + PATIENCE
            taken = await self._ledger.take(agent, statement, windows, most=most)
            while taken.busy and time.monotonic() < until:
                await asyncio.sleep(PAUSE)
                taken = await self._ledger.take(agent, statement, windows, most=most)
            if not taken.rows:
                self._known.update(((agent, w.budget), w.rows) for w in windows if w.budget in taken.gone)
                return taken
        if beyond:
            await self._ledger.permit(agent, statement, _windows(policy, beyond))
        return taken

    async def settle(self, statement: str, rows: int) -> None:
        """It has ended, and has returned so many rows. Raises StoreError; what was set aside counts on."""
        assert self._ledger is not None
        settling = asyncio.ensure_future(self._ledger.settle(statement, rows))
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)
        await settling


def _windows(policy: Policy, budgets: Collection[str]) -> list[Window]:
    return [Window(b.name, b.rows, b.per) for b in policy.document.budgets if b.name in budgets]
