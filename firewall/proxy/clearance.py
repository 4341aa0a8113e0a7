"""Leave to run: what was judged is recorded, a hold is opened and waited for, a release is made durable.

Nothing here sends anything to the database. `ask` returns None when the statement may run, and only after
the record that says so is durable.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from firewall import approval, audit, clock, ids
from firewall.approval import State
from firewall.errors import CatalogError, StoreError
from firewall.places import FETCH
from firewall.policy import Action, obligations
from firewall.proxy import obliged, telling, text
from firewall.proxy.standing import STANDS_SECONDS, Leave, Standing
from firewall.sql import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firewall.budgets import Taken
    from firewall.gate import Judgement
    from firewall.policy import Moment, Obligations, Subject, Verdict
    from firewall.proxy.behind import Behind
    from firewall.proxy.guarded import Entrance, Guarded
    from firewall.session import Act, Bounds, Done, Refusal

# A held statement hears that it still waits this often.
REMINDER_SECONDS = 30.0


class Clearance:
    """One session's dealings with the desk and the log."""

    def __init__(
        self,
        session: str,
        subject: Subject,
        requesters: frozenset[str],
        guarded: Guarded,
        house: Entrance,
        behind: Behind,
    ) -> None:
        self.session = session
        self.subject = subject
        self._requesters = requesters
        self._guarded = guarded
        self._desk = house.desk
        self._log = house.log
        self._url = house.url
        self._origin = house.origin
        self._holds: dict[int, str] = {}
        self._withdrawn: dict[int, str] = {}
        self._asked: set[int] = set()
        self._bounds: dict[int, Bounds] = {}
        # something was released under obligations: a cursor may return its rows any time later
        self._bounded = False
        self._cursors = obliged.Cursors()
        # something was released read only, the same way
        self._restricted = False
        # tickets for which rows of budgets are set aside
        self._counted: set[int] = set()
        self.standing = Standing(behind)
        self._may_stand = house.standing_releases

    def statement(self, ticket: int) -> str:
        """The id under which everything about one statement is recorded."""
        return f"{self.session}.{ticket}"

    async def ask(
        self,
        ticket: int,
        judgement: Judgement,
        acts: Sequence[Act],
        tell: Callable[[str, str, str], None],
        moment: Callable[[], Moment],
    ) -> Refusal | None:
        """Leave for all of `acts`, or why not. Raises StoreError when nothing can be recorded.

        moment: what the session knows of it, whenever it is asked.
        """
        self._asked.add(ticket)
        try:
            refusal = await self._ask(ticket, judgement, acts, tell, moment)
        except (CatalogError, StoreError):
            if ticket in self._holds:
                # nobody waits for it any more; if this fails as well it expires
                with suppress(StoreError):
                    await self._desk.withdraw(self._holds.pop(ticket), "the store failed")
            with suppress(StoreError):
                await self._settle(ticket, 0)
            raise
        finally:
            self._asked.discard(ticket)
            self._withdrawn.pop(ticket, None)
        if refusal is not None:
            self._holds.pop(ticket, None)
            self._bounds.pop(ticket, None)
            await self._settle(ticket, 0)
        return refusal

    async def _ask(
        self,
        ticket: int,
        judgement: Judgement,
        acts: Sequence[Act],
        tell: Callable[[str, str, str], None],
        moment: Callable[[], Moment],
    ) -> Refusal | None:
        # what others have released since it was judged may have labelled what it reads
        judgement = await self._guarded.gate.now(judgement, moment())
        statement = self.statement(ticket)
        obstacle = obliged.obstacle(self._guarded, judgement, self._cursors, bounded=self._bounded)
        taken: Taken | None = None
        if obstacle is None and _free(judgement.verdict):
            judgement, taken = await self._take(ticket, judgement, moment())
        verdict = judgement.verdict
        record = telling.judgement_record(judgement, self.session, statement)
        digest = self._digest(judgement, acts)
        if obstacle is not None:
            # INVARIANT: 3. what is let through under a condition does not pass without it
            await self._log.append([record, self.refusal_record(obstacle, statement)])
            return obstacle
        if _free(verdict):
            leave = f"rule {verdict.rule}" if verdict.enforced else "observe mode"
            stands = self._may_stand and Standing.may(judgement, acts)
            self._bind(ticket, judgement, verdict.obligations, taken)
            await self._guarded.gate.releasing(judgement, self.session, statement)
            release = self._release(
                ticket,
                digest,
                leave,
                acts,
                standing=stands,
                masked=obliged.masked(judgement, self._bounds.get(ticket)),
            )
            await self._log.append([record, release])
            if stands:
                self._give_standing(statement, judgement)
            return None
        if verdict.action is Action.DENY:
            refusal = telling.denied(judgement)
            await self._log.append([record, self.refusal_record(refusal, statement)])
            return refusal
        if len(judgement.sql) > telling.LONGEST_REVIEWABLE:
            refusal = telling.too_long()
            await self._log.append([record, self.refusal_record(refusal, statement)])
            return refusal
        await self._log.append([record])
        return await self._wait(ticket, judgement, acts, digest, tell, moment)

    def bounds(self, ticket: int) -> Bounds | None:
        """Under which of them `ask` gave leave."""
        return self._bounds.pop(ticket, None)

    async def _take(
        self, ticket: int, judgement: Judgement, moment: Moment
    ) -> tuple[Judgement, Taken | None]:
        """Set aside what it may return of its budgets; see `Gate.take`."""
        if not judgement.verdict.budgets:
            return judgement, None
        self._counted.add(ticket)
        judgement, taken = await self._guarded.gate.take(judgement, self.statement(ticket), moment)
        if taken is not None and not taken.rows:
            self._counted.discard(ticket)
        return judgement, taken

    async def _settle(self, ticket: int, rows: int) -> None:
        """So many rows came of it."""
        if ticket in self._counted:
            self._counted.discard(ticket)
            await self._guarded.gate.settle(self.statement(ticket), rows)

    def _bind(self, ticket: int, judgement: Judgement, owed: Obligations, taken: Taken | None) -> None:
        """What ends a transaction returns nothing, and cannot be undone."""
        bounds = obliged.fetched(judgement, self._cursors)
        if judgement.verdict.enforced and (owed or taken is not None):
            if all(effect.kind is Kind.TRANSACTION for effect in judgement.effects):
                return
            bounds = obliged.bounds(self._guarded, judgement, owed, taken)
            self._restricted |= owed.read_only
        if self._restricted and any(statement.node == FETCH for statement in judgement.analysis.statements):
            # what it makes run may be what was let run read only
            bounds = replace(bounds or telling.bounds(judgement, obligations.NONE, None), read_only=True)
        obliged.declared(judgement, bounds, self._cursors)
        if bounds is not None:
            self._bounded = True
            self._bounds[ticket] = bounds

    def at_once(self, ticket: int, judgement: Judgement, acts: Sequence[Act]) -> Leave | None:
        """Leave without waiting: the standing release that covers it. If there is none, `ask`."""
        return self.standing.run(ticket, judgement, acts)

    def noted(self, done: Done) -> bool:
        """What came of a run that went at once is taken down; of others not: `note` them."""
        return self.standing.ended(done)

    def _give_standing(self, statement: str, judgement: Judgement) -> None:
        if not self._guarded.gate.stands(judgement):
            return
        until = time.monotonic() + STANDS_SECONDS
        digester = approval.digester(judgement.sql, self._circumstances(judgement))
        season = self._guarded.gate.season
        leave = Leave(self.session, statement, self.subject.agent, judgement, digester, until, season)
        self.standing.give(leave)

    async def withdraw(self, ticket: int, why: str) -> None:
        """The client cancelled or went away while `ask` waits."""
        if ticket not in self._asked:
            return  # it has been answered already, and the session knows what to make of that
        self._withdrawn[ticket] = why
        if ticket in self._holds:
            await self._desk.withdraw(self._holds[ticket], why)

    async def note(self, done: Done, micros: int) -> None:
        """Record what came of a statement; of one that Postgres rejected by itself, the judgement too."""
        judgement: Judgement = done.judgement  # type: ignore[assignment]  # it is what `Clear` carried
        statement = self.statement(done.ticket)
        hold = self._holds.pop(done.ticket, "")
        await self._settle(done.ticket, done.rows)
        records: list[audit.Record] = []
        if not done.released:
            records.append(telling.judgement_record(judgement, self.session, statement))
        records.append(
            telling.outcome_record(
                done, self.subject.agent, self.session, statement, hold=hold, micros=micros
            )
        )
        await self._log.append(records)
        if hold:
            await self._desk.note_outcome(hold, telling.outcome_line(done))

    def refusal_record(self, refusal: Refusal, statement: str = "", hold: str = "") -> audit.Refusal:
        """What the agent is told instead of a result."""
        return audit.Refusal(
            **telling.correlation(self.session, statement, hold),
            agent=self.subject.agent,
            sqlstate=refusal.sqlstate,
            message=text.printable(refusal.message),
        )

    async def _wait(
        self,
        ticket: int,
        judgement: Judgement,
        acts: Sequence[Act],
        digest: str,
        tell: Callable[[str, str, str], None],
        moment: Callable[[], Moment],
    ) -> Refusal | None:
        hold = self._hold(ticket, judgement, acts, digest)
        await self._desk.open(hold)
        self._holds[ticket] = hold.id
        if ticket in self._withdrawn:
            await self._desk.withdraw(hold.id, self._withdrawn[ticket])
        tell(*telling.waiting(hold, self._url))
        settled = await self._settled(hold, tell)
        if settled.state is State.APPROVED and ticket not in self._withdrawn:
            return await self._spend(ticket, settled, judgement, acts, moment())
        refusal = telling.undecided(settled)
        await self._log.append([self.refusal_record(refusal, self.statement(ticket), hold.id)])
        return refusal

    async def _settled(self, hold: approval.Hold, tell: Callable[[str, str, str], None]) -> approval.Hold:
        waiting = asyncio.ensure_future(self._desk.settled(hold.id))
        try:
            while True:
                done, _ = await asyncio.wait([waiting], timeout=REMINDER_SECONDS)
                if done:
                    return waiting.result()
                left = (hold.expires_at - clock.now()).total_seconds()
                tell(*telling.still_waiting(hold, max(left, 0)))
        finally:
            waiting.cancel()

    async def _spend(
        self, ticket: int, hold: approval.Hold, judgement: Judgement, acts: Sequence[Act], moment: Moment
    ) -> Refusal | None:
        # INVARIANT: 6. a decision releases one execution of one digest: of what would run now
        gate = self._guarded.gate
        now = self._digest(judgement, acts, revision=gate.policy.revision, catalog=gate.snapshot.version)
        fresh = await gate.now(judgement, moment)
        forbidden = fresh.verdict.action is Action.DENY
        if now == hold.digest and fresh.effects == judgement.effects and not forbidden:
            if (
                refusal := obliged.obstacle(self._guarded, fresh, self._cursors, bounded=self._bounded)
            ) is not None:
                await self._desk.withdraw(hold.id, refusal.message)
                await self._log.append([self.refusal_record(refusal, self.statement(ticket), hold.id)])
                return refusal
            owed = obligations.together([judgement.verdict.obligations, fresh.verdict.obligations])
            # what was approved is approved beyond the budgets that were used up then, and no others
            _, taken = await self._take(ticket, judgement, moment)
            if taken is None or taken.rows:
                self._bind(ticket, judgement, owed, taken)
                await gate.releasing(judgement, self.session, self.statement(ticket))
                masked = obliged.masked(judgement, self._bounds.get(ticket))
                release = self._release(ticket, now, f"hold {hold.id}", acts, hold=hold.id, masked=masked)
                if await self._desk.consume(hold.id, now, [release]):
                    return None
        await self._desk.withdraw(
            hold.id, "policy, catalog, labels or what is left of a budget changed since it was asked for"
        )
        refusal = telling.voided(hold)
        await self._log.append([self.refusal_record(refusal, self.statement(ticket), hold.id)])
        return refusal

    def _release(
        self,
        ticket: int,
        digest: str,
        leave: str,
        acts: Sequence[Act],
        *,
        hold: str = "",
        standing: bool = False,
        masked: list[str],
    ) -> audit.Release:
        return audit.Release(
            **telling.correlation(self.session, self.statement(ticket), hold),
            agent=self.subject.agent,
            digest=digest,
            leave=leave,
            parameters=[
                value
                for act in acts
                for value in text.values(act, longest=None if hold else telling.LONGEST_LOGGED_VALUE)
            ],
            standing=standing,
            masked=masked,
        )

    def _digest(
        self, judgement: Judgement, acts: Sequence[Act], *, revision: str = "", catalog: str = ""
    ) -> str:
        return approval.digest(
            (approval.Execution(a.sql, a.parameters, a.formats, a.types) for a in acts),
            self._circumstances(judgement, revision=revision, catalog=catalog),
        )

    def _circumstances(
        self, judgement: Judgement, *, revision: str = "", catalog: str = ""
    ) -> approval.Circumstances:
        return approval.Circumstances(
            agent=self.subject.agent,
            database=self.subject.database,
            role=judgement.role,
            search_path=judgement.search_path,
            revision=revision or judgement.verdict.revision,
            catalog=catalog or judgement.catalog,
        )

    def _hold(self, ticket: int, judgement: Judgement, acts: Sequence[Act], digest: str) -> approval.Hold:
        verdict = judgement.verdict
        requirement = verdict.requirement
        assert requirement is not None  # a hold verdict always says who must approve
        escalation = requirement.escalation
        now = clock.now()
        return approval.Hold(
            id=ids.hold_id(),
            digest=digest,
            state=State.PENDING,
            opened_at=now,
            expires_at=now + timedelta(seconds=requirement.expires),
            session=self.session,
            statement=self.statement(ticket),
            agent=self.subject.agent,
            owner=self.subject.owner,
            database=self.subject.database,
            environment=self.subject.environment,
            role=judgement.role,
            sql=text.printable(judgement.sql),
            parameters=tuple(value for act in acts for value in text.values(act)),
            rule=verdict.rule,
            reasons=(*telling.reasons(judgement, deciding=True), *telling.owing(judgement)),
            effects=telling.effects(judgement),
            labels=judgement.labels,
            risk=verdict.risk.value,
            groups=requirement.groups,
            quorum=requirement.quorum,
            requesters=self._requesters,
            revision=verdict.revision,
            executions=len(acts),
            origin=self._origin,
            channels=requirement.channels,
            remind=requirement.remind,
            escalates_at=now + timedelta(seconds=escalation.after) if escalation else None,
            escalate_groups=escalation.groups if escalation else (),
            escalate_channels=escalation.channels if escalation else (),
        )


def _free(verdict: Verdict) -> bool:
    """Nobody has to be asked."""
    return not verdict.enforced or verdict.action is Action.ALLOW
