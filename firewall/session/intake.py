"""Takes the client's messages from the line: sends on what may pass, gives a turn to what must be decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session import own_views, portals, prepared
from firewall.session.bounds import UNKNOWN_CURSOR
from firewall.session.commands import Foresee, Refusal
from firewall.session.prepared import distinct
from firewall.session.replies import RUNS, Owed, Reply

if TYPE_CHECKING:
    from firewall.session.backend import Backend
    from firewall.session.lane import Lane
    from firewall.session.line import Line
    from firewall.session.portals import Portal
    from firewall.session.turn import Deciding

# Messages that Postgres has not answered; a client that sends ever more of them waits. Postgres holds back
# 8 kB of answers at most (PQ_SEND_BUFFER_SIZE of its pqcomm.c), less than so many.
MAX_OWED = 10_000

RESERVED = Refusal("42710", "this prepared statement name is reserved", hint="choose another name")
FUNCTION_CALL = Refusal(
    "0A000",
    "query-firewall does not relay the FunctionCall message",
    hint="call the function in a SELECT",
)


class Intake:
    """`advance` takes messages until one has to wait."""

    def __init__(self, line: Line, backend: Backend, deciding: Deciding, *, reserved: str) -> None:
        self._line = line
        self._backend = backend
        self._outbox = backend.outbox
        self._deciding = deciding
        self._reserved = reserved
        self.lane: Lane | None = None  # hears of unnamed Parses

    def advance(self) -> None:
        """Raises ProtocolViolation."""
        # INVARIANT: 2. only whole frames, one after the other: chunking cannot matter
        while (
            self._deciding.turn is None
            and not self._outbox.closed
            and (frame := self._line.head) is not None
            and len(self._backend.replies) < MAX_OWED
        ):
            if not self._take(frame):
                return

    def _take(self, frame: wire.Frame) -> bool:
        """Deal with the head of the line; false if it has to wait."""
        # INVARIANT: 1. a message is decoded whole before a byte of it can be sent on
        try:
            message = wire.decode_frontend(frame)
        except wire.TextError as error:
            return self._take_bad_text(frame, error)
        if isinstance(message, wire.Terminate):
            self._pass()
            self._backend.abandon("08006", "the client left before Postgres had answered")
            self._outbox.close("the client said goodbye")
            return False
        if self._backend.copy_in:
            return self._take_in_copy(frame, message)
        if isinstance(message, wire.CopyData | wire.CopyDone | wire.CopyFail):
            # meant for a COPY that has not begun (wait for Postgres's word) or that has failed (drop it)
            if any(reply.owed in RUNS for reply in self._backend.replies):
                return False
            self._line.pop()
            return True
        if self._backend.bounding.waits:
            return False
        if self._backend.skipping and not isinstance(message, wire.Sync):
            self._line.pop()
            return True
        return self._take_outside_copy(frame, message)

    def _take_bad_text(self, frame: wire.Frame, error: wire.TextError) -> bool:
        """A text that is not UTF-8 costs the statement, as it does in Postgres, not the session."""
        if self._backend.copy_in:
            raise error
        if self._backend.skipping:
            self._line.pop()
        else:
            refusal = Refusal(error.sqlstate, error.message, hint=error.hint)
            self._deciding.decline(refusal, simple=frame.code == ord("Q"))
        return True

    def _take_in_copy(self, frame: wire.Frame, message: wire.FrontendMessage) -> bool:
        match message:
            case wire.CopyData():
                self._pass()
            case wire.CopyDone() | wire.CopyFail():
                self._backend.copy_in = False
                self._pass()
                if self._backend.bounding.waits:
                    # the one behind the Execute was read as part of the COPY, and no Sync follows yet
                    self._outbox.to_backend(wire.Flush().encode())
            case wire.Sync() | wire.Flush():
                self._line.pop()  # ignored during COPY (manual 53.2.6)
            case _:
                raise ProtocolViolation(f"unexpected message `{chr(frame.code)}` during COPY FROM STDIN")
        return True

    def _take_outside_copy(self, frame: wire.Frame, message: wire.FrontendMessage) -> bool:
        match message:
            case wire.Query(sql):
                self._deciding.begin(sql)
                return False
            case wire.Bind(portal, statement):
                if distinct(portal) and distinct(statement):
                    return self._take_bind(message)
                self._deciding.decline(prepared.LONG_NAME)
            case wire.Parse(name) | wire.Execute(name) | wire.Describe(_, name) | wire.Close(_, name) if (
                not distinct(name)
            ):
                self._deciding.decline(prepared.LONG_NAME)
            case wire.Parse():
                self._take_parse(frame, message)
            case wire.Execute(portal):
                self._take_execute(portal)
            case wire.Describe(kind, name):
                self._take_describe(kind, name)
            case wire.Close(kind, name):
                if kind == "S":
                    self._pass(Reply(Owed.CLOSE, name=name))
                else:
                    self._pass(Reply(Owed.CLOSE, portal=self._backend.portals.find(name)))
            case wire.Flush():
                self._pass()
            case wire.Sync():
                self._backend.skipping = False
                self._deciding.synced()
                self._pass(Reply(Owed.SYNC))
            case wire.FunctionCall():
                self._deciding.decline(FUNCTION_CALL, simple=True)
            case _:
                raise ProtocolViolation(f"unexpected message `{chr(frame.code)}`")
        return True

    def _take_parse(self, frame: wire.Frame, parse: wire.Parse) -> None:
        known = self._backend.prepared
        if parse.statement == self._reserved:
            self._deciding.decline(RESERVED)
        elif not known.has_room_for(parse.sql, parse.types):
            self._deciding.decline(prepared.TOO_MANY)
        else:
            reply = Reply(Owed.PARSE, name=parse.statement, sql=parse.sql, types=parse.types)
            known.sent()
            if own_views.mentions(parse.sql):
                self._line.pop()
                text = own_views.filled(parse.sql, {})
                self._outbox.inject(wire.Parse(parse.statement, text, parse.types), reply)
                return
            self._pass(reply)
            if not parse.statement and self.lane is not None:
                self.lane.parsing(frame.raw)
            self._outbox.commands.append(Foresee(parse.sql, self._deciding.facts))

    def _take_bind(self, bind: wire.Bind) -> bool:
        known = self._backend.prepared
        if not self._backend.portals.has_room_for(bind.portal):
            self._deciding.decline(portals.TOO_MANY)
            return True
        if self._deciding.granted(bind):
            return True
        if not known.certain(bind.statement):
            return False
        found = known.find(bind.statement)
        if found is None:
            message = f'prepared statement "{bind.statement}" does not exist'
            self._deciding.decline(Refusal("26000", message))
            return True
        if found.text is None:
            self._deciding.decline(prepared.AMBIGUOUS)
            return True
        self._deciding.begin(found.text, bind, found.types)
        return False

    def _take_describe(self, kind: str, name: str) -> None:
        if kind == "S":
            self._pass(Reply(Owed.DESCRIBE, describes=name))
            return
        portal = self._backend.portals.find(name)
        if portal is not None:
            portal.work.described = portal.described = True
        self._pass(Reply(Owed.DESCRIBE, portal=portal))

    def _describe(self, name: str, portal: Portal | None) -> None:
        """See that Postgres says what a result is before its first row, where the client has not asked."""
        if portal is not None:
            portal.work.described = portal.described = True
        reply = Reply(Owed.DESCRIBE, swallow=True, portal=portal)
        self._outbox.inject(wire.Describe("P", name), reply)

    def _take_execute(self, name: str) -> None:
        portal, watcher = self._backend.portals.find(name), self._backend.watcher
        if portal is None and self._backend.bounding.seen:
            # INVARIANT: 3. whose rows they are, and under which bounds, nobody can tell
            self._deciding.decline(UNKNOWN_CURSOR)
        elif portal is None:
            # Postgres knows it as a cursor that SQL declared, or not at all
            if watcher.knows_cursors:
                self._describe(name, None)
            self._pass(Reply(Owed.EXECUTE))
        elif self._backend.portals.stale(portal):
            self._deciding.decline(portals.STALE)
        else:
            portal.begun = True
            unseen = not (portal.work.described or watcher.has_seen(portal.work.ruling))
            if unseen or (portal.guard is not None and not portal.described):
                self._describe(name, portal)
            self._backend.prepared.prepares(portal.work.ruling.prepares)
            self._backend.bounding.precedes(portal)
            execution = Reply(Owed.EXECUTE, work=portal.work, portal=portal)
            self._pass(execution)
            if portal.work.bounds is not None:
                self._backend.bounding.runs(execution)
        self._deciding.touched = True

    def _pass(self, reply: Reply | None = None) -> None:
        """Send the head of the line on."""
        self._outbox.to_backend(self._line.pop().raw)
        if reply is not None:
            self._backend.replies.push(reply)
