"""Leave to run: what was judged is recorded, a hold is opened and waited for, a release is made durable.

Nothing here sends anything to the database. `ask` returns None when the statement may run, and only after
the record that says so is durable.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from firewall import approval, audit
from firewall.errors import CatalogError, StoreError
from firewall.places import FETCH
from firewall.policy import Action, obligations
from firewall.proxy import impact, known, obliged, telling, text
from firewall.proxy.claims import Claiming, says
from firewall.proxy.committing import Committing
from firewall.proxy.deferred import Deferred, ahead
from firewall.proxy.holding import Holding
from firewall.proxy.standing import STANDS_SECONDS, Leave, Standing
from firewall.session import own_views
from firewall.sql import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firewall.budgets import Taken
    from firewall.judgement import Judgement
    from firewall.policy import Moment, Obligations, Subject, Verdict
    from firewall.proxy.behind import Behind
    from firewall.proxy.guarded import Entrance, Guarded
    from firewall.session import Act, Bounds, Done, Refusal


class Clearance:
    """One session's dealings with the desk and the log. backend: the process that serves it in Postgres."""

    def __init__(
        self,
        session: str,
        subject: Subject,
        requesters: frozenset[str],
        guarded: Guarded,
        house: Entrance,
        behind: Behind,
        backend: int,
    ) -> None:
        self.session = session
        self.subject = subject
        self.requesters = requesters
        self.gate = guarded.gate
        self._guarded = guarded
        self.desk = house.desk
        self.log = house.log
        self.url = house.url
        self.origin = house.origin
        self._backend = backend
        self._holding = Holding(self)
        self.claims = Claiming()
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
        # what has run in the open transaction and is decided at its COMMIT
        self.deferred = Deferred(self.standing)
        self._committing = Committing(self, self.deferred, self._holding)
        self._may_stand = house.standing_releases

    async def filled(self, text: str) -> str:
        """A text with what is known of its agent put in. Raises StoreError."""
        rows = {}
        for view in own_views.views(text):
            rows[view] = await known.rows(view, self.desk, self.subject.agent, self.subject.database)
        return own_views.filled(text, rows)

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
        amend: Callable[[Judgement], None],
        *,
        failed: bool = False,
    ) -> Refusal | None:
        """Leave for all of `acts`, or why not. Raises StoreError when nothing can be recorded.

        failed: the open transaction has, and can only be rolled back. moment: what the session knows of it,
        whenever it is asked. amend: tells the session what it comes to, if that is another judgement by the
        time that leave is given.
        """
        self._asked.add(ticket)
        try:
            refusal = await self._ask(ticket, judgement, acts, tell, moment, amend, failed=failed)
        except (CatalogError, StoreError):
            if ticket in self._holding.of:
                # nobody waits for it any more; if this fails as well it expires
                with suppress(StoreError):
                    await self.desk.withdraw(self._holding.of.pop(ticket).hold, "the store failed")
            with suppress(StoreError):
                await self.settle(ticket, 0)
            raise
        finally:
            self._asked.discard(ticket)
            self._holding.withdrawn.pop(ticket, None)
        if refusal is not None:
            self._holding.of.pop(ticket, None)
            self._bounds.pop(ticket, None)
            self._remember(judgement, f"refused: {refusal.message}")
            await self.settle(ticket, 0)
        else:
            self.claims.heard(judgement, acts)
        return refusal

    async def _ask(
        self,
        ticket: int,
        judgement: Judgement,
        acts: Sequence[Act],
        tell: Callable[[str, str, str], None],
        moment: Callable[[], Moment],
        amend: Callable[[Judgement], None],
        *,
        failed: bool,
    ) -> Refusal | None:
        # what others have released since it was judged may have labelled what it reads
        judgement = await self.gate.now(judgement, moment())
        statement = self.statement(ticket)
        commits = self.deferred.commits(judgement) and bool(self.deferred.counting) and not failed
        if commits and judgement.verdict.action is not Action.DENY:
            judgement = self.deferred.decided(judgement)
        obstacle = self.deferred.obstacle(judgement) or self.obstacle(judgement)
        taken: Taken | None = None
        if obstacle is None and _free(judgement.verdict):
            judgement, taken = await self.take(ticket, judgement, moment())
        verdict = judgement.verdict
        record = telling.judgement_record(judgement, self.session, statement)
        digest = self.digest(judgement, acts)
        if obstacle is not None:
            # INVARIANT: 3. what is let through under a condition does not pass without it
            await self.log.append([record, self.refusal_record(obstacle, statement)])
            return obstacle
        if _free(verdict):
            leave = f"rule {verdict.rule}" if verdict.enforced else "observe mode"
            stands = self._may_stand and Standing.may(judgement, acts) and not says(judgement)
            self.bind(ticket, judgement, verdict.obligations, taken)
            await self.gate.releasing(judgement, self.session, statement)
            release = self.release(
                ticket,
                digest,
                leave,
                acts,
                standing=stands,
                masked=self.masked(ticket, judgement),
            )
            await self.log.append([record, release])
            if stands:
                self._give_standing(statement, judgement)
            return None
        if verdict.action is Action.DENY:
            refusal = telling.denied(judgement)
            await self.log.append([record, self.refusal_record(refusal, statement)])
            return refusal
        if len(judgement.sql) > telling.LONGEST_REVIEWABLE:
            refusal = telling.too_long()
            await self.log.append([record, self.refusal_record(refusal, statement)])
            return refusal
        if commits:
            await self.log.append([record])
            return await self._committing.ask(ticket, judgement, acts, tell, moment)
        may = not failed and self.deferred.may(judgement, acts, moment(), self.gate.snapshot)
        if may and await self._run_ahead(ticket, judgement, acts, record, tell, moment):
            return None
        await self.log.append([record])
        return await self._holding.ask(ticket, judgement, acts, tell, moment, amend)

    async def _run_ahead(
        self,
        ticket: int,
        judgement: Judgement,
        acts: Sequence[Act],
        record: audit.Judgement,
        tell: Callable[[str, str, str], None],
        moment: Callable[[], Moment],
    ) -> bool:
        """Leave to run under its obligations, to be decided at COMMIT; false if a budget does not let it."""
        _, taken = await self.take(ticket, judgement, moment())
        if taken is not None and not taken.rows:
            return False
        self.bind(ticket, judgement, judgement.verdict.obligations, taken)
        await self.gate.releasing(judgement, self.session, self.statement(ticket))
        digest = self.digest(judgement, acts, catalog=self.gate.touched(judgement))
        leave = f"rule {judgement.verdict.rule}, to be decided at COMMIT"
        masked = self.masked(ticket, judgement)
        await self.log.append([record, self.release(ticket, digest, leave, acts, masked=masked)])
        if not self.deferred.open:
            tell(*ahead(judgement))
        self.deferred.add(ticket, judgement, acts, digest)
        return True

    def bounds(self, ticket: int) -> Bounds | None:
        """Under which of them `ask` gave leave."""
        return self._bounds.pop(ticket, None)

    def obstacle(self, judgement: Judgement) -> Refusal | None:
        """Why its obligations, or those of what ran before, could not be seen to."""
        return obliged.obstacle(self._guarded, judgement, self._cursors, bounded=self._bounded)

    def masked(self, ticket: int, judgement: Judgement) -> list[str]:
        """Which columns of what is about to be released are masked, for the record."""
        return obliged.masked(judgement, self._bounds.get(ticket))

    async def take(self, ticket: int, judgement: Judgement, moment: Moment) -> tuple[Judgement, Taken | None]:
        """Set aside what it may return of its budgets; see `Gate.take`."""
        if not judgement.verdict.budgets:
            return judgement, None
        self._counted.add(ticket)
        judgement, taken = await self.gate.take(judgement, self.statement(ticket), moment)
        if taken is not None and not taken.rows:
            self._counted.discard(ticket)
        return judgement, taken

    async def settle(self, ticket: int, rows: int) -> None:
        """So many rows came of it."""
        if ticket in self._counted:
            self._counted.discard(ticket)
            await self.gate.settle(self.statement(ticket), rows)

    def bind(self, ticket: int, judgement: Judgement, owed: Obligations, taken: Taken | None) -> None:
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

    def unbind(self, ticket: int) -> None:
        """Nothing comes of the leave after all."""
        self._bounds.pop(ticket, None)

    def at_once(self, ticket: int, judgement: Judgement, acts: Sequence[Act]) -> Leave | None:
        """Leave without waiting: the standing release that covers it. If there is none, `ask`."""
        return self.standing.run(ticket, judgement, acts)

    def noted(self, done: Done) -> bool:
        """What came of a run that went at once is taken down; of others not: `note` them."""
        self.deferred.heard(done)
        return self.standing.ended(done)

    def _give_standing(self, statement: str, judgement: Judgement) -> None:
        if not self.gate.stands(judgement):
            return
        until = time.monotonic() + STANDS_SECONDS
        digester = approval.digester(judgement.sql, self.circumstances(judgement))
        season = self.gate.season
        leave = Leave(self.session, statement, self.subject.agent, judgement, digester, until, season)
        self.standing.give(leave)

    async def withdraw(self, ticket: int, why: str, *, lost: bool = False) -> None:
        """The client cancelled or went away while `ask` waits."""
        if ticket not in self._asked:
            return  # it has been answered already, and the session knows what to make of that
        await self._holding.withdraw(ticket, why, lost=lost)

    async def note(self, done: Done, micros: int) -> None:
        """Record what came of a statement; of one that Postgres rejected by itself, the judgement too."""
        judgement: Judgement = done.judgement  # type: ignore[assignment]  # it is what `Clear` carried
        statement = self.statement(done.ticket)
        self._remember(judgement, telling.outcome_line(done))
        of = self._holding.of.pop(done.ticket, None)
        hold = of.hold if of is not None else ""
        await self.settle(done.ticket, done.rows)
        records: list[audit.Record] = []
        if not done.released:
            records.append(telling.judgement_record(judgement, self.session, statement))
        records.append(
            telling.outcome_record(
                done, self.subject.agent, self.session, statement, hold=hold, micros=micros
            )
        )
        await self.log.append(records)
        if of is not None:
            await self._holding.ended(of, done)

    async def impact(self, judgement: Judgement, acts: Sequence[Act], moment: Moment) -> approval.Impact:
        """What it would come to, for who decides; see `impact.gather`."""
        earlier = self.standing.earlier()
        return await impact.gather(
            self._guarded, judgement, acts, pid=self._backend, moment=moment, earlier=earlier
        )

    def _remember(self, judgement: Judgement, came: str) -> None:
        """For who decides on what this session asks for next."""
        self.standing.last.append(approval.earlier(text.printable(judgement.sql), text.printable(came)))

    def refusal_record(self, refusal: Refusal, statement: str = "", hold: str = "") -> audit.Refusal:
        """What the agent is told instead of a result."""
        return audit.Refusal(
            **telling.correlation(self.session, statement, hold),
            agent=self.subject.agent,
            sqlstate=refusal.sqlstate,
            message=text.printable(refusal.message),
        )

    def release(
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

    def digest(self, judgement: Judgement, acts: Sequence[Act], *, catalog: str = "") -> str:
        """catalog: what of it is meant, if not all."""
        return approval.digest(
            (approval.Execution(a.sql, a.parameters, a.formats, a.types) for a in acts),
            self.circumstances(judgement, catalog=catalog),
        )

    def circumstances(self, judgement: Judgement, *, catalog: str = "") -> approval.Circumstances:
        return approval.Circumstances(
            agent=self.subject.agent,
            database=self.subject.database,
            role=judgement.role,
            search_path=judgement.search_path,
            revision=judgement.verdict.revision,
            catalog=catalog or judgement.catalog,
        )


def _free(verdict: Verdict) -> bool:
    """Nobody has to be asked."""
    return not verdict.enforced or verdict.action is Action.ALLOW
