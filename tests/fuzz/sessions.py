"""The session's target: arbitrary bytes from both sides, and arbitrary answers, in any order.

The limits that bound a session are made small here, so that an input of some hundred bytes meets them all.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firewall import session, wire
from firewall.session import backend, batch, intake, portals, prepared
from firewall.session import session as state
from firewall.session.replies import Owed, weight
from tests.fuzz.dice import Dice, chunks
from tests.session.model import Model
from tests.session.playbook import BAIT, RESERVED, new_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_TEXTS = 4000
SMALL = (
    (state, "MAX_FRONTEND_FRAME", 4096),
    (state, "MAX_QUEUED", 2048),
    (batch, "MAX_BYTES", 4096),
    (batch, "MAX_EXECUTIONS", 6),
    (intake, "MAX_OWED", 40),
    (portals, "MAX_PORTALS", 5),
    (prepared, "MAX_TEXTS", MOST_TEXTS),
    (backend, "MAX_BACKEND_FRAME", 4096),
)
READ = 4096  # what a socket gives at once
# what a session may keep: the line with one read too many, texts of statements, and what is in flight
MOST_QUEUED = 4096 + 2 * READ
MOST_REPLIES = 40 + 4
MOST_NAMES = 40
MOST_OPEN = 5 + 1 + 6 + MOST_REPLIES
NOTICE = "a notice of the edge's own"
NOTICE_FRAME = wire.notice(message=NOTICE).encode()
FLOOD = b"".join(m.encode() for m in (wire.Query("SELECT 1"), wire.Sync())) * 40

SQL = (
    *(
        "SELECT 1",
        "SELECT 2",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "FAIL",
        "BAD",
        "",
        "COPY t",
        "PREPARE a AS SELECT 1",
    ),
    *("PREPARE a AS SELECT 2", "DEALLOCATE a", "DEALLOCATE ALL", "EXECUTE a", "SELECT " + "x" * 900),
)
NAMES = ("", "a", "b", RESERVED)
VALUES: tuple[tuple[bytes | None, ...], ...] = ((), (b"1",), (None,), (b"x" * 700,))
SAYS = (
    *(code + b"\0\0\0\4" for code in (b"1", b"2", b"3", b"n", b"I", b"s", b"c")),
    *(wire.ReadyForQuery(status).encode() for status in ("I", "T", "E")),  # type: ignore[arg-type]  # all of them
    *(wire.CommandComplete(tag).encode() for tag in ("SELECT 1", "DEALLOCATE ALL", "DISCARD ALL", "")),
    *(wire.error(severity=s, sqlstate="42601", message="no").encode() for s in ("ERROR", "FATAL")),
    *(code + b"\0\0\0\7\0\0\0" for code in (b"G", b"H", b"W")),
    wire.DataRow((b"x",)).encode(),
    wire.CopyData(b"x").encode(),
    wire.ParameterDescription((23,)).encode(),
    wire.RowDescription(()).encode(),
    wire.ParameterStatus("client_encoding", "LATIN1").encode(),
    wire.ParameterStatus("standard_conforming_strings", "off").encode(),
    wire.NotificationResponse(1, "c", "p").encode(),
    wire.notice(message="server").encode(),
    wire.DataRow((b"x" * 40,)).encode()[:20],
)


@contextmanager
def small_limits() -> Iterator[None]:
    before = [getattr(module, name) for module, name, _ in SMALL]
    for module, name, value in SMALL:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(SMALL, before, strict=True):
            setattr(module, name, value)


def run(data: bytes) -> None:
    """One session from its beginning to the end of the input."""
    dice = Dice(data)
    flags = dice.byte()
    with small_limits():
        world = World(dice, faithful=bool(flags & 1), cut=flags >> 1)
        while dice.left:
            world.step()
        world.flood()


@dataclass
class World:
    """What surrounds a session, its twin that gets the same bytes in pieces, and what has been promised.

    faithful: the server is the model of Postgres; otherwise it says what the input says.
    """

    dice: Dice
    faithful: bool
    cut: int
    model: Model = field(default_factory=Model)
    machine: session.Session = field(default_factory=new_session)
    twin: session.Session | None = None
    asked: list[session.Judge | session.Clear] = field(default_factory=list)
    leave: Counter[tuple[str, tuple[bytes | None, ...]]] = field(default_factory=Counter)
    judged_as: dict[str, set[str | None]] = field(default_factory=dict)
    may_run: list[session.Act] = field(default_factory=list)
    to_server: wire.Framer = field(default_factory=lambda: wire.Framer(1 << 30))
    to_client: wire.BackendCutter = field(default_factory=lambda: wire.BackendCutter(1 << 30))
    answers: bytearray = field(default_factory=bytearray)
    closed: bool = False

    def __post_init__(self) -> None:
        if self.cut:
            self.twin = new_session()

    # --- what happens

    def step(self) -> None:
        dice = self.dice
        match dice.byte() % 16:
            case 0 | 1:
                self.client(dice.sized())
            case 2 | 3 | 4:
                self.client(self._message())
            case 5:
                self.server(dice.sized())
            case 6 | 7:
                self.server(SAYS[dice.byte() % len(SAYS)])
            case 8 | 9 | 10:
                self.answer(dice.byte() % max(1, len(self.asked)), dice.byte())
            case 11:
                self.stray(dice.byte(), dice.byte())
            case 12:
                self.say(lambda m: m.cancel())
            case 13:
                self.say(lambda m: m.notice(NOTICE))
                self.say(lambda m: m.knock())
            case 14:
                self.client_goes(dice.byte())
            case _:
                self.say(lambda m: m.receive_frontend(b""))

    def client(self, data: bytes) -> None:
        if self.machine.wants_frontend:
            self.say(lambda m: m.receive_frontend(data[:READ]), data[:READ], "receive_frontend")

    def server(self, data: bytes) -> None:
        if self.faithful:
            data, self.answers = bytes(self.answers), bytearray()
        self.say(lambda m: m.receive_backend(data), data, "receive_backend")

    def client_goes(self, way: int) -> None:
        ends: tuple[Callable[[session.Session], list[session.Command]], ...] = (
            lambda m: m.frontend_lost(),
            lambda m: m.backend_lost(),
            lambda m: m.shut_down(),
            lambda m: m.shut_down(at_once=False),
            lambda m: m.failed("a bug"),
        )
        self.say(ends[way % len(ends)])

    def answer(self, at: int, how: int) -> None:
        """The edge answers one of the questions that are open."""
        if not self.asked:
            return
        task = self.asked.pop(at)
        if isinstance(task, session.Judge):
            ruling = self._ruling(task, how)
            self.say(lambda m: m.ruled(task.ticket, ruling))
        elif how % 3:
            self.may_run += task.acts
            for act in task.acts:
                self.leave[act.sql, act.parameters] += 1
            self.say(lambda m: m.cleared(task.ticket))
        else:
            self.say(lambda m: m.refused(task.ticket, session.Refusal("42501", "no \0 \ud800")))

    def stray(self, ticket: int, what: int) -> None:
        """The edge answers what it was not asked, or has answered already."""
        if any(task.ticket == ticket for task in self.asked):
            return
        refusal = session.Refusal("42501", "no")
        strays: tuple[Callable[[session.Session], list[session.Command]], ...] = (
            lambda m: m.cleared(ticket),
            lambda m: m.refused(ticket, refusal),
            lambda m: m.ruled(ticket, session.Ruling(session.Action.ALLOW, facts="facts")),
        )
        self.say(strays[what % len(strays)])

    def flood(self) -> None:
        """A client that never stops is no longer read from, as long as nobody answers what it asked.

        After its Terminate it may say what it likes: nothing of it is kept.
        """
        self.twin = None
        if self.machine._line.leaves:
            before = self.machine._line.size
            self.client(FLOOD)
            assert self.machine._line.size == before
            return
        for _ in range(64):
            if not self.machine.wants_frontend:
                return
            self.client(FLOOD)
        raise AssertionError("a flooded session still wants more")

    # --- what is drawn

    def _message(self) -> bytes:
        dice = self.dice
        kind, what = dice.byte(), dice.byte()
        sql, name, values = SQL[what % len(SQL)], NAMES[what % len(NAMES)], VALUES[what // 4 % len(VALUES)]
        message: wire.FrontendMessage
        match kind % 12:
            case 0 | 1:
                message = wire.Query(sql)
            case 2:
                message = wire.Parse(NAMES[kind // 12 % 4], sql)
            case 3 | 4:
                message = wire.Bind(NAMES[kind // 12 % 4], name, values=values)
            case 5:
                message = wire.Execute(name, kind // 12 % 2)
            case 6:
                message = wire.Describe("S" if kind // 12 % 2 else "P", name)
            case 7:
                message = wire.Close("S" if kind // 12 % 2 else "P", name)
            case 8 | 9:
                message = wire.Sync()
            case 10:
                message = (wire.Flush(), wire.CopyData(b"x"), wire.CopyDone(), wire.CopyFail("no"))[what % 4]
            case _:
                message = (wire.FunctionCall(1), wire.Terminate(), wire.SASLResponse(b"x"))[what % 3]
        return message.encode()

    def _ruling(self, judge: session.Judge, how: int) -> session.Ruling:
        word, _, rest = judge.sql.partition(" ")
        prepares: tuple[tuple[str, str], ...] = ()
        if word == "EXECUTE":
            self.judged_as.setdefault(judge.sql, set()).add(judge.prepared.get(rest))
        elif word == "PREPARE" and " AS " in rest:
            name, _, text = rest.partition(" AS ")
            prepares = ((name, text),)
        return session.Ruling(
            tuple(session.Action)[how % 3],
            native=bool(how & 4),
            single=bool(how & 8),
            changes_catalog=bool(how & 16),
            loses_names=how & 24 == 24,
            facts="other" if how & 32 else "facts",
            prepares=prepares,
        )

    # --- what must hold

    def say(
        self,
        event: Callable[[session.Session], list[session.Command]],
        data: bytes = b"",
        method: str = "",
    ) -> None:
        commands = event(self.machine)
        if self.twin is not None:
            feed = getattr(self.twin, method) if method else None
            # long data in longer pieces: it is the number of steps that costs time
            cut = chunks(data, self.cut, scale=1 + len(data) // 64)
            pieces = [c for piece in cut for c in feed(piece)] if feed else event(self.twin)
            # INVARIANT: 2. any chunking of the input gives the same commands
            assert _joined(pieces) == _joined(commands)
            assert self.twin.wants_frontend == self.machine.wants_frontend
        for command in commands:
            self._said(command)
        self._bounded()

    def _said(self, command: session.Command) -> None:
        if self.closed:
            # for the record alone: whoever waited for leave learns that nothing ran
            assert isinstance(command, session.Done)
            assert not command.tags
        match command:
            case session.ToFrontend(data):
                self.to_client.feed(data)
            case session.ToBackend(data):
                for frame in self.to_server.feed(data):
                    message = wire.decode_frontend(frame)
                    self._reaches_server(message)
                    if self.faithful and not isinstance(message, wire.Terminate):
                        self.answers += self.model.receive(frame.raw)
                # INVARIANT: 1. whole frames only
                assert not self.to_server.pending
                self._ran()
            case session.Judge() | session.Clear():
                self.asked.append(command)
            case session.Close():
                self.closed = True
                assert not self.machine.wants_frontend

    def _reaches_server(self, message: wire.FrontendMessage) -> None:
        # INVARIANT: 1. nothing that runs, but what was cleared; 3. what is refused never reaches Postgres
        match message:
            case wire.Query(sql) if not sql.startswith(BAIT):
                self._spend(lambda act: act.sql == sql and not act.parameters)
            case wire.Bind(_, statement, formats, values):
                assert statement != RESERVED
                self._spend(lambda act: act.parameters == values and act.formats == formats)
            case (
                wire.FunctionCall()
                | wire.PasswordMessage()
                | wire.SASLInitialResponse()
                | wire.SASLResponse()
            ):
                raise AssertionError(f"{type(message).__name__} was passed on")

    def _spend(self, fits: Callable[[session.Act], bool]) -> None:
        # INVARIANT: 6. a decision releases one execution
        for act in self.may_run:
            if fits(act):
                self.may_run.remove(act)
                return
        raise AssertionError("something runs that was not cleared")

    def _ran(self) -> None:
        ran = Counter(run for run in self.model.ran if not run[0].startswith(BAIT))
        assert ran <= self.leave
        for text, meant in self.model.executed:
            assert meant in self.judged_as[text]

    def _bounded(self) -> None:
        machine = self.machine
        inside = machine._backend
        assert machine._line.size <= MOST_QUEUED
        assert machine._framer.pending <= 4096
        assert inside._cutter.pending <= 4096
        assert len(inside.replies) <= MOST_REPLIES
        assert len(inside._open) <= MOST_OPEN
        assert len(inside.portals._portals) <= 5
        texts = sum(weight(known.text, known.types) for known in inside.prepared._known.values())
        flying = sum(weight(reply.sql, reply.types) for reply in inside.replies if reply.owed is Owed.PARSE)
        assert texts + flying <= MOST_TEXTS + READ, (texts, flying)
        assert len(inside.prepared._known) <= MOST_NAMES


def _joined(commands: list[session.Command]) -> tuple[bytes, bytes, list[session.Command]]:
    """Bytes for either side and the rest; a notice may come sooner or later."""
    client = b"".join(c.data for c in commands if isinstance(c, session.ToFrontend))
    server = b"".join(c.data for c in commands if isinstance(c, session.ToBackend))
    rest = [c for c in commands if not isinstance(c, session.ToFrontend | session.ToBackend)]
    return client.replace(NOTICE_FRAME, b""), server, rest
