"""Holds that outlive the wait or the connection, approvals that are used by coming back, and grants."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio
from house import OWNER, House, open_house

from firewall import clock
from firewall.approval import Counted, Refused, State
from firewall.policy import Terms
from firewall.proxy.clearance import Clearance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from firewall.approval import Impact
    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

ANN, BOB, SEC = "ann@example.com", "bob@example.com", "sec@example.com"
POLICY = f"""
version: 1
mode: enforce
default: deny
approvers:
  {ANN}: {{groups: [dba]}}
  {BOB}: {{groups: [dba]}}
  {SEC}: {{groups: [security, oncall]}}
  {OWNER}: {{groups: [dba, oncall]}}
approval: {{groups: [dba]}}
rules:
  - {{name: session, allow: [transaction, setting, session], why: harmless}}
  - name: deletes wait a moment
    hold: delete
    why: rows would go
    approval: {{wait: 1s, expires: 10m, outlives_connection: true}}
  - name: updates may be granted
    hold: update
    why: rows would change
    approval: {{grants: {{for: 1h, uses: 3}}, break_glass: [oncall]}}
  - name: reads may be granted with so many rows
    hold: read
    when: {{relations: payments}}
    why: money
    approval: {{groups: [security], grants: {{for: 1h, uses: 50, rows: 5}}}}
  - {{name: other reads, allow: read, why: harmless}}
  - {{name: inserts, hold: insert, why: rows would come, approval: {{outlives_connection: true}}}}
  - {{name: truncation, hold: truncate, why: all, approval: {{groups: [dba], quorum: 2}}}}
  - {{name: truncation too, hold: truncate, why: all, approval: {{groups: [security]}}}}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def back(
    postgres: EmbeddedPostgres, shop: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("back")
    (folder / "policy.yaml").write_text(POLICY)
    async with open_house(postgres, shop, folder) as house:
        yield house


async def connect(house: House) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True)


async def approve(house: House, hold_id: str, person: str = ANN, **more: object) -> Counted | Refused:
    return await house.app.desk.vote(hold_id, person, approve=True, reason="", channel="cli", **more)


async def told_to_come_back(connection: psycopg.AsyncConnection, text: str) -> str:
    with pytest.raises(psycopg.Error) as raised:
        await connection.execute(text)
    assert raised.value.sqlstate == "QF010"
    assert "identical statement again" in raised.value.diag.message_hint
    return raised.value.diag.message_primary.split()[2]


async def state(house: House, hold_id: str) -> tuple[State, bool]:
    hold = await house.app.desk.hold(hold_id)
    return hold.state, hold.awaited


async def test_after_the_wait_it_is_told_to_come_back_and_runs_once_when_it_does(back: House) -> None:
    text = "DELETE FROM order_items WHERE quantity = 1001"
    async with await connect(back) as connection:
        hold = await told_to_come_back(connection, text)
        assert await state(back, hold) == (State.PENDING, False)
        # it comes back too early, and waits on with the same hold
        assert await told_to_come_back(connection, text) == hold
        assert isinstance(await approve(back, hold), Counted)
        assert (await connection.execute(text)).statusmessage == "DELETE 0"
        assert await state(back, hold) == (State.CONSUMED, True)
        # once
        assert await told_to_come_back(connection, text) != hold
    kinds = [r["kind"] for r in await back.records() if r["hold"] == hold]
    assert [kind for kind in kinds if kind in {"hold", "vote", "waiting", "decision", "release"}] == [
        *("hold", "waiting", "waiting", "waiting", "vote", "decision", "waiting", "release")
    ]


@pytest.mark.parametrize(
    "other",
    ["DELETE FROM order_items WHERE quantity = 1003", "DELETE FROM order_items WHERE quantity = 1002 "],
)
async def test_an_approval_is_good_for_the_identical_statement_only(back: House, other: str) -> None:
    async with await connect(back) as connection:
        hold = await told_to_come_back(connection, "DELETE FROM order_items WHERE quantity = 1002")
        await approve(back, hold)
        assert await told_to_come_back(connection, other) != hold
        await connection.execute("SET search_path = pg_temp, public")
        again = await told_to_come_back(connection, "DELETE FROM order_items WHERE quantity = 1002")
    assert again != hold
    why = f"hold {hold} of the same statement is void: its search_path is another"
    assert (await back.app.desk.hold(again)).reasons[0] == why
    assert await state(back, hold) == (State.LAPSED, False)


async def test_of_two_that_come_back_at_once_one_runs(back: House) -> None:
    text = "DELETE FROM order_items WHERE quantity = 1004"
    async with await connect(back) as one, await connect(back) as other:
        hold = await told_to_come_back(one, text)
        await approve(back, hold)
        answers = await asyncio.gather(one.execute(text), other.execute(text), return_exceptions=True)
    states = sorted(getattr(answer, "sqlstate", "ran") for answer in answers)
    assert states == ["QF010", "ran"]
    releases = [r for r in await back.records("release") if r["hold"] == hold]
    assert len(releases) == 1


async def test_it_outlives_the_connection_and_runs_in_another(back: House) -> None:
    text = "INSERT INTO products (sku, name, price) SELECT 'x', 'y', 1 WHERE false"
    connection = await connect(back)
    asked = asyncio.create_task(connection.execute(text))
    hold = (await back.next_hold_of(text)).id
    left = asyncio.create_task(_left(back, hold))
    await connection.close()
    await asyncio.gather(asked, return_exceptions=True)
    await left
    assert await state(back, hold) == (State.PENDING, False)
    await approve(back, hold)
    async with await connect(back) as connection:
        assert (await connection.execute(text)).statusmessage == "INSERT 0 0"
    assert (await state(back, hold))[0] is State.CONSUMED


async def _left(house: House, hold_id: str) -> None:
    async with asyncio.timeout(20):
        while (await house.app.desk.hold(hold_id)).awaited:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "cancelled"])
async def test_who_goes_before_the_hold_is_opened_is_treated_as_who_goes_after(
    back: House, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    gathering, gathered, told = asyncio.Event(), asyncio.Event(), asyncio.Event()
    gather, withdraw = Clearance.impact, Clearance.withdraw

    async def slowly(*asked: Any) -> Impact:
        gathering.set()
        await gathered.wait()
        return await gather(*asked)

    async def noted(*asked: Any, **how: Any) -> None:
        await withdraw(*asked, **how)
        told.set()

    monkeypatch.setattr(Clearance, "impact", slowly)
    monkeypatch.setattr(Clearance, "withdraw", noted)
    connection = await connect(back)
    number = 1010 + lost
    asked = asyncio.ensure_future(connection.execute(f"DELETE FROM order_items WHERE quantity = {number}"))
    async with asyncio.timeout(20):
        await gathering.wait()
        if lost:
            opened = asyncio.ensure_future(back.next_hold())
            connection.pgconn.finish()
            await told.wait()
            gathered.set()
            hold = await opened
            while await state(back, hold.id) != (State.PENDING, False):
                await asyncio.sleep(0.01)
            with pytest.raises(psycopg.OperationalError):
                await asked
        else:
            await connection.cancel_safe()
            await told.wait()
            gathered.set()
            with pytest.raises(psycopg.errors.QueryCanceled) as raised:
                await asked
            _, withdrawn, *_ = (raised.value.diag.message_detail or "").split()
            assert (await state(back, withdrawn))[0] is State.WITHDRAWN
    await connection.close()


async def test_a_cancel_withdraws_what_would_outlive_the_connection(back: House) -> None:
    text = "INSERT INTO products (sku, name, price) SELECT 'x', 'z', 1 WHERE false"
    async with await connect(back) as connection:
        asked = asyncio.create_task(connection.execute(text))
        hold = (await back.next_hold_of(text)).id
        await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await asked
    assert (await state(back, hold))[0] is State.WITHDRAWN


async def test_an_approval_that_nobody_comes_back_for_lapses(
    back: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "DELETE FROM order_items WHERE quantity = 1005"
    async with await connect(back) as connection:
        hold = await told_to_come_back(connection, text)
        await approve(back, hold)
        late = clock.now() + (await back.app.desk.hold(hold)).votes[0].at.resolution
        monkeypatch.setattr(clock, "now", lambda: late.replace(year=late.year + 1))
        await back.app.desk.sweep()
        monkeypatch.undo()
        assert (await state(back, hold))[0] is State.LAPSED
        assert await told_to_come_back(connection, text) != hold


async def test_a_grant_lets_statements_of_its_shape_through_as_often_as_it_says(back: House) -> None:
    text = "UPDATE products SET stock = stock WHERE id = {}"
    async with await connect(back) as connection:
        asked = asyncio.create_task(connection.execute(text.format(-1)))
        hold = await back.next_hold_of(text.format(-1))
        assert hold.grants == Terms(3600.0, 3)
        too_much = await approve(back, hold.id, terms=Terms(3600.0, 4))
        assert isinstance(too_much, Refused)
        assert "at most 3600 s, 3 runs" in too_much.why
        assert isinstance(await approve(back, hold.id, terms=Terms(60.0, 2)), Counted)
        await asked
        for number in (-2, -3):
            await connection.execute(text.format(number))
        [grant] = [g for g in await back.app.store.grants() if g.hold == hold.id]
        assert (grant.used, grant.by, grant.state(clock.now())) == (2, (ANN,), "used up")
        # used up: asked for again; and another shape always was
        for other in (text.format(-4), "UPDATE products SET price = price WHERE id = -1"):
            asked = asyncio.create_task(connection.execute(other))
            again = await back.next_hold_of(other)
            await back.app.desk.vote(again.id, ANN, approve=False, reason="", channel="cli")
            with pytest.raises(psycopg.Error):
                await asked
    releases = [r for r in await back.records("release") if r["hold"] == hold.id]
    assert [r["leave"] for r in releases] == [f"hold {hold.id}", *[f"grant {grant.id}"] * 2]
    assert (await back.app.store.verify([back.app.key.public])).sound


async def test_a_grant_ends_when_it_is_revoked(back: House) -> None:
    text = "UPDATE products SET name = name WHERE id = {}"
    async with await connect(back) as connection:
        asked = asyncio.create_task(connection.execute(text.format(-1)))
        hold = await back.next_hold_of(text.format(-1))
        await approve(back, hold.id, terms=Terms(60.0, 2))
        await asked
        [grant] = [g for g in await back.app.desk.grants() if g.hold == hold.id]
        assert isinstance(await back.app.desk.revoke(grant.id, "stranger", ""), Refused)
        assert (await back.app.desk.revoke(grant.id, BOB, "over")).revoked_by == BOB
        assert isinstance(await back.app.desk.revoke(grant.id, BOB, "over"), Refused)
        asked = asyncio.create_task(connection.execute(text.format(-2)))
        again = await back.next_hold_of(text.format(-2))
        await back.app.desk.vote(again.id, ANN, approve=False, reason="", channel="cli")
        with pytest.raises(psycopg.Error):
            await asked
    events = [r["event"] for r in await back.records("grant") if r["grant"] == grant.id]
    assert events == ["given", "revoked"]


async def test_rows_that_are_read_by_a_grant_are_bounded(back: House) -> None:
    text = "SELECT id FROM payments WHERE id > {} LIMIT 4"
    async with await connect(back) as connection:
        asked = asyncio.create_task(connection.execute(text.format(0)))
        hold = await back.next_hold_of(text.format(0))
        assert isinstance(await approve(back, hold.id, SEC, terms=Terms(60.0, 9, 5)), Counted)
        await asked
        assert len(await (await connection.execute(text.format(1))).fetchall()) == 4
        with pytest.raises(psycopg.Error, match="stopped after 1 rows"):
            await (await connection.execute(text.format(2))).fetchall()


async def test_two_teams_decide_what_two_teams_were_to_decide(back: House) -> None:
    async with await connect(back) as connection:
        asked = asyncio.create_task(connection.execute("TRUNCATE order_items"))
        hold = await back.next_hold_of("TRUNCATE order_items")
        assert hold.quorum == 3
        for person in (ANN, BOB):
            assert isinstance(await approve(back, hold.id, person), Counted)
        assert (await state(back, hold.id))[0] is State.PENDING
        await back.app.desk.vote(hold.id, SEC, approve=False, reason="no", channel="cli")
        with pytest.raises(psycopg.Error, match="no"):
            await asked


async def test_the_glass_is_broken_with_a_reason_an_alarm_and_a_record(back: House) -> None:
    async with await connect(back) as connection:
        text = "UPDATE products SET sku = sku WHERE id = -9"
        asked = asyncio.create_task(connection.execute(text))
        hold = await back.next_hold_of(text)

        async def smash(person: str, reason: str) -> Counted | Refused:
            return await back.app.desk.vote(
                hold.id, person, approve=True, reason=reason, channel="cli", break_glass=True
            )

        # without a reason, by somebody who may not, by who asked for it
        assert "needs a reason" in (await smash(SEC, " ")).why
        assert "may not approve this alone" in (await smash(ANN, "it burns")).why
        assert "asked for this yourself" in (await smash(OWNER, "it burns")).why
        assert isinstance(await smash(SEC, "it burns"), Counted)
        await asked
    [record] = [r for r in await back.records("break_glass") if r["hold"] == hold.id]
    assert (record["person"], record["reason"]) == (SEC, "it burns")
