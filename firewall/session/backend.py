"""The server's half of a session: what Postgres answers, matched with what it was asked.

Streams rows through without looking at them; swallows answers to messages that the client did not send;
rewrites the error that a refusal made Postgres raise; keeps the transaction status that Postgres reports.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session.commands import CatalogChanged, Command, Done, Refusal, Work
from firewall.session.replies import Owed, Replies, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

# No server message that is not row data is larger than an ErrorResponse with the statement in it.
MAX_BACKEND_FRAME = 64 * 1024 * 1024

_PARSE_COMPLETE, _BIND_COMPLETE, _CLOSE_COMPLETE = b"123"
_FORWARDED_AS_THEY_ARE = frozenset(b"tHc")
_ENDS_EXECUTE = frozenset(b"CIs")

# Encodings in which no byte of a multi-byte character is ASCII (manual 23.3.1), so that a text cut into
# tokens as UTF-8 has the same tokens for the server.
SAFE_ENCODINGS = frozenset(
    {
        *("UTF8", "SQL_ASCII", "EUC_JP", "EUC_CN", "EUC_KR", "EUC_TW", "EUC_JIS_2004", "KOI8R", "KOI8U"),
        *(f"LATIN{n}" for n in range(1, 11)),
        *(f"ISO_8859_{n}" for n in (5, 6, 7, 8)),
        *(f"WIN{n}" for n in (866, 874, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258)),
    }
)

_FORGETS_ALL = re.compile(r"DISCARD ALL|DEALLOCATE ALL")


class Backend:
    """Feed it what the server sends; it fills `to_frontend` and `commands`.

    status: I, T or E, as of the last ReadyForQuery. skipping: Postgres reported an error and the client has
    not sent Sync since. copy_in: Postgres is reading CopyData. probe_accepted: what became of the last probe.
    last_error: SQLSTATE and message of the newest error. ended: Postgres said that it hangs up.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.replies = Replies()
        self.status = "I"
        self.skipping = False
        self.copy_in = False
        self.probe_accepted: bool | None = None
        self.texts: dict[str, str | None] = {}
        self.types: dict[str, tuple[int, ...]] = {}
        self.catalog_changed = False
        self.last_error = ("", "")
        self.ended = False
        self.to_frontend: list[bytes] = []
        self.commands: list[Command] = []
        self._cutter = wire.BackendCutter(MAX_BACKEND_FRAME)
        self._parameters = dict(parameters)
        self._open: list[Work] = []

    @property
    def lexing_safe(self) -> bool:
        """No text can mean to the server something else than to the grammar (design section 5)."""
        return (
            self._parameters.get("standard_conforming_strings", "on") == "on"
            and self._parameters.get("client_encoding", "UTF8") in SAFE_ENCODINGS
        )

    @property
    def at_boundary(self) -> bool:
        """Nothing half-sent: a message of our own may be put in here."""
        return not self._cutter.mid_frame

    def text_of(self, name: str) -> tuple[bool, str | None, tuple[int, ...]]:
        """(known, text or None if ambiguous, parameter types) of a prepared statement, newest Parse first."""
        flying = self.replies.text_in_flight(name)
        if flying is not None:
            return True, flying.sql, flying.types
        return name in self.texts, self.texts.get(name), self.types.get(name, ())

    def opens(self, work: Work) -> None:
        self._open.append(work)

    def receive(self, data: bytes) -> None:
        """Raises ProtocolViolation when the server's answers are not those that are owed."""
        for item in self._cutter.feed(data):
            if isinstance(item, wire.Bulk):
                self._bulk(item)
            else:
                self._frame(item)

    def _bulk(self, bulk: wire.Bulk) -> None:
        head = self.replies.head
        if head is None or head.owed not in {Owed.EXECUTE, Owed.QUERY}:
            raise ProtocolViolation("the server sent rows that nobody asked for")
        if head.work is not None:
            head.work.size += len(bulk.data)
        self.to_frontend.append(bulk.data)

    def _frame(self, frame: wire.Frame) -> None:
        code = frame.code
        match chr(code):
            case "S":
                status = wire.ParameterStatus.decode(frame.body)
                self._parameters[status.name] = status.value
                self.to_frontend.append(frame.raw)
            case "N" | "A":
                self.to_frontend.append(frame.raw)
            case "E":
                self._error(frame)
            case "Z":
                self._ready(frame)
            case _ if self.replies.head is None:
                raise ProtocolViolation(f"the server sent `{chr(code)}` that nobody asked for")
            case "G":
                self._copy_in_begins(frame)
            case _:
                self._answer(frame, self.replies.head)

    def _answer(self, frame: wire.Frame, head: Reply) -> None:
        code = frame.code
        if head.owed is Owed.QUERY:
            if code == ord("C"):
                self._completed(head, wire.CommandComplete.decode(frame.body).tag)
            elif code not in b"TIHc":
                raise ProtocolViolation(f"the server answered a query with `{chr(code)}`")
            self.to_frontend.append(frame.raw)
            return
        expected = {
            Owed.PARSE: b"1",
            Owed.PROBE: b"1",
            Owed.BIND: b"2",
            Owed.CLOSE: b"3",
            Owed.DESCRIBE: b"tTn",
            Owed.EXECUTE: b"CIsHc",
        }.get(head.owed, b"")
        if code not in expected:
            raise ProtocolViolation(f"the server answered `{head.owed.name}` with `{chr(code)}`")
        if code not in _FORWARDED_AS_THEY_ARE:
            self.replies.pop()
        if code == _PARSE_COMPLETE and head.owed is Owed.PARSE:
            self.texts[head.name], self.types[head.name] = head.sql, head.types
        if head.owed is Owed.PROBE:
            self.probe_accepted = True
        if code in _ENDS_EXECUTE and head.owed is Owed.EXECUTE:
            self._executed(head, frame)
        if not head.swallow:
            self.to_frontend.append(frame.raw)

    def _completed(self, head: Reply, tag: str) -> None:
        if _FORGETS_ALL.fullmatch(tag):
            self.texts.clear()
        if head.work is not None:
            head.work.tags.append(tag)

    def _executed(self, head: Reply, frame: wire.Frame) -> None:
        if frame.code == ord("C"):
            self._completed(head, wire.CommandComplete.decode(frame.body).tag)
        if head.work is not None and frame.code != ord("s"):
            head.work.left -= 1
            if head.work.left <= 0:
                self._close(head.work)

    def _copy_in_begins(self, frame: wire.Frame) -> None:
        head = self.replies.head
        if head is None or head.owed not in {Owed.EXECUTE, Owed.QUERY}:
            raise ProtocolViolation("the server asked for COPY data that nobody offered")
        self.copy_in = True
        self.replies.drop_syncs()
        self.to_frontend.append(frame.raw)

    def _error(self, frame: wire.Frame) -> None:
        head = self.replies.head
        error = wire.ErrorResponse.decode(frame.body)
        self.copy_in = False
        self.last_error = (error.sqlstate, error.message)
        self.ended = error.severity in {"FATAL", "PANIC"}
        if head is None or head.owed is Owed.SYNC:
            # idle (an administrator ended us), or the commit that Sync makes has failed; Z follows the latter
            self._fail_open(error)
            self.to_frontend.append(frame.raw)
            return
        if head.refusal is not None:
            # INVARIANT: 8. one refusal gives one ErrorResponse: Postgres's own, in our words
            self.to_frontend.append(in_our_words(head.refusal))
        else:
            self.to_frontend.append(frame.raw)
        if head.work is not None:
            head.work.sqlstate, head.work.message = error.sqlstate, error.message
        if head.owed is Owed.QUERY:
            return
        for reply in self.replies.skip_to_sync():
            if reply.work is not None:
                self._close(reply.work)
        sync = self.replies.head
        if head.owed is Owed.PROBE:
            # the client asked by a simple Query: error and ReadyForQuery are its whole answer
            self.probe_accepted = False
            if sync is not None:
                sync.swallow = False
        elif sync is None or sync.swallow:
            self.skipping = True

    def _ready(self, frame: wire.Frame) -> None:
        head = self.replies.head
        if head is None or head.owed not in {Owed.SYNC, Owed.QUERY}:
            raise ProtocolViolation("the server is ready for a query although it owes an answer")
        self.replies.pop()
        self.status = wire.ReadyForQuery.decode(frame.body).status
        if not head.swallow:
            self.to_frontend.append(frame.raw)
        if head.work is not None:
            self._close(head.work)
        if self.status == "I":
            for work in tuple(self._open):
                self._close(work)
            if self.catalog_changed:
                self.catalog_changed = False
                self.commands.append(CatalogChanged())

    def _fail_open(self, error: wire.ErrorResponse) -> None:
        for work in self._open:
            if not work.sqlstate:
                work.sqlstate, work.message = error.sqlstate, error.message

    def abandon(self, sqlstate: str, message: str) -> None:
        """The session ends: say of everything that is still open that its outcome is not known."""
        for work in tuple(self._open):
            work.sqlstate, work.message = work.sqlstate or sqlstate, work.message or message
            self._close(work)

    def _close(self, work: Work) -> None:
        if work not in self._open:
            return
        self._open.remove(work)
        self.commands.append(
            Done(work.ticket, work.judgement, tuple(work.tags), work.size, work.sqlstate, work.message)
        )


def in_our_words(refusal: Refusal) -> bytes:
    """What the client gets for Postgres's error about the text that it was made to fail.

    That error's position and source file say where the bait stood, which helps nobody; nothing of it is kept.
    """
    return wire.error(
        sqlstate=refusal.sqlstate, message=refusal.message, detail=refusal.detail, hint=refusal.hint
    ).encode()
