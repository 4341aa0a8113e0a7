"""pgbench in its three query modes on both sides: no errors, and money neither made nor lost.

TPC-B moves one delta through accounts, tellers, branches and the history: after any number of transactions
the four sums are equal (manual, pgbench, `What is the "Transaction" Actually Performed`).
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

import psycopg

from tests.conformance import transcript
from tests.conformance.pair import Pair, Side, program
from tests.conformance.result import Result

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SUITE = "pgbench"
DATABASE = "bench"
MODES: Final = ("simple", "extended", "prepared")
_SUMS = """
    SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
           (SELECT sum(bbalance) FROM pgbench_branches),
           (SELECT coalesce(sum(delta), 0) FROM pgbench_history),
           (SELECT count(*) FROM pgbench_history), (SELECT count(*) FROM pgbench_accounts)
"""


async def compare(pair: Pair, *, seconds: int = 3, clients: int = 4) -> AsyncIterator[Result]:
    """One result for making the tables and one a mode."""
    started = time.monotonic()
    made = [await _pgbench(side, "-i", "-s", "1", "-q") for side in pair.sides]
    words = [
        f"exit {ran.code}, {_sums(side)[5]} accounts" for side, ran in zip(pair.sides, made, strict=True)
    ]
    problems = _unlike(words, [ran.text for ran in made if ran.code != 0])
    yield _result("initialise", words, problems, started)
    for mode in MODES:
        started = time.monotonic()
        words, problems = [], []
        for side in pair.sides:
            word, wrong = await _mode(side, mode, seconds, clients)
            words.append(word)
            problems += wrong
        yield _result(mode, words, problems, started)
    # the same random numbers and count on both sides must leave the same rows
    started = time.monotonic()
    seeded = ("--random-seed=7", "-t", "60", "-c", "1", "-M", "extended", "-n")
    before = [_sums(side)[:1] for side in pair.sides]
    ran = [await _pgbench(side, *seeded) for side in pair.sides]
    words = [
        f"60 transactions moved {_sums(side)[0] - was[0]}"
        for side, was in zip(pair.sides, before, strict=True)
    ]
    yield _result("seeded", words, _unlike(words, [r.text for r in ran if r.code != 0]), started)


async def _mode(side: Side, mode: str, seconds: int, clients: int) -> tuple[str, list[str]]:
    before = _sums(side)[4]
    ran = await _pgbench(side, "-n", "-M", mode, "-c", str(clients), "-j", "1", "-T", str(seconds))
    accounts, tellers, branches, history, rows, _ = _sums(side)
    done = re.search(r"actually processed: (\d+)", ran.text)
    count = int(done[1]) if done else 0
    wrong = []
    if ran.code != 0 or "number of failed transactions: 0 " not in ran.text or not count:
        wrong.append(f"{side.name}: pgbench failed\n{ran.text[-2000:]}")
    if not accounts == tellers == branches == history:
        wrong.append(f"{side.name}: balances differ: {accounts}, {tellers}, {branches}, {history}")
    if rows - before != count:
        wrong.append(f"{side.name}: {count} transactions reported, {rows - before} in the history")
    return f"{count} transactions, {count / seconds:.0f}/s", wrong


async def _pgbench(side: Side, *arguments: str) -> transcript.Ran:
    return await transcript.run(
        [program("pgbench"), *arguments], side.environment(DATABASE), timeout=60, folder=side.folder
    )


def _result(name: str, words: list[str], problems: list[str], started: float) -> Result:
    word = "differs" if problems else "same"
    return Result(SUITE, name, word, *words, tuple(problems), seconds=time.monotonic() - started)


def _unlike(words: list[str], failures: list[str]) -> list[str]:
    """Two words that should be one, and what programs said that failed."""
    return failures or ([] if words[0] == words[1] else [f"-{words[0]}\n+{words[1]}"])


def _sums(side: Side) -> tuple[int, ...]:
    with psycopg.connect(side.past.dsn(DATABASE)) as connection:
        row = connection.execute(_SUMS).fetchone()
    assert row is not None
    return tuple(int(value) for value in row)
