"""The desk over a real store: one decision, at most one run, and no say for whoever asked."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from firewall import audit, clock, ids
from firewall.approval import Counted, Hold, Person, Refused, State
from firewall.desk import Desk
from firewall.errors import StoreError
from firewall.policy import Terms
from firewall.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEY = audit.SigningKey("log.test", bytes(range(32)))
START = datetime(2030, 1, 1, tzinfo=UTC)
PEOPLE = {
    name.casefold(): Person(name, frozenset(groups))
    for name, groups in {
        "Ann": {"dba"},
        "bob": {"dba"},
        "eve": {"dba", "sales"},
        "kim": {"sales"},
        "bot": {"dba"},
    }.items()
}
DECIDED = (State.APPROVED, State.CONSUMED, State.LAPSED)


def people(name: str, database: str) -> Person | None:
    return PEOPLE.get(name.casefold()) if database == "shop" else None


@dataclass
class Clock:
    """Stands still until it is moved."""

    time: datetime = START

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(clock, "now", stopped.now)
    return stopped


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{tmp_path}/store.db", origin=KEY.name, key=KEY) as opened:
        yield opened


@pytest.fixture
def desk(store: Store, time: Clock) -> Desk:
    return Desk(store, people)


def make(opened: datetime = START, **fields: object) -> Hold:
    hold = Hold(
        id=ids.hold_id(),
        digest="ab" * 32,
        state=State.PENDING,
        opened_at=opened,
        expires_at=opened + timedelta(minutes=15),
        session="s-1",
        statement="q-1",
        agent="bot",
        owner="ann",
        database="shop",
        environment="production",
        role="reader",
        sql="DELETE FROM orders",
        parameters=(),
        rule="writes",
        reasons=(),
        effects=(),
        labels=(),
        risk="high",
        groups=("dba",),
        quorum=1,
        requesters=frozenset({"ann", "bot"}),
        revision="1",
    )
    return replace(hold, **fields)


def release(hold: Hold) -> audit.Release:
    return audit.Release(
        id=ids.record_id(),
        at=clock.stamp(clock.now()),
        hold=hold.id,
        agent=hold.agent,
        digest=hold.digest,
        leave=f"hold {hold.id}",
    )


async def kinds(store: Store, hold: Hold) -> list[str]:
    """What the log says of a hold, in the order in which it was written."""
    records = [audit.decode(row.bytes, row.private) async for row in store.records()]
    return [record.kind for record in records if record.hold == hold.id]


async def vote(desk: Desk, hold: Hold, person: str, *, approve: bool = True) -> Counted | Refused:
    return await desk.vote(hold.id, person, approve=approve, reason="", channel="cli")


async def test_an_approval_is_spent_once(desk: Desk, store: Store) -> None:
    hold = make()
    await desk.open(hold)
    assert not await desk.consume(hold.id, hold.digest, [release(hold)])
    assert isinstance(await vote(desk, hold, "bob"), Counted)
    assert not await desk.consume(hold.id, "cd" * 32, [release(hold)])
    spent = await asyncio.gather(*(desk.consume(hold.id, hold.digest, [release(hold)]) for _ in range(5)))
    assert sorted(spent) == [False] * 4 + [True]
    assert await kinds(store, hold) == ["hold", "vote", "decision", "release"]
    await desk.note_outcome(hold.id, "DELETE 3")
    await desk.note_outcome(hold.id, "DELETE 4")
    kept = await desk.hold(hold.id)
    assert (kept.state, kept.outcome) == (State.CONSUMED, "DELETE 3")
    assert (await store.verify([KEY.public])).sound


@pytest.mark.parametrize(
    ("person", "said"),
    [
        ("ANN", "you asked for this yourself"),
        ("bot", "you asked for this yourself"),
        ("kim", "none of the groups"),
        ("stranger", "`stranger` is not an approver"),
    ],
)
async def test_a_vote_that_does_not_count_is_recorded(
    desk: Desk, store: Store, person: str, said: str
) -> None:
    hold = make()
    await desk.open(hold)
    word = await vote(desk, hold, person)
    assert isinstance(word, Refused)
    assert said in word.why
    assert (await desk.hold(hold.id)).state is State.PENDING
    _, record = await store.hold_records(hold.id)
    assert isinstance(record, audit.Vote)
    assert (record.counted, record.why) == (False, word.why)


async def test_authority_is_that_of_the_holds_own_database(desk: Desk) -> None:
    hold = make(database="payroll")
    await desk.open(hold)
    assert isinstance(await vote(desk, hold, "bob"), Refused)


async def test_a_vote_on_something_else_than_was_shown_is_refused(desk: Desk) -> None:
    hold = make()
    await desk.open(hold)
    for digest, expected in (("cd" * 32, Refused), (hold.digest, Counted)):
        word = await desk.vote(hold.id, "bob", approve=True, reason="", channel="web", digest=digest)
        assert isinstance(word, expected)
    assert isinstance(await desk.vote("h-none", "bob", approve=True, reason="", channel="web"), Refused)


async def test_of_many_votes_at_once_as_many_count_as_are_needed(desk: Desk, store: Store) -> None:
    hold = make(quorum=2)
    await desk.open(hold)
    words = await asyncio.gather(
        *(vote(desk, hold, person) for person in ("bob", "eve", "bob", "eve", "bob"))
    )
    assert sum(isinstance(word, Counted) for word in words) == 2
    kept = await desk.hold(hold.id)
    assert (kept.state, sorted(v.person for v in kept.votes)) == (State.APPROVED, ["bob", "eve"])
    assert (await kinds(store, hold)).count("decision") == 1
    assert (await kinds(store, hold)).count("vote") == 5


async def test_a_name_is_kept_as_the_policy_writes_it(desk: Desk) -> None:
    hold = make(requesters=frozenset({"bot"}))
    await desk.open(hold)
    await vote(desk, hold, "aNN")
    assert (await desk.hold(hold.id)).decided_by == "Ann"


async def test_whoever_waits_is_told(desk: Desk) -> None:
    hold, other = make(), make()
    await desk.open(hold)
    await desk.open(other)
    waiting = [asyncio.create_task(desk.settled(hold.id)) for _ in range(3)]
    await asyncio.sleep(0)
    await vote(desk, other, "bob")
    assert not any(task.done() for task in waiting)
    await vote(desk, hold, "bob", approve=False)
    assert {told.state for told in await asyncio.gather(*waiting)} == {State.REJECTED}
    # and whoever asks when it is over, at once
    assert (await desk.settled(hold.id)).state is State.REJECTED
    with pytest.raises(KeyError):
        await desk.settled("h-none")
    assert desk._waiting == {}
    assert desk._pending == {}


async def test_a_waiter_that_goes_away_is_forgotten(desk: Desk) -> None:
    hold = make()
    await desk.open(hold)
    waiting = asyncio.create_task(desk.settled(hold.id))
    while not desk._waiting:
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert desk._waiting == {}
    assert isinstance(await vote(desk, hold, "bob"), Counted)


async def test_a_hold_expires_by_itself(desk: Desk, store: Store, time: Clock) -> None:
    hold, later = make(), make(START + timedelta(minutes=1))
    await desk.open(hold)
    await desk.open(later)
    waiting = asyncio.create_task(desk.settled(hold.id))
    time.time += timedelta(minutes=15)
    await desk.sweep()
    assert (await waiting).state is State.EXPIRED
    assert isinstance(await vote(desk, hold, "bob"), Refused)
    assert (await desk.hold(later.id)).state is State.PENDING
    assert (await kinds(store, hold))[:2] == ["hold", "decision"]


async def test_what_others_did_is_noticed(desk: Desk, store: Store) -> None:
    other = Desk(store, people)
    heard: list[tuple[str, State, int]] = []
    unlisten = desk.listen(lambda hold: heard.append((hold.id, hold.state, len(hold.votes))))
    hold = make(quorum=2)
    await other.open(hold)
    await desk.sweep()
    await desk.sweep()
    await vote(other, hold, "bob")
    await desk.sweep()
    waiting = asyncio.create_task(desk.settled(hold.id))
    await vote(other, hold, "eve")
    await desk.sweep()
    assert (await waiting).state is State.APPROVED
    assert heard == [
        (hold.id, State.PENDING, 0),
        (hold.id, State.PENDING, 1),
        (hold.id, State.APPROVED, 2),
    ]
    unlisten()
    await other.open(make())
    await desk.sweep()
    assert len(heard) == 3


async def test_what_was_pending_before_is_watched_without_noise(
    desk: Desk, store: Store, time: Clock
) -> None:
    hold = make()
    await Desk(store, people).open(hold)
    heard: list[State] = []
    expired = asyncio.Event()

    def listener(told: Hold) -> None:
        heard.append(told.state)
        expired.set()

    desk.listen(listener)
    watching = asyncio.create_task(desk.watch())
    while hold.id not in desk._pending:
        await asyncio.sleep(0)
    time.time += timedelta(minutes=15)
    await expired.wait()
    watching.cancel()
    assert heard == [State.EXPIRED]


async def test_the_watch_outlives_a_store_that_fails(
    desk: Desk, store: Store, time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firewall.desk.WATCH_SECONDS", 0)
    hold = make()
    await desk.open(hold)
    working, failures = store.holds, 0

    async def failing(*_: object, **__: object) -> list[Hold]:
        nonlocal failures
        failures += 1
        if failures == 3:
            monkeypatch.setattr(store, "holds", working)
        raise StoreError("the disk is full")

    monkeypatch.setattr(store, "holds", failing)
    time.time += timedelta(minutes=15)
    watching = asyncio.create_task(desk.watch())
    assert (await desk.settled(hold.id)).state is State.EXPIRED
    watching.cancel()
    assert failures == 3


async def test_a_listener_that_fails_harms_nobody(desk: Desk) -> None:
    heard: list[Hold] = []

    def broken(_: Hold) -> None:
        raise RuntimeError

    desk.listen(broken)
    desk.listen(heard.append)
    hold = make()
    await desk.open(hold)
    assert isinstance(await vote(desk, hold, "bob"), Counted)
    assert len(heard) == 2


@pytest.mark.parametrize(("approved", "state"), [(False, State.WITHDRAWN), (True, State.LAPSED)])
async def test_what_the_agent_gave_up_never_runs(
    desk: Desk, store: Store, approved: bool, state: State
) -> None:
    hold = make()
    await desk.open(hold)
    if approved:
        await vote(desk, hold, "bob")
    await desk.withdraw(hold.id, "cancelled")
    assert (await desk.hold(hold.id)).state is state
    assert not await desk.consume(hold.id, hold.digest, [release(hold)])
    assert isinstance(await vote(desk, hold, "bob"), Refused)
    await desk.withdraw(hold.id, "again")
    await desk.withdraw("h-none", "never was")
    assert "release" not in await kinds(store, hold)


async def test_a_hold_that_nobody_waits_for_is_good_once_for_who_comes_back(
    desk: Desk, store: Store, time: Clock
) -> None:
    hold = make(use_within=60.0)
    await desk.open(hold)
    assert await desk.resume(hold.digest, "q-2", hold.requesters) is None
    assert (await desk.leave(hold.id, "gone")).awaited is False
    assert isinstance(await vote(desk, hold, "bob"), Counted)
    assert await desk.resume("cd" * 32, "q-2", hold.requesters) is None
    # somebody else has issued its credential meanwhile
    assert await desk.resume(hold.digest, "q-2", frozenset({"ann", "bot", "bob"})) is None
    back = await asyncio.gather(*(desk.resume(hold.digest, "q-2", hold.requesters) for _ in range(3)))
    assert sum(found is not None for found in back) == 1
    assert await desk.consume(hold.id, hold.digest, [release(hold)])
    assert await desk.leave(hold.id, "gone") == await desk.hold(hold.id)
    assert (await kinds(store, hold)) == ["hold", "waiting", "vote", "decision", "waiting", "release"]


async def test_an_approval_that_nobody_uses_lapses(desk: Desk, time: Clock) -> None:
    hold = make(use_within=60.0)
    await desk.open(hold)
    await desk.leave(hold.id, "gone")
    await vote(desk, hold, "bob")
    time.time += timedelta(seconds=59)
    await desk.sweep()
    assert (await desk.hold(hold.id)).state is State.APPROVED
    time.time += timedelta(seconds=1)
    assert await desk.resume(hold.digest, "q-2", hold.requesters) is None
    await desk.sweep()
    assert (await desk.hold(hold.id)).state is State.LAPSED


async def test_a_grant_is_what_all_who_approved_let_pass(desk: Desk, store: Store, time: Clock) -> None:
    most = Terms(600.0, 10, 100)
    hold = make(quorum=2, grants=most, shape="s")
    await desk.open(hold)
    for person, terms in (("bob", Terms(60.0, 3)), ("eve", Terms(600.0, 11, 5))):
        word = await desk.vote(hold.id, person, approve=True, reason="", channel="cli", terms=terms)
        assert isinstance(word, Refused)
        assert "at most 600 s, 10 runs, 100 rows" in word.why
    for person, terms in (("bob", Terms(60.0, 3, 100)), ("eve", Terms(600.0, 10, 5))):
        word = await desk.vote(hold.id, person, approve=True, reason="", channel="cli", terms=terms)
        assert isinstance(word, Counted)
    grant = await desk.grant_for("s")
    assert (grant.uses, grant.rows, grant.until) == (3, 5, START + timedelta(seconds=60))
    assert await desk.grant_for("t") is None
    # while one run is under way nobody knows what it leaves of the rows
    assert await desk.use(grant, 1, [])
    assert not await desk.use(grant, 1, [])
    assert await desk.grant_for("s") is None
    await desk.ended(grant.id, 5, 2)
    grant = await desk.grant_for("s")
    assert (grant.used, grant.left) == (1, 3)
    assert not await desk.use(grant, 3, [])
    time.time += timedelta(seconds=60)
    assert await desk.grant_for("s") is None
    assert not await desk.use(grant, 1, [])


async def test_one_who_approves_for_once_gives_no_grant(desk: Desk) -> None:
    hold = make(quorum=2, grants=Terms(600.0, 10), shape="s")
    await desk.open(hold)
    await desk.vote(hold.id, "bob", approve=True, reason="", channel="cli", terms=Terms(60.0, 3))
    await vote(desk, hold, "eve")
    assert (await desk.hold(hold.id)).state is State.APPROVED
    assert await desk.grant_for("s") is None


# what may become of a hold in any number of steps
BECOMES = {
    State.PENDING: set(State),
    State.APPROVED: {State.APPROVED, State.CONSUMED, State.LAPSED},
    **{state: {state} for state in (State.REJECTED, State.EXPIRED, State.WITHDRAWN)},
    **{state: {state} for state in (State.CONSUMED, State.LAPSED)},
}
NAMES = st.sampled_from([*PEOPLE, "ANN", "BOB", "nobody"])


class Deciding(RuleBasedStateMachine):
    """Two firewalls on one store, any order of events, against a model of what comes of each."""

    holds = Bundle("holds")
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.time = Clock()
        self.real, clock.now = clock.now, self.time.now
        self.store = self.runner.run(Store.open(self.url, origin=KEY.name, key=KEY))
        self.desks = [Desk(self.store, people), Desk(self.store, people)]
        self.opened: dict[str, Hold] = {}
        self.state: dict[str, State] = {}
        self.runs: dict[str, int] = {}

    @rule(target=holds, quorum=st.integers(1, 2), seconds=st.integers(10, 60), granted=st.booleans())
    def open(self, quorum: int, seconds: int, granted: bool) -> Hold:
        now = self.time.now()
        number = f"{len(self.opened):064x}"
        hold = make(
            now,
            quorum=quorum,
            digest=number,
            expires_at=now + timedelta(seconds=seconds),
            use_within=20.0,
            grants=Terms(30.0, 2) if granted else None,
            shape=number,
        )
        self.runner.run(self.desks[0].open(hold))
        self.opened[hold.id] = hold
        self.state[hold.id] = State.PENDING
        return hold

    def now(self, hold: Hold) -> Hold:
        found = self.runner.run(self.store.hold(hold.id))
        assert found is not None
        return found

    @rule(hold=holds, name=NAMES, approve=st.booleans(), uses=st.sampled_from([0, 1, 2, 3]))
    def one_vote(self, hold: Hold, name: str, approve: bool, uses: int) -> None:
        """One at a time, what comes of it is known beforehand."""
        before = self.now(hold)
        terms = Terms(30.0, uses) if uses else None
        word = self.runner.run(
            self.desks[0].vote(hold.id, name, approve=approve, reason="", channel="cli", terms=terms)
        )
        fits = terms is None or (hold.grants is not None and uses <= 2)
        entitled = name.casefold() in {"bob", "eve"} and fits
        again = any(v.person.casefold() == name.casefold() for v in before.votes)
        in_time = self.time.now() < hold.expires_at
        counts = before.state is State.PENDING and entitled and not again and in_time
        assert isinstance(word, Counted) is counts
        if counts:
            given = sum(v.approve for v in before.votes) + approve
            after = State.APPROVED if approve and given >= hold.quorum else State.PENDING
            assert self.now(hold).state is (after if approve else State.REJECTED)

    @rule(
        hold=holds,
        votes=st.lists(st.tuples(NAMES, st.booleans(), st.integers(0, 1)), min_size=2, max_size=4),
    )
    def votes_at_once(self, hold: Hold, votes: list[tuple[str, bool, int]]) -> None:
        async def together() -> None:
            await asyncio.gather(*(vote(self.desks[at], hold, name, approve=yes) for name, yes, at in votes))

        self.runner.run(together())

    @rule(hold=holds, tries=st.integers(1, 3), right=st.booleans())
    def consume(self, hold: Hold, tries: int, right: bool) -> None:
        digest = hold.digest if right else "cd" * 32
        approved = self.now(hold).state is State.APPROVED

        async def together() -> list[bool]:
            return await asyncio.gather(
                *(self.desks[at % 2].consume(hold.id, digest, [release(hold)]) for at in range(tries))
            )

        spent = sum(self.runner.run(together()))
        assert spent == (approved and right)
        self.runs[hold.id] = self.runs.get(hold.id, 0) + spent

    @rule(hold=consumes(holds))
    def withdraw(self, hold: Hold) -> None:
        before = self.now(hold).state
        self.runner.run(self.desks[0].withdraw(hold.id, "gone"))
        ends = {State.PENDING: State.WITHDRAWN, State.APPROVED: State.LAPSED}
        assert self.now(hold).state is ends.get(before, before)

    @rule(hold=holds)
    def leave(self, hold: Hold) -> None:
        before = self.now(hold)
        self.runner.run(self.desks[1].leave(hold.id, "gone"))
        stays = before.state in {State.PENDING, State.APPROVED}
        assert self.now(hold).awaited is (before.awaited and not stays)

    @rule(hold=holds, tries=st.integers(1, 3))
    def resume(self, hold: Hold, tries: int) -> None:
        before = self.now(hold)

        async def together() -> list[Hold | None]:
            return await asyncio.gather(
                *(self.desks[at % 2].resume(hold.digest, "q-2", hold.requesters) for at in range(tries))
            )

        found = [each for each in self.runner.run(together()) if each is not None]
        until = before.expires_at if before.state is State.PENDING else before.lapses_at
        lasts = before.state in {State.PENDING, State.APPROVED} and until is not None
        assert len(found) == (lasts and not before.awaited and self.time.now() < until)

    @rule(hold=holds, tries=st.integers(1, 4))
    def use(self, hold: Hold, tries: int) -> None:
        """A grant lets no more pass than it says, however many ask at once."""

        async def one(desk: Desk) -> bool:
            grant = await desk.grant_for(hold.shape)
            return grant is not None and await desk.use(grant, 1, [])

        async def together() -> list[bool]:
            return await asyncio.gather(*(one(self.desks[at % 2]) for at in range(tries)))

        before = self.runner.run(self.store.grants(shape=hold.shape))
        used = sum(self.runner.run(together()))
        [after] = self.runner.run(self.store.grants(shape=hold.shape)) or [None]
        assert (after.used if after else 0) == (before[0].used if before else 0) + used
        assert after is None or after.used <= after.uses <= 2

    @rule(seconds=st.integers(1, 40), at=st.integers(0, 1))
    def wait(self, seconds: int, at: int) -> None:
        self.time.time += timedelta(seconds=seconds)
        self.runner.run(self.desks[at].sweep())
        for hold in self.runner.run(self.store.holds([State.PENDING, State.APPROVED])):
            assert hold.state is not State.PENDING or self.time.now() < hold.expires_at
            assert hold.lapses_at is None or self.time.now() < hold.lapses_at

    @invariant()
    def what_must_hold(self) -> None:
        for hold in self.runner.run(self.store.holds()):
            assert hold.state in BECOMES[self.state[hold.id]]
            self.state[hold.id] = hold.state
            records = self.runner.run(self.store.hold_records(hold.id))
            releases = [r for r in records if isinstance(r, audit.Release) and r.hold == hold.id]
            votes = [r for r in records if isinstance(r, audit.Vote) and r.hold == hold.id]
            counted = [r for r in votes if r.counted]
            # INVARIANT: 6. a decision releases one execution of one digest
            assert len(releases) == self.runs.get(hold.id, 0) <= 1
            assert (hold.state is State.CONSUMED) == bool(releases)
            if hold.state in DECIDED:
                assert len({v.person for v in counted if v.approve}) >= hold.quorum
            # INVARIANT: 7. a requester's vote never counts
            assert not {v.person.casefold() for v in counted} & {"ann", "bot", "kim", "nobody"}
            assert [(v.person, v.approve) for v in hold.votes] == [(v.person, v.approve) for v in counted]

    def teardown(self) -> None:
        clock.now = self.real
        try:
            assert self.runner.run(self.store.verify([KEY.public])).sound
        finally:
            self.runner.run(self.store.close())
            self.runner.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "examples"), [("sqlite", 10), ("postgres", 2)])
def test_whatever_happens_in_whatever_order(
    kind: str, examples: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    numbers = count()
    postgres = request.getfixturevalue("postgres") if kind == "postgres" else None

    def machine() -> Deciding:
        if postgres is None:
            url = f"sqlite:///{tmp_path}/{next(numbers)}.db"
        else:
            name = f"desk_{secrets.token_hex(5)}"
            with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE {name}")
            url = postgres.dsn(name)
        return type("DecidingThere", (Deciding,), {"url": url})()

    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=12, deadline=None)
    )
