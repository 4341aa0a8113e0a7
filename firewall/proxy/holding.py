"""A statement that waits for a person: its hold is opened, waited for, and its approval spent.

An approval is good for what would run now, or not at all: what has changed meanwhile (policy, labels, what of
the catalog the text can reach) voids it, and opens another hold that says so.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from firewall import approval, clock, ids
from firewall.approval import State
from firewall.errors import CatalogError
from firewall.policy import Action, Obligations, obligations
from firewall.proxy import telling, text
from firewall.sql import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firewall.judgement import Judgement
    from firewall.policy import Moment
    from firewall.proxy.clearance import Clearance
    from firewall.session import Act, Done, Refusal

# A held statement hears that it still waits this often.
REMINDER_SECONDS = 30.0
# So often a statement is asked for anew in one wait; each time people decided, and the world was another.
MAX_ROUNDS = 5
# So long a statement waits until it is known what the one before it has left of a grant.
PATIENCE = 5.0
# What can be granted by shape: what the literals of a statement can be about is in its effects.
GRANTABLE = frozenset(
    {
        *(Kind.READ, Kind.INSERT, Kind.UPDATE, Kind.DELETE, Kind.LOCK, Kind.MAINTENANCE, Kind.TRUNCATE),
        Kind.TRANSACTION,
    }
)


@dataclass(frozen=True, slots=True)
class Held:
    """By which hold a statement waits or is released; or by which grant, and how many rows that had left."""

    hold: str
    grant: str = ""
    left: int = 0
    outlives: bool = False


class Holding:
    """The holds of one session.

    of: by ticket, those that wait or are spent. withdrawn: why nobody waits for a ticket any more.
    """

    def __init__(self, clearance: Clearance) -> None:
        self.of: dict[int, Held] = {}
        self.withdrawn: dict[int, str] = {}
        self._lost: dict[int, asyncio.Event] = {}
        # tickets that nobody waits for because the connection is lost
        self._deserted: set[int] = set()
        # runs by grants of so many rows, until it is known how many they had
        self._runs: dict[int, asyncio.Event] = {}
        self._clearance = clearance
        self._desk = clearance.desk
        self._gate = clearance.gate

    async def ask(
        self,
        ticket: int,
        judgement: Judgement,
        acts: Sequence[Act],
        tell: Callable[[str, str, str], None],
        moment: Callable[[], Moment],
        amend: Callable[[Judgement], None],
    ) -> Refusal | None:
        """Leave by a grant or a decision, or why not."""
        lost = self._lost[ticket] = asyncio.Event()
        try:
            if await self._granted(ticket, judgement, acts, moment):
                return None
            void = _Void("", None)
            for _ in range(MAX_ROUNDS):
                hold = await self._held(ticket, judgement, acts, void.why, moment)
                settled = await self.settled(hold, judgement, tell, lost)
                if settled.state is not State.APPROVED or ticket in self.withdrawn:
                    return await self._refused(ticket, hold, telling.undecided(settled, self._clearance.url))
                answer = await self._spend(ticket, settled, judgement, acts, moment)
                if not isinstance(answer, _Void):
                    return answer
                void = _Void(f"the approval of hold {hold.id} is void: {answer.why}", answer.judgement)
                if void.judgement is None:
                    break
                await self._judged(ticket, hold, void.judgement)
                if not _asked(void.judgement):
                    break
                judgement = void.judgement
                amend(judgement)
            return await self._refused(ticket, hold, telling.voided(hold, void.why))
        finally:
            del self._lost[ticket]
            self._deserted.discard(ticket)

    async def withdraw(self, ticket: int, why: str, *, lost: bool) -> None:
        """Nobody waits for it any more; where the connection is lost, some holds stay."""
        self.withdrawn[ticket] = why
        if lost:
            self._deserted.add(ticket)
        held = self.of.get(ticket)
        # without one, it hears of it when it has a hold
        if held is not None and not held.grant:
            await self._give_up(ticket, held, why)

    async def _give_up(self, ticket: int, held: Held, why: str) -> None:
        """Nobody waits for this hold any more."""
        if ticket in self._deserted and held.outlives:
            await self._desk.leave(held.hold, why)
            self._lost[ticket].set()
        else:
            await self._desk.withdraw(held.hold, why)

    async def ended(self, held: Held, done: Done) -> None:
        """What came of a statement that was released."""
        if held.grant:
            rows = telling.rows_of(done.tags) or done.rows
            try:
                await self._desk.ended(held.grant, held.left, rows)
            finally:
                if (run := self._runs.pop(done.ticket, None)) is not None:
                    run.set()
        else:
            await self._desk.note_outcome(held.hold, telling.outcome_line(done))

    async def _granted(
        self, ticket: int, judgement: Judgement, acts: Sequence[Act], moment: Callable[[], Moment]
    ) -> bool:
        """Leave by a grant that somebody gave before; false if there is none that fits."""
        clearance, gate = self._clearance, self._gate
        shape = self._shape(judgement)
        if shape and self._runs:
            # what this session ran by a grant before has rows to give back
            await asyncio.wait(
                [asyncio.ensure_future(e.wait()) for e in self._runs.values()], timeout=PATIENCE
            )
        for _ in range(MAX_ROUNDS if shape else 0):
            grant = await self._desk.grant_for(shape)
            if grant is None or grant.used + len(acts) > grant.uses or ticket in self.withdrawn:
                return False
            fresh = await gate.again(judgement, moment())
            if fresh.verdict.action is not Action.HOLD or self._shape(fresh) != shape:
                return False
            rest = Obligations(max_rows=grant.left, max_affected_rows=grant.left)
            owed = obligations.together([judgement.verdict.obligations, fresh.verdict.obligations, rest])
            bound = replace(fresh, verdict=replace(fresh.verdict, obligations=owed))
            if clearance.obstacle(bound) is not None:
                return False
            _, taken = await clearance.take(ticket, judgement, moment())
            if taken is not None and not taken.rows:
                return False
            clearance.bind(ticket, bound, owed, taken)
            await gate.releasing(judgement, clearance.session, clearance.statement(ticket))
            digest = clearance.digest(judgement, acts)
            masked = clearance.masked(ticket, bound)
            leave = f"grant {grant.id}"
            release = clearance.release(ticket, digest, leave, acts, hold=grant.hold, masked=masked)
            if await self._desk.use(grant, len(acts), [release]):
                self.of[ticket] = Held(grant.hold, grant.id, grant.left or 0)
                if grant.rows is not None:
                    self._runs[ticket] = asyncio.Event()
                return True
            clearance.unbind(ticket)
            await clearance.settle(ticket, 0)
        return False

    async def _held(
        self,
        ticket: int,
        judgement: Judgement,
        acts: Sequence[Act],
        why: str,
        moment: Callable[[], Moment],
    ) -> approval.Hold:
        """The hold that this statement waits for: one that was left, or a new one."""
        hold = self.drafted(ticket, judgement, acts, why)
        left = await self._desk.resume(hold.digest, hold.statement, hold.requesters)
        if left is not None:
            hold = left
        else:
            if not why and (why := await self._desk.replaced(hold)):
                hold = replace(hold, reasons=(why, *hold.reasons))
            hold = replace(hold, impact=await self._clearance.impact(judgement, acts, moment()))
            await self._desk.open(hold)
        held = self.of[ticket] = Held(hold.id, outlives=hold.outlives)
        if ticket in self.withdrawn:
            await self._give_up(ticket, held, self.withdrawn[ticket])
        return hold

    async def settled(
        self,
        hold: approval.Hold,
        judgement: Judgement,
        tell: Callable[[str, str, str], None],
        lost: asyncio.Event,
    ) -> approval.Hold:
        """The hold when it is decided, or when nobody waits for it any more."""
        if hold.state is State.PENDING:
            tell(*telling.waiting(hold, self._clearance.url))
        requirement = judgement.verdict.requirement
        assert requirement is not None
        began = clock.now()
        wait = math.inf if requirement.wait is None else requirement.wait
        waiting = asyncio.ensure_future(self._desk.settled(hold.id))
        gone = asyncio.ensure_future(lost.wait())
        try:
            while True:
                left = wait - (clock.now() - began).total_seconds()
                done, _ = await asyncio.wait(
                    [waiting, gone],
                    timeout=min(REMINDER_SECONDS, max(left, 0)),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if waiting in done:
                    return waiting.result()
                if done:
                    return await self._desk.leave(hold.id, "the connection was lost") or hold
                if (clock.now() - began).total_seconds() >= wait:
                    return await self._desk.leave(hold.id, f"the agent waited {wait:g} s") or hold
                remaining = (hold.expires_at - clock.now()).total_seconds()
                tell(*telling.still_waiting(hold, max(remaining, 0)))
        finally:
            waiting.cancel()
            gone.cancel()

    async def _spend(
        self,
        ticket: int,
        hold: approval.Hold,
        judgement: Judgement,
        acts: Sequence[Act],
        moment: Callable[[], Moment],
    ) -> Refusal | _Void | None:
        """Leave, or why not, or why the approval is for something else than would run now."""
        # INVARIANT: 6. a decision releases one execution of one digest: of what would run now
        clearance, gate = self._clearance, self._gate
        try:
            fresh = await gate.again(judgement, moment())
        except CatalogError as error:
            refusal = telling.not_judged(error)
            await self._desk.withdraw(hold.id, refusal.message)
            return await self._refused(ticket, hold, refusal)
        if fresh.verdict.action is Action.DENY:
            refusal = telling.denied(fresh)
            await self._judged(ticket, hold, fresh)
            await self._desk.withdraw(hold.id, refusal.message)
            return await self._refused(ticket, hold, refusal)
        now = self._digest(fresh, acts)
        why = _changes(judgement, fresh, same=now == hold.digest)
        if not why:
            refused = clearance.obstacle(fresh)
            if refused is not None:
                await self._desk.withdraw(hold.id, refused.message)
                return await self._refused(ticket, hold, refused)
            owed = obligations.together([judgement.verdict.obligations, fresh.verdict.obligations])
            # what was approved is approved beyond the budgets that were used up then, and no others
            _, taken = await clearance.take(ticket, judgement, moment())
            if taken is None or taken.rows:
                clearance.bind(ticket, judgement, owed, taken)
                await gate.releasing(judgement, clearance.session, clearance.statement(ticket))
                masked = clearance.masked(ticket, judgement)
                leave = f"hold {hold.id}"
                release = clearance.release(ticket, now, leave, acts, hold=hold.id, masked=masked)
                if await self._desk.consume(hold.id, now, [release]):
                    return None
                await self._desk.withdraw(hold.id, "the agent is not there any more")
                return _Void("it was spent or given up meanwhile", None)
            why = "what is left of a budget changed"
            clearance.unbind(ticket)
            await clearance.settle(ticket, 0)
        await self._desk.withdraw(hold.id, f"void: {why}")
        return _Void(why, fresh)

    async def _judged(self, ticket: int, hold: approval.Hold, judgement: Judgement) -> None:
        """The machine's word once more, after a hold: it is not what it was when that was opened."""
        clearance = self._clearance
        record = telling.judgement_record(
            judgement, clearance.session, clearance.statement(ticket), hold=hold.id
        )
        await clearance.log.append([record])

    async def _refused(self, ticket: int, hold: approval.Hold, refusal: Refusal) -> Refusal:
        record = self._clearance.refusal_record(refusal, self._clearance.statement(ticket), hold.id)
        await self._clearance.log.append([record])
        return refusal

    def _digest(self, judgement: Judgement, acts: Sequence[Act]) -> str:
        return self._clearance.digest(judgement, acts, catalog=self._gate.touched(judgement))

    def drafted(self, ticket: int, judgement: Judgement, acts: Sequence[Act], why: str) -> approval.Hold:
        verdict, subject = judgement.verdict, judgement.subject
        requirement = verdict.requirement
        assert requirement is not None  # a hold verdict always says who must approve
        escalation = requirement.escalation
        now = clock.now()
        return approval.Hold(
            id=ids.hold_id(),
            digest=self._digest(judgement, acts),
            state=State.PENDING,
            opened_at=now,
            expires_at=now + timedelta(seconds=requirement.expires),
            session=self._clearance.session,
            statement=self._clearance.statement(ticket),
            agent=subject.agent,
            owner=subject.owner,
            database=subject.database,
            environment=subject.environment,
            role=judgement.role,
            sql=text.printable(judgement.sql),
            parameters=tuple(value for act in acts for value in text.values(act)),
            rule=verdict.rule,
            reasons=(
                *([why] if why else []),
                *telling.reasons(judgement, deciding=True),
                *telling.owing(judgement),
            ),
            effects=telling.effects(judgement),
            labels=judgement.labels,
            risk=verdict.risk.value,
            groups=requirement.groups,
            quorum=requirement.quorum,
            requesters=self._clearance.requesters,
            revision=verdict.revision,
            executions=len(acts),
            origin=self._clearance.origin,
            channels=requirement.channels,
            remind=requirement.remind,
            escalates_at=now + timedelta(seconds=escalation.after) if escalation else None,
            escalate_groups=escalation.groups if escalation else (),
            escalate_channels=escalation.channels if escalation else (),
            parts=requirement.parts,
            break_glass=requirement.break_glass,
            outlives=requirement.outlives,
            use_within=requirement.use_within,
            grants=requirement.grants,
            shape=self._shape(judgement),
            kin=telling.kin(judgement),
            claims=self._clearance.claims.of(judgement.sql),
            search_path=judgement.search_path,
            catalog=self._gate.touched(judgement),
        )

    def _shape(self, judgement: Judgement) -> str:
        """What a grant for such statements is for; empty where there can be none."""
        verdict, analysis = judgement.verdict, judgement.analysis
        fingerprints = [statement.fingerprint for statement in analysis.statements]
        clear = not (analysis.opaque or analysis.volatile or judgement.in_doubt or judgement.native)
        if verdict.requirement is None or verdict.requirement.grants is None:
            return ""
        if not clear or not all(fingerprints) or not all(e.kind in GRANTABLE for e in judgement.effects):
            return ""
        circumstances = self._clearance.circumstances(judgement, catalog=self._gate.touched(judgement))
        holding = [reason.rule for reason in verdict.reasons if reason.action is Action.HOLD]
        effects = sorted(f"{effect} {effect.labels} {effect.tested_labels}" for effect in judgement.effects)
        return approval.shape(circumstances, fingerprints, effects, holding)


class _Void:
    """An approval that is good for nothing: why, and what the statement comes to now, if anything."""

    def __init__(self, why: str, judgement: Judgement | None) -> None:
        self.why = why
        self.judgement = judgement


def _asked(judgement: Judgement) -> bool:
    """It is what people are asked for, and not what Postgres is likely to reject by itself."""
    return judgement.verdict.action is Action.HOLD and judgement.verdict.enforced and not judgement.native


def _changes(before: Judgement, after: Judgement, *, same: bool) -> str:
    """What is different since it was asked for; empty where nothing is that matters."""
    found = []
    if before.verdict.revision != after.verdict.revision:
        found.append("the policy changed")
    if before.effects != after.effects:
        found.append("what it would do, or the labels of that data, changed")
    elif not same and not found:
        found.append("the catalog changed in what it touches")
    return " and ".join(found)
