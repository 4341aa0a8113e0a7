"""Random clients against a small model of Postgres, with random verdicts, at any chunking and any pace."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from firewall import session, wire
from firewall.session.intake import MAX_OWED
from firewall.session.session import MAX_QUEUED
from tests.session.model import SECRET, Model
from tests.session.playbook import BAIT, RESERVED

if TYPE_CHECKING:
    from collections.abc import Callable

ALLOW, HOLD, DENY = session.Action
TEXTS = (
    *("SELECT allow", "SELECT hold", "SELECT deny", "SELECT approved", "BEGIN", "COMMIT", "ROLLBACK"),
    *("FAIL allow", "FAIL approved", "BAD allow", "BAD hold", "BAD deny", "BAD native"),
)
# nothing was judged to show column 2 of relation 7, which is what the model's secrets come from
WATCH = session.Watch({7: 2}, {(7, 0), (7, 2)}, frozenset())
COPIES = ("COPY allow", "COPY hold", "COPY approved")


def action(text: str) -> session.Action:
    """The verdict that stands in the text. `approved` is a hold that gets leave, `hold` one that does not."""
    last = text.rpartition(" ")[2]
    return {"hold": HOLD, "approved": HOLD, "native": HOLD, "deny": DENY}.get(last, ALLOW)


def allowed(text: str) -> bool:
    return action(text) is ALLOW or text.endswith("approved")


def refused_by_policy(text: str, status: str, simple: bool) -> str | None:
    """What a Postgres that had the policy built in would say: rejected where the firewall refuses."""
    if allowed(text):
        return None
    if action(text) is HOLD and (status == "E" or (simple and text.startswith("BAD"))):
        return None  # Postgres speaks first
    return "42501"


@dataclass
class World:
    """Client, session and model, and the bytes under way between them."""

    script: bytes
    dice: random.Random
    model: Model = field(default_factory=Model)
    machine: session.Session = field(
        default_factory=lambda: session.Session(reserved=RESERVED, facts=0, parameters={})
    )
    to_server: bytearray = field(default_factory=bytearray)
    to_machine: bytearray = field(default_factory=bytearray)
    seen: bytearray = field(default_factory=bytearray)
    sent: bytearray = field(default_factory=bytearray)
    todo: list[session.Judge | session.Clear] = field(default_factory=list)
    leave: Counter[tuple[str, tuple[bytes | None, ...]]] = field(default_factory=Counter)
    judged_as: dict[str, set[str | None]] = field(default_factory=dict)
    refusals: int = 0
    closed: str = ""
    by_lane: int = 0
    rests: list[int] = field(default_factory=list)
    patient: int = 0
    bounds: session.Bounds | None = None
    cancels: int = 0
    cancelled: int = 0

    def __post_init__(self) -> None:
        """How many bytes are left behind each Sync and Query; and whether the client waits for answers."""
        self.patient = self.dice.randrange(2)
        left = len(self.script)
        try:
            frames = wire.Framer(1 << 30).feed(self.script)
        except wire.BrokenFraming as broken:
            frames = [frame for frame in broken.before if isinstance(frame, wire.Frame)]
        for frame in frames:
            left -= len(frame.raw)
            if frame.code in b"SQ":
                self.rests.append(left)

    longest: int = 0

    def run(self) -> None:
        """Until nothing more can happen."""
        self.machine_says([])
        while steps := self._steps():
            self.dice.choice(steps)()

    def _steps(self) -> list[Callable[[], None]]:
        steps: list[Callable[[], None]] = []
        waits = self.patient and (self.todo or self.to_server or self.to_machine)
        if self.script and self.machine.wants_frontend and not waits:
            steps.append(self._client)
        if self.to_server:
            steps.append(self._server)
        if self.to_machine:
            steps.append(self._answers)
        if self.todo:
            steps.append(self._decide)
        if self.cancels > self.cancelled:
            steps.append(self._cancelled)
        return steps

    def _cut(self, length: int) -> int:
        if self.patient and self.dice.randrange(4):
            return length
        return self.dice.choice((1, 3, 17, 100, length))

    def _client(self) -> None:
        n = self._batch() if self.patient else len(self.script)
        n = self._cut(n)
        data, self.script = self.script[:n], self.script[n:]
        lane = self.machine.lane
        text = lane.look(data)
        if text is None:
            self.machine_says(self.machine.receive_frontend(data))
        elif self.dice.randrange(4):
            assert isinstance(text, str)
            values = wire.Bind.decode(lane.bind[wire.HEADER :]).values if lane.bind else ()
            self.leave[text, values] += 1
            lane.enter()
            self.by_lane += 1
            self.to_server += data
            self.sent += data
        else:
            lane.forget()
            self.machine_says(self.machine.receive_frontend(data))

    def _batch(self) -> int:
        """Bytes up to the end of the next Sync or Query, as drivers send them."""
        left = len(self.script)
        return next((left - rest for rest in self.rests if rest < left), left)

    def _server(self) -> None:
        n = self._cut(len(self.to_server))
        data = bytes(self.to_server[:n])
        del self.to_server[:n]
        self.to_machine += self.model.receive(data)
        # INVARIANT: 1, 6. what Postgres bound or ran had leave, under the text that Postgres knows it by
        ran = Counter(run for run in self.model.ran if not run[0].startswith(BAIT))
        assert ran <= self.leave
        for text, meant in self.model.executed:
            assert meant in self.judged_as[text]

    def _answers(self) -> None:
        n = self._cut(len(self.to_machine))
        data = bytes(self.to_machine[:n])
        del self.to_machine[:n]
        if self.machine.lane.leaves(data):
            self.seen += data
        else:
            self.machine_says(self.machine.receive_backend(data))

    def _cancelled(self) -> None:
        """A cancel of the session's own is over; it came too late."""
        self.cancelled += 1
        self.machine_says(self.machine.cancelled())

    def _decide(self) -> None:
        task = self.todo.pop(0)
        if isinstance(task, session.Judge):
            self.machine_says(self.machine.ruled(task.ticket, self._ruling(task)))
        elif all(allowed(str(task.ruling.judgement)) for _ in task.acts):
            for act in task.acts:
                self.leave[act.sql, act.parameters] += 1
            sql = task.acts[0].sql
            # as `proxy.standing` has it: what an EXECUTE runs may be another text the next time
            may = action(sql) is ALLOW and len(task.acts) == 1 and not sql.startswith("EXECUTE")
            stands = sql if may and self.bounds is None and self.dice.randrange(4) else None
            ends = sql in {"BEGIN", "COMMIT", "ROLLBACK"}  # as `proxy.clearance` has it
            self.machine_says(self.machine.cleared(task.ticket, stands, None if ends else self.bounds))
        else:
            self.refusals += 1
            refusal = session.Refusal("42501", "refused")
            self.machine_says(self.machine.refused(task.ticket, refusal))

    def _ruling(self, judge: session.Judge) -> session.Ruling:
        word, _, rest = judge.sql.partition(" ")
        judged: str = judge.sql
        prepares: tuple[tuple[str, str], ...] = ()
        if word == "EXECUTE":
            meant = judge.prepared.get(rest)
            self.judged_as.setdefault(judge.sql, set()).add(meant)
            judged = meant if meant is not None else "unknown hold"
        elif word == "PREPARE":
            name, _, text = rest.partition(" AS ")
            prepares, judged = ((name, text),), "PREPARE allow"
        native = judge.sql.endswith("native") and not judge.refresh
        return session.Ruling(
            action(judged), native=native, prepares=prepares, facts=0, judgement=judged, watch=WATCH
        )

    def machine_says(self, commands: list[session.Command]) -> None:
        for command in commands:
            match command:
                case session.ToFrontend(data):
                    self.seen += data
                case session.ToBackend(data):
                    self.to_server += data
                    self.sent += data
                case session.Judge() | session.Clear():
                    self.todo.append(command)
                case session.CancelUpstream(ours=True):
                    self.cancels += 1
                case session.Close(why):
                    self.closed = why
        machine = self.machine
        self.longest = max(self.longest, machine._line.size)
        assert len(machine._backend.replies) <= MAX_OWED + 3


def trace(data: bytes) -> list[str]:
    """What a client sees, without the words of errors."""
    said: list[str] = []
    for frame in wire.Framer(1 << 30).feed(data):
        code = chr(frame.code)
        if code == "Z":
            code += wire.ReadyForQuery.decode(frame.body).status
        elif code == "C":
            code += wire.CommandComplete.decode(frame.body).tag
        said.append(code)
    return said


values = st.sampled_from([(), (b"1",), (None,)])


@st.composite
def extended(draw: st.DrawFn) -> list[wire.FrontendMessage]:
    """One statement by the extended protocol, in one of the ways that drivers do it."""
    text = draw(st.sampled_from(TEXTS))
    name = draw(st.sampled_from(["", "", "a", "b"]))
    portal = draw(st.sampled_from(["", "", "p"]))
    messages: list[wire.FrontendMessage] = []
    if name and draw(st.booleans()):
        messages.append(wire.Close("S", name))
    if not name or draw(st.booleans()):
        messages.append(wire.Parse(name, text))
    if draw(st.booleans()):
        messages.append(wire.Describe("S", name))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 3]))):
        messages.append(wire.Bind(portal, name, values=draw(values)))
        if draw(st.booleans()):
            messages.append(wire.Describe("P", portal))
        messages.append(wire.Execute(portal, draw(st.sampled_from([0, 0, 1]))))
        if draw(st.integers(0, 4)) == 0:
            messages.append(wire.Execute(portal))
        if portal:
            messages.append(wire.Close("P", portal))
    end: tuple[wire.FrontendMessage, ...] = draw(
        st.sampled_from([(wire.Sync(),), (wire.Sync(),), (), (wire.Flush(),), (wire.Sync(), wire.Sync())])
    )
    return [*messages, *end]


copy_end = st.sampled_from([wire.CopyDone(), wire.CopyFail("no")])


@st.composite
def copying(draw: st.DrawFn) -> list[wire.FrontendMessage]:
    """A COPY as libpq does it, without waiting for the server's word."""
    text = draw(st.sampled_from(COPIES))
    data = [wire.CopyData(b"x")] * draw(st.integers(0, 3))
    end = draw(copy_end)
    if draw(st.booleans()):
        # behind Sync, so that no batch that has failed leaves the Query out and takes data for messages
        return [wire.Sync(), wire.Query(text), *data, end]
    start = [wire.Sync(), wire.Parse("", text), wire.Bind("", ""), wire.Execute(""), wire.Sync()]
    return [*start, *data, end, wire.Sync()]


AGAIN: list[list[wire.FrontendMessage]] = [
    *([wire.Bind("", "a", values=given), wire.Execute(""), wire.Sync()] for given in [(), (b"1",), (None,)]),
    [wire.Bind("", "a"), wire.Describe("P", ""), wire.Execute(""), wire.Sync()],
    [wire.Parse("", "SELECT allow"), wire.Bind("", ""), wire.Execute(""), wire.Sync()],
    [wire.Parse("", "SELECT other allow"), wire.Bind("", ""), wire.Execute(""), wire.Sync()],
    [wire.Bind("", ""), wire.Execute(""), wire.Sync()],
    *([wire.Query(text)] for text in ("SELECT allow", "BEGIN", "COMMIT", "FAIL allow", "DEALLOCATE ALL")),
    [wire.Close("S", "a"), wire.Sync()],
    *([wire.Parse("a", text), wire.Sync()] for text in ("SELECT allow", "FAIL allow", "SELECT deny")),
    [wire.Bind("", "a"), wire.Execute("", 1), wire.Sync()],
    [wire.Execute(""), wire.Sync()],
]
simple = st.sampled_from(TEXTS).map(lambda text: [wire.Query(text)])
scripts = st.lists(st.one_of(extended(), simple, copying()), max_size=8)
one_name = st.sampled_from(
    [
        *([wire.Parse("a", text)] for text in ("SELECT allow", "SELECT deny", "SELECT approved")),
        [wire.Bind("", "a"), wire.Execute("")],
        [wire.Bind("", "a"), wire.Execute("")],
        [wire.Close("S", "a")],
        [wire.Sync()],
        [wire.Sync()],
    ]
)
by_sql = st.sampled_from(
    ["PREPARE a AS SELECT allow", "PREPARE a AS SELECT deny", "DEALLOCATE a", "EXECUTE a", "DEALLOCATE ALL"]
).map(lambda text: [wire.Query(text)])
names_by_protocol = st.lists(one_name, min_size=4, max_size=14)
names_by_both = st.lists(st.one_of(one_name, by_sql), min_size=4, max_size=14)


secrets = st.sampled_from(["SELECT secret allow", "SELECT secret approved"])


@st.composite
def telling(draw: st.DrawFn) -> list[wire.FrontendMessage]:
    """A statement with a result that was not announced, asked for in any way."""
    text = draw(secrets)
    if draw(st.booleans()):
        return [wire.Sync(), wire.Query(text)]
    messages: list[wire.FrontendMessage] = [wire.Sync(), wire.Parse("", text)]
    if draw(st.booleans()):
        messages.append(wire.Describe("S", ""))
    for _ in range(draw(st.integers(1, 3))):
        messages.append(wire.Bind("", ""))
        if draw(st.booleans()):
            messages.append(wire.Describe("P", ""))
        messages += [wire.Execute("", draw(st.sampled_from([0, 1])))] * draw(st.integers(1, 2))
    return [*messages, wire.Sync()]


def encoded(script: list[list[wire.FrontendMessage]]) -> bytes:
    messages = [message for part in script for message in part]
    return b"".join(message.encode() for message in [*messages, wire.Sync()])


@settings(max_examples=400)
@given(scripts, st.integers(0, 2**32))
def test_a_refusal_is_what_postgres_would_do_if_it_had_the_policy(
    script: list[list[wire.FrontendMessage]], seed: int
) -> None:
    """INVARIANT: 1, 2, 3, 8. The client sees what it would see of a Postgres that itself refuses."""
    data = encoded(script)
    native = Model(refuses=refused_by_policy).receive(data)
    world = World(data, random.Random(seed))
    world.run()
    assert not world.closed
    assert world.machine.idle
    assert trace(bytes(world.seen)) == trace(native)
    assert not any(text.endswith(("deny", "hold", "native")) for text, _ in world.model.ran)


def test_what_takes_the_lane_is_what_postgres_would_do() -> None:
    """INVARIANT: 1, 2, 8. The same for clients that say the same again and again."""
    by_lane = 0

    @settings(max_examples=300)
    @given(st.integers(0, 2**64))
    def play(seed: int) -> None:
        nonlocal by_lane
        dice = random.Random(seed)
        some = dice.sample(AGAIN, 4)
        script = dice.choices(some, k=30)
        data = encoded([[wire.Parse("a", "SELECT allow"), wire.Sync()], *script])
        native = Model(refuses=refused_by_policy).receive(data)
        world = World(data, dice)
        world.run()
        by_lane += world.by_lane
        assert not world.closed
        assert world.machine.idle
        assert trace(bytes(world.seen)) == trace(native)
        assert ("SELECT deny", ()) not in world.model.ran

    play()
    assert by_lane > 200, "the lane was hardly tried"


def bounds(most: int | None, masking: session.Masking | None = None) -> session.Bounds:
    beyond, late = session.Refusal("QF005", "too many"), session.Refusal("QF006", "late")
    return session.Bounds(most, None, beyond, late, masking)


def without_portals_across_queries(script: list[list[wire.FrontendMessage]]) -> list[wire.FrontendMessage]:
    """A Query ends the unnamed portal, which a bounded one leaves as it was; so nobody asks for it."""
    messages: list[wire.FrontendMessage] = []
    for message in (message for part in script for message in part):
        if isinstance(message, wire.Query):
            messages.append(wire.Close("P", ""))
        messages.append(message)
    return [*messages, wire.Sync()]


@settings(max_examples=300)
@given(scripts, st.integers(0, 2**32))
def test_bounds_that_are_kept_are_not_seen(script: list[list[wire.FrontendMessage]], seed: int) -> None:
    """INVARIANT: 1, 2, 8. The client sees what it would see without them."""
    data = b"".join(message.encode() for message in without_portals_across_queries(script))
    native = Model(refuses=refused_by_policy).receive(data)
    world = World(data, random.Random(seed), bounds=bounds(1000))
    world.run()
    assert not world.closed
    assert world.machine.idle
    assert trace(bytes(world.seen)) == trace(native)


@settings(max_examples=300)
@given(scripts, st.integers(0, 2**32))
def test_no_value_comes_through_its_mask_however_it_is_asked_for(
    script: list[list[wire.FrontendMessage]], seed: int
) -> None:
    """INVARIANT: 2, 3, 8. At any chunking; but for the values the client sees what it would see without."""
    places = frozenset({(7, 1), (7, 2)})
    masking = session.Masking((session.Mask(session.Form.NULL),), places, places, b"key")
    data = b"".join(message.encode() for message in without_portals_across_queries(script))
    native = Model(refuses=refused_by_policy).receive(data)
    world = World(data, random.Random(seed), bounds=bounds(None, masking))
    world.run()
    assert not world.closed
    assert world.machine.idle
    assert trace(bytes(world.seen)) == trace(native)
    for frame in wire.Framer(1 << 20).feed(bytes(world.seen)):
        if frame.code == wire.DataRow.CODE:
            assert wire.DataRow.decode(frame.body).values == (None,)


@settings(max_examples=300)
@given(scripts, st.integers(0, 2**32))
def test_no_row_beyond_its_bounds_comes_however_it_is_asked_for(
    script: list[list[wire.FrontendMessage]], seed: int
) -> None:
    """INVARIANT: 3, 8. Also where every cancel comes too late."""
    world = World(encoded(script), random.Random(seed), bounds=bounds(0))
    world.run()
    assert not world.closed
    assert world.machine.idle
    assert "D" not in trace(bytes(world.seen))


@settings(max_examples=300)
@given(scripts, telling(), scripts, st.integers(0, 2**32))
def test_no_row_comes_of_a_result_that_was_not_announced(
    before: list[list[wire.FrontendMessage]],
    secret: list[wire.FrontendMessage],
    after: list[list[wire.FrontendMessage]],
    seed: int,
) -> None:
    """INVARIANT: 3. However it is asked for, and whatever goes before it."""
    script = [*before, secret, *after]
    sent = Model(refuses=refused_by_policy)
    world = World(encoded(script), random.Random(seed))
    world.run()
    assert SECRET not in world.seen
    assert bool(world.closed) is (SECRET in sent.receive(encoded(script)))
    if world.closed:
        assert trace(bytes(world.seen))[-1] == "E"


def _nothing_runs_as_another(script: list[list[wire.FrontendMessage]], seed: int) -> None:
    world = World(encoded(script), random.Random(seed))
    world.run()
    assert not world.closed
    assert world.machine.idle
    assert ("SELECT deny", ()) not in world.model.ran


@settings(max_examples=500)
@given(names_by_protocol, st.integers(0, 2**32))
def test_nothing_runs_under_another_text_than_it_was_judged_by(
    script: list[list[wire.FrontendMessage]], seed: int
) -> None:
    """INVARIANT: 1, 6. Whatever a client does to the names of its statements."""
    _nothing_runs_as_another(script, seed)


_QUERIES = ("DEALLOCATE ALL", "PREPARE a AS SELECT deny", "PREPARE a AS SELECT allow")
# the second PREPARE is the one that lasts; its name had the same text before the DEALLOCATE was answered
PREPARED_BEHIND_A_DEALLOCATE: list[list[wire.FrontendMessage]] = [
    [wire.Parse("a", "SELECT deny")],
    *([wire.Query("PREPARE a AS SELECT deny")] for _ in range(3)),
    *([wire.Query(text)] for text in _QUERIES),
    [wire.Bind("", "a"), wire.Execute("")],
]


@settings(max_examples=500)
@given(names_by_both, st.integers(0, 2**32))
@example(PREPARED_BEHIND_A_DEALLOCATE, 5)
def test_nor_when_sql_prepares_and_executes(script: list[list[wire.FrontendMessage]], seed: int) -> None:
    """INVARIANT: 1, 6. SQL's PREPARE and EXECUTE share the protocol's names."""
    _nothing_runs_as_another(script, seed)


@settings(max_examples=100)
@given(scripts, st.integers(0, 2**32), st.integers(0, 2**32))
def test_chunks_and_pace_change_nothing(
    script: list[list[wire.FrontendMessage]], one: int, other: int
) -> None:
    """INVARIANT: 2. The client sees the same however bytes and answers come, but for the words of errors."""
    seen = []
    for seed in (one, other):
        world = World(encoded(script), random.Random(seed))
        world.run()
        seen.append(trace(bytes(world.seen)))
    assert seen[0] == seen[1]


@settings(max_examples=100)
@given(st.binary(max_size=60), scripts, st.integers(0, 2**32))
def test_any_bytes_are_answered_or_end_the_session(
    junk: bytes, script: list[list[wire.FrontendMessage]], seed: int
) -> None:
    """INVARIANT: 9. Nothing a client sends is an error of ours."""
    world = World(encoded(script)[:-5] + junk, random.Random(seed))
    world.run()
    if world.closed:
        assert wire.Framer(1 << 30).feed(bytes(world.seen))[-1:] == [] or trace(bytes(world.seen))[-1] in "EZ"


@settings(max_examples=20)
@given(st.integers(10_000, 200_000), st.integers(0, 2**32))
def test_what_waits_is_bounded(size: int, seed: int) -> None:
    """The line holds what was asked for, and one read and one frame more."""
    read = 65_536
    data = wire.Query("SELECT " + "x" * size + " approved").encode()
    world = World(data * (3 * MAX_QUEUED // size + 2), random.Random(seed))
    world._cut = lambda _: read  # type: ignore[method-assign]  # as much as a socket gives at once
    while world.script and world.machine.wants_frontend:
        world._client()
    assert world.longest <= MAX_QUEUED + read + len(data)
    world.run()
    assert not world.script
    assert world.machine.idle
