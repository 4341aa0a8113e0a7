"""A process that works for the event loop costs its own call when it dies, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from firewall import crew
from firewall.crew import Crew, CrewError, FailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")


def begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two() -> AsyncIterator[Crew]:
    opened = Crew(2, begin)
    yield opened
    opened.close()


async def pid(of: Crew) -> int:
    found: int = await of.call(os.getpid, seconds=30)
    return found


async def test_the_one_that_was_free_last_is_asked_first(two: Crew) -> None:
    assert {await pid(two) for _ in range(5)} == {await pid(two)}
    both = await asyncio.gather(*(two.call(time.sleep, 0.01, seconds=30) for _ in range(2)))
    assert both == [None, None]
    assert len(two.pids) == 2


async def test_what_is_large_goes_both_ways(two: Crew) -> None:
    text = "é" * 4_000_000
    assert await two.call(str.upper, text, seconds=30) == text.upper()


async def test_only_the_kind_of_an_error_is_told(two: Crew) -> None:
    before = await pid(two)
    with pytest.raises(FailedError) as caught:
        await two.call(int, "a secret", seconds=30)
    assert (caught.value.kind, caught.value.args) == ("ValueError", ("ValueError",))
    assert await pid(two) == before
    # nor is an answer that cannot be sent
    with pytest.raises(FailedError, match="TypeError"):
        await two.call(open, os.devnull, seconds=30)


async def test_who_dies_or_takes_too_long_is_replaced(two: Crew) -> None:
    before = await pid(two)
    with pytest.raises(CrewError):
        await two.call(os._exit, 0, seconds=30)
    with pytest.raises(TimeoutError):
        await two.call(time.sleep, 60, seconds=0.05)
    assert await pid(two) != before
    assert await asyncio.gather(*(two.call(abs, -n, seconds=30) for n in range(8))) == [*range(8)]


async def test_one_that_is_killed_while_it_has_nothing_to_do_costs_no_more_than_a_call(two: Crew) -> None:
    last = await pid(two)
    os.kill(last, signal.SIGKILL)
    os.waitid(os.P_PID, last, os.WEXITED | os.WNOWAIT)
    assert await pid(two) != last


async def test_an_answer_that_nobody_waits_for_is_not_the_next_ones(two: Crew) -> None:
    waiting = asyncio.ensure_future(two.call(time.sleep, 60, seconds=30))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await two.call(abs, -1, seconds=30) == 1


async def test_nobody_works_for_ever(two: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "MAX_CALLS", 3)
    assert len({await pid(two) for _ in range(7)}) == 3


async def test_one_that_is_closed_answers_nobody() -> None:
    closing = Crew(1, begin)
    (gone,) = {await pid(closing)}
    waiting = asyncio.ensure_future(closing.call(time.sleep, 60, seconds=30))
    await asyncio.sleep(0)
    closing.close()
    with pytest.raises(CrewError):
        await waiting
    os.waitid(os.P_PID, gone, os.WEXITED | os.WNOWAIT)
    with pytest.raises(CrewError):
        await asyncio.wait_for(closing.call(abs, -1, seconds=30), 30)
    assert closing.pids == []
