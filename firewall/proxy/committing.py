"""A COMMIT that waits for a person: what has run ahead of it is shown, decided as one, and committed as such.

It does not wait long, since locks are held; and what is not let through is rolled back. What has changed in
between (policy, labels, what of the catalog the statements can reach) voids the approval.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from firewall import approval
from firewall.approval import State
from firewall.policy import Action
from firewall.proxy import telling, text
from firewall.proxy.holding import Held
from firewall.session import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firewall.judgement import Judgement
    from firewall.policy import Moment
    from firewall.proxy.clearance import Clearance
    from firewall.proxy.deferred import Deferred
    from firewall.proxy.holding import Holding
    from firewall.session import Act


_VOID = Refusal(
    telling.VOIDED, "query-firewall: what this transaction has written cannot be committed any more"
)


class Committing:
    """The decisions on one session's transactions."""

    def __init__(self, clearance: Clearance, deferred: Deferred, holding: Holding) -> None:
        self._clearance = clearance
        self._deferred = deferred
        self._holding = holding
        self._desk = clearance.desk
        self._gate = clearance.gate

    async def ask(
        self,
        ticket: int,
        judgement: Judgement,
        acts: Sequence[Act],
        tell: Callable[[str, str, str], None],
        moment: Callable[[], Moment],
    ) -> Refusal | None:
        """Leave to commit, or why not. judgement: as `Deferred.decided` has it."""
        hold = await self._hold(ticket, judgement, acts, moment)
        if why := await self._changed(judgement, acts, hold.digest, moment):
            # nobody is asked in vain
            return await self._refused(ticket, "", replace(_VOID, detail=why))
        await self._desk.open(hold)
        self._holding.of[ticket] = Held(hold.id)
        if ticket in self._holding.withdrawn:
            await self._desk.withdraw(hold.id, self._holding.withdrawn[ticket])
        settled = await self._holding.settled(hold, judgement, tell, asyncio.Event())
        if settled.state is not State.APPROVED or ticket in self._holding.withdrawn:
            return await self._refused(ticket, hold.id, telling.undecided(settled, self._clearance.url))
        # INVARIANT: 6. a decision releases one execution of one digest: of what would be committed now
        why = await self._changed(judgement, acts, hold.digest, moment)
        if not why:
            leave = f"hold {hold.id}"
            release = self._clearance.release(ticket, hold.digest, leave, acts, hold=hold.id, masked=[])
            if await self._desk.consume(hold.id, hold.digest, [release]):
                return None
            why = "it was spent or given up meanwhile"
        await self._desk.withdraw(hold.id, f"void: {why}")
        return await self._refused(ticket, hold.id, telling.voided(hold, why))

    async def _hold(
        self, ticket: int, judgement: Judgement, acts: Sequence[Act], moment: Callable[[], Moment]
    ) -> approval.Hold:
        drafted = self._holding.drafted(ticket, judgement, acts, "")
        ran = tuple(self._deferred.ran(self._clearance.session))
        counting = [each for each in ran if each.standing is approval.Standing.COUNTS]
        impact = await self._clearance.impact(judgement, acts, moment())
        return replace(
            drafted,
            digest=self._digest(acts, judgement),
            sql=";\n".join([*(each.sql.strip().removesuffix(";") for each in counting), drafted.sql]),
            parameters=tuple(value for each in counting for value in each.parameters),
            ran=ran,
            kin="",
            claims=self._clearance.claims.of(*(each.sql for each in counting), "COMMIT"),
            impact=replace(impact, unestimated="it has run, and its rows are counted", writes=False),
        )

    async def _changed(
        self, judgement: Judgement, acts: Sequence[Act], digest: str, moment: Callable[[], Moment]
    ) -> str:
        """Why what was let run ahead, or is approved, is not what would be committed; empty if it is."""
        gate = self._gate
        await gate.refresh()
        for write in self._deferred.counting:
            before = write.judgement
            moved = before.catalog != gate.snapshot.version
            if moved or before.verdict.revision != gate.policy.revision:
                fresh = await gate.judge(before.subject, before.sql, before.facts, moment=moment())
            else:
                fresh = before
            fresh = await gate.now(fresh, moment())
            if fresh.verdict.action is Action.DENY:
                return f"rule `{fresh.verdict.rule}` denies by now what has run"
            if fresh.verdict.revision != before.verdict.revision:
                return "the policy changed while the transaction was open"
            if fresh.effects != before.effects:
                return "what it would do, or the labels of that data, changed while the transaction was open"
            if self._clearance.digest(fresh, write.acts, catalog=gate.touched(fresh)) != write.digest:
                return "the catalog changed in what it touches while the transaction was open"
        return "" if self._digest(acts, judgement) == digest else "it is another transaction by now"

    def _digest(self, acts: Sequence[Act], judgement: Judgement) -> str:
        """What is shown, approved and committed: the statements in their order, and what came of each."""
        own = self._clearance.digest(judgement, acts, catalog="-")
        return approval.transaction(self._deferred.digests(), own)

    async def _refused(self, ticket: int, hold: str, refusal: Refusal) -> Refusal:
        told = _rolled_back(refusal)
        told = replace(told, detail=text.printable(told.detail))
        record = self._clearance.refusal_record(told, self._clearance.statement(ticket), hold)
        await self._clearance.log.append([record])
        return told


def _rolled_back(refusal: Refusal) -> Refusal:
    """The same of a COMMIT, whose transaction ends with it."""
    hint = "begin the transaction again"
    if refusal.sqlstate == telling.EXPIRED:
        hint = "begin it again when an approver is there, and keep it short: its locks are held meanwhile"
    elif refusal.sqlstate == telling.REJECTED:
        hint = "change what it does, or talk to the approver before you begin it again"
    detail = "; ".join(filter(None, [refusal.detail, "the transaction was rolled back"]))
    return Refusal(refusal.sqlstate, refusal.message, detail=detail, hint=hint)
