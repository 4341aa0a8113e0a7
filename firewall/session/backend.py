"""The server's half of a session: what Postgres answers, matched with what it was asked.

Streams rows through without looking at them; swallows answers to messages that the client did not send;
rewrites the error that a refusal made Postgres raise; keeps the transaction status that Postgres reports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session import withheld
from firewall.session.bounds import Bounding
from firewall.session.commands import CatalogChanged, Done
from firewall.session.encodings import AS_UTF8, SAFE
from firewall.session.outbox import Outbox
from firewall.session.portals import Portals
from firewall.session.prepared import Prepared
from firewall.session.replies import ENDS, RUNS, Owed, Replies, Reply
from firewall.session.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from firewall.session.commands import Refusal, Work
    from firewall.session.portals import Portal

# No server message that is not row data is larger than an ErrorResponse with the statement in it.
MAX_BACKEND_FRAME = 64 * 1024 * 1024

_BEGINS_RESULT = frozenset(b"Tn")
_FORWARDED_AS_THEY_ARE = frozenset(b"tHc")
_OF_COPY = frozenset(b"Hc")

# what Postgres answers before it has looked at any data
_OF_TEXTS = (Owed.PARSE, Owed.PROBE, Owed.INSIDE, Owed.REFUSAL, Owed.CLOSE)

# by the tag that begins or ends a transaction block, whether one is open; ROLLBACK TO says ROLLBACK, too
_BLOCKS = {"BEGIN": True, "START TRANSACTION": True, "COMMIT": False, "ROLLBACK": False}
_BLOCKS["PREPARE TRANSACTION"] = False
_FORGETS_ALL = frozenset({"DISCARD ALL", "DEALLOCATE ALL"})

# By message type, what it can be an answer to.
_ANSWERS = {
    ord("1"): (Owed.PARSE, Owed.PROBE, Owed.INSIDE, Owed.OURS),
    ord("2"): (Owed.BIND,),
    ord("3"): (Owed.CLOSE,),
    ord("t"): (Owed.DESCRIBE,),
    ord("T"): (Owed.DESCRIBE, Owed.QUERY),
    ord("n"): (Owed.DESCRIBE,),
    ord("C"): (*RUNS, Owed.OURS),
    ord("I"): RUNS,
    ord("H"): RUNS,
    ord("c"): RUNS,
    ord("s"): (Owed.EXECUTE,),
}


class Backend:
    """Feed it what the server sends; it fills the outbox.

    status: I, T or E, as of the last ReadyForQuery. skipping: Postgres reported an error and the client has
    not sent Sync since. copy_in: Postgres is reading CopyData. probe_accepted: what became of the last probe.
    catalog_changed: something was released that may have changed the catalog, and its transaction is open.
    names_lost: in ways that the facts do not tell.
    last_error: SQLSTATE and message of the newest error. ended: Postgres said that it hangs up.
    settings: counts the settings that Postgres has reported to be new.
    """

    def __init__(self, parameters: Mapping[str, str], reserved: str = "") -> None:
        self.replies = Replies()
        self.outbox = Outbox(self.replies)
        self.prepared = Prepared(self.replies)
        self.portals = Portals()
        self.watcher = Watcher()
        self.bounding = Bounding(self.outbox, self.replies, reserved)
        self.status = "I"
        self.skipping = False
        self.copy_in = False
        self.probe_accepted = False
        self.catalog_changed = False
        self.names_lost = False
        self.last_error = ("", "")
        self.ended = False
        self.settings = 0
        self._cutter = wire.BackendCutter(MAX_BACKEND_FRAME)
        self._parameters = dict(parameters)
        self._open: dict[int, Work] = {}
        self._stopped = False
        # bytes of a row that are to come, and whether the client has had what came of it
        self._rest = 0
        self._half = True
        # the client gets whole rows only, from something that masks them
        self._whole = False
        # a statement under masks has written, and its transaction is open
        self._lingers = False
        # what tags have said of it since ReadyForQuery
        self._begun: bool | None = None

    @property
    def in_block(self) -> bool:
        """A transaction block is open for certain, as far as Postgres has answered: no Sync would end it."""
        return self._begun if self._begun is not None else self.status != "I"

    def reads(self, text: str) -> bool:
        """`text` cannot mean to the server something else than to the grammar (design section 5)."""
        if self._parameters.get("standard_conforming_strings", "on") != "on":
            return False
        encoding = self._parameters.get("client_encoding", "UTF8")
        return encoding in SAFE and (encoding in AS_UTF8 or text.isascii())

    @property
    def at_rest(self) -> bool:
        """Everything is answered, nothing half come; nothing failed, open or in doubt."""
        return (
            not len(self.replies)
            and not self._open
            and not self.catalog_changed
            and not self.skipping
            and not self.copy_in
            and not self.bounding.waits
            and self.status != "E"
            and not self.outbox.closed
            and self.replies.ignored_syncs == 0
            and self._cutter.pending == 0
            and not self._cutter.mid_frame
        )

    @property
    def at_boundary(self) -> bool:
        """Nothing half-sent: a message of our own may be put in here."""
        return self._stopped or not self._cutter.mid_frame or not self._half or self._whole

    def opens(self, work: Work) -> None:
        self._open[work.ticket] = work
        self.catalog_changed |= work.ruling.changes_catalog
        self.watcher.released(work.ruling)
        self.names_lost |= work.ruling.loses_names
        if work.masking is not None:
            self._lingers |= work.masking.lingers

    def receive(self, data: bytes) -> None:
        """Raises ProtocolViolation when the server's answers are not those that are owed."""
        self._rest = self._cutter.passing
        try:
            items = self._cutter.feed(data)
        except wire.BrokenFraming as broken:
            # INVARIANT: 2. what came whole before the break counts, at any chunking
            self._take(broken.before)
            raise
        self._take(items)
        self.bounding.taken()

    def _take(self, items: Iterable[wire.Frame | wire.Bulk]) -> None:
        for item in items:
            if isinstance(item, wire.Bulk):
                self._bulk(item)
            else:
                self._frame(item)

    def _bulk(self, bulk: wire.Bulk) -> None:
        head = self.replies.head
        if head is not None and head.owed is Owed.OURS:
            self._half = False
            self.bounding.heard(bulk.data)
            return
        if head is None or head.owed not in RUNS:
            raise ProtocolViolation("the server sent rows that nobody asked for")
        work, data = head.work, bulk.data
        rest, self._rest = self._rest, 0
        self._whole = False
        if work is not None:
            if work.bounds is None:
                work.rows += bulk.frames
                self._half = True
            else:
                data = self._bounded(bulk, rest, work, head.portal)
                if not data:
                    return
            work.size += len(data)
        else:
            self._half = True
        self.outbox.to_frontend(data)

    def _bounded(self, bulk: wire.Bulk, rest: int, work: Work, portal: Portal | None) -> bytes:
        """What the client gets of rows under bounds."""
        data = self.bounding.pass_on(bulk.data, bulk.frames, rest if self._half else 0, work)
        self._half = len(data) == len(bulk.data)
        guard = portal.guard if portal is not None else None
        if guard is None or not data:
            return data
        self._whole = guard.masked
        return guard.pass_on(data)

    def _frame(self, frame: wire.Frame) -> None:
        code = chr(frame.code)
        head = self.replies.head
        match code:
            case "S":
                status = wire.ParameterStatus.decode(frame.body)
                self._parameters[status.name] = status.value
                self.settings += 1
                self.outbox.to_frontend(frame.raw)
            case "N" if self._withholds(head):
                notice = withheld.notice(wire.NoticeResponse.decode(frame.body))
                self.outbox.to_frontend(notice.encode())
            case "N" | "A":
                self.outbox.to_frontend(frame.raw)
            case "E":
                self._error(frame)
            case "Z":
                self._ready(frame)
            case _ if head is None:
                raise ProtocolViolation(f"the server sent `{code}` that nobody asked for")
            case "G":
                self._copy_in_begins(frame, head)
            case _ if head.owed in _ANSWERS.get(frame.code, ()):
                self._answer(frame, head)
            case _:
                raise ProtocolViolation(f"the server answered `{head.owed.name}` with `{code}`")

    def _answer(self, frame: wire.Frame, head: Reply) -> None:
        if frame.code in _BEGINS_RESULT and head.describes is None:
            self._begins(frame, head)
        elif frame.code in _OF_COPY:
            self._copies(frame, head)
        if head.owed is Owed.QUERY:
            if frame.code == ord("C"):
                self._completed(head, frame)
        elif frame.code == ord("t") and head.describes is not None:
            self.prepared.described(head.describes, wire.ParameterDescription.decode(frame.body).types)
        elif frame.code not in _FORWARDED_AS_THEY_ARE:
            self.replies.pop()
            self.replies.ignored_syncs = 0
            match head.owed:
                case Owed.PARSE:
                    self.prepared.parsed(head.name, head.sql, head.types, head.index)
                case Owed.CLOSE if head.name:
                    self.prepared.closed(head.name, head.index)
                case Owed.CLOSE if head.portal is not None:
                    self.portals.closed(head.portal)
                    self._over(head.portal)
                case Owed.BIND if head.portal is not None:
                    self._over(head.portal)
                case Owed.PROBE:
                    self.probe_accepted = True
                case Owed.OURS:
                    self._counted(frame)
                    return
                case Owed.EXECUTE if not self.bounding.ends(head, frame):
                    # this is not the client's answer, or not yet
                    self._undone(head)
                    return
                case Owed.EXECUTE:
                    self._executed(head, frame)
                case _:
                    pass
        self._say(frame, head)

    def _say(self, frame: wire.Frame, head: Reply) -> None:
        work = head.work
        if work is not None and (work.simple or work.stopped is not None):
            self._answer_bounded(frame, head, work)
        elif not head.swallow:
            self.outbox.to_frontend(frame.raw)

    def _counted(self, frame: wire.Frame) -> None:
        """A text of our own has run: the execution that waits for what it says has ended, or is undone."""
        ended = self.bounding.counted() if frame.code == ord("C") else None
        if ended is None:
            return
        execution, answer = ended
        if execution.work is not None and execution.work.stopped is not None:
            self._undone(execution)
        else:
            self._executed(execution, answer)
            self._say(answer, execution)

    def _undone(self, execution: Reply) -> None:
        """If it is, the client's batch has failed."""
        work = execution.work
        if work is not None and work.stopped is not None:
            self.skipping = not work.simple

    def _answer_bounded(self, frame: wire.Frame, head: Reply, work: Work) -> None:
        """A Query's result without rows is not described, and a COPY that was stopped does not end well."""
        swallow = (
            head.swallow or frame.code == ord("n") or (frame.code == ord("c") and work.stopped is not None)
        )
        if not swallow:
            self.outbox.to_frontend(frame.raw)
        if work.simple and head.owed is Owed.EXECUTE and frame.code in b"CI":
            self.bounding.closes(work)

    def _copies(self, frame: wire.Frame, head: Reply) -> None:
        """COPY begins or ends to send data."""
        guard = head.portal.guard if head.portal is not None else None
        stopped = head.work is not None and head.work.stopped is not None
        if guard is None or stopped:
            return
        try:
            if frame.code == wire.CopyOutResponse.CODE:
                guard.copies(frame, self._parameters.get("client_encoding", "UTF8"))
            else:
                guard.copied()
        except ProtocolViolation:
            self._stopped = True
            raise

    def _begins(self, frame: wire.Frame, head: Reply) -> None:
        work = head.portal.work if head.portal is not None else head.work
        try:
            ruling = work.ruling if work is not None else None
            self.watcher.look(frame, ruling, changed=self.catalog_changed)
            if head.portal is not None and head.portal.guard is not None:
                head.portal.guard.described(frame, self._parameters.get("client_encoding", "UTF8"))
        except ProtocolViolation:
            # nothing of the frames behind this one is sent on, whatever has come of them
            self._stopped = True
            self.outbox.commands.append(CatalogChanged())
            raise

    def _completed(self, head: Reply, frame: wire.Frame) -> None:
        tag = wire.CommandComplete.decode(frame.body).tag
        self._begun = _BLOCKS.get(tag, self._begun)
        if tag in _FORGETS_ALL:
            self.prepared.forgotten(head.index)
        if head.work is not None:
            head.work.tags.append(tag)

    def _executed(self, head: Reply, frame: wire.Frame) -> None:
        if frame.code == ord("C"):
            self._completed(head, frame)
            if self.status == "E":
                # nothing else succeeds in a failed transaction than what ends it, or a part of it
                self.status = "T"
        if head.portal is not None and frame.code != ord("s"):
            self._over(head.portal)

    def _over(self, portal: Portal) -> None:
        """It has run to its end, or Postgres has dropped it."""
        if not portal.over:
            portal.over = True
            portal.work.left -= 1
            if portal.work.left <= 0:
                self._close(portal.work)

    def _copy_in_begins(self, frame: wire.Frame, head: Reply) -> None:
        if head.owed not in RUNS:
            raise ProtocolViolation("the server asked for COPY data that nobody offered")
        self.copy_in = True
        self.replies.ignore_syncs()
        self.outbox.to_frontend(frame.raw)

    def _withholds(self, head: Reply | None) -> bool:
        """What Postgres says now may quote a value that is masked. What it says of a text alone cannot."""
        if head is None or head.owed in _OF_TEXTS:
            return False
        return self._lingers or (head.work is not None and head.work.masking is not None)

    def _error(self, frame: wire.Frame) -> None:
        head = self.replies.head
        error = wire.ErrorResponse.decode(frame.body)
        raw = frame.raw
        if self._withholds(head):
            error = withheld.error(error)
            raw = error.encode()
        self.copy_in = False
        self.last_error = (error.sqlstate, error.message)
        self.ended = error.severity in {"FATAL", "PANIC"}
        # INVARIANT: 8. one refusal gives one ErrorResponse: Postgres's own, in our words
        refusal = head.refusal if head is not None and not self.ended else None
        if head is not None and head.work is not None and not self.ended:
            refusal = refusal or head.work.stopped
        self.outbox.to_frontend(in_our_words(refusal) if refusal else raw)
        if head is None or self.ended:
            # an administrator or a timeout ended us; what is open learns of it when the connection is lost
            return
        if head.work is not None and head.work.stopped is None:
            head.work.sqlstate, head.work.message = error.sqlstate, error.message
        if head.owed is Owed.QUERY:
            return
        if head.owed is Owed.SYNC:
            self._commit_failed(head, error)
            return
        self._skip(head, error)

    def _commit_failed(self, sync: Reply, error: wire.ErrorResponse) -> None:
        """What Sync was to commit is undone; ReadyForQuery follows."""
        for work in self._open.values():
            if work.index < sync.index and not work.sqlstate:
                work.sqlstate, work.message = error.sqlstate, error.message
        if sync.settles:
            # the client did not send this Sync: to it, its batch has failed
            self.skipping = True
        elif sync.swallow:
            self.probe_accepted = False
            sync.swallow = False

    def _skip(self, head: Reply, error: wire.ErrorResponse) -> None:
        """Postgres discards everything up to Sync."""
        skipped = self.replies.skip_to_sync()
        self.bounding.fails(skipped)
        for reply in skipped:
            work = reply.work
            if reply.owed is Owed.DESCRIBE and reply.portal is not None:
                # it may outlive the batch, behind a savepoint
                reply.portal.work.described = reply.portal.described = False
            if work is None:
                continue
            if not work.sqlstate:
                work.sqlstate, work.message = error.sqlstate, f"not run, its batch failed: {error.message}"
            self._close(work)
        sync = self.replies.head
        if head.work is not None and head.work.simple:
            # it was one message to the client, and ReadyForQuery follows
            self.skipping = False
            self.bounding.failed_query(head.work)
        elif head.owed is Owed.PROBE:
            # the client asked by a simple Query: error and ReadyForQuery are its whole answer
            self.probe_accepted = False
            if sync is not None:
                sync.swallow = False
        elif sync is None:
            self.skipping = True

    def _ready(self, frame: wire.Frame) -> None:
        head = self.replies.head
        status = wire.ReadyForQuery.decode(frame.body).status
        if (head is None or head.owed not in ENDS) and self.replies.ignored_syncs:
            # the COPY failed before Postgres had come to a Sync that it would have ignored
            self.replies.ignored_syncs -= 1
            self.status = status
            self.outbox.to_frontend(frame.raw)
            return
        if head is None or head.owed not in ENDS:
            raise ProtocolViolation("the server is ready for a query although it owes an answer")
        self.replies.pop()
        self.status = status
        self._begun = None
        if not head.swallow:
            self.outbox.to_frontend(frame.raw)
        if head.work is not None:
            self._close(head.work)
        if status == "I":
            self._transaction_ended(head.index)

    def _transaction_ended(self, index: int) -> None:
        """What was sent before the message `index` is over; what was sent after it has not begun."""
        self.portals.ended(index)
        for work in [work for work in self._open.values() if work.index < index]:
            self._close(work)
        if self._lingers:
            open_ = (work.masking for work in self._open.values())
            self._lingers = any(masking is not None and masking.lingers for masking in open_)
        if self.catalog_changed:
            self.catalog_changed = any(work.ruling.changes_catalog for work in self._open.values())
            self.names_lost = any(work.ruling.loses_names for work in self._open.values())
            self.outbox.commands.append(CatalogChanged())

    def abandon(self, sqlstate: str, message: str) -> None:
        """The session ends: say of everything that is still open that its outcome is not known."""
        for work in tuple(self._open.values()):
            work.sqlstate, work.message = work.sqlstate or sqlstate, work.message or message
            self._close(work)

    def _close(self, work: Work) -> None:
        if self._open.pop(work.ticket, None) is not None:
            judgement = work.ruling.judgement
            done = Done(
                work.ticket,
                judgement,
                tuple(work.tags),
                work.size,
                work.sqlstate,
                work.message,
                rows=work.rows,
                changed=work.changed if work.bounds is not None and work.bounds.changes is not None else None,
            )
            self.outbox.commands.append(done)


def in_our_words(refusal: Refusal) -> bytes:
    """What the client gets for Postgres's error about the text that it was made to fail.

    That error's position and source file say where the bait stood, which helps nobody; nothing of it is kept.
    """
    return wire.error(
        sqlstate=refusal.sqlstate, message=refusal.message, detail=refusal.detail, hint=refusal.hint
    ).encode()
