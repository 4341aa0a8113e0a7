"""A rule's release stands: the same text runs again at once, and all of it comes into the log."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio
from house import open_house, policy_text

from firewall import policy
from firewall.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from house import House

    from firewall import audit
    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")
ASKED = "SELECT name FROM products WHERE id = %s"


async def _ask(connection: psycopg.AsyncConnection[Any], number: int) -> None:
    await connection.execute(ASKED, [number], prepare=True)


async def _closed(house: House, session: str) -> list[dict[str, Any]]:
    """What the log says of a session; it has ended when this is asked."""
    async with asyncio.timeout(20):
        while True:
            found = [r for r in await house.records() if r["session"] == session]
            if any(r["kind"] == "session" and r["event"] == "closed" for r in found):
                return found


async def _newest(house: House) -> str:
    return str([r for r in await house.records("session") if r["event"] == "opened"][-1]["session"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def standing_house(
    postgres: EmbeddedPostgres, shop: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """A firewall whose operator has chosen that releases may stand."""
    folder = tmp_path_factory.mktemp("standing-house")
    async with open_house(postgres, shop, folder, standing_releases=True) as opened:
        yield opened


async def test_each_run_has_a_release_of_its_own_unless_settings_say_otherwise(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        session = await _newest(house)
        for number in range(1, 4):
            await _ask(connection, number)
    told = await _closed(house, session)
    releases = [r for r in told if r["kind"] == "release" and r["parameters"]]
    assert [(r["parameters"], r["standing"]) for r in releases] == [([str(n)], False) for n in range(1, 4)]
    assert not [r for r in told if r["kind"] == "runs"]


async def test_runs_of_one_text_are_one_release_and_every_value(standing_house: House) -> None:
    house = standing_house
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        session = await _newest(house)
        for number in range(1, 8):
            await _ask(connection, number)
    told = await _closed(house, session)
    (judged,) = [r for r in told if r["kind"] == "judgement"]
    (release,) = [r for r in told if r["kind"] == "release"]
    assert release["standing"] is True
    assert release["statement"] == judged["statement"]
    runs = [r for r in told if r["kind"] == "runs"]
    assert {r["statement"] for r in runs} == {judged["statement"]}
    released = [run for r in runs for run in r["released"]]
    ended = [end for r in runs for end in r["ended"]]
    assert release["parameters"] == ["1"]
    assert [run["parameters"] for run in released] == [[str(number)] for number in range(2, 8)]
    assert [run["number"] for run in released] == [end["number"] for end in ended]
    assert {(end["tag"], end["rows"]) for end in ended} == {("SELECT 1", 1)}
    assert len({run["digest"] for run in released} | {release["digest"]}) == 7
    assert told[-1]["kind"] == "session", "nothing is written of a session after its end"


async def test_a_transaction_has_its_age_also_where_its_beginning_stands(standing_house: House) -> None:
    listener = standing_house.app._listener
    assert listener is not None
    async with await psycopg.AsyncConnection.connect(standing_house.dsn(), autocommit=True) as connection:
        (conversation,) = listener._conversations.values()
        ages = []
        for _ in range(4):
            await connection.execute("BEGIN", prepare=False)
            ages.append(conversation._transaction_since)
            await connection.execute("COMMIT", prepare=False)
            assert conversation._transaction_since is None
        assert conversation._clearance.standing._leaves
    assert None not in ages
    assert len(set(ages)) == 4


async def test_what_a_person_decides_never_stands(standing_house: House) -> None:
    house = standing_house
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        session = await _newest(house)
        for _ in range(2):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute("CREATE ROLE intruder")
        await connection.execute("DISCARD TEMP")
    told = await _closed(house, session)
    denied = {r["statement"] for r in told if r["kind"] == "judgement" and r["verdict"] == "deny"}
    assert len(denied) == 2
    assert not [r for r in told if r["kind"] == "runs"]


@pytest.mark.parametrize("change", ["policy", "catalog", "time"])
async def test_it_stands_no_longer_than_what_it_rests_on(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    if change == "time":
        monkeypatch.setattr("firewall.proxy.clearance.STANDS_SECONDS", 0.0)
    async with open_house(postgres, shop, tmp_path, standing_releases=True) as house:
        gate = house.app.gates["shop"]
        async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
            session = await _newest(house)
            for number in range(3):
                await _ask(connection, number)
            if change == "policy":
                (tmp_path / "new.yaml").write_text(policy_text(expires="16m"))
                gate.policy = policy.load(tmp_path / "new.yaml")
            elif change == "catalog":
                another = replace(gate.snapshot, version="another")
                gate._analysts.publish(another)
                gate._read_catalog = partial(asyncio.sleep, 0, another)
                await gate.refresh()
            for number in range(3):
                await _ask(connection, number)
        told = await _closed(house, session)
    runs = sum(len(r["released"]) for r in told if r["kind"] == "runs")
    releases = [r for r in told if r["kind"] == "release"]
    assert (len(releases), runs) == ((6, 0) if change == "time" else (2, 4))
    if change == "policy":
        assert len({r["revision"] for r in told if r["kind"] == "judgement"}) == 2


async def test_nothing_passes_while_the_log_cannot_be_written(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # INVARIANT: 5. no release without a durable record: a disk that fills up ends standing releases as well
    async with open_house(postgres, shop, tmp_path, standing_releases=True) as house:
        store = house.app.store
        write = store._writer.write
        broken = False

        async def writing(make: Callable[[], Sequence[audit.Record]], change: Any = None) -> bool:
            if broken:
                raise StoreError("the disk is full")
            return await write(make, change)

        monkeypatch.setattr(store._writer, "write", writing)
        async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
            session = await _newest(house)
            passed = 0
            await _ask(connection, 0)
            broken = True

            async def ask_on() -> None:
                nonlocal passed
                for number in range(1, 10_000):
                    await _ask(connection, number)
                    passed += 1

            with pytest.raises(psycopg.OperationalError) as raised:
                await ask_on()
            assert raised.value.sqlstate == "58030"
            with pytest.raises(psycopg.OperationalError):
                await _ask(connection, 0)
            broken = False
            await _ask(connection, 77)
        told = await _closed(house, session)
    values = [run["parameters"][0] for r in told if r["kind"] == "runs" for run in r["released"]]
    assert values[:passed] == [str(number) for number in range(1, passed + 1)], "what had passed is written"
