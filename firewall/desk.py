"""The approval desk: the only mutator of holds and grants.

Every change goes through the store as a conditional update together with its records, so two approvers,
two processes or a crash in between can never decide or release twice. Other processes (the command line,
a second firewall) change the same store; `watch` notices what they did.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import structlog

from firewall import audit, clock, desk_records
from firewall.approval import Counted, Grant, Hold, Person, Refused, State, Vote, cast
from firewall.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from firewall.policy import Terms

# how often other processes' decisions are looked for while something waits
WATCH_SECONDS = 0.2
# a vote that loses a race is cast anew on what the hold has become; two approvers rarely collide twice
MAX_ATTEMPTS = 8
# more holds than people could ever look at
MAX_PENDING = 100_000

# states in which something can still run
_OPEN = (State.PENDING, State.APPROVED)

log = structlog.get_logger(__name__)


class Ledger(Protocol):
    """What the desk needs of the store; each call is one durable transaction or a `StoreError`."""

    async def append(self, records: Sequence[audit.Record]) -> None: ...
    async def open_hold(self, hold: Hold, records: Sequence[audit.Record]) -> None: ...
    async def hold(self, hold_id: str) -> Hold | None: ...
    async def holds(
        self,
        states: Sequence[State] = (),
        *,
        limit: int = 200,
        agent: str | None = None,
        database: str | None = None,
        since: datetime | None = None,
    ) -> list[Hold]: ...
    async def holds_of(self, digest: str) -> list[Hold]: ...
    async def change_hold(
        self,
        before: Hold,
        after: Hold,
        records: Sequence[audit.Record],
        *,
        grant: Grant | None = None,
    ) -> bool:
        """Write what `after` changes if state, votes and `awaited` are still those of `before`."""
        ...

    async def grant(self, grant_id: str) -> Grant | None: ...
    async def grants(
        self,
        *,
        agent: str | None = None,
        database: str | None = None,
        shape: str | None = None,
        since: datetime | None = None,
        limit: int = 200,
    ) -> list[Grant]: ...
    async def change_grant(self, before: Grant, after: Grant, records: Sequence[audit.Record]) -> bool:
        """Write what `after` changes if it still stands as in `before`."""
        ...


class Desk:
    """Opens holds, counts votes, and tells everyone who waits.

    people: the person of a name to the policy of a database, as it stands now; None for a stranger.
    """

    def __init__(self, ledger: Ledger, people: Callable[[str, str], Person | None]) -> None:
        self._ledger = ledger
        self._people = people
        self._listeners: set[Callable[[Hold], None]] = set()
        # what is known to be pending, as it was last announced
        self._pending: dict[str, Hold] = {}
        self._waiting: dict[str, set[asyncio.Future[Hold]]] = {}
        # announced since the last sweep began
        self._announced: set[str] = set()

    def listen(self, listener: Callable[[Hold], None]) -> Callable[[], None]:
        """Call `listener` with every hold that is opened or changes, here or elsewhere; returns the undo."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    async def open(self, hold: Hold) -> None:
        """Make a hold pending, durably, before anyone hears of it."""
        record = audit.HoldOpened(
            **desk_records.correlation(hold, hold.opened_at),
            agent=hold.agent,
            digest=hold.digest,
            rule=hold.rule,
            risk=hold.risk,
            parameters=list(hold.parameters),
            groups=list(hold.groups),
            quorum=hold.quorum,
            requesters=sorted(hold.requesters),
            expires=clock.stamp(hold.expires_at),
            escalates=clock.stamp(hold.escalates_at) if hold.escalates_at else "",
            escalate_groups=list(hold.escalate_groups),
            claims=[f"{name}: {value}" for name, value in hold.claims],
            impact=list(hold.impact.lines) if hold.impact else [],
        )
        await self._ledger.open_hold(hold, [record, *desk_records.ahead(hold)])
        self._announce(hold)

    async def hold(self, hold_id: str) -> Hold | None:
        return await self._ledger.hold(hold_id)

    async def holds(
        self,
        states: Sequence[State] = (),
        *,
        limit: int = 200,
        agent: str | None = None,
        database: str | None = None,
        since: datetime | None = None,
    ) -> list[Hold]:
        """Newest first; all states when none is named. since: opened then or later."""
        return await self._ledger.holds(states, limit=limit, agent=agent, database=database, since=since)

    async def vote(  # noqa: PLR0913 — one keyword for each thing that a person can say
        self,
        hold_id: str,
        person: str,
        *,
        approve: bool,
        reason: str,
        channel: str,
        digest: str = "",
        terms: Terms | None = None,
        break_glass: bool = False,
        opened: bool = False,
    ) -> Counted | Refused:
        """Count a person's word, or say why not. Authority is checked now, not when the card was posted.

        digest: of what the person was shown, where the channel knows it; a vote on anything else is refused.
        terms: what the person lets pass beyond one run. break_glass: alone, in an emergency.
        opened: with all of it on the screen.
        """
        for _ in range(MAX_ATTEMPTS):
            hold = await self._ledger.hold(hold_id)
            if hold is None:
                return Refused(f"there is no hold `{hold_id}`")
            now = clock.now()
            known = self._people(person, hold.database)
            name = known.name if known else person
            vote = Vote(
                *(name, approve, reason, channel, now), terms=terms, break_glass=break_glass, opened=opened
            )
            word: Counted | Refused
            if known is None:
                word = Refused(f"`{person}` is not an approver in the policy")
            elif digest and digest != hold.digest:
                word = Refused(f"what you were shown is not what hold {hold_id} would run; look again")
            else:
                word = cast(hold, known, vote)
            match word:
                case Refused(why):
                    await self._ledger.append([desk_records.vote(hold, vote, counted=False, why=why)])
                    return word
                case Counted(after):
                    records: list[audit.Record] = [desk_records.vote(hold, vote, counted=True)]
                    if break_glass:
                        records.append(desk_records.broken_glass(hold, vote))
                    if after.state is not State.PENDING:
                        records.append(desk_records.decision(after, now, why=reason))
                    grant = desk_records.granted(after, now) if after.state is State.APPROVED else None
                    if grant is not None:
                        records.append(desk_records.grant(grant, "given", now))
                    if await self._ledger.change_hold(hold, after, records, grant=grant):
                        if break_glass:
                            log.critical("the glass was broken", hold=hold.id, person=name, channel=channel)
                        self._announce(after)
                        return word
        assert hold is not None
        lost = Refused(f"hold {hold_id} is being decided by others; look again")
        await self._ledger.append([desk_records.vote(hold, vote, counted=False, why=lost.why)])
        return lost

    async def leave(self, hold_id: str, why: str) -> Hold | None:
        """Nobody waits for it any more, and it stays: the hold as it then stands; None if there is none.

        If it is approved already or later, that is good for the identical statement, once.
        """
        for _ in range(MAX_ATTEMPTS):
            hold = await self._ledger.hold(hold_id)
            if hold is None or not hold.awaited or hold.state not in _OPEN:
                return hold
            after = replace(hold, awaited=False)
            if await self._ledger.change_hold(hold, after, [desk_records.waiting(hold, "left", why)]):
                self._announce(after)
                return after
        return await self._ledger.hold(hold_id)

    async def resume(self, digest: str, statement: str, requesters: frozenset[str]) -> Hold | None:
        """The hold of exactly this act that nobody waits for and that is not over: from now on it is awaited.

        statement: which one waits for it now. requesters: as they are now; of others it is another hold.
        """
        now = clock.now()
        for hold in await self._ledger.holds_of(digest):
            until = hold.expires_at if hold.state is State.PENDING else hold.lapses_at
            over = hold.awaited or hold.state not in _OPEN or until is None or now >= until
            if over or hold.requesters != requesters:
                continue
            after = replace(hold, awaited=True)
            record = desk_records.waiting(hold, "resumed", f"by statement {statement}")
            if await self._ledger.change_hold(hold, after, [record]):
                self._announce(after)
                return after
        return None

    async def replaced(self, hold: Hold) -> str:
        """Give up what nobody waits for and was the same act under other circumstances; why it is void.

        To be called before `hold` is opened; empty if there was none.
        """
        why = ""
        mine = await self._ledger.holds(_OPEN, limit=MAX_PENDING, agent=hold.agent, database=hold.database)
        for other in mine:
            same = (other.agent, other.database, other.sql, other.parameters, other.executions)
            if other.awaited or other.digest == hold.digest:
                continue
            if same == (hold.agent, hold.database, hold.sql, hold.parameters, hold.executions):
                why = f"hold {other.id} of the same statement is void: {other.differs(hold)}"
                await self.withdraw(other.id, why)
        return why

    async def grants(self, *, agent: str | None = None, database: str | None = None) -> list[Grant]:
        """Those that last, of one agent in one database or of all."""
        return await self._ledger.grants(agent=agent, database=database, since=clock.now())

    async def grant_for(self, shape: str) -> Grant | None:
        """A grant by which a statement of this shape may run now."""
        now = clock.now()
        found = await self._ledger.grants(shape=shape, since=now)
        return next((grant for grant in found if grant.state(now) == "open"), None)

    async def use(self, grant: Grant, runs: int, records: Sequence[audit.Record]) -> bool:
        """Spend so many runs of it; false if it has not as many left, or is not as it was.

        `records` become durable with it.
        """
        # INVARIANT: 6. a grant releases as many executions of its shape as it was given for
        if grant.state(clock.now()) != "open" or grant.used + runs > grant.uses:
            return False
        return await self._ledger.change_grant(grant, grant.begun(runs), records)

    async def ended(self, grant_id: str, left: int, rows: int) -> None:
        """What came of a run that might have had `left` rows."""
        for _ in range(MAX_ATTEMPTS):
            grant = await self._ledger.grant(grant_id)
            if grant is None or grant.rows is None:
                return
            if await self._ledger.change_grant(grant, grant.ended(left, rows), []):
                return

    async def revoke(self, grant_id: str, person: str, reason: str) -> Grant | Refused:
        """Take a grant back. Whoever may approve in its database may, requesters too: it only stops."""
        for _ in range(MAX_ATTEMPTS):
            grant = await self._ledger.grant(grant_id)
            if grant is None:
                return Refused(f"there is no grant `{grant_id}`")
            known = self._people(person, grant.database)
            if known is None:
                return Refused(f"`{person}` is not an approver in the policy")
            now = clock.now()
            if (state := grant.state(now)) != "open":
                return Refused(f"grant {grant.id} is {state} already")
            after = replace(grant, revoked_by=known.name)
            if await self._ledger.change_grant(
                grant, after, [desk_records.grant(after, "revoked", now, reason)]
            ):
                return after
        return Refused(f"grant {grant_id} is being used; try again")

    async def withdraw(self, hold_id: str, why: str) -> None:
        """The agent cancelled or went away; a hold that is decided already but not consumed lapses."""
        for _ in range(MAX_ATTEMPTS):
            hold = await self._ledger.hold(hold_id)
            if hold is None:
                return
            if hold.state is State.PENDING:
                state = State.WITHDRAWN
            elif hold.state is State.APPROVED:
                state = State.LAPSED
            else:
                return
            if await self._settle(hold, state, why):
                return

    async def consume(self, hold_id: str, digest: str, records: Sequence[audit.Record]) -> bool:
        """Spend an approval on one execution; false if it is not there to be spent.

        `records` (the release) become durable in the same transaction.
        """
        # INVARIANT: 6. a decision releases one execution of one digest
        hold = await self._ledger.hold(hold_id)
        if hold is None or hold.state is not State.APPROVED or hold.digest != digest:
            return False
        after = replace(hold, state=State.CONSUMED)
        if not await self._ledger.change_hold(hold, after, records):
            return False
        self._announce(after)
        return True

    async def note_outcome(self, hold_id: str, outcome: str) -> None:
        """What came of a released statement, for the card's thread and the page."""
        for _ in range(MAX_ATTEMPTS):
            hold = await self._ledger.hold(hold_id)
            if hold is None or hold.outcome:
                return
            after = replace(hold, outcome=outcome)
            if await self._ledger.change_hold(hold, after, []):
                self._announce(after)
                return

    async def settled(self, hold_id: str) -> Hold:
        """Wait until the hold is no longer pending: it expires by itself, so this ends. KeyError: no hold."""
        told: asyncio.Future[Hold] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(hold_id, set())
        waiting.add(told)
        try:
            # it may have been decided before we began to listen
            hold = await self._ledger.hold(hold_id)
            if hold is None:
                raise KeyError(hold_id)
            return await told if hold.state is State.PENDING else hold
        finally:
            waiting.discard(told)
            if not waiting:
                self._waiting.pop(hold_id, None)

    async def watch(self) -> None:
        """Expire what is due and notice what other processes did. Runs until cancelled."""
        primed = False
        while True:
            try:
                if primed:
                    await self.sweep()
                else:
                    for hold in await self._ledger.holds([State.PENDING], limit=MAX_PENDING):
                        self._pending.setdefault(hold.id, hold)
                    primed = True
            except StoreError as error:
                # nothing passes meanwhile, and holds still expire once the store is back
                log.warning("holds cannot be watched", error=error.message)
            await asyncio.sleep(WATCH_SECONDS)

    async def sweep(self) -> None:
        """One round of `watch`."""
        self._announced.clear()
        found = await self._ledger.holds(_OPEN, limit=MAX_PENDING)
        pending = {hold.id: hold for hold in found if hold.state is State.PENDING}
        for known in [hold for hold in self._pending.values() if hold.id not in pending]:
            hold = await self._ledger.hold(known.id)
            if hold is None:
                self._pending.pop(known.id, None)
            elif known.id not in self._announced:
                self._announce(hold)
        now = clock.now()
        for hold in pending.values():
            known_now = self._pending.get(hold.id)
            # what was announced here since we looked is newer than what we saw
            if hold.id in self._announced:
                continue
            if now >= hold.expires_at:
                await self._settle(hold, State.EXPIRED, "nobody decided in time")
            elif known_now is None or known_now.votes != hold.votes:
                self._announce(hold)
        for hold in found:
            if hold.lapses_at is not None and now >= hold.lapses_at and hold.id not in self._announced:
                await self._settle(hold, State.LAPSED, "nobody came back for it in time")

    async def _settle(self, hold: Hold, state: State, why: str) -> bool:
        after = replace(hold, state=state)
        changed = await self._ledger.change_hold(
            hold, after, [desk_records.decision(after, clock.now(), why=why)]
        )
        if changed:
            self._announce(after)
        return changed

    def _announce(self, hold: Hold) -> None:
        """Tell everyone. A listener that fails is its own loss: what happened has happened."""
        self._announced.add(hold.id)
        if hold.state is State.PENDING:
            self._pending[hold.id] = hold
        else:
            self._pending.pop(hold.id, None)
            for told in self._waiting.get(hold.id, ()):
                if not told.done():
                    told.set_result(hold)
        for listener in tuple(self._listeners):
            try:
                listener(hold)
            except Exception as error:  # noqa: BLE001 — see above
                log.error("a listener failed", hold=hold.id, error=type(error).__name__)  # noqa: TRY400 — no traceback reaches a person
