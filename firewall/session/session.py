"""One client session as a state machine: bytes and answers in, commands out. No I/O, no clock.

Messages of the client are taken in strict order. The first that would make Postgres do something (a Query,
a Bind) becomes the turn; everything behind it waits in a bounded line. What happens to it is in `turn.py`,
what passes without a turn in `intake.py`, what Postgres answers in `backend.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session import batch
from firewall.session.backend import Backend
from firewall.session.commands import CancelUpstream
from firewall.session.intake import Intake
from firewall.session.lane import Lane
from firewall.session.line import Line
from firewall.session.replies import CHANGES
from firewall.session.turn import Deciding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from firewall.session.commands import Bounds, Command, Refusal, Ruling

# One client message; a statement or a parameter larger than this is COPY's business.
MAX_FRONTEND_FRAME = 64 * 1024 * 1024
# What may pile up behind a statement that waits before we stop reading from the client.
MAX_QUEUED = 1024 * 1024

# The one setting that is reported and cannot be another (manual 53.2.7, since version 10).
_OLD_NEWS = wire.ParameterStatus("integer_datetimes", "on").encode()


class Session:
    """Every method returns the commands to carry out, in order.

    reserved: a statement name that no client can guess, for our own Parse messages.
    facts: handed to `Judge` and replaced by each released ruling's; opaque here.
    parameters: the ParameterStatus values that the server reported at start-up.
    """

    def __init__(self, *, reserved: str, facts: object, parameters: Mapping[str, str]) -> None:
        self._framer = wire.Framer(MAX_FRONTEND_FRAME)
        self._line = Line()
        self._backend = Backend(parameters, reserved)
        self._outbox = self._backend.outbox
        self._deciding = Deciding(self._line, self._backend, reserved=reserved, facts=facts)
        self._intake = Intake(self._line, self._backend, self._deciding, reserved=reserved)
        self.lane = Lane(self._line, self._framer, self._backend, self._deciding)
        self._intake.lane = self.lane
        self._leaving = False
        self._ended = False

    # --- what the edge wants to know

    @property
    def wants_frontend(self) -> bool:
        """False while the client should not be read from (back-pressure)."""
        if self._outbox.closed or self._leaving:
            return False
        # a batch has to be seen whole, or up to the first byte that is too many
        return self._line.size <= (batch.MAX_BYTES if self._deciding.gathering else MAX_QUEUED)

    @property
    def status(self) -> str:
        """Transaction status as Postgres last said it: I, T or E."""
        return self._backend.status

    @property
    def in_transaction(self) -> bool | None:
        """Would the turn run inside a transaction block? None while what was sent before may change that."""
        if self._deciding.touched or any(reply.owed in CHANGES for reply in self._backend.replies):
            return None
        return self._backend.status != "I"

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is owed."""
        return (
            not self.lane.flying
            and self._deciding.turn is None
            and not self._line
            and not len(self._backend.replies)
            and not self._backend.bounding.waits
        )

    @property
    def held(self) -> bool:
        """A statement waits, or is about to wait, for a person."""
        return self._deciding.held

    # --- events

    def receive_frontend(self, data: bytes) -> list[Command]:
        """Bytes from the client."""
        if self._outbox.closed or self._line.leaves:
            return []
        self.lane.merge()
        try:
            self._arrive(self._framer.feed(data))
        except wire.BrokenFraming as broken:
            # INVARIANT: 2. what came whole before the break counts, at any chunking
            try:
                self._arrive(frame for frame in broken.before if isinstance(frame, wire.Frame))
            except ProtocolViolation as violation:
                self._violated(violation)
            else:
                self._violated(broken)
        except ProtocolViolation as violation:
            self._violated(violation)
        return self._flush()

    def receive_backend(self, data: bytes) -> list[Command]:
        """Bytes from the server."""

        def receive() -> None:
            self._backend.receive(data)
            self._deciding.after_answers()

        return self._event(receive)

    def filled(self, ticket: int, sql: str) -> list[Command]:
        """The answer to `Fill`."""
        return self._event(lambda: self._deciding.filled(ticket, sql))

    def ruled(self, ticket: int, ruling: Ruling) -> list[Command]:
        """The answer to `Judge`."""
        return self._event(lambda: self._deciding.ruled(ticket, ruling))

    def amended(self, ticket: int, ruling: Ruling) -> list[Command]:
        """What `Judge` was answered is not what it comes to any more; leave is still asked for."""
        return self._event(lambda: self._deciding.amended(ticket, ruling))

    def cleared(
        self, ticket: int, stands: object | None = None, bounds: Bounds | None = None, *, ahead: bool = False
    ) -> list[Command]:
        """Leave was given, within these bounds, and the release is durable.

        ahead: a decision on it is to come, at COMMIT. stands: what the edge calls this release if it is good
        for further runs of the same text; see `lane`.
        """
        if self._outbox.closed:
            self._deciding.cleared(ticket, ahead=ahead)  # for the record: it will not run
            return self._flush()
        turn = self._deciding.turn

        def clear() -> None:
            sent = self._deciding.cleared(ticket, bounds, ahead=ahead)
            # what was filled in is not known beforehand the next time
            if sent and stands is not None and turn is not None and not turn.filled:
                assert turn.ruling is not None
                self.lane.learn(turn.sql, turn.bind, turn.ruling, stands)

        return self._event(clear)

    def refused(self, ticket: int, refusal: Refusal) -> list[Command]:
        """Leave was not given, or what was to be judged could not be."""
        return self._event(lambda: self._deciding.refused(ticket, refusal))

    def notice(self, message: str, *, detail: str = "", hint: str = "") -> list[Command]:
        """Tell the client something as soon as no message is half-sent."""
        if self._outbox.closed:
            return []
        self.lane.merge()
        self._outbox.notice(message, detail, hint)
        self._deciding.stir()
        return self._flush()

    def knock(self) -> list[Command]:
        """Say something to the client that it need not heed: what it was told when it logged in."""
        if not self._outbox.closed and self._backend.at_boundary:
            self._outbox.to_frontend(_OLD_NEWS)
        return self._flush()

    def cancel(self) -> list[Command]:
        """A CancelRequest with this session's key arrived."""
        return self._event(self._deciding.cancel)

    def time_over(self, number: int) -> list[Command]:
        """The answer to `Clock`."""
        return self._event(lambda: self._backend.bounding.time_over(number))

    def cancelled(self) -> list[Command]:
        """The answer to a `CancelUpstream` of our own: it is over, whatever came of it."""
        return self._event(self._backend.bounding.cancelled)

    def frontend_lost(self) -> list[Command]:
        """The client closed its socket, or said Terminate while it waited."""
        self.lane.merge()
        if not self._outbox.closed:
            self._hang_up("08006", "the client went away")
        return self._flush()

    def frontend_ended(self) -> list[Command]:
        """The client sends nothing more, and may still read: what it asked for is answered, but not held."""
        self.lane.merge()
        self._ended = True
        return self._flush()

    def backend_lost(self) -> list[Command]:
        """The server closed its socket; what it said last has been passed on."""
        self.lane.merge()
        if not self._outbox.closed:
            sqlstate, why = "08006", "the database connection was lost"
            if self._backend.ended:
                sqlstate, why = self._backend.last_error
            else:
                self._fatal(sqlstate, "the database closed the connection unexpectedly")
            self._abandon(sqlstate, why)
            self._outbox.close("the database connection was lost")
        return self._flush()

    def shut_down(self, *, at_once: bool = True) -> list[Command]:
        """The firewall stops; manual, appendix A: 57P01 admin_shutdown.

        Not at once: what Postgres has been sent is answered first, and what waits for a person is given up.
        """
        if self._outbox.closed:
            return []
        self.lane.merge()
        self._leaving = True
        if at_once or self._deciding.turn is not None:
            self._say_goodbye()
        return self._flush()

    def time_out(self) -> list[Command]:
        """Nothing has happened for too long; if something still is to, that is no idleness. SQLSTATEs as
        Postgres's own two timeouts have them (manual 19.11.1).
        """
        self.lane.merge()
        if self._outbox.closed or not self.idle:
            return []
        if self.status == "I":
            self._dismiss("57P05", "terminating connection due to idle-session timeout")
        else:
            self._dismiss("25P03", "terminating connection due to idle-in-transaction timeout")
        return self._flush()

    def failed(self, error: str) -> list[Command]:
        """An internal error: nothing can be trusted any more."""
        # INVARIANT: 9. an internal error closes the session, both sides, and is recorded
        self.lane.merge()
        if not self._outbox.closed:
            self._fatal("XX000", "internal error in query-firewall, this connection is closed", hint=error)
            self._fault("XX000", error)
        return self._flush()

    # --- inside

    def _event(self, happens: Callable[[], None]) -> list[Command]:
        if self._outbox.closed:
            return []
        self.lane.merge()
        try:
            happens()
            self._intake.advance()
        except ProtocolViolation as violation:
            self._violated(violation)
        return self._flush()

    def _arrive(self, frames: Iterable[wire.Frame]) -> None:
        come: list[wire.Frame] = []
        for frame in frames:
            come.append(frame)
            if frame.code == ord("X"):
                break  # nothing that follows it counts
        self._line.extend(come)
        self._deciding.arrived(come)
        self._intake.advance()

    def _say_goodbye(self) -> None:
        self._dismiss("57P01", "terminating connection because the firewall is shutting down")

    def _dismiss(self, sqlstate: str, why: str) -> None:
        self._fatal(sqlstate, why)
        self._hang_up(sqlstate, why)

    def _hang_up(self, sqlstate: str, why: str) -> None:
        if len(self._backend.replies):
            self._outbox.commands.append(CancelUpstream())
        self._outbox.to_backend(wire.Terminate().encode())
        self._abandon(sqlstate, why)
        self._outbox.close(why)

    def _violated(self, violation: ProtocolViolation) -> None:
        self._fatal(violation.sqlstate, violation.message, hint=violation.hint)
        self._fault(violation.sqlstate, violation.message)

    def _fault(self, sqlstate: str, why: str) -> None:
        if len(self._backend.replies):
            self._outbox.commands.append(CancelUpstream())
        self._abandon(sqlstate, why)
        self._outbox.close(why, fault=True)

    def _abandon(self, sqlstate: str, why: str) -> None:
        self._deciding.abandon(sqlstate, why)
        self._backend.abandon(sqlstate, why)
        self._line.clear()

    def _fatal(self, sqlstate: str, message: str, *, hint: str = "") -> None:
        if self._backend.at_boundary:
            error = wire.error(severity="FATAL", sqlstate=sqlstate, message=message, hint=hint)
            self._outbox.to_frontend(error.encode())

    def _flush(self) -> list[Command]:
        if not self._outbox.closed:
            if self._line.leaves and self._deciding.turn is not None:
                # nobody is there to hear what comes of it
                self._hang_up("08006", "the client went away")
            elif self._ended and (self.idle or self._deciding.held):
                self._hang_up("08006", "the client went away")
            elif self._leaving and self.idle:
                self._say_goodbye()
        return self._outbox.flush(at_boundary=self._backend.at_boundary)
