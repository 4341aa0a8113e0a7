"""Verdicts are remembered for exactly what they were made of, and made of what is current."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from firewall import gate as gates
from firewall import policy, sql
from firewall.errors import CatalogError
from firewall.judgement import Judgement
from firewall.memory import Memory
from firewall.policy import Action, Subject
from firewall.sql.analyse import analyse
from tests.sql.shop import SHOP

if TYPE_CHECKING:
    from collections.abc import Collection

    from firewall.catalog import Snapshot

AGENT = Subject("shopper", "ola@example.com", "shop", "production")
FACTS = sql.Facts(database="shop", role="app")


@dataclass
class Analysts:
    """Analyses at once, or when `go` is set; counts what it is asked."""

    asked: list[tuple[str, sql.Facts]] = field(default_factory=list)
    published: dict[str, Snapshot] = field(default_factory=dict)
    go: asyncio.Event | None = None
    answer: sql.Analysis | None = None

    def publish(self, snapshot: Snapshot) -> None:
        self.published[snapshot.version] = snapshot

    async def analyse(self, text: str, version: str, facts: sql.Facts) -> sql.Analysis:
        self.asked.append((text, facts))
        if self.go is not None:
            await self.go.wait()
        return self.answer or analyse(text, self.published[version], facts)


@dataclass
class Catalog:
    """Read by the gate; `go` holds a reading up."""

    snapshot: Snapshot = SHOP
    readings: int = 0
    go: asyncio.Event | None = None
    broken: bool = False

    async def read(self) -> Snapshot:
        self.readings += 1
        if self.go is not None:
            await self.go.wait()
        if self.broken:
            raise CatalogError("cannot be read")
        return self.snapshot

    def change(self) -> None:
        self.snapshot = replace(self.snapshot, version=f"{self.snapshot.version[:60]}{self.readings:04}")


@dataclass
class Stage:
    gate: gates.Gate
    analysts: Analysts
    catalog: Catalog

    async def judge(self, text: str, facts: sql.Facts = FACTS, subject: Subject = AGENT) -> Judgement:
        return await self.gate.judge(subject, text, facts)

    def remembered(self, text: str, facts: sql.Facts = FACTS, *, lexing_safe: bool = True) -> bool:
        return self.gate.remembered(AGENT, text, facts, lexing_safe=lexing_safe) is not None


def rules(*, reads: str) -> policy.Policy:
    """A policy that does one thing to every read; everything else that touches data is denied."""
    return policy.parse(
        "version: 1\ndefault: deny\nmode: enforce\n"
        "approvers:\n  dba@example.com: {groups: [dba]}\n"
        "approval: {groups: [dba], quorum: 1, expires: 10m}\n"
        "rules:\n"
        f"  - {{name: reads, {reads}: read, why: because}}\n"
        "  - {name: quiet, allow: [transaction, session, setting], why: because}\n",
        Path("p.yaml"),
    )


@pytest.fixture
async def stage() -> Stage:
    analysts, catalog = Analysts(), Catalog()
    gate = gates.Gate(rules(reads="allow"), analysts, catalog.read)  # type: ignore[arg-type]  # all it uses
    await gate.refresh()
    analysts.asked.clear()  # what the views show
    return Stage(gate, analysts, catalog)


READ = "SELECT id FROM orders"


async def test_a_verdict_is_remembered_for_its_text(stage: Stage) -> None:
    judgement = await stage.judge(READ)
    assert judgement.verdict.action is Action.ALLOW
    assert stage.remembered(READ)
    assert await stage.judge(READ) is judgement
    assert not stage.remembered(READ + " ")
    assert len(stage.analysts.asked) == 1


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, role="other"),
        replace(FACTS, database="other"),
        replace(FACTS, search_path=("pg_catalog", "other")),
        replace(FACTS, search_path=None),
        replace(FACTS, temporary=frozenset({"orders"})),
        replace(FACTS, lexing_safe=False),
    ],
)
async def test_nothing_is_remembered_for_other_facts(stage: Stage, facts: sql.Facts) -> None:
    await stage.judge(READ)
    assert not stage.remembered(READ, facts)


async def test_nothing_is_remembered_for_another_agent_catalog_or_policy(stage: Stage) -> None:
    await stage.judge(READ)
    other = replace(AGENT, agent="other")
    assert stage.gate.remembered(other, READ, FACTS, lexing_safe=True) is None
    stage.catalog.change()
    await stage.gate.refresh()
    assert not stage.remembered(READ)
    await stage.judge(READ)
    assert stage.remembered(READ)
    stage.gate.policy = rules(reads="hold")
    assert not stage.remembered(READ)
    assert (await stage.judge(READ)).verdict.action is Action.HOLD


async def test_a_session_that_reads_texts_differently_gets_nothing_that_was_remembered(stage: Stage) -> None:
    await stage.judge(READ)
    assert not stage.remembered(READ, lexing_safe=False)
    # the session says so before the server does
    assert not stage.remembered(READ, replace(FACTS, lexing_safe=False), lexing_safe=True)
    judgement = await stage.gate.judge(AGENT, READ, FACTS, lexing_safe=False)
    assert judgement.verdict.action is Action.DENY
    assert {effect.kind for effect in judgement.effects} == {sql.Kind.UNKNOWN}


async def test_a_text_that_the_grammar_rejects_is_unknown_and_never_remembered(stage: Stage) -> None:
    judgement = await stage.judge("SELEC 1")
    assert judgement.native
    assert judgement.verdict.action is Action.DENY
    assert judgement.after.search_path is None
    assert not stage.remembered("SELEC 1")


async def test_a_catalog_in_doubt_adds_unknown_but_not_to_what_names_nothing(stage: Stage) -> None:
    await stage.judge(READ)
    doubted = await stage.gate.judge(AGENT, READ, FACTS, in_doubt=True)
    assert sql.Kind.UNKNOWN in {effect.kind for effect in doubted.effects}
    assert doubted.verdict.action is Action.DENY
    assert (await stage.judge(READ)).verdict.action is Action.ALLOW
    commit = await stage.gate.judge(AGENT, "COMMIT", FACTS, in_doubt=True)
    assert commit.verdict.action is Action.ALLOW


async def test_what_executes_a_prepared_statement_is_judged_by_its_text(stage: Stage) -> None:
    texts = {"r": READ, "d": "DELETE FROM orders", "x": None}
    read = await stage.gate.judge(AGENT, "EXECUTE r", FACTS, prepared=texts)
    assert read.verdict.action is Action.ALLOW
    delete = await stage.gate.judge(AGENT, "EXECUTE d", FACTS, prepared=texts)
    assert delete.verdict.action is Action.DENY
    unknown = await stage.gate.judge(AGENT, "EXECUTE x", FACTS, prepared=texts)
    assert unknown.verdict.action is Action.DENY
    assert not stage.remembered("EXECUTE r")


async def test_what_nothing_is_known_of_leaves_no_name_known(stage: Stage) -> None:
    stage.analysts.answer = sql.unknown("its analysis crashed", READ, FACTS)
    judgement = await stage.judge(READ)
    assert judgement.verdict.action is Action.DENY
    assert judgement.after == replace(FACTS, role="", search_path=None)
    assert not stage.remembered(READ)


async def test_one_analysis_serves_everyone_who_waits_for_it(stage: Stage) -> None:
    stage.analysts.go = asyncio.Event()
    waiting = [asyncio.ensure_future(stage.judge(READ)) for _ in range(5)]
    for _ in range(5):
        await asyncio.sleep(0)
    waiting[0].cancel()
    stage.analysts.go.set()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert all(isinstance(one, Judgement) for one in done[1:])
    assert len(stage.analysts.asked) == 1
    assert stage.remembered(READ)


async def test_the_memory_is_bounded_in_bytes_and_keeps_what_is_used(stage: Stage) -> None:
    memory = stage.gate._memory = Memory(30_000)
    await stage.judge(READ)
    for i in range(50):
        await stage.judge(f"{READ} WHERE id = {i}")
        assert stage.remembered(READ)
    assert memory.bytes <= 30_000
    assert memory.bytes == sum(size for _, size in memory._known.values())
    assert not stage.remembered(f"{READ} WHERE id = 0")
    await stage.judge(f"{READ} WHERE id IN ({', '.join(['1'] * 2_000)})")
    assert stage.remembered(READ)


async def test_many_who_judge_the_same_are_counted_once(stage: Stage) -> None:
    await asyncio.gather(*(stage.judge(READ) for _ in range(20)))
    memory = stage.gate._memory
    assert memory.bytes == sum(size for _, size in memory._known.values())
    assert len(memory) == 1


async def test_a_refresh_is_shared_by_those_who_asked_before_it_began(stage: Stage) -> None:
    stage.catalog.go = asyncio.Event()
    before = stage.catalog.readings
    first = asyncio.ensure_future(stage.gate.refresh())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # these came while it was being read: they share the next reading
    later = [asyncio.ensure_future(stage.gate.refresh()) for _ in range(5)]
    for _ in range(3):
        await asyncio.sleep(0)
    stage.catalog.change()
    stage.catalog.go.set()
    await asyncio.gather(first, *later)
    assert stage.catalog.readings == before + 2
    assert stage.gate.snapshot is stage.catalog.snapshot


@pytest.mark.timeout(10)  # a wait that never yields cannot be timed out from within
async def test_a_change_in_the_moment_in_which_a_reading_ends_is_read_for(stage: Stage) -> None:
    """Between the end of the task that reads and what is told of its end, others have their turn."""
    asking: list[asyncio.Task[None]] = []
    read = stage.catalog.read

    async def read_and_change() -> Snapshot:
        if not asking:
            asyncio.get_running_loop().call_soon(stage.gate.outdate)
            asking.append(asyncio.create_task(stage.gate.current()))
        return await read()

    stage.gate._read_catalog = read_and_change
    before = stage.catalog.readings
    await stage.gate.refresh()
    await asking[0]
    assert stage.catalog.readings == before + 2


async def test_nothing_is_judged_by_a_catalog_that_is_known_to_be_old(stage: Stage) -> None:
    await stage.judge(READ)
    stage.gate.outdate()
    assert not stage.remembered(READ)
    stage.catalog.broken = True
    with pytest.raises(CatalogError):
        await stage.judge(READ)
    assert not stage.remembered(READ)
    stage.catalog.broken = False
    stage.catalog.change()
    assert (await stage.judge(READ)).catalog == stage.catalog.snapshot.version


async def test_a_reading_that_fails_by_the_way_stops_nobody(stage: Stage) -> None:
    await stage.judge(READ)
    stage.catalog.broken = True
    with pytest.raises(CatalogError):
        await stage.gate.refresh()
    assert stage.remembered(READ)


async def test_a_catalog_that_changes_under_an_analysis_is_analysed_again(stage: Stage) -> None:
    stage.analysts.go = asyncio.Event()
    waiting = asyncio.ensure_future(stage.judge(READ))
    while not stage.analysts.asked:
        await asyncio.sleep(0)
    stage.catalog.change()
    await stage.gate.refresh()
    stage.analysts.go.set()
    judgement = await waiting
    assert judgement.catalog == stage.catalog.snapshot.version
    assert len(stage.analysts.asked) == 2


async def test_a_policy_that_is_replaced_under_an_analysis_is_the_one_that_judges(stage: Stage) -> None:
    old = stage.gate.policy
    stage.analysts.go = asyncio.Event()
    waiting = asyncio.ensure_future(stage.judge(READ))
    while not stage.analysts.asked:
        await asyncio.sleep(0)
    stage.gate.policy = rules(reads="hold")
    stage.analysts.go.set()
    assert (await waiting).verdict.action is Action.HOLD
    # what the new policy said is not remembered as the old one's word
    stage.gate.policy = old
    assert (await stage.judge(READ)).verdict.action is Action.ALLOW


def looking(*more: str) -> policy.Policy:
    """A policy that allows reads, and has rules that look at the moment."""
    rules = "".join(f"  - {rule}\n" for rule in ("{name: reads, allow: read, why: w}", *more))
    return policy.parse(
        "version: 1\ndefault: deny\napprovers: {dba@example.com: {groups: [dba]}}\n"
        f"approval: {{groups: [dba]}}\nrules:\n{rules}",
        Path("p.yaml"),
    )


@dataclass
class Past:
    """What one agent has run."""

    shapes: set[str] = field(default_factory=set)
    asked: int = 0

    async def seen(self, agent: str, fingerprints: Collection[str]) -> bool:
        self.asked += 1
        return self.shapes.issuperset(fingerprints)

    async def used(self, agent: str, fingerprints: Collection[str]) -> None:
        self.shapes.update(fingerprints)


async def test_what_depends_on_the_clock_is_made_anew_from_the_analysis_that_is_kept(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = "{name: night, deny: read, why: w, when: {relations: orders, times: {from: 22:00, to: 06:00}}}"
    stage.gate.policy = looking(night)
    time = [datetime(2026, 3, 2, 12, tzinfo=UTC)]
    monkeypatch.setattr("firewall.clock.now", lambda: time[0])
    day = await stage.judge(READ)
    assert day.verdict.action is Action.ALLOW
    time[0] = datetime(2026, 3, 2, 23, tzinfo=UTC)
    assert (await stage.judge(READ)).verdict.action is Action.DENY
    found = stage.gate.remembered(AGENT, READ, FACTS, lexing_safe=True)
    assert found is not None
    assert found.verdict.action is Action.DENY
    # and the one that was made by day is not believed when the statement would run
    assert (await stage.gate.now(day, policy.Moment())).verdict.action is Action.DENY
    assert not stage.gate.stands(day)
    assert len(stage.analysts.asked) == 1
    other = await stage.judge("SELECT id FROM customers")
    assert await stage.judge("SELECT id FROM customers") is other


async def test_the_session_says_whether_a_transaction_is_open(stage: Stage) -> None:
    stage.gate.policy = looking("{name: old, deny: read, when: {transaction_over: 5m}, why: w}")
    unknown = await stage.judge(READ)
    assert unknown.verdict.action is Action.DENY
    for age, action in ((1.0, Action.ALLOW), (301.0, Action.DENY)):
        moment = policy.Moment(in_transaction=True, transaction_age=age)
        assert (await stage.gate.now(unknown, moment)).verdict.action is action
        found = stage.gate.remembered(AGENT, READ, FACTS, lexing_safe=True, moment=moment)
        assert found is not None
        assert found.verdict.action is action


async def test_a_shape_is_new_until_it_was_released(stage: Stage) -> None:
    past = Past()
    stage.gate._past = past
    stage.gate.policy = looking("{name: new, hold: read, when: {first_use: true}, why: w}")
    judgement = await stage.gate.now(await stage.judge(READ), policy.Moment())
    assert judgement.verdict.action is Action.HOLD
    await stage.gate.releasing(judgement, "s", "s.1")
    same = await stage.judge("SELECT id FROM orders -- again")
    assert (await stage.gate.now(same, policy.Moment())).verdict.action is Action.ALLOW
    asked = past.asked
    assert (await stage.gate.now(same, policy.Moment())).verdict.action is Action.ALLOW
    assert past.asked == asked, "what is known is not asked for again"
    other = await stage.judge("SELECT id, total FROM orders")
    assert (await stage.gate.now(other, policy.Moment())).verdict.action is Action.HOLD


async def test_nobody_is_asked_about_the_past_who_has_no_rule_on_it(stage: Stage) -> None:
    past = Past()
    stage.gate._past = past
    judgement = await stage.judge(READ)
    assert await stage.gate.now(judgement, policy.Moment()) is judgement
    await stage.gate.releasing(judgement, "s", "s.1")
    assert (past.asked, past.shapes) == (0, set())


def sized(snapshot: Snapshot, rows: float) -> Snapshot:
    relations = tuple(replace(r, rows=rows) if r.name == "orders" else r for r in snapshot.relations)
    return replace(snapshot, relations=relations)


async def test_estimates_are_those_of_the_newest_catalog(stage: Stage) -> None:
    """An ANALYZE leaves the catalog's version as it is, and must not leave verdicts as they are."""
    stage.gate.policy = looking("{name: large, hold: read, when: {rows_over: 1000}, why: w}")
    for rows, action in ((10.0, Action.ALLOW), (5000.0, Action.HOLD), (-1.0, Action.HOLD)):
        stage.catalog.snapshot = sized(stage.catalog.snapshot, rows)
        await stage.gate.refresh()
        assert (await stage.judge(READ)).verdict.action is action


async def test_a_tier_is_not_remembered_from_when_the_table_was_small(stage: Stage) -> None:
    """Large tables have a point more, so verdicts are kept until a relation becomes large or small."""
    await stage.judge(READ)
    for rows, known in ((10.0, True), (1e6, False), (2e6, True), (-1.0, False)):
        stage.catalog.snapshot = sized(stage.catalog.snapshot, rows)
        await stage.gate.refresh()
        assert stage.remembered(READ) is known
        await stage.judge(READ)
        assert stage.remembered(READ)


async def test_a_season_ends_with_whatever_a_judgement_was_made_of(stage: Stage) -> None:
    judgement = await stage.judge(READ)
    first = stage.gate.season
    assert stage.gate.stands(judgement)
    assert not first.over
    await stage.gate.refresh()
    # the same catalog was read again
    assert stage.gate.season is first
    stage.gate.outdate()
    assert first.over
    await stage.gate.current()
    second = stage.gate.season
    assert not second.over
    stage.gate.policy = looking("{name: other, deny: read, when: {relations: orders}, why: w}")
    assert second.over
    assert not stage.gate.stands(judgement)
    third = stage.gate.season
    stage.catalog.change()
    await stage.gate.refresh()
    assert third.over


async def test_a_season_ends_when_the_labels_are_others(stage: Stage) -> None:
    await stage.judge(READ)
    season = stage.gate.season
    stage.gate.labelling.govern(labelling("pii"))
    assert season.over


def labelling(label: str) -> policy.Policy:
    """A policy that labels the ids of orders."""
    return policy.parse(
        "version: 1\ndefault: deny\nmode: enforce\n"
        f"labels: {{{label}: [public.orders.id]}}\n"
        "rules: [{name: reads, allow: read, why: because}]\n",
        Path("p.yaml"),
    )


async def test_judgements_are_set_apart_from_what_the_collector_looks_at(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = stage.gate._memory = Memory(settle_every=3)
    settled = []
    monkeypatch.setattr("firewall.heap.settle", lambda: settled.append(len(memory)))
    for number in range(7):
        await stage.judge(f"SELECT {number} FROM orders")
    await stage.judge("SELECT 6 FROM orders")
    assert settled == [3, 6]


async def test_what_a_hold_looks_up_is_made_ready_with_the_catalog(stage: Stage) -> None:
    stage.catalog.change()
    assert "by_word" not in vars(stage.catalog.snapshot)
    await stage.gate.refresh()
    assert "by_word" in vars(stage.gate.snapshot)
