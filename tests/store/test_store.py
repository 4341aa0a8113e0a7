"""What the store promises, on SQLite and on Postgres."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from firewall import audit
from firewall.approval import State, Vote
from firewall.errors import StoreError
from firewall.store import Store, search, views

from .conftest import KEY, ORIGIN, START, Kit

if TYPE_CHECKING:
    from firewall.approval import Hold


async def _ids(store: Store) -> list[str]:
    return [row.id async for row in store.records()]


async def _sound(store: Store) -> audit.Report:
    report = await store.verify([KEY.public])
    assert report.findings == ()
    return report


async def test_a_new_store_has_a_signed_head_of_nothing(store: Store) -> None:
    (note,) = await store.heads()
    head = audit.open_checkpoint(note, [KEY.public])
    assert (head.origin, head.size, head.root) == (ORIGIN, 0, audit.Frontier().root())
    await _sound(store)


async def test_appended_records_come_back_in_order_and_signed(store: Store, kit: Kit) -> None:
    first = [kit.judgement(), kit.judgement(sql="SELECT '\x00', 'né'")]
    second = [kit.outcome(first[0].statement)]
    await store.append(first)
    await store.append(second)
    rows = [row async for row in store.records()]
    assert [row.index for row in rows] == [0, 1, 2]
    assert [audit.decode(row.bytes, row.private) for row in rows] == [*first, *second]
    assert (await _sound(store)).logs[0].size == 3
    assert await store.record(first[1].id) == first[1]
    assert await store.record("r-unknown") is None
    assert [row.index async for row in store.records(ORIGIN, 2)] == [2]
    assert [row.index async for row in store.records("another")] == []


async def test_every_commit_leaves_a_signed_head(store: Store, kit: Kit) -> None:
    for _ in range(3):
        await store.append([kit.judgement(), kit.judgement()])
    notes = await store.checkpoints()
    assert [audit.open_checkpoint(note, [KEY.public]).size for note in notes] == [0, 2, 4, 6]
    assert await store.heads() == notes[-1:]


async def test_concurrent_appends_share_commits_and_lose_nothing(store: Store, kit: Kit) -> None:
    records = [kit.judgement() for _ in range(200)]
    await asyncio.gather(*(store.append([record]) for record in records))
    assert sorted(await _ids(store)) == sorted(record.id for record in records)
    assert len(await store.checkpoints()) < 50
    await _sound(store)


async def test_a_cancelled_caller_does_not_break_the_others(store: Store, kit: Kit) -> None:
    records = [kit.judgement() for _ in range(20)]
    tasks = [asyncio.create_task(store.append([record])) for record in records]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert results[1::2] == [None] * 10
    assert {record.id for record in records[1::2]} <= set(await _ids(store))
    await store.append([kit.judgement()])
    await _sound(store)


async def test_a_batch_that_fails_fails_for_all_and_stores_nothing(store: Store, kit: Kit) -> None:
    first = kit.judgement()
    await store.append([first])
    others = [kit.judgement(), first, kit.judgement()]
    results = await asyncio.gather(*(store.append([r]) for r in others), return_exceptions=True)
    assert [type(result) for result in results] == [StoreError] * 3
    assert await _ids(store) == [first.id]
    await store.append([kit.judgement()])
    assert (await _sound(store)).records == 2


async def test_a_record_without_canonical_bytes_is_refused_alone(store: Store, kit: Kit) -> None:
    bad = kit.outcome("q-1", bytes=2**60)
    results = await asyncio.gather(
        store.append([kit.judgement()]), store.append([bad]), return_exceptions=True
    )
    assert results[0] is None
    assert isinstance(results[1], StoreError)
    assert len(await _ids(store)) == 1


async def test_writers_of_one_log_take_turns(store: Store, url: str, kit: Kit) -> None:
    async with await Store.open(url, origin=ORIGIN, key=KEY) as other:
        records = [kit.judgement() for _ in range(40)]
        await asyncio.gather(*((store, other)[i % 2].append([record]) for i, record in enumerate(records)))
        for record in (kit.judgement(), kit.judgement()):
            records.append(record)
            await (store, other)[len(records) % 2].append([record])
    assert sorted(await _ids(store)) == sorted(record.id for record in records)
    await _sound(store)


async def test_two_logs_live_in_one_store(store: Store, url: str, kit: Kit) -> None:
    key = audit.SigningKey("a.second", bytes(32))
    async with await Store.open(url, origin="a.second", key=key) as other:
        await other.append([kit.judgement()])
        await store.append([kit.judgement(), kit.judgement()])
    report = await store.verify([KEY.public, key.public])
    assert report.sound
    assert [(log.origin, log.size) for log in report.logs] == [("a.second", 1), (ORIGIN, 2)]
    # each key counts for its own log only
    assert {finding.origin for finding in (await store.verify([KEY.public])).findings} == {"a.second"}


async def test_a_hold_comes_back_as_it_was(store: Store, kit: Kit) -> None:
    hold = kit.hold()
    record = kit.judgement(hold=hold.id)
    await store.open_hold(hold, [record])
    assert await store.hold(hold.id) == hold
    assert await store.hold("h-unknown") is None
    assert await _ids(store) == [record.id]
    with pytest.raises(StoreError, match="already"):
        await store.open_hold(hold, [kit.judgement()])
    assert await _ids(store) == [record.id]


async def test_holds_are_listed_newest_first_by_state(store: Store, kit: Kit) -> None:
    holds = [kit.hold() for _ in range(4)]
    for hold in holds:
        await store.open_hold(hold, [])
    rejected = replace(holds[1], state=State.REJECTED)
    assert await store.change_hold(holds[1], rejected, [])
    newest = [hold.id for hold in reversed(holds)]
    assert [hold.id for hold in await store.holds()] == newest
    assert [hold.id for hold in await store.holds(limit=2)] == newest[:2]
    assert [hold.id for hold in await store.holds(since=holds[2].opened_at)] == newest[:2]
    assert await store.holds([State.REJECTED]) == [rejected]
    assert len(await store.holds([State.PENDING, State.REJECTED])) == 4


def _voted(hold: Hold, person: str, state: State) -> Hold:
    vote = Vote(person, approve=True, reason="", channel="cli", at=START)
    return replace(hold, state=state, votes=(*hold.votes, vote))


async def test_of_changes_made_on_one_state_one_succeeds(store: Store, kit: Kit) -> None:
    hold = kit.hold()
    await store.open_hold(hold, [])
    afters = [_voted(hold, f"person-{i}", State.APPROVED) for i in range(10)]
    records = [kit.judgement(hold=hold.id) for _ in afters]
    results = await asyncio.gather(
        *(store.change_hold(hold, after, [record]) for after, record in zip(afters, records, strict=True))
    )
    assert results.count(True) == 1
    winner = results.index(True)
    assert await store.hold(hold.id) == afters[winner]
    # what did not happen is not in the log
    assert await _ids(store) == [records[winner].id]


async def test_a_vote_in_between_is_noticed_though_the_state_is_the_same(store: Store, kit: Kit) -> None:
    hold = kit.hold()
    await store.open_hold(hold, [])
    once = _voted(hold, "eve", State.PENDING)
    assert await store.change_hold(hold, once, [])
    assert not await store.change_hold(hold, _voted(hold, "bob", State.PENDING), [])
    assert await store.change_hold(once, _voted(once, "bob", State.APPROVED), [])
    assert not await store.change_hold(kit.hold(), kit.hold(), [])


async def test_hold_records_tell_its_story(store: Store, kit: Kit) -> None:
    hold = kit.hold()
    judged = kit.judgement(statement=hold.statement)
    opened = kit.judgement(statement=hold.statement, hold=hold.id)
    await store.append([kit.judgement(), judged])
    await store.open_hold(hold, [opened])
    done = kit.outcome(hold.statement, hold=hold.id)
    await store.append([done])
    assert await store.hold_records(hold.id) == [judged, opened, done]
    assert await store.hold_records("") == []


async def test_search_by_each_thing(store: Store, kit: Kit) -> None:
    plain = kit.judgement()
    other = kit.judgement(agent="crawler", session="s-2")
    denied = kit.judgement(verdict="deny", sql="DROP TABLE Payments_100%", relations=["sales.payments"])
    both = kit.judgement(relations=["sales.payments", "public.customers"])
    await store.append([plain, other, denied, both, kit.credential()])

    async def found(**fields: object) -> list[str]:
        return [judged.record.id for judged in await store.search(**fields)]

    assert await found() == [both.id, denied.id, other.id, plain.id]
    assert await found(agent="crawler") == [other.id]
    assert await found(session="s-2") == [other.id]
    assert await found(verdict="deny") == [denied.id]
    assert await found(relation="payments") == [both.id, denied.id]
    assert await found(relation="sales.payments") == [both.id, denied.id]
    assert await found(relation="public.payments") == []
    assert await found(text="payments_100%") == [denied.id]
    assert await found(text="%") == [denied.id]
    assert await found(agent="bot", relation="customers") == [both.id, plain.id]
    assert await found(since=START + timedelta(seconds=2), until=START + timedelta(seconds=4)) == [
        denied.id,
        other.id,
    ]


async def test_search_by_what_a_statement_does_and_who_decided(store: Store, kit: Kit) -> None:
    plain = kit.judgement()
    labelled = kit.judgement(
        owner="kim", database="ledger", rule="personal-data", verdict="hold", labels=["pii.email"]
    )
    written = kit.judgement(
        effects=[audit.Effect(kind="update", object="public.orders", labels=["pci.pan"])], owner="kim"
    )
    decision = audit.Decision(
        id="r-decision",
        at=written.at,
        statement=labelled.statement,
        hold="h-1",
        state="approved",
        by=["dana", "omar"],
        digest="ab" * 32,
    )
    await store.append([plain, labelled, written, decision])

    async def found(**fields: object) -> list[str]:
        return [judged.record.id for judged in await store.search(**fields)]

    assert await found(owner="kim") == [written.id, labelled.id]
    assert await found(database="ledger") == [labelled.id]
    assert await found(rule="personal-data") == [labelled.id]
    assert await found(effect="update") == [written.id]
    assert await found(effect="read") == [labelled.id, plain.id]
    assert await found(label="pci.pan") == [written.id]
    assert await found(label="pii.email") == [labelled.id]
    assert await found(by="omar") == [labelled.id]
    assert await found(by="ann") == []
    everything = {
        "agent": "bot",
        "owner": "kim",
        "database": "ledger",
        "verdict": "hold",
        "rule": "personal-data",
        "session": "s-1",
        "effect": "read",
        "label": "pii.email",
        "relation": "customers",
        "by": "dana",
        "text": "from",
    }
    assert await found(**everything) == [labelled.id]
    for name in everything:
        assert await found(**everything | {name: "other"}) == []


async def test_a_page_looks_so_far_and_no_further(
    store: Store, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "STRIDES", (2, 2))
    monkeypatch.setattr(search, "RARE", 3)
    old = kit.judgement(sql="SELECT 'needle'")
    new = [kit.judgement() for _ in range(9)]
    await store.append([old, *new])
    pages = [await store.page(text="needle")]
    while older := pages[-1].older:
        pages.append(await store.page(text="needle", before=older))
    assert [len(page.found) for page in pages] == [0, 0, 1]
    assert [page.older for page in pages] == [new[5].id, new[1].id, None]
    # whoever does not turn pages gets it at once
    assert [judged.record for judged in await store.search(text="needle")] == [old]


async def test_people_keep_their_own_views(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_VIEWS", 2)
    assert await store.views.keep("dana", "mine", "agent=bot")
    assert await store.views.keep("dana", "all", "")
    assert not await store.views.keep("dana", "third", "")
    assert await store.views.keep("dana", "mine", "agent=crawler")
    assert await store.views.of("dana") == {"all": "", "mine": "agent=crawler"}
    assert await store.views.of("omar") == {}
    await store.views.drop("omar", "mine")
    await store.views.drop("dana", "all")
    assert await store.views.of("dana") == {"mine": "agent=crawler"}


async def test_search_goes_on_from_where_a_page_ended(store: Store, kit: Kit) -> None:
    records = [kit.judgement() for _ in range(5)]
    # two at one moment: the id decides
    records.append(kit.judgement(at=records[-1].at))
    await store.append(records)
    pages: list[str] = []
    before = None
    while page := await store.search(limit=2, before=before):
        pages += [judged.record.id for judged in page]
        before = pages[-1]
    assert pages == [r.id for r in sorted(records, key=lambda r: (r.at, r.id), reverse=True)]
    with pytest.raises(StoreError, match="go on from"):
        await store.search(before="r-unknown")


async def test_search_says_what_came_of_it(store: Store, kit: Kit) -> None:
    ran, refused, waiting = kit.judgement(), kit.judgement(verdict="deny"), kit.judgement(verdict="hold")
    outcome = kit.outcome(ran.statement)
    refusal = audit.Refusal(
        id="r-refusal",
        at=outcome.at,
        statement=refused.statement,
        agent="bot",
        sqlstate="42501",
        message="no",
    )
    await store.append([ran, refused, waiting, outcome, refusal])
    found = {judged.record.id: judged for judged in await store.search()}
    assert found[ran.id].outcome == outcome
    assert found[refused.id].refusal == refusal
    assert (found[waiting.id].outcome, found[waiting.id].refusal) == (None, None)


async def test_agents_are_kept_with_their_records(store: Store, kit: Kit) -> None:
    issued = kit.credential()
    await store.add_agent("bot", "ann", "root", "SCRAM-SHA-256$…", [issued], team="shop")
    agent = await store.agent("bot")
    assert agent is not None
    assert (agent.owner, agent.team, agent.issuer, agent.verifier) == (
        "ann",
        "shop",
        "root",
        "SCRAM-SHA-256$…",
    )
    assert (agent.disabled, agent.valid_until) == (False, None)
    with pytest.raises(StoreError, match="an agent `bot` already"):
        await store.add_agent("bot", "eve", "eve", "…", [kit.credential()])
    await store.set_agent("bot", [kit.credential(event="disabled")], disabled=True)
    await store.set_agent("bot", [kit.credential(event="reissued")], verifier="new", issuer="bob")
    assert await store.agents() == [replace(agent, disabled=True, verifier="new", issuer="bob")]
    assert agent.certificate == ""
    await store.set_agent("bot", [kit.credential(event="reissued")], certificate="bot.example.com")
    changed = await store.agent("bot")
    assert changed is not None
    assert changed.certificate == "bot.example.com"
    with pytest.raises(StoreError, match="no agent `nobody`"):
        await store.set_agent("nobody", [kit.credential()], disabled=True)
    assert await store.agent("nobody") is None
    assert [r.event async for r in _credentials(store)] == ["issued", "disabled", "reissued", "reissued"]


async def _credentials(store: Store):
    async for row in store.records():
        record = audit.decode(row.bytes, row.private)
        assert isinstance(record, audit.Credential)
        yield record


async def test_a_token_names_its_person_until_it_is_revoked(store: Store, kit: Kit) -> None:
    issued = kit.credential(subject="person", name="ann")
    await store.add_token("ann", "hash-1", "root", [issued])
    await store.add_token("ann", "hash-2", "root", [kit.credential(subject="person", name="ann")])
    await store.add_token("bob", "hash-3", "root", [kit.credential(subject="person", name="bob")])
    assert await store.person_by_token("hash-2") == "ann"
    assert await store.person_by_token("hash-9") is None
    assert await store.revoke_tokens("ann", [kit.credential(event="disabled", subject="person", name="ann")])
    assert not await store.revoke_tokens("ann", [kit.credential()])
    assert [await store.person_by_token(f"hash-{i}") for i in (1, 2, 3)] == [None, None, "bob"]
    assert [token.revoked for token in await store.tokens("ann")] == [True, True]
    assert len(await store.tokens()) == 3
    assert len(await _ids(store)) == 4


async def test_a_link_is_taken_by_one_and_once(store: Store, url: str) -> None:
    soon = START + timedelta(minutes=5)
    for name in ("a", "late"):
        await store.links.add(name, "dana", soon, [])
    async with await Store.open(url, origin=ORIGIN, key=KEY) as other:
        # two browsers, two firewalls
        found = await asyncio.gather(*(each.links.take("a", START) for each in (store, other) * 3))
    assert sorted(filter(None, found)) == ["dana"]
    assert await store.links.take("late", soon) is None
    assert await store.links.take("late", START) is None, "it was shown, and is gone"
    assert await store.links.take("unknown", START) is None


async def test_it_says_what_it_weighs(store: Store) -> None:
    assert await store.weight() > 4096


async def test_cards_are_kept_by_hold(store: Store) -> None:
    assert await store.cards.get("h-1") is None
    await store.cards.put("h-1", "one")
    await store.cards.put("h-2", "two")
    await store.cards.put("h-1", "three")
    assert [await store.cards.get(hold) for hold in ("h-1", "h-2")] == ["three", "two"]


async def test_a_closed_store_says_so(url: str, kit: Kit) -> None:
    store = await Store.open(url, origin=ORIGIN, key=KEY)
    pending = [asyncio.create_task(store.append([kit.judgement()])) for _ in range(3)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*pending) == [None] * 3
    with pytest.raises(StoreError, match="closed"):
        await store.append([kit.judgement()])


async def test_a_log_verifies_whatever_is_written_between_two_readings_of_it(
    store: Store, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.append([kit.judgement()])
    read, busy = store._all, False

    async def read_and_be_overtaken(query: object) -> object:
        nonlocal busy
        found = await read(query)  # type: ignore[arg-type]
        if not busy:
            busy = True
            await store.append([kit.judgement()])
            busy = False
        return found

    monkeypatch.setattr(store, "_all", read_and_be_overtaken)
    report = await store.verify([KEY.public])
    assert report.sound, report.findings
    monkeypatch.undo()
    await _sound(store)


async def test_what_the_log_comes_to(store: Store, kit: Kit) -> None:
    first, second = kit.judgement(), kit.judgement(verdict="deny", rule="never")
    later = kit.judgement(at="2030-01-02T00:00:00.000000Z", session="s-2")
    other = kit.judgement(agent="crawler", at="2030-01-02T00:00:00.000000Z", session="s-2")
    await store.append([second, first, later, other, kit.credential()])
    assert [r.id for r in await store.summaries.session("s-1")] == [first.id, second.id]
    days = [(d.agent, d.day, d.verdict, d.count) for d in await store.summaries.days(START)]
    assert days == [
        ("bot", "2030-01-01", "allow", 1),
        ("bot", "2030-01-01", "deny", 1),
        ("bot", "2030-01-02", "allow", 1),
        ("crawler", "2030-01-02", "allow", 1),
    ]
    later_days = await store.summaries.days(START + timedelta(hours=1), "bot")
    assert [(d.day, d.count) for d in later_days] == [("2030-01-02", 1)]
    rules = [(r.rule, r.count, r.last) for r in await store.summaries.rules()]
    assert rules == [("never", 1, second.at), ("reads", 3, later.at)]
