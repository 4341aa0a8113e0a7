"""Carries out what one session commands: bytes to both sides, judgements, leave, outcomes.

The session is a state machine without I/O; this is the interpreter of its commands and nothing more. What
takes time runs in tasks of this conversation, and each answers its ticket exactly once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

import structlog

from firewall import policy, session, sql
from firewall.errors import CatalogError, FirewallError, StoreError
from firewall.proxy import obliged, telling, upstream
from firewall.proxy.behind import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from firewall.judgement import Judgement
    from firewall.proxy.clearance import Clearance
    from firewall.proxy.guarded import Guarded, Log
    from firewall.proxy.link import Link
    from firewall.proxy.standing import Leave, Standing
    from firewall.proxy.upstream import Upstream

log = structlog.get_logger(__name__)

# Texts of one session that are analysed ahead of being run, at a time; more would be at others' expense.
MAX_FORESEEN = 4
# A client that has closed its half of the connection may still read for so long what it has asked for: it
# cannot be told from one that is gone, whose work is not to go on.
HALF_CLOSED_SECONDS = 5.0
# A client whose bytes are not taken, because a person decides, is written to so often. If it has gone with
# more unsent than the window lets through, its system answers with a reset, and nothing else tells of it.
KNOCK_SECONDS = 5.0
# Rulings of one session that are kept.
MAX_RULINGS = 64


class Conversation:
    """One agent's session with one database, from ReadyForQuery to the end."""

    def __init__(
        self,
        front: Link,
        back: Upstream,
        machine: session.Session,
        guarded: Guarded,
        clearance: Clearance,
        ledger: Log,
    ) -> None:
        self._front = front
        self._back = back
        self._machine = machine
        self._lane = machine.lane
        self._guarded = guarded
        self._clearance = clearance
        self._standing: Standing = clearance.standing
        self._server: Link = back.link
        self._log = ledger
        self._tasks: set[asyncio.Task[None]] = set()
        self._released_at: dict[int, float] = {}
        self._why = ""
        self._closed = asyncio.Event()
        self._congested = False
        self._foreseen = 0
        self._stirred = True
        self._ending: asyncio.TimerHandle | None = None
        self._knocking: asyncio.TimerHandle | None = None
        self._rulings: dict[int, session.Ruling] = {}
        self._commands: deque[session.Command] = deque()
        self._performing = False
        self._transaction_since: float | None = None
        self._clock: asyncio.TimerHandle | None = None

    async def run(self) -> str:
        """Relay until either side has gone; returns why it ended."""
        machine, back = self._machine, self._back.link
        self._front.on_lost = lambda: self._event(machine.frontend_lost)
        self._front.on_ended = self._half_closed
        back.on_lost = lambda: self._event(machine.backend_lost)
        self._front.on_pressure = self._pressure_of_front
        back.on_pressure = self._pressure_of_back
        back.stream_to(self._from_back)
        self._front.stream_to(self._from_front)
        if self._front.lost:
            self._event(machine.frontend_lost)
        if back.lost:
            self._event(machine.backend_lost)
        await self._closed.wait()
        for timer in (self._ending, self._knocking, self._clock):
            if timer is not None:
                timer.cancel()
        # outcomes and withdrawals still have to be written
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._front.let_go()
        back.let_go()
        return self._why

    def cancel(self) -> None:
        """The client sent a CancelRequest with this conversation's key."""
        self._event(self._machine.cancel)

    def shut_down(self, *, at_once: bool = False) -> None:
        """The firewall stops; what runs is finished, unless at once."""
        self._event(lambda: self._machine.shut_down(at_once=at_once))

    def quiet(self) -> bool:
        """Nothing has happened since this was last asked."""
        stirred, self._stirred = self._stirred, False
        return not stirred

    def time_out(self) -> None:
        """It has been quiet for too long; whether it is idle the session knows."""
        self._event(self._machine.time_out)

    # --- bytes

    def _from_front(self, data: bytes) -> None:
        lane = self._lane
        leave: Leave | None = lane.look(data)  # type: ignore[assignment]  # what `cleared` was told
        if leave is None:
            self._received(data)
            return
        if not self._standing.lets(leave):
            lane.forget()
            self._received(data)
            return
        run = Run(leave, lane.enter(), time.time_ns(), lane.bind, lane.types)
        self._server.write(data)
        self._stirred = True
        try:
            self._standing.runs(run)
        except Exception as error:  # noqa: BLE001 — whatever it is, invariant 9 holds
            self._fail(error)

    def _from_back(self, data: bytes) -> None:
        lane = self._lane
        if not lane.leaves(data):
            self._answered(data)
            return
        self._front.write(data)
        self._keep_time()
        try:
            self._standing.passed(lane.number, lane.tag, lane.size)
        except Exception as error:  # noqa: BLE001 — as above
            self._fail(error)

    # what has a lambda in it is a closure whenever it is called: not for the two above

    def _received(self, data: bytes) -> None:
        self._event(lambda: self._machine.receive_frontend(data))

    def _answered(self, data: bytes) -> None:
        self._event(lambda: self._machine.receive_backend(data))

    # --- commands

    def _event(self, happens: Callable[[], Iterable[session.Command]]) -> None:
        """Tell the session of something, and carry out what it commands, in order.

        What a command makes happen at once is carried out behind the commands before it: a pipeline of a
        thousand statements that are known is a loop, not a recursion.
        """
        self._stirred = True
        try:
            self._commands.extend(happens())
            self._keep_time()
            if self._performing:
                return
            self._performing = True
            try:
                while self._commands:
                    self._perform(self._commands.popleft())
            finally:
                self._performing = False
        except Exception as error:  # noqa: BLE001 — whatever it is, invariant 9 holds
            self._commands.clear()
            self._fail(error)
        self._regulate()

    def _keep_time(self) -> None:
        """Since when the transaction is open."""
        outside = self._machine.status == "I"
        if outside is not (self._transaction_since is None):
            self._transaction_since = None if outside else time.monotonic()
            if outside:
                self._clearance.deferred.over()

    def _regulate(self) -> None:
        if self._machine.wants_frontend and not self._congested:
            self._front.resume()
        else:
            self._front.pause()
            if not self._machine.wants_frontend:
                self._front.watch(ended=self._machine.held)
                if self._machine.held and self._knocking is None:
                    loop = asyncio.get_running_loop()
                    self._knocking = loop.call_later(KNOCK_SECONDS, self._knock)

    def _knock(self) -> None:
        self._knocking = None
        if self._machine.held and not self._machine.wants_frontend:
            self._event(self._machine.knock)

    def _perform(self, command: session.Command) -> None:
        match command:
            case session.ToFrontend(data):
                self._front.write(data)
            case session.ToBackend(data):
                self._back.link.write(data)
            case session.Judge():
                self._judge(command)
            case session.Fill(ticket, text):
                self._spawn(self._fill(ticket, text))
            case session.Foresee(text, facts):
                self._foresee(text, _facts(facts))
            case session.Clear():
                self._clear(command)
            case session.Withdraw(ticket, why, lost):
                self._spawn(self._clearance.withdraw(ticket, why, lost=lost))
            case session.Done():
                if not self._clearance.noted(command):
                    self._spawn(self._done(command))
            case session.Declined(refusal):
                self._spawn(self._log.append([self._clearance.refusal_record(refusal)]))
            case session.CatalogChanged():
                # now, not in a task: nothing may be judged by the old catalog from here on
                self._guarded.gate.outdate()
                self._spawn(self._read_catalog())
            case session.CancelUpstream(ours):
                self._spawn(self._cancel(ours=ours))
            case session.Clock(number, seconds):
                self._set_clock(number, seconds)
            case session.Close(why, fault):
                self._close(why, fault=fault)
            case _:
                assert_never(command)

    async def _fill(self, ticket: int, text: str) -> None:
        try:
            filled = await self._clearance.filled(text)
        except StoreError as error:
            refusal = telling.not_recorded(error.message)
            self._event(lambda: self._machine.refused(ticket, refusal))
        else:
            self._event(lambda: self._machine.filled(ticket, filled))

    def _judge(self, command: session.Judge) -> None:
        known = None
        if not command.refresh and not command.in_doubt:
            known = self._guarded.gate.remembered(
                self._clearance.subject,
                command.sql,
                _told(command),
                lexing_safe=command.lexing_safe,
                moment=self._moment(),
            )
        if known is not None:
            ruled = self._deciding(known, self._ruling(known))
            self._event(lambda: self._machine.ruled(command.ticket, ruled))
        else:
            self._spawn(self._work_out(command))

    def _ruling(self, judgement: Judgement) -> session.Ruling:
        """`ruling`, kept for judgements that come again and again; each is kept alive by its ruling."""
        kept = self._rulings.get(id(judgement))
        if kept is None:
            if len(self._rulings) >= MAX_RULINGS:
                self._rulings.clear()
            kept = self._rulings[id(judgement)] = self._ruled(judgement)
        return kept

    def _ruled(self, judgement: Judgement) -> session.Ruling:
        watch = self._guarded.gate.watch(judgement)
        return ruling(judgement, watch, doomed=obliged.cannot_mask(self._guarded, judgement))

    def _deciding(self, judgement: Judgement, ruled: session.Ruling) -> session.Ruling:
        """A COMMIT is held while what it commits waits for a decision."""
        if not self._clearance.deferred.commits(judgement):
            return ruled
        return replace(ruled, action=session.Action.HOLD, commits=True)

    async def _work_out(self, command: session.Judge) -> None:
        try:
            judgement = await self._judged(command)
        except CatalogError as error:
            # INVARIANT: 3. what cannot be judged is refused; whoever asks again may find it readable
            refusal = telling.not_judged(error)
            await self._log.append([self._clearance.refusal_record(refusal)])
            self._event(lambda: self._machine.refused(command.ticket, refusal))
            return
        ruled = self._deciding(judgement, self._ruled(judgement))
        self._event(lambda: self._machine.ruled(command.ticket, ruled))

    async def _judged(self, command: session.Judge) -> Judgement:
        if command.refresh:
            await self._guarded.gate.refresh()
        return await self._guarded.gate.judge(
            self._clearance.subject,
            command.sql,
            _told(command),
            lexing_safe=command.lexing_safe,
            in_doubt=command.in_doubt,
            prepared=command.prepared,
            moment=self._moment(),
        )

    def _foresee(self, text: str, facts: sql.Facts) -> None:
        """Analyse while the rest of the batch is on its way."""
        gate, subject = self._guarded.gate, self._clearance.subject
        if self._foreseen < MAX_FORESEEN and not gate.remembered(subject, text, facts, lexing_safe=True):
            self._foreseen += 1
            self._spawn(self._judge_ahead(text, facts))

    async def _judge_ahead(self, text: str, facts: sql.Facts) -> None:
        try:
            await self._guarded.gate.judge(self._clearance.subject, text, facts)
        except FirewallError as error:
            # whoever runs it will hear of it
            log.info("not judged ahead", error=error.message)
        finally:
            self._foreseen -= 1

    def _moment(self) -> policy.Moment:
        """What the session knows of it."""
        inside = self._machine.in_transaction
        age: float | None = None
        if inside is not None:
            age = time.monotonic() - self._transaction_since if inside and self._transaction_since else 0.0
        return policy.Moment(in_transaction=inside, transaction_age=age)

    def _clear(self, command: session.Clear) -> None:
        judgement: Judgement = command.ruling.judgement  # type: ignore[assignment]  # it came from `ruling`
        leave = self._clearance.at_once(command.ticket, judgement, command.acts)
        if leave is not None:
            self._event(lambda: self._machine.cleared(command.ticket, leave))
        else:
            self._spawn(self._ask(command, judgement))

    async def _ask(self, command: session.Clear, judgement: Judgement) -> None:
        try:
            refusal = await self._clearance.ask(
                command.ticket,
                judgement,
                command.acts,
                lambda *words: self._event(lambda: self._tell(*words)),
                self._moment,
                lambda amended: self._amend(command.ticket, amended),
                failed=command.failed,
            )
        except StoreError as error:
            # INVARIANT: 5. no release without a durable record
            refusal = telling.not_recorded(error.message)
        except CatalogError as error:
            # INVARIANT: 3. what cannot be judged as things are now is refused
            refusal = telling.not_judged(error)
            await self._log.append([self._clearance.refusal_record(refusal)])
        if refusal is None:
            self._released_at[command.ticket] = time.monotonic()
            bounds = self._clearance.bounds(command.ticket)
            ahead = self._clearance.deferred.has(command.ticket)
            leave = self._clearance.standing.of(judgement) if bounds is None else None
            self._event(lambda: self._machine.cleared(command.ticket, leave, bounds, ahead=ahead))
        else:
            self._event(lambda: self._machine.refused(command.ticket, refusal))

    def _amend(self, ticket: int, judgement: Judgement) -> None:
        amended = ruling(judgement, self._guarded.gate.watch(judgement))
        self._event(lambda: self._machine.amended(ticket, amended))

    def _tell(self, message: str, detail: str, hint: str) -> list[session.Command]:
        return self._machine.notice(message, detail=detail, hint=hint)

    async def _done(self, done: session.Done) -> None:
        began = self._released_at.pop(done.ticket, time.monotonic())
        micros = int((time.monotonic() - began) * 1_000_000)
        await self._clearance.note(done, micros)

    async def _cancel(self, *, ours: bool) -> None:
        await upstream.cancel(self._guarded.database, self._back.pid, self._back.key)
        if ours and not self._closed.is_set():
            self._event(self._machine.cancelled)

    def _set_clock(self, number: int, seconds: float) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._clock = asyncio.get_running_loop().call_later(
            seconds, lambda: self._event(lambda: self._machine.time_over(number))
        )

    async def _read_catalog(self) -> None:
        try:
            await self._guarded.gate.current()
        except CatalogError as error:
            # until it can be read nothing is judged; whoever asks next hears of it
            log.warning("catalog not refreshed", database=self._guarded.name, error=error.message)

    # --- life and death

    def _half_closed(self) -> None:
        loop, lost = asyncio.get_running_loop(), self._machine.frontend_lost
        self._ending = loop.call_later(HALF_CLOSED_SECONDS, lambda: self._event(lost))
        self._event(self._machine.frontend_ended)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        # INVARIANT: 9. an internal error closes the session, both sides, and is recorded
        if self._closed.is_set():
            log.error("failure after the end of a session", error=type(error).__name__)
            return
        known = isinstance(error, FirewallError)
        log.error(
            "session failed",
            session=self._clearance.session,
            error=type(error).__name__,
            exc_info=None if known else error,
        )
        why = str(error) if known else type(error).__name__
        try:
            for command in self._machine.failed(why):
                self._perform(command)
        except Exception as again:  # noqa: BLE001 — a session that cannot even fail is cut off below
            log.error("session failed while failing", error=type(again).__name__)  # noqa: TRY400 — logged above
        if not self._closed.is_set():
            self._close(why, fault=True)

    def _close(self, why: str, *, fault: bool) -> None:
        self._why = why
        if fault:
            record = telling.fault_record(self._clearance.session, "session", why)
            self._spawn(self._log.append([record]))
        self._front.close()
        self._back.link.close()
        self._closed.set()

    # --- back-pressure

    def _pressure_of_front(self, high: bool) -> None:  # noqa: FBT001 — asyncio's callback has one bit to tell
        if high:
            self._back.link.pause()
        else:
            self._back.link.resume()

    def _pressure_of_back(self, high: bool) -> None:  # noqa: FBT001 — asyncio's callback has one bit to tell
        self._congested = high
        self._regulate()


def ruling(judgement: Judgement, watch: session.Watch | None, *, doomed: bool = False) -> session.Ruling:
    """A judgement as the session needs it. In observe mode everything passes; the record says the verdict."""
    verdict = judgement.verdict
    action = session.Action(verdict.action.value) if verdict.enforced else session.Action.ALLOW
    after = judgement.after
    return session.Ruling(
        action=action,
        native=judgement.native and verdict.enforced,
        single=len(judgement.analysis.statements) <= 1,
        doomed=doomed,
        prepares=after.prepared,
        changes_catalog=judgement.changes_catalog,
        loses_names=judgement.loses_names,
        facts=replace(after, prepared=()),
        judgement=judgement,
        watch=watch,
    )


def _told(command: session.Judge) -> sql.Facts:
    """What the session knows of what it wants to be judged."""
    facts = _facts(command.facts)
    if not command.changed:
        facts = facts.committed()
    return replace(facts, parameters=command.types) if command.types else facts


def _facts(facts: object) -> sql.Facts:
    assert isinstance(facts, sql.Facts)
    return facts
