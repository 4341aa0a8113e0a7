"""One client session as a state machine: bytes and answers in, commands out. No I/O, no clock.

Messages of the client are taken in strict order. The first that would make Postgres do something (a Query,
a Bind) becomes the turn: it is judged, Postgres may speak first (native errors), leave is asked, and only
then is it sent; everything behind it waits in a bounded queue. To refuse, it is replaced with a Parse of a
text that Postgres must fail, so that what follows is Postgres's own behaviour.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session import batch
from firewall.session.backend import Backend
from firewall.session.commands import (
    Act,
    Action,
    CancelUpstream,
    Clear,
    Close,
    Command,
    Declined,
    Done,
    Foresee,
    Judge,
    Refusal,
    Ruling,
    ToBackend,
    ToFrontend,
    Withdraw,
    Work,
)
from firewall.session.replies import Owed, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# One client message; a statement or a parameter larger than this is COPY's business.
MAX_FRONTEND_FRAME = 64 * 1024 * 1024
# What may pile up behind a statement that waits before we stop reading from the client.
MAX_QUEUED = 1024 * 1024

CANCELLED = Refusal("57014", "canceling statement due to user request")


class Stage(Enum):
    """Where the turn stands."""

    JUDGING = auto()  # the edge works out the verdict
    DRAINING = auto()  # waiting until Postgres has answered everything sent before
    SETTLING = auto()  # a Sync of ours ends the implicit transaction, so that a hold keeps no lock
    PROBING = auto()  # Postgres is asked whether it accepts the text of a simple Query
    GATHERING = auto()  # waiting for the rest of the batch
    CLEARING = auto()  # the edge asks for leave and makes the release durable


class Turn:
    """The message at the head of the queue while it is being decided."""

    __slots__ = ("bind", "cancelled", "refreshed", "ruling", "sql", "stage", "ticket", "types")

    def __init__(self, ticket: int, sql: str, bind: wire.Bind | None, types: tuple[int, ...]) -> None:
        self.ticket = ticket
        self.sql = sql
        self.bind = bind
        self.types = types
        self.stage = Stage.JUDGING
        self.ruling: Ruling | None = None
        self.refreshed = False
        self.cancelled = False


class Session:
    """Every method returns the commands to carry out, in order.

    reserved: a statement name that no client can guess, for our own Parse messages.
    facts: handed to `Judge` and replaced by each released ruling's; opaque here.
    parameters: the ParameterStatus values that the server reported at start-up.
    """

    def __init__(self, *, reserved: str, facts: object, parameters: Mapping[str, str]) -> None:
        self._reserved = reserved
        self._facts = facts
        self._backend = Backend(parameters)
        self._framer = wire.Framer(MAX_FRONTEND_FRAME)
        self._queue: deque[wire.Frame] = deque()
        self._queued = 0
        self._turn: Turn | None = None
        self._tickets = 0
        self._granted: deque[Work] = deque()
        self._portals: dict[str, Work] = {}
        self._touched = False  # something that holds a snapshot or a lock was sent since the last Sync
        self._notices: list[bytes] = []
        self._to_backend: list[bytes] = []
        self._commands: list[Command] = []
        self._closed = False
        self._end: Close | None = None

    # --- what the edge wants to know

    @property
    def wants_frontend(self) -> bool:
        """False while the client should not be read from (back-pressure)."""
        if self._closed:
            return False
        gathering = self._turn is not None and self._turn.stage is Stage.GATHERING
        return self._queued < (batch.MAX_BYTES if gathering else MAX_QUEUED)

    @property
    def status(self) -> str:
        """Transaction status as Postgres last said it: I, T or E."""
        return self._backend.status

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is owed."""
        return self._turn is None and not self._queue and not len(self._backend.replies)

    # --- events

    def receive_frontend(self, data: bytes) -> list[Command]:
        """Bytes from the client."""
        if self._closed:
            return []
        try:
            self._enqueue(self._framer.feed(data))
            self._advance()
        except wire.BrokenFraming as broken:
            self._enqueue(f for f in broken.before if isinstance(f, wire.Frame))
            self._violated(broken)
        except ProtocolViolation as violation:
            self._violated(violation)
        if self._turn is not None and self._queue and self._queue[-1].code == ord("X"):
            return self._flush() + self.frontend_lost()
        return self._flush()

    def receive_backend(self, data: bytes) -> list[Command]:
        """Bytes from the server."""
        if self._closed:
            return []
        try:
            self._backend.receive(data)
            self._after_answers()
            self._advance()
        except ProtocolViolation as violation:
            self._violated(violation)
        return self._flush()

    def ruled(self, ticket: int, ruling: Ruling) -> list[Command]:
        """The answer to `Judge`."""
        turn = self._turn
        if self._closed or turn is None or turn.ticket != ticket or turn.stage is not Stage.JUDGING:
            return []
        turn.ruling = ruling
        self._proceed(turn, ruling)
        self._advance()
        return self._flush()

    def cleared(self, ticket: int) -> list[Command]:
        """Leave was given and the release is durable."""
        turn = self._turn
        if self._closed or turn is None or turn.ticket != ticket or turn.stage is not Stage.CLEARING:
            return []
        self._release(turn)
        self._advance()
        return self._flush()

    def refused(self, ticket: int, refusal: Refusal) -> list[Command]:
        """Leave was not given."""
        turn = self._turn
        if self._closed or turn is None or turn.ticket != ticket:
            return []
        self._refuse(refusal)
        self._advance()
        return self._flush()

    def notice(self, message: str, *, detail: str = "", hint: str = "") -> list[Command]:
        """Tell the client something as soon as no message is half-sent."""
        if self._closed:
            return []
        notice = wire.notice(message=message, detail=detail, hint=hint)
        self._notices.append(notice.encode())
        return self._flush()

    def cancel(self) -> list[Command]:
        """A CancelRequest with this session's key arrived."""
        turn = self._turn
        if self._closed:
            return []
        if turn is None:
            return [CancelUpstream()] if len(self._backend.replies) else []
        turn.cancelled = True
        if turn.stage is Stage.CLEARING:
            return [Withdraw(turn.ticket, "the client cancelled it")]
        if turn.stage is Stage.GATHERING:
            self._refuse(CANCELLED)
            self._advance()
        elif len(self._backend.replies):
            self._commands.append(CancelUpstream())
        return self._flush()

    def frontend_lost(self) -> list[Command]:
        """The client closed its socket, or said Terminate while it waited."""
        if self._closed:
            return []
        if self._turn is not None and self._turn.stage is Stage.CLEARING:
            self._commands.append(Withdraw(self._turn.ticket, "the client went away"))
        if len(self._backend.replies):
            self._commands.append(CancelUpstream())
        self._to_backend.append(wire.Terminate().encode())
        self._backend.abandon("08006", "the client went away before Postgres had answered")
        self._close("the client went away")
        return self._flush()

    def backend_lost(self) -> list[Command]:
        """The server closed its socket; what it said last has been passed on."""
        if self._closed:
            return []
        if self._turn is not None and self._turn.stage is Stage.CLEARING:
            self._commands.append(Withdraw(self._turn.ticket, "the database connection was lost"))
        if not self._backend.ended:
            self._fatal("08006", "the database closed the connection unexpectedly")
        self._backend.abandon("08006", "the database connection was lost")
        self._close("the database connection was lost")
        return self._flush()

    def shut_down(self) -> list[Command]:
        """The firewall stops; manual, appendix A: 57P01 admin_shutdown."""
        if self._closed:
            return []
        self._fatal("57P01", "terminating connection because the firewall is shutting down")
        return self.frontend_lost()

    def failed(self, error: str) -> list[Command]:
        """An internal error: nothing can be trusted any more."""
        # INVARIANT: 9. an internal error closes the session, both sides, and is recorded
        if self._closed:
            return []
        self._fatal("XX000", "internal error in query-firewall, this connection is closed", hint=error)
        if len(self._backend.replies):
            self._commands.append(CancelUpstream())
        self._backend.abandon("XX000", "the firewall failed")
        self._close(error, fault=True)
        return self._flush()

    # --- the queue

    def _advance(self) -> None:
        # INVARIANT: 2. only whole frames, one after the other: chunking cannot matter
        while self._turn is None and self._queue and not self._closed:
            frame = self._queue[0]
            if not self._take(frame):
                return

    def _enqueue(self, frames: Iterable[wire.Frame]) -> None:
        for frame in frames:
            self._queue.append(frame)
            self._queued += len(frame.raw)

    def _pop(self) -> None:
        self._queued -= len(self._queue.popleft().raw)

    def _take(self, frame: wire.Frame) -> bool:
        """Deal with the head of the queue; false if it has to wait."""
        # INVARIANT: 1. a message is decoded whole before a byte of it can be sent on
        try:
            message = wire.decode_frontend(frame)
        except wire.TextError as error:
            return self._take_bad_text(frame, error)
        if isinstance(message, wire.Terminate):
            self._pop()
            self._to_backend.append(frame.raw)
            self._backend.abandon("08006", "the client left before Postgres had answered")
            self._close("the client said goodbye")
            return False
        if self._backend.copy_in:
            return self._take_in_copy(frame, message)
        if isinstance(message, wire.CopyData | wire.CopyDone | wire.CopyFail):
            # meant for a COPY that has not begun (wait for Postgres's word) or that has failed (drop it)
            if any(r.owed in {Owed.EXECUTE, Owed.QUERY} for r in self._backend.replies):
                return False
            self._pop()
            return True
        if self._backend.skipping and not isinstance(message, wire.Sync):
            self._pop()
            return True
        return self._take_outside_copy(frame, message)

    def _take_bad_text(self, frame: wire.Frame, error: wire.TextError) -> bool:
        """A text that is not UTF-8 costs the statement, as it does in Postgres, not the session."""
        if self._backend.copy_in:
            raise error
        if self._backend.skipping:
            self._pop()
        else:
            refusal = Refusal(error.sqlstate, error.message, hint=error.hint)
            self._decline(refusal, simple=frame.code == ord("Q"))
        return True

    def _take_in_copy(self, frame: wire.Frame, message: wire.FrontendMessage) -> bool:
        match message:
            case wire.CopyData():
                self._to_backend.append(frame.raw)
            case wire.CopyDone() | wire.CopyFail():
                self._backend.copy_in = False
                self._to_backend.append(frame.raw)
            case wire.Sync() | wire.Flush():
                pass  # ignored during COPY (manual 53.2.6)
            case _:
                raise ProtocolViolation(f"unexpected message `{chr(frame.code)}` during COPY FROM STDIN")
        self._pop()
        return True

    def _take_outside_copy(self, frame: wire.Frame, message: wire.FrontendMessage) -> bool:
        replies = self._backend.replies
        match message:
            case wire.Query(sql):
                self._begin(sql)
                return False
            case wire.Bind():
                return self._take_bind(frame, message)
            case wire.Parse(name, sql, types):
                if name == self._reserved:
                    self._decline(_RESERVED)
                    return True
                replies.push(Reply(Owed.PARSE, name=name, sql=sql, types=types))
                self._commands.append(Foresee(sql, self._facts))
            case wire.Describe():
                replies.push(Reply(Owed.DESCRIBE))
            case wire.Execute(portal):
                self._touched = True
                replies.push(Reply(Owed.EXECUTE, work=self._portals.get(portal)))
            case wire.Close():
                replies.push(Reply(Owed.CLOSE))
            case wire.Flush():
                pass
            case wire.Sync():
                self._backend.skipping = False
                self._touched = False
                self._granted.clear()
                replies.push(Reply(Owed.SYNC))
            case wire.FunctionCall():
                self._decline(_FUNCTION_CALL, simple=True)
                return True
            case _:
                raise ProtocolViolation(f"unexpected message `{chr(frame.code)}`")
        self._pop()
        self._to_backend.append(frame.raw)
        return True

    def _take_bind(self, frame: wire.Frame, bind: wire.Bind) -> bool:
        if self._granted:
            self._send_bind(frame, bind, self._granted.popleft())
            return True
        known, text, types = self._backend.text_of(bind.statement)
        if not known:
            self._decline(Refusal("26000", f'prepared statement "{bind.statement}" does not exist'))
            return True
        if text is None:
            self._decline(_AMBIGUOUS)
            return True
        self._begin(text, bind, types)
        return False

    def _begin(self, sql: str, bind: wire.Bind | None = None, types: tuple[int, ...] = ()) -> None:
        self._tickets += 1
        self._turn = Turn(self._tickets, sql, bind, types)
        if self._backend.catalog_changed and len(self._backend.replies):
            # what names mean is known again when that change has been answered
            self._drain(self._turn)
        else:
            self._judge(self._turn)

    # --- the turn

    def _judge(self, turn: Turn) -> None:
        turn.stage = Stage.JUDGING
        self._commands.append(
            Judge(
                turn.ticket,
                turn.sql,
                self._facts,
                self._backend.lexing_safe,
                self._backend.texts,
                refresh=turn.refreshed,
                in_doubt=self._backend.catalog_changed,
            )
        )

    def _proceed(self, turn: Turn, ruling: Ruling) -> None:
        """The verdict is known; decide what has to happen before leave is asked."""
        if turn.cancelled:
            self._refuse(CANCELLED)
        elif not turn.refreshed and _postgres_first(turn, ruling):
            self._drain(turn)
        elif ruling.action is Action.HOLD and turn.bind is not None:
            self._gather(turn)
        else:
            self._clear(turn, ruling)

    def _drain(self, turn: Turn) -> None:
        turn.stage = Stage.DRAINING
        if len(self._backend.replies):
            self._to_backend.append(wire.Flush().encode())
        self._after_answers()

    def _after_answers(self) -> None:
        """Postgres has said something: it may be what the turn waits for."""
        turn = self._turn
        if turn is None:
            return
        if self._backend.skipping:
            # an earlier message of the batch failed: Postgres discards this one, and so do we
            if turn.stage is Stage.CLEARING:
                self._commands.append(Withdraw(turn.ticket, "an earlier statement of its batch failed"))
            self._rejected(turn)
        elif len(self._backend.replies):
            return
        elif turn.ruling is None:
            if turn.stage is Stage.DRAINING:
                self._judge(turn)
        elif turn.stage is Stage.DRAINING:
            if turn.bind is not None and not self._touched:
                turn.stage = Stage.SETTLING
                self._inject(wire.Sync(), Reply(Owed.SYNC, swallow=True))
            elif turn.bind is not None:
                self._heard(turn)
            elif turn.ruling.single:
                self._probe(turn)
            else:
                self._heard(turn)
        elif turn.stage is Stage.SETTLING:
            self._heard(turn)
        elif turn.stage is Stage.PROBING:
            if self._backend.probe_accepted:
                self._heard(turn)
            else:
                self._rejected(turn)
                self._pop()

    def _probe(self, turn: Turn) -> None:
        turn.stage = Stage.PROBING
        self._backend.probe_accepted = None
        name = self._reserved
        self._inject(wire.Parse(name, turn.sql), Reply(Owed.PROBE, swallow=True))
        self._inject(wire.Close("S", name), Reply(Owed.CLOSE, swallow=True))
        self._inject(wire.Sync(), Reply(Owed.SYNC, swallow=True))

    def _rejected(self, turn: Turn) -> None:
        """Postgres has said no by itself; the client has its error, and the log shall have it too."""
        self._turn = None
        if turn.ruling is not None and turn.stage is not Stage.CLEARING:
            sqlstate, message = self._backend.last_error
            self._commands.append(
                Done(turn.ticket, turn.ruling.judgement, (), 0, sqlstate, message, released=False)
            )

    def _heard(self, turn: Turn) -> None:
        """Postgres does not object to the text."""
        ruling = turn.ruling
        assert ruling is not None
        turn.refreshed = True
        if turn.cancelled:
            self._refuse(CANCELLED)
        elif self._backend.status == "E" and turn.bind is not None:
            self._refuse(_ABORTED)
        elif ruling.native:
            self._judge(turn)
        else:
            self._proceed(turn, ruling)

    def _gather(self, turn: Turn) -> None:
        """A held batch is one hold: wait for all of it, as far as the client has sent no Sync or Flush."""
        turn.stage = Stage.GATHERING
        assert turn.bind is not None
        assert turn.ruling is not None
        found = batch.look_ahead(self._queue, turn.bind.statement)
        if found.too_large:
            self._refuse(batch.TOO_LARGE)
        elif found.complete:
            self._clear(turn, turn.ruling)

    def _clear(self, turn: Turn, ruling: Ruling) -> None:
        turn.stage = Stage.CLEARING
        if turn.bind is None:
            acts: tuple[Act, ...] = (Act(turn.sql),)
        else:
            found = batch.look_ahead(self._queue, turn.bind.statement)
            acts = tuple(Act(turn.sql, b.values, b.formats, turn.types) for b in found.binds)
        self._granted.clear()
        work = Work(turn.ticket, ruling.judgement, len(acts))
        self._granted.extend([work] * len(acts))
        self._commands.append(Clear(turn.ticket, ruling, acts))

    def _release(self, turn: Turn) -> None:
        ruling = turn.ruling
        assert ruling is not None
        self._turn = None
        self._facts = ruling.facts
        self._backend.catalog_changed |= ruling.changes_catalog
        for name, text in ruling.prepares:
            before = self._backend.texts.get(name, text)
            self._backend.texts[name] = text if before == text else None
        work = self._granted.popleft()
        self._backend.opens(work)
        frame = self._queue[0]
        if turn.bind is not None:
            self._send_bind(frame, turn.bind, work)
            return
        self._pop()
        self._touched = True
        self._to_backend.append(frame.raw)
        self._backend.replies.push(Reply(Owed.QUERY, work=work))

    def _send_bind(self, frame: wire.Frame, bind: wire.Bind, work: Work) -> None:
        self._pop()
        self._touched = True
        self._portals[bind.portal] = work
        self._to_backend.append(frame.raw)
        self._backend.replies.push(Reply(Owed.BIND, work=work))

    # --- refusing

    def _refuse(self, refusal: Refusal) -> None:
        """Replace the message at the head with one that Postgres must fail (design section 4)."""
        turn = self._turn
        self._turn = None
        self._granted.clear()
        simple = turn is not None and turn.bind is None
        self._bait(refusal, simple=simple)

    def _decline(self, refusal: Refusal, *, simple: bool = False) -> None:
        """Refuse without having judged: the message itself cannot be carried out."""
        self._commands.append(Declined(refusal))
        self._bait(refusal, simple=simple)

    def _bait(self, refusal: Refusal, *, simple: bool) -> None:
        self._pop()
        # INVARIANT: 3. what is refused never reaches Postgres; this text begins with no keyword and must fail
        text = f"query_firewall refused this statement: {_ascii(refusal.message)}"
        self._inject(wire.Parse(self._reserved, text), Reply(Owed.REFUSAL, refusal=refusal))
        if simple:
            self._inject(wire.Sync(), Reply(Owed.SYNC))
            self._touched = False
        else:
            self._backend.skipping = True

    def _inject(self, message: wire.FrontendMessage, reply: Reply) -> None:
        self._to_backend.append(message.encode())
        self._backend.replies.push(reply)

    # --- small things

    def _fatal(self, sqlstate: str, message: str, *, hint: str = "") -> None:
        if self._backend.at_boundary:
            error = wire.error(severity="FATAL", sqlstate=sqlstate, message=message, hint=hint)
            self._backend.to_frontend.append(error.encode())

    def _violated(self, violation: ProtocolViolation) -> None:
        self._fatal(violation.sqlstate, violation.message, hint=violation.hint)
        if self._turn is not None and self._turn.stage is Stage.CLEARING:
            self._commands.append(Withdraw(self._turn.ticket, violation.message))
        if len(self._backend.replies):
            self._commands.append(CancelUpstream())
        self._backend.abandon(violation.sqlstate, violation.message)
        self._close(violation.message, fault=True)

    def _close(self, why: str, *, fault: bool = False) -> None:
        self._end = Close(why, fault)
        self._closed = True
        self._queue.clear()
        self._queued = 0

    def _flush(self) -> list[Command]:
        """Everything that has gathered, as few writes as possible."""
        backend = self._backend
        if self._notices and backend.at_boundary:
            backend.to_frontend.extend(self._notices)
            self._notices.clear()
        commands: list[Command] = []
        if backend.to_frontend:
            commands.append(ToFrontend(b"".join(backend.to_frontend)))
            backend.to_frontend = []
        if self._to_backend:
            commands.append(ToBackend(b"".join(self._to_backend)))
            self._to_backend = []
        commands.extend(self._commands)
        commands.extend(backend.commands)
        self._commands = []
        backend.commands = []
        if self._end is not None:
            commands.append(self._end)
            self._end = None
        return commands


def _postgres_first(turn: Turn, ruling: Ruling) -> bool:
    """Before a person is asked, or a name is called unknown, Postgres may reject the text itself."""
    if ruling.native and (turn.bind is not None or ruling.single):
        return True
    return ruling.action is Action.HOLD


_ABORTED = Refusal("25P02", "current transaction is aborted, commands ignored until end of transaction block")
_RESERVED = Refusal("42710", "this prepared statement name is reserved")
_FUNCTION_CALL = Refusal(
    "0A000",
    "query-firewall does not relay the FunctionCall message",
    hint="call the function in a SELECT",
)
_AMBIGUOUS = Refusal(
    "42P05",
    "this prepared statement name was used for two texts",
    hint="deallocate all and prepare it again under another name",
)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
