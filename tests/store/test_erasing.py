"""Values are gone for good, who erased them is recorded, and the log still proves itself."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from firewall import audit, clock, retention
from firewall.approval import Ran, State
from firewall.audit import Keep
from firewall.desk import Desk
from firewall.errors import StoreError
from firewall.store import Store, erasing

from .conftest import KEY, ORIGIN, START, Kit

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from firewall.approval import Hold

SECRET = "0555-secret"


async def _sound(store: Store, erased: int) -> None:
    report = await store.verify([KEY.public])
    assert report.findings == ()
    assert report.logs[0].erased == erased


async def _held(store: Store, kit: Kit, **fields: object) -> Hold:
    """A statement that waits, with everything that is recorded of it."""
    told = {"sql": f"DELETE FROM t WHERE p = '{SECRET}'", "parameters": (SECRET,), "statement": "s-1.9"}
    hold = kit.hold(**told, **fields)
    judged = kit.judgement(sql=hold.sql, statement="s-1.9", verdict="hold")
    await store.append([judged])
    opened = audit.HoldOpened(
        id=f"r-{hold.id}", at=judged.at, statement="s-1.9", hold=hold.id, agent="bot", digest="", rule="",
        risk="", parameters=[SECRET], groups=[], quorum=1, requesters=[], expires="",
    )  # fmt: skip
    await store.open_hold(hold, [opened])
    return hold


async def test_values_are_erased_and_records_stay(store: Store, kit: Kit) -> None:
    first = kit.judgement(sql=f"SELECT '{SECRET}'", statement="s-1.1")
    other = kit.judgement(statement="s-1.2")
    await store.append([first, kit.outcome("s-1.1", message=f"no {SECRET}"), other])
    proof = await store.prove(first.id)
    erased = await store.erasing.by_name(["s-1.1"], by="ann", why="asked to")
    assert erased.records == 2
    await _sound(store, 2)
    # the proof that somebody has still holds, and a new one can be had
    for one in (proof, await store.prove(first.id)):
        assert one.check([KEY.public]).origin == ORIGIN
        assert SECRET not in one.to_json()
    judged, outcome = await store.statement_records("s-1.1")
    assert isinstance(judged, audit.Judgement)
    assert isinstance(outcome, audit.Outcome)
    assert (judged.sql, outcome.message) == ("", "")
    assert judged.sealed
    assert judged.model_copy(update={"sql": first.sql, "sealed": ""}) == first
    assert list(await store.search(text=SECRET)) == []
    assert [found.record.id for found in await store.search(agent="bot")] == [other.id, first.id]
    assert await store.record(other.id) == other
    (record,) = [audit.decode(row.bytes) async for row in store.records(start=3)]
    assert isinstance(record, audit.Erasure)
    spans = [(span.first, span.last) for span in record.spans]
    assert (record.by, record.why, spans, record.records) == ("ann", "asked to", [(0, 0), (1, 1)], 2)
    # there is nothing left to erase, and nothing is recorded of that
    assert (await store.erasing.by_name(["s-1.1"], by="ann", why="")).records == 0
    assert await store.size() == 4


async def test_nothing_is_left_in_the_file(tmp_path: Path, kit: Kit) -> None:
    path = tmp_path / "store.db"
    async with await Store.open(f"sqlite:///{path}", origin=ORIGIN, key=KEY) as store:
        sql = f"SELECT '{SECRET}'"
        await store.append([kit.judgement(sql=sql, statement="s-1.1") for _ in range(99)])
        files = [path, path.with_name("store.db-wal")]
        assert any(SECRET.encode() in file.read_bytes() for file in files)
        await store.erasing.by_name(["s-1.1"], by="ann", why="asked to")
        assert not any(SECRET.encode() in file.read_bytes() for file in files)


async def test_an_open_hold_keeps_what_is_to_be_decided(store: Store, kit: Kit) -> None:
    hold = await _held(store, kit)
    for name in (hold.id, "s-1.9"):
        with pytest.raises(StoreError, match=f"hold `{hold.id}` is not settled"):
            await store.erasing.by_name([name], by="ann", why="")
    assert (await store.erasing.before(clock.now() + timedelta(days=9999), by="x", why="")).records == 0
    assert await store.change_hold(hold, replace(hold, state=State.REJECTED), [])
    assert (await store.erasing.by_name([hold.id], by="ann", why="")).records == 2
    after = await store.hold(hold.id)
    assert after is not None
    assert (after.sql, after.parameters, after.state) == ("", (), State.REJECTED)
    await _sound(store, 2)


async def test_what_is_old_is_erased_by_and_by(
    store: Store, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "BATCH", 3)
    made = [kit.judgement(statement=f"s-1.{n}") for n in range(10)]
    for record in made:
        await store.append([record, kit.outcome(record.statement)])
    now = START + timedelta(days=1, seconds=7.5)  # the judgements are a second apart

    def at() -> datetime:
        return now

    monkeypatch.setattr(clock, "now", at)
    upto = await retention.erase_old(store, timedelta(days=1))
    assert [bool(r.record.sql) for r in reversed(list(await store.search()))] == [False] * 7 + [True] * 3
    await _sound(store, 7)
    spans = [
        [(span.first, span.last) for span in record.spans]
        for row in [row async for row in store.records()]
        if isinstance(record := audit.decode(row.bytes), audit.Erasure)
    ]
    # records between two that are erased have no values, and are in the span of them
    assert spans == [[(0, 4)], [(6, 10)], [(12, 12)]]
    assert upto == 13
    now += timedelta(seconds=1)
    assert await retention.erase_old(store, timedelta(days=1), upto) == 15
    await _sound(store, 8)


@pytest.mark.parametrize("keep", [Keep.REDACTED, Keep.DIGEST])
async def test_a_store_may_keep_less(url: str, kit: Kit, keep: Keep) -> None:
    async with await Store.open(url, origin=ORIGIN, key=KEY, keep=keep) as store:
        judged = kit.judgement(sql=f"SELECT '{SECRET}'")
        run = audit.runs.run(1, "", "", [SECRET])
        await store.append([judged])
        await store.append_made(
            lambda: [
                audit.runs.runs(
                    id="r-runs", at="", session="", statement="s-1.1", agent="", released=[run], ended=[]
                )
            ]
        )
        await _sound(store, 0)
        (found,) = await store.search()
        assert found.record.sql == ("SELECT $1" if keep is Keep.REDACTED else "")
        assert found.record.sealed
        rows = [row async for row in store.records()]
        assert not any(SECRET.encode() in row.bytes + (row.private or b"") for row in rows)
        hold = await _held(store, kit)
        assert await store.change_hold(hold, replace(hold, state=State.REJECTED), [])
        after = await store.hold(hold.id)
        assert after is not None
        assert SECRET not in repr(after)
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
            assert not any(SECRET in line for line in raw.iterdump())


async def test_what_ran_ahead_of_a_commit_is_erased_from_its_hold_as_well(store: Store, kit: Kit) -> None:
    insert = f"INSERT INTO t VALUES ('{SECRET}')"
    judged = kit.judgement(sql=insert, statement="s-1.7", verdict="hold")
    failed = kit.outcome("s-1.7", message=f"Key ({SECRET})", sqlstate="23505")
    await store.append([judged, failed, kit.judgement(sql="COMMIT", statement="s-1.9", verdict="hold")])
    ran = Ran("s-1.7", insert, f"failed: Key ({SECRET})", parameters=(SECRET,))
    hold = kit.hold(sql=f"{insert};\nCOMMIT", parameters=(SECRET,), statement="s-1.9", ran=(ran,))
    await Desk(store, lambda *_: None).open(hold)
    with pytest.raises(StoreError, match="is not settled"):
        await store.erasing.by_name(["s-1.7"], by="ann", why="asked to")
    await Desk(store, lambda *_: None).withdraw(hold.id, "gone")
    await store.erasing.by_name(["s-1.7"], by="ann", why="asked to")
    kept = await store.hold(hold.id)
    assert kept is not None
    assert [(each.statement, each.sql, each.parameters, each.outcome) for each in kept.ran] == [
        ("s-1.7", "", (), "")
    ]
    said = await store.hold_records(hold.id)
    assert {record.statement for record in said} == {"s-1.7", "s-1.9"}
    assert SECRET not in "".join(record.model_dump_json() for record in said) + repr(kept)


async def test_policies_say_what_is_kept_of_each_database(url: str, kit: Kit) -> None:
    policies: dict[str, str | None] = {"shop": None, "hr": "redacted", "vault": "digest"}
    async with await Store.open(url, origin=ORIGIN, key=KEY) as store:
        store.keeping.follow(lambda: policies)
        shown = {}
        for database in policies:
            at = {"at": "2030-01-01T00:00:00.000000Z", "session": f"s-{database}", "agent": "bot"}
            opened = audit.Session(id=f"r-{database}", event="opened", database=database, **at)
            judged = kit.judgement(sql=f"SELECT '{SECRET}'", database=database, session=at["session"])
            release = audit.Release(
                id=f"r-{database}-release", digest="d", leave="rule reads", parameters=[SECRET], **at
            )
            run = audit.runs.run(1, "", "", [SECRET])
            written = audit.runs.runs(id=f"r-{database}-runs", statement="", released=[run], ended=[], **at)
            await store.append([opened, judged, release])
            await store.append_made(lambda written=written: [written])
            found = [await store.record(f"r-{database}-{name}") for name in ("release", "runs")]
            shown[database] = ((await store.record(judged.id)).sql, str(found))
            hold = await _held(store, kit, database=database)
            assert await store.change_hold(hold, replace(hold, state=State.REJECTED), [])
            assert (SECRET in repr(await store.hold(hold.id))) is (database == "shop")
        assert [shown[name][0] for name in policies] == [f"SELECT '{SECRET}'", "SELECT $1", ""]
        assert [SECRET in shown[name][1] for name in policies] == [True, False, False]
        # a policy is followed as it is now, and of a session that is over, or unknown, the least is kept
        policies["shop"] = "redacted"
        again = kit.judgement(sql=f"SELECT '{SECRET}'", database="shop")
        ended = {"tag": "", "rows": 0, "bytes": 0, "micros": 0, "message": SECRET}
        late = audit.Outcome(id="r-late", **ended, **at | {"session": "s-unknown"})
        await store.append([again, late])
        assert (await store.record(again.id)).sql == "SELECT $1"
        assert (await store.record("r-late")).message == ""
        await _sound(store, 0)
