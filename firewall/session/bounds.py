"""Sees to it that a release keeps its bounds: rows that it may return or change, time that it may take.

What is beyond a bound does not reach the client, and Postgres is asked to cancel. Nothing is sent behind a
bounded execution until it is answered, not even Sync: if it ends by itself although it was stopped, it is
still part of an open transaction, and a text that Postgres must fail undoes it. So the client's error is
Postgres's own in either case, and client and Postgres agree on what has come of it. For the same reason a
simple Query is sent as a Parse, a Bind and an Execute.

Rows that are changed Postgres counts for each table, also those of cascades, triggers and WITH; it is asked
before and after an execution, in the same transaction. Read only is the transaction, from before the Bind on:
once a query has begun in it nobody can take that back. Where a subtransaction could, it is said again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall import wire
from firewall.session.commands import CancelUpstream, Clock, Refusal
from firewall.session.portals import Portal
from firewall.session.replies import Owed, Reply, bait
from firewall.wire.framing import HEADER

if TYPE_CHECKING:
    from firewall.session.commands import Work
    from firewall.session.outbox import Outbox
    from firewall.session.replies import Replies

# No operator, and no function by search_path: nothing that an agent can put something else in place of.
# Aborted subtransactions count too; catalogs do not.
COUNT = (
    "SELECT pg_catalog.sum(n_tup_ins), pg_catalog.sum(n_tup_upd), pg_catalog.sum(n_tup_del), "
    "pg_catalog.current_setting('track_counts') FROM pg_catalog.pg_stat_xact_user_tables"
)
READ_ONLY = "SET transaction_read_only = on"
# a name beside the reserved one
BESIDE = "_"

UNCOUNTED = Refusal(
    "55000",
    "query-firewall: the rows that this changes could not be counted, so it was undone",
    detail="the database's setting track_counts is off",
    hint="ask the operator of the database to switch it on",
)
UNKNOWN_CURSOR = Refusal(
    "0A000",
    "query-firewall does not run cursors by the protocol after a statement under obligations",
    hint="fetch from it in a session of its own, or run its query without a cursor",
)


class Bounding:
    """The bounded execution under way, if there is one.

    seen: something was released under bounds in this session.
    """

    def __init__(self, outbox: Outbox, replies: Replies, reserved: str) -> None:
        self.seen = False
        self._outbox = outbox
        self._replies = replies
        self._reserved = reserved
        self._running: Reply | None = None
        self._due: Work | None = None  # is undone once no cancel of ours is under way
        self._cancelling = False
        self._number = 0
        self._left = False
        # of the execution under way: what was counted before it, and what answered it while it is counted
        self._before: int | None = None
        self._counting: tuple[Reply, wire.Frame] | None = None
        self._row = b""

    @property
    def waits(self) -> bool:
        """Nothing may be sent to Postgres but data for COPY."""
        return (
            self._running is not None
            or self._counting is not None
            or self._due is not None
            or self._cancelling
        )

    # --- what is sent

    def query(self, sql: str, work: Work) -> None:
        """The text of a simple Query, so that the client gets the answer that it would get to one."""
        work.simple = True
        work.left += 1  # until ReadyForQuery
        name = self._reserved
        portal = Portal(name, work, self._replies.sent, 0)
        portal.begun = portal.described = True
        self.precedes(portal)
        self.clear_name()
        self._outbox.inject(wire.Parse(name, sql), Reply(Owed.PROBE, swallow=True, work=work))
        self._outbox.inject(wire.Bind(name, name), Reply(Owed.BIND, swallow=True, work=work))
        self._outbox.inject(wire.Describe("P", name), Reply(Owed.DESCRIBE, work=work, portal=portal))
        execution = Reply(Owed.EXECUTE, work=work, portal=portal)
        self._outbox.inject(wire.Execute(name), execution)
        work.index = self._replies.sent
        self.runs(execution)

    def clear_name(self) -> None:
        """Before the reserved name is used: a Query that failed may have left its text there."""
        if self._left:
            self._outbox.inject(wire.Close("S", self._reserved), Reply(Owed.CLOSE, swallow=True))

    def restricts(self, work: Work) -> None:
        """It is about to be bound, or executed."""
        if work.bounds is not None and work.bounds.read_only:
            self._ask(READ_ONLY, work)

    def precedes(self, portal: Portal) -> None:
        """It is about to be executed."""
        work = portal.work
        self.restricts(work)
        if work.masking is not None and work.masking.copying is not None:
            self._looks_inside(work.masking.copying.query, portal)
        if work.bounds is not None and work.bounds.changes is not None:
            self._ask(COUNT, work)

    def _looks_inside(self, query: str, portal: Portal) -> None:
        """Have Postgres say what the columns of a COPY are, in its transaction: of itself it does not."""
        name = self._reserved + BESIDE
        work = portal.work
        for message, reply in (
            (wire.Close("S", name), Reply(Owed.CLOSE, swallow=True, work=work)),
            (wire.Parse(name, query), Reply(Owed.INSIDE, swallow=True, work=work)),
            (wire.Describe("S", name), Reply(Owed.DESCRIBE, swallow=True, work=work, portal=portal)),
            (wire.Close("S", name), Reply(Owed.CLOSE, swallow=True, work=work)),
        ):
            self._outbox.inject(message, reply)

    def ours(self, sql: str, *, simple: bool) -> None:
        """A text of our own that no execution is counted by, as the client's own message comes."""
        if simple:
            self._outbox.inject(wire.Query(sql), Reply(Owed.QUERY, swallow=True))
        else:
            self._ask(sql, None)

    def _ask(self, sql: str, work: Work | None) -> None:
        """A text of our own, in the transaction of `work`, which fails with it."""
        name = self._reserved + BESIDE
        for message, owed in (
            (wire.Close("S", name), Owed.CLOSE),  # one that failed may have left it there
            (wire.Parse(name, sql), Owed.OURS),
            (wire.Bind(name, name), Owed.BIND),
            (wire.Execute(name), Owed.OURS),
            (wire.Close("P", name), Owed.CLOSE),
            (wire.Close("S", name), Owed.CLOSE),
        ):
            self._outbox.inject(message, Reply(owed, swallow=True, work=work))

    def runs(self, execution: Reply) -> None:
        """A bounded Execute has been sent."""
        self._outbox.to_backend(wire.Flush().encode())
        self._running = execution
        work = execution.work
        assert work is not None
        assert work.bounds is not None
        if work.bounds.within is not None:
            self._number += 1
            self._outbox.commands.append(Clock(self._number, work.bounds.within))

    # --- what is answered

    def pass_on(self, data: bytes, begins: int, rest: int, work: Work) -> bytes:
        """What the client gets of rows: `begins` begin in `data`, behind `rest` bytes of one before."""
        assert work.bounds is not None
        most = work.bounds.most
        if work.stopped is None and (most is None or work.rows + begins <= most):
            work.rows += begins
            return data
        at = min(rest, len(data))
        if work.stopped is None:
            assert most is not None
            while work.rows < most:
                # whole frames: another one begins behind each of these
                at += 1 + int.from_bytes(data[at + 1 : at + HEADER])
                work.rows += 1
            _stop(work, work.bounds.beyond)
        return data[:at]

    def taken(self) -> None:
        """Everything that came has been looked at."""
        running = self._running
        if running is not None and running.work is not None and running.work.stopped is not None:
            self._cancel()

    def ends(self, reply: Reply, answer: wire.Frame) -> bool:
        """Postgres has answered an Execute without an error. False if the client must not hear of it yet."""
        if reply is not self._running:
            return True
        self._running = None
        work = reply.work
        assert work is not None
        assert work.bounds is not None
        if work.stopped is None and work.bounds.changes is not None:
            self._counting = (reply, answer)
            self._ask(COUNT, work)
            self._outbox.to_backend(wire.Flush().encode())
            return False
        return not self._undoes(work)

    def heard(self, data: bytes) -> None:
        """Part of what Postgres says to `COUNT`."""
        self._row += data

    def counted(self) -> tuple[Reply, wire.Frame] | None:
        """A text of our own has run. The execution that ends with that and its answer; it may be undone."""
        row, self._row = self._row, b""
        if not row:
            return None
        changed = _changed(row)
        if self._counting is None:
            self._before = changed
            return None
        ended, self._counting = self._counting, None
        work = ended[0].work
        assert work is not None
        assert work.bounds is not None
        assert work.bounds.changes is not None
        assert work.bounds.too_many is not None
        if changed is None or self._before is None:
            _stop(work, UNCOUNTED)
        else:
            work.changed += changed - self._before
            if work.changed > work.bounds.changes:
                _stop(work, work.bounds.too_many)
        self._undoes(work)
        return ended

    def _undoes(self, work: Work) -> bool:
        """If it was stopped."""
        if work.stopped is not None:
            self._due = work
            self._undo()
        return work.stopped is not None

    def closes(self, work: Work) -> None:
        """A simple Query has been answered, up to ReadyForQuery."""
        self._outbox.inject(wire.Close("P", self._reserved), Reply(Owed.CLOSE, swallow=True))
        self._outbox.inject(wire.Close("S", self._reserved), Reply(Owed.CLOSE, swallow=True))
        self._outbox.inject(wire.Sync(), Reply(Owed.SYNC, work=work))

    def failed_query(self, work: Work) -> None:
        """The same, of one that failed. What it prepared outlives its transaction."""
        self._left = True
        self._outbox.inject(wire.Sync(), Reply(Owed.SYNC, work=work))

    def fails(self, replies: list[Reply]) -> None:
        """Postgres has answered one of these with an error, and discards the others."""
        if any(reply is self._running for reply in replies):
            self._running = None
        if any(reply.owed is Owed.OURS for reply in replies):
            self._counting = None
            self._row = b""

    # --- what else happens

    def time_over(self, number: int) -> None:
        """The answer to `Clock`."""
        work = self._running.work if self._running is not None else None
        if number == self._number and work is not None and work.stopped is None:
            assert work.bounds is not None
            _stop(work, work.bounds.late)
            self._cancel()

    def cancelled(self) -> None:
        """The answer to our own `CancelUpstream`: it does not concern anything that is sent from now on."""
        self._cancelling = False
        self._undo()

    def _cancel(self) -> None:
        running = self._running
        if not self._cancelling and running is not None and running.owed is Owed.EXECUTE:
            self._cancelling = True
            self._outbox.commands.append(CancelUpstream(ours=True))

    def _undo(self) -> None:
        work = self._due
        if work is None or self._cancelling:
            return
        self._due = None
        assert work.stopped is not None
        self._running = Reply(Owed.REFUSAL, refusal=work.stopped, work=work)
        self._outbox.inject(wire.Parse(self._reserved, bait(work.stopped)), self._running)


def _stop(work: Work, refusal: Refusal) -> None:
    work.stopped = refusal
    work.sqlstate, work.message = refusal.sqlstate, refusal.message


def _changed(row: bytes) -> int | None:
    """The sum of a DataRow of `COUNT`; None if nobody counts. No tables at all make NULLs."""
    *counts, tracked = wire.DataRow.decode(row[HEADER:]).values
    return sum(int(count or 0) for count in counts) if tracked == b"on" else None
