"""The turn: the message at the head of the line that would make Postgres do something, while it is decided.

It is judged; Postgres may speak first (native errors); the rest of its batch is waited for; leave is asked;
then it is sent, or replaced with a text that Postgres must fail, so that what follows is Postgres's own
behaviour. There is one turn at a time, and everything behind it waits.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session import batch, own_views
from firewall.session.commands import (
    Act,
    Action,
    CancelUpstream,
    Clear,
    Declined,
    Done,
    Fill,
    Judge,
    Refusal,
    Ruling,
    Withdraw,
    Work,
)
from firewall.session.prepared import own_types
from firewall.session.replies import Owed, Reply, bait

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firewall.session.backend import Backend
    from firewall.session.commands import Bounds
    from firewall.session.line import Line

CANCELLED = Refusal("57014", "canceling statement due to user request")
ROLLBACK = "ROLLBACK"
ABORTED = Refusal("25P02", "current transaction is aborted, commands ignored until end of transaction block")


class Stage(Enum):
    """Where the turn stands."""

    FILLING = auto()  # the edge puts in what the firewall knows of the agent
    JUDGING = auto()  # the edge works out the verdict
    DRAINING = auto()  # waiting until Postgres has answered everything sent before
    SETTLING = auto()  # a Sync of ours ends the implicit transaction, so that a hold keeps no lock
    PROBING = auto()  # Postgres is asked whether it accepts the text of a simple Query
    GATHERING = auto()  # waiting for the rest of the batch
    CLEARING = auto()  # the edge asks for leave and makes the release durable


class Turn:
    """bind: None for a simple Query. heard: Postgres does not object to the text.

    filled: the text is not the client's own, something was put in.
    """

    __slots__ = ("batch", "bind", "cancelled", "filled", "heard", "ruling", "sql", "stage", "ticket", "types")

    def __init__(self, ticket: int, sql: str, bind: wire.Bind | None, types: tuple[int, ...]) -> None:
        self.ticket = ticket
        self.sql = sql
        self.bind = bind
        self.types = types
        self.stage = Stage.JUDGING
        self.ruling: Ruling | None = None
        self.batch: batch.Batch | None = None
        self.heard = False
        self.cancelled = False
        self.filled = False


class Deciding:
    """Carries the turn through its stages; what comes of it goes to the backend's outbox.

    touched: something that holds a snapshot or a lock was sent since the last Sync. facts: opaque here.
    """

    def __init__(self, line: Line, backend: Backend, *, reserved: str, facts: object) -> None:
        self.turn: Turn | None = None
        self.touched = False
        self.facts = facts
        self._line = line
        self._backend = backend
        self._outbox = backend.outbox
        self._reserved = reserved
        self._tickets = 0
        self._granted: deque[Work] = deque()
        # leave was asked for these, and nobody waits for it any more: judgement, SQLSTATE and why
        self._given_up: dict[int, tuple[object, str, str]] = {}

    @property
    def at_rest(self) -> bool:
        """Nothing is being decided, and nothing is under way that only a Sync would end."""
        return self.turn is None and not self.touched and not self._granted

    @property
    def gathering(self) -> bool:
        return self.turn is not None and self.turn.stage is Stage.GATHERING

    @property
    def held(self) -> bool:
        """The turn waits, or is about to wait, for a person."""
        turn = self.turn
        return turn is not None and turn.ruling is not None and turn.ruling.action is Action.HOLD

    # --- from the line

    def begin(self, sql: str, bind: wire.Bind | None = None, types: tuple[int, ...] = ()) -> None:
        """The head of the line has its turn."""
        turn = self.turn = Turn(self.take_ticket(), sql, bind, types)
        if own_views.mentions(sql):
            turn.stage = Stage.FILLING
            self._outbox.commands.append(Fill(turn.ticket, sql))
        else:
            self._begin(turn)

    def _begin(self, turn: Turn) -> None:
        if self._backend.catalog_changed and len(self._backend.replies):
            # what names mean is known again when that change has been answered
            self._drain(turn)
        else:
            self._judge(turn)

    def take_ticket(self) -> int:
        """The number of the next thing that is judged."""
        self._tickets += 1
        return self._tickets

    def granted(self, bind: wire.Bind) -> bool:
        """Send the head of the line if it is part of a batch that was cleared."""
        if not self._granted:
            return False
        self._send_bind(bind, self._granted.popleft())
        return True

    def synced(self) -> None:
        """The client's Sync is sent."""
        self.touched = False
        self._granted.clear()

    def arrived(self, frames: Iterable[wire.Frame]) -> None:
        """Frames have joined the end of the line."""
        turn = self.turn
        if turn is not None and turn.stage is Stage.GATHERING:
            assert turn.batch is not None
            turn.batch.add(frames)
            self._gathered(turn, turn.batch)

    def decline(self, refusal: Refusal, *, simple: bool = False) -> None:
        """Refuse the head of the line without having judged: it cannot be carried out."""
        self._outbox.commands.append(Declined(refusal))
        self._bait(refusal, simple=simple)

    # --- from the edge

    def filled(self, ticket: int, sql: str) -> None:
        """The answer to `Fill`: from now on this is the text, to judge and to run."""
        turn = self.turn
        if turn is not None and turn.ticket == ticket and turn.stage is Stage.FILLING:
            turn.sql, turn.filled = sql, True
            self._begin(turn)

    def ruled(self, ticket: int, ruling: Ruling) -> None:
        """The answer to `Judge`."""
        turn = self.turn
        if turn is not None and turn.ticket == ticket and turn.stage is Stage.JUDGING:
            turn.ruling = ruling
            self._proceed(turn, ruling)

    def amended(self, ticket: int, ruling: Ruling) -> None:
        """It was judged anew while leave is asked."""
        turn = self.turn
        if turn is not None and turn.ticket == ticket and turn.stage is Stage.CLEARING:
            turn.ruling = ruling
            self._granted[0].ruling = ruling  # the others of a batch are the same work

    def cleared(self, ticket: int, bounds: Bounds | None = None, *, ahead: bool = False) -> bool:
        """Leave was given, within these bounds, and the log says so; it hears if nobody waits for it now.

        Whether it was sent. ahead: a decision on it is to come, at COMMIT.
        """
        turn = self.turn
        if turn is None or turn.ticket != ticket or turn.stage is not Stage.CLEARING:
            if ticket in self._given_up:
                judgement, sqlstate, why = self._given_up.pop(ticket)
                self._outbox.commands.append(Done(ticket, judgement, (), 0, sqlstate, f"not run: {why}"))
            return False
        assert turn.ruling is not None
        if turn.cancelled:
            why = "not run: the client cancelled it"
            done = Done(ticket, turn.ruling.judgement, (), 0, CANCELLED.sqlstate, why)
            self._outbox.commands.append(done)
            self._refuse(turn, CANCELLED)
            return False
        if ahead or turn.ruling.commits:
            # INVARIANT: 3. what was bound before is judged anew: it may be what commits, or what it would
            self._backend.portals.names_changed()
        self._release(turn, turn.ruling, bounds)
        return True

    def refused(self, ticket: int, refusal: Refusal) -> None:
        """Leave was not given, or there is no verdict."""
        self._given_up.pop(ticket, None)
        turn = self.turn
        if (
            turn is not None
            and turn.ticket == ticket
            and turn.stage in {Stage.FILLING, Stage.JUDGING, Stage.CLEARING}
        ):
            self._refuse(turn, refusal)

    def cancel(self) -> None:
        """A CancelRequest with this session's key arrived."""
        turn = self.turn
        if turn is not None:
            turn.cancelled = True
            if turn.stage is Stage.CLEARING:
                self._outbox.commands.append(Withdraw(turn.ticket, "the client cancelled it"))
                return
            if turn.stage is Stage.GATHERING:
                self._give_up(turn, CANCELLED)
                return
        if len(self._backend.replies):
            self._outbox.commands.append(CancelUpstream())

    def stir(self) -> None:
        """Postgres is not to take a session for idle whose statement waits for leave (manual 19.11.1,
        idle_session_timeout). An open transaction is another matter: it may hold locks.
        """
        waits = self.turn is not None and self.turn.stage is Stage.CLEARING
        if waits and self._backend.status == "I" and not self.touched and not len(self._backend.replies):
            self._outbox.inject(wire.Sync(), Reply(Owed.SYNC, swallow=True))

    def abandon(self, sqlstate: str, why: str) -> None:
        """The session ends."""
        if self.turn is not None:
            self._leave(self.turn, sqlstate, why, lost=not self.turn.cancelled)
            self.turn = None

    # --- stages

    def _judge(self, turn: Turn) -> None:
        turn.stage = Stage.JUDGING
        self._outbox.commands.append(
            Judge(
                turn.ticket,
                turn.sql,
                self.facts,
                self._backend.reads(turn.sql),
                self._backend.prepared.texts(),
                own_types(turn.types),
                refresh=turn.heard,
                in_doubt=self._backend.names_lost,
                changed=self._backend.catalog_changed,
            )
        )

    def _proceed(self, turn: Turn, ruling: Ruling) -> None:
        """The verdict is known; decide what has to happen before leave is asked."""
        if turn.cancelled:
            self._give_up(turn, CANCELLED)
        elif not turn.heard and _postgres_first(turn, ruling):
            self._drain(turn)
        elif turn.bind is None:
            self._clear(turn, ruling, (Act(turn.sql),))
        else:
            turn.batch = batch.Batch(turn.bind, self._line)
            if ruling.action is Action.HOLD:
                turn.stage = Stage.GATHERING
                self._gathered(turn, turn.batch)
            else:
                self._clear_batch(turn, turn.batch)

    def _drain(self, turn: Turn) -> None:
        turn.stage = Stage.DRAINING
        if len(self._backend.replies):
            self._outbox.to_backend(wire.Flush().encode())
        self.after_answers()

    def after_answers(self) -> None:
        """Postgres has said something: it may be what the turn waits for. Raises ProtocolViolation."""
        turn = self.turn
        if turn is None:
            return
        if self._backend.copy_in:
            raise ProtocolViolation("a statement was sent where data for COPY FROM STDIN was expected")
        if self._backend.skipping:
            # an earlier message of the batch failed: Postgres discards this one, and so do we
            sqlstate, why = self._backend.last_error
            if turn.stage is Stage.CLEARING:
                why = f"its batch failed before it: {why}"
            self._leave(turn, sqlstate, why)
            self.turn = None
        elif not len(self._backend.replies):
            self._drained(turn)

    def _drained(self, turn: Turn) -> None:
        match turn.stage:
            case Stage.DRAINING if turn.ruling is None:
                self._judge(turn)
            case Stage.DRAINING:
                self._ask_postgres(turn, turn.ruling)
            case Stage.SETTLING:
                self._heard(turn)
            case Stage.PROBING if self._backend.probe_accepted:
                self._heard(turn)
            case Stage.PROBING:
                # the client has Postgres's error and ReadyForQuery; the log shall have it too
                self._leave(turn, *self._backend.last_error)
                self.turn = None
                self._line.pop()
            case Stage.FILLING | Stage.JUDGING | Stage.GATHERING | Stage.CLEARING:
                pass

    def _ask_postgres(self, turn: Turn, ruling: Ruling | None) -> None:
        """What a Bind would run Postgres has seen already; a Query's text it has not.

        A Sync or a probe would end a transaction that is implied; then Postgres speaks when it is run. In a
        transaction block it ends nothing, and says what has become of that.
        """
        implied = self.touched and not self._backend.in_block
        several = turn.bind is None and ruling is not None and not ruling.single
        # and there is nothing about a COMMIT that Postgres would object to
        if implied or several or (ruling is not None and ruling.commits):
            self._heard(turn)
        elif turn.bind is None:
            turn.stage = Stage.PROBING
            self.touched = False
            self._probe(turn.sql)
        else:
            turn.stage = Stage.SETTLING
            self.touched = False
            self._outbox.inject(wire.Sync(), Reply(Owed.SYNC, swallow=True, settles=True))

    def _probe(self, sql: str) -> None:
        self._backend.probe_accepted = False
        name = self._reserved
        self._backend.bounding.clear_name()
        self._outbox.inject(wire.Parse(name, sql), Reply(Owed.PROBE, swallow=True))
        self._outbox.inject(wire.Close("S", name), Reply(Owed.CLOSE, swallow=True))
        self._outbox.inject(wire.Sync(), Reply(Owed.SYNC, swallow=True))

    def _heard(self, turn: Turn) -> None:
        """Postgres does not object to the text."""
        assert turn.ruling is not None
        turn.heard = True
        if turn.cancelled:
            self._give_up(turn, CANCELLED)
        elif self._backend.status == "E" and turn.bind is not None and not turn.ruling.commits:
            self._give_up(turn, ABORTED)
        elif turn.ruling.native:
            self._judge(turn)
        else:
            self._proceed(turn, turn.ruling)

    def _gathered(self, turn: Turn, found: batch.Batch) -> None:
        """A held batch is one hold: wait for all of it, as far as the client has sent no Sync or Flush."""
        if found.too_large:
            self._give_up(turn, batch.TOO_LARGE)
        elif found.complete:
            self._clear_batch(turn, found)

    def _clear_batch(self, turn: Turn, found: batch.Batch) -> None:
        assert turn.ruling is not None
        # a Describe that was sent ahead of the Bind has been answered by now, if anything was waited for
        known = self._backend.prepared.find(found.binds[0].statement)
        types = known.types if known is not None else turn.types
        acts = tuple(Act(turn.sql, b.values, b.formats, types) for b in found.binds)
        self._clear(turn, turn.ruling, acts)

    def _clear(self, turn: Turn, ruling: Ruling, acts: tuple[Act, ...]) -> None:
        turn.stage = Stage.CLEARING
        work = Work(turn.ticket, ruling, len(acts))
        self._granted = deque([work] * len(acts))
        failed = self._backend.status == "E"
        self._outbox.commands.append(Clear(turn.ticket, ruling, acts, failed=failed))

    # --- ends

    def _release(self, turn: Turn, ruling: Ruling, bounds: Bounds | None) -> None:
        self.turn = None
        backend = self._backend
        prepares = not all(backend.prepared.means(*pair) for pair in ruling.prepares)
        # also what has its text already: it outlives a DEALLOCATE ALL that was sent before
        backend.prepared.prepares(ruling.prepares)
        if prepares or ruling.changes_catalog or ruling.facts != self.facts:
            backend.portals.names_changed()
            self.facts = ruling.facts
        work = self._granted.popleft()
        work.bounds = bounds
        if bounds is not None and not backend.bounding.seen:
            # it may open cursors: what was bound to fetch from some has to be judged anew
            backend.bounding.seen = True
            backend.portals.names_changed()
        backend.opens(work)
        if turn.bind is not None:
            if turn.filled:
                self._prepare_anew(turn.bind.statement, turn)
            self._send_bind(turn.bind, work)
            return
        # whatever transaction was implied so far ends with a simple Query
        self.touched = False
        if bounds is not None:
            self._line.pop()
            backend.bounding.query(turn.sql, work)
            return
        raw = self._line.pop().raw
        self._outbox.to_backend(wire.Query(turn.sql).encode() if turn.filled else raw)
        backend.replies.push(Reply(Owed.QUERY, work=work))
        work.index = backend.replies.sent

    def _prepare_anew(self, name: str, turn: Turn) -> None:
        """The statement was prepared without the rows that it is to have now."""
        known = self._backend.prepared.find(name)
        text = known.text if known is not None else None
        if name:
            self._outbox.inject(wire.Close("S", name), Reply(Owed.CLOSE, swallow=True, name=name))
        parse = Reply(Owed.PARSE, swallow=True, name=name, sql=text, types=turn.types)
        self._outbox.inject(wire.Parse(name, turn.sql, turn.types), parse)
        self._backend.prepared.sent()

    def _send_bind(self, bind: wire.Bind, work: Work) -> None:
        self.touched = True
        # Bind may plan the statement already, and run functions for that
        self._backend.bounding.restricts(work)
        self._outbox.to_backend(self._line.pop().raw)
        replies = self._backend.replies
        replaced = self._backend.portals.find(bind.portal)
        replies.push(Reply(Owed.BIND, work=work, portal=replaced))
        work.index = replies.sent
        self._backend.portals.bound(bind.portal, work, replies.sent)

    def _leave(self, turn: Turn, sqlstate: str, why: str, *, lost: bool = False) -> None:
        """Nothing will come of this turn; what is known of it is recorded."""
        if turn.ruling is None:
            return
        judgement = turn.ruling.judgement
        if turn.stage is Stage.CLEARING:
            self._given_up[turn.ticket] = (judgement, sqlstate, why)
            self._outbox.commands.append(Withdraw(turn.ticket, why, lost))
        else:
            self._outbox.commands.append(Done(turn.ticket, judgement, (), 0, sqlstate, why, released=False))

    def _give_up(self, turn: Turn, refusal: Refusal) -> None:
        """Refuse before leave was asked."""
        self._leave(turn, refusal.sqlstate, refusal.message)
        self._refuse(turn, refusal)

    def _refuse(self, turn: Turn, refusal: Refusal) -> None:
        """Replace the message at the head with one that Postgres must fail (design section 4)."""
        self.turn = None
        self._granted.clear()
        if turn.ruling is not None and turn.ruling.commits:
            # a COMMIT that fails ends its transaction, savepoints and all
            self._backend.bounding.ours(ROLLBACK, simple=turn.bind is None)
        self._bait(refusal, simple=turn.bind is None)

    def _bait(self, refusal: Refusal, *, simple: bool) -> None:
        self._line.pop()
        text = bait(refusal)
        if simple:
            self.touched = False
            self._outbox.inject(wire.Query(text), Reply(Owed.QUERY, refusal=refusal))
        else:
            self._outbox.inject(wire.Parse(self._reserved, text), Reply(Owed.REFUSAL, refusal=refusal))
            self._backend.skipping = True


def _postgres_first(turn: Turn, ruling: Ruling) -> bool:
    """Before a person is asked, or a name is called unknown, Postgres may reject the text itself."""
    if ruling.native and (turn.bind is not None or ruling.single):
        return True
    if ruling.doomed and turn.bind is None and ruling.single:
        return True
    return ruling.action is Action.HOLD
