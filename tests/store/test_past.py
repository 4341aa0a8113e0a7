"""What agents have run and had: seen once and for all, counted exactly, and together."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from firewall import clock
from firewall.budgets import Taken, Window
from firewall.store import Store
from firewall.store.past import LONGEST

from .conftest import KEY, ORIGIN, START

if TYPE_CHECKING:
    from datetime import datetime

HOUR = Window("addresses", 100, 3600.0)
DAY = Window("cards", 30, 86_400.0)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The time; change its only element to let it pass."""
    time = [START]
    monkeypatch.setattr(clock, "now", lambda: time[0])
    return time


async def test_a_shape_is_seen_once_it_was_used(store: Store) -> None:
    past = store.past("shop")
    assert not await past.seen("bot", ["aa"])
    await past.used("bot", ["aa", "bb"])
    await past.used("bot", ["bb", "bb"])
    assert await past.seen("bot", ["aa", "bb", "aa"])
    assert not await past.seen("bot", ["aa", "cc"])
    assert not await past.seen("other", ["aa"])
    assert not await store.past("other").seen("bot", ["aa"])


async def test_what_is_left_is_taken_and_the_rest_given_back(store: Store) -> None:
    past = store.past("shop")
    assert await past.take("bot", "s.1", [HOUR], most=None) == Taken(100)
    assert await past.take("bot", "s.2", [HOUR], most=None) == Taken(0, busy=True, gone=("addresses",))
    assert await past.spent("bot", [HOUR]) == {"addresses": 0}
    await past.settle("s.1", 40)
    assert await past.spent("bot", [HOUR]) == {"addresses": 40}
    assert await past.take("bot", "s.3", [HOUR], most=10) == Taken(10)
    assert await past.take("bot", "s.4", [HOUR], most=None) == Taken(50)
    await past.settle("s.3", 10)
    await past.settle("s.4", 50)
    assert await past.take("bot", "s.5", [HOUR], most=None) == Taken(0, gone=("addresses",))


async def test_every_agent_and_database_has_its_own(store: Store) -> None:
    await store.past("shop").take("bot", "s.1", [HOUR], most=None)
    assert await store.past("shop").take("other", "s.2", [HOUR], most=None) == Taken(100)
    assert await store.past("other").take("bot", "s.3", [HOUR], most=None) == Taken(100)


async def test_of_several_budgets_the_smallest_counts_and_all_or_none_is_taken(store: Store) -> None:
    past = store.past("shop")
    assert await past.take("bot", "s.1", [HOUR, DAY], most=None) == Taken(30)
    await past.settle("s.1", 30)
    assert await past.take("bot", "s.2", [HOUR, DAY], most=None) == Taken(0, gone=("cards",))
    assert await past.take("bot", "s.3", [HOUR], most=None) == Taken(70)


async def test_the_window_slides(store: Store, now: list[datetime]) -> None:
    past = store.past("shop")
    for minute in (0, 30):
        now[0] = START + timedelta(minutes=minute)
        await past.take("bot", f"s.{minute}", [HOUR], most=60)
        await past.settle(f"s.{minute}", 50)
    assert await past.take("bot", "s.x", [HOUR], most=None) == Taken(0, gone=("addresses",))
    now[0] = START + timedelta(minutes=60)
    assert await past.take("bot", "s.y", [HOUR], most=None) == Taken(50)


async def test_many_small_reads_are_one_large_one(store: Store) -> None:
    past = store.past("shop")
    for number in range(100):
        assert (await past.take("bot", f"s.{number}", [HOUR], most=1)).rows == 1
        await past.settle(f"s.{number}", 1)
    assert await past.take("bot", "s.last", [HOUR], most=1) == Taken(0, gone=("addresses",))


async def test_what_runs_for_longer_than_the_window_still_counts(store: Store, now: list[datetime]) -> None:
    past = store.past("shop")
    await past.take("bot", "s.1", [HOUR], most=None)
    now[0] = START + timedelta(hours=2)
    assert await past.take("bot", "s.2", [HOUR], most=None) == Taken(0, busy=True, gone=("addresses",))
    await past.settle("s.1", 90)
    assert await past.take("bot", "s.2", [HOUR], most=None) == Taken(10)


async def test_what_nobody_ends_counts_for_a_day_more(store: Store, now: list[datetime]) -> None:
    past = store.past("shop")
    await past.take("bot", "s.1", [HOUR], most=None)
    now[0] = START + timedelta(seconds=LONGEST + HOUR.per + 1)
    assert await past.take("bot", "s.2", [HOUR], most=None) == Taken(100)


async def test_what_a_person_lets_through_counts_too(store: Store) -> None:
    past = store.past("shop")
    await past.permit("bot", "s.1", [HOUR])
    # nobody knows how much it will be
    assert await past.take("bot", "s.2", [HOUR], most=1) == Taken(0, busy=True, gone=("addresses",))
    await past.settle("s.1", 500)
    assert await past.take("bot", "s.2", [HOUR], most=None) == Taken(0, gone=("addresses",))


async def test_a_firewall_that_starts_again_has_returned_what_it_had_set_aside(
    store: Store, now: list[datetime]
) -> None:
    past = store.past("shop")
    await past.take("bot", "s.1", [HOUR], most=60)
    now[0] = START + timedelta(hours=2)
    await past.adopt()
    assert await past.spent("bot", [HOUR]) == {"addresses": 60}
    now[0] = START + timedelta(hours=2, seconds=HOUR.per - 1)
    assert await past.take("bot", "s.2", [HOUR], most=None) == Taken(40)
    now[0] = START + timedelta(hours=3, seconds=1)
    assert await past.take("bot", "s.3", [HOUR], most=None) == Taken(60)
    # it was another process of the same firewall that started, and this one lives: it says what came of it
    await past.adopt()
    await past.settle("s.2", 1)
    await past.settle("s.3", 2)
    assert await past.spent("bot", [HOUR]) == {"addresses": 3}


async def test_others_statements_are_not_adopted(store: Store) -> None:
    past = store.past("shop")
    past._origin = "another"
    await past.take("bot", "s.1", [HOUR], most=None)
    await store.past("shop").adopt()
    assert await past.spent("bot", [HOUR]) == {"addresses": 0}


async def test_two_firewalls_take_from_one_budget(store: Store, url: str) -> None:
    other = await Store.open(url, origin=ORIGIN, key=KEY)
    try:
        pasts = [store.past("shop"), other.past("shop")]
        taken = await asyncio.gather(*(pasts[n % 2].take("bot", f"s.{n}", [HOUR], most=7) for n in range(30)))
    finally:
        await other.close()
    assert sum(each.rows for each in taken) == 100


async def test_a_statement_that_is_asked_for_again_counts_once(store: Store) -> None:
    """An approval that is void gives back what was set aside, and the next one takes anew."""
    past = store.past("shop")
    assert await past.take("bot", "s.1", [HOUR], most=10) == Taken(10)
    await past.settle("s.1", 0)
    assert await past.take("bot", "s.1", [HOUR], most=10) == Taken(10)
    await past.settle("s.1", 7)
    assert await past.spent("bot", [HOUR]) == {"addresses": 7}
