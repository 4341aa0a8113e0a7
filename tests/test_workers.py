"""A statement that kills its analysis costs one `unknown`, whatever else."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from firewall import published, sql, workers
from tests import hostile
from tests.sql.shop import SHOP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def analysts() -> AsyncIterator[workers.Analysts]:
    pool = workers.Analysts(1)
    await pool.warm(SHOP)
    yield pool
    pool.close()


async def _recovers(analysts: workers.Analysts) -> None:
    analysis = await analysts.analyse("SELECT 1", SHOP.version, sql.Facts())
    assert not analysis.opaque
    assert [s.node for s in analysis.statements] == ["select_stmt"]


@pytest.mark.parametrize(
    ("instead", "why"),
    [
        (hostile.dies, "its analysis crashed"),
        (hostile.hogs, "its analysis needed too much memory"),
        (hostile.fails, "its analysis failed (LookupError)"),
        (hostile.hangs, "its analysis took longer than 0.5 s"),
    ],
)
async def test_a_worker_that_goes_wrong_costs_one_unknown(
    analysts: workers.Analysts,
    monkeypatch: pytest.MonkeyPatch,
    instead: Callable[..., object],
    why: str,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(workers, "_analyse", instead)
        patched.setattr(workers, "DEADLINE_SECONDS", 0.5)
        analysis = await analysts.analyse("SELECT 1", SHOP.version, sql.Facts())
    assert analysis.opaque == why
    assert [effect.kind for effect in analysis.effects] == [sql.Kind.UNKNOWN]
    assert analysis.volatile
    await _recovers(analysts)


async def test_a_worker_that_is_killed_costs_one_unknown(
    analysts: workers.Analysts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(workers, "_analyse", hostile.hangs)
        waiting = asyncio.ensure_future(analysts.analyse("SELECT 1", SHOP.version, sql.Facts()))
        await asyncio.sleep(0)
        # its own only: other tests' servers have workers as well
        for pid in analysts.pids:
            os.kill(pid, signal.SIGKILL)
        assert (await waiting).opaque == "its analysis crashed"
    await _recovers(analysts)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "(SELECT " * 100_000 + "1" + ")" * 100_000,
        "SELECT 1" + " UNION SELECT 1" * 60_000,
        "SELECT a" + "[1]" * 200_000,
    ],
    ids=["nested", "arms", "subscripts"],
)
async def test_hostile_texts_are_opaque(analysts: workers.Analysts, text: str) -> None:
    analysis = await analysts.analyse(text, SHOP.version, sql.Facts())
    assert analysis.opaque
    await _recovers(analysts)


async def test_a_text_that_is_too_long_is_not_parsed(analysts: workers.Analysts) -> None:
    text = "SELECT '" + "é" * (workers.MAX_TEXT_BYTES // 2) + "'"
    assert (await analysts.analyse(text, SHOP.version, sql.Facts())).opaque == "the text is longer than 1 MiB"


async def test_a_lone_surrogate_is_a_text_like_any_other(analysts: workers.Analysts) -> None:
    assert (await analysts.analyse("SELECT '\udcff'", SHOP.version, sql.Facts())).volatile
    await _recovers(analysts)


async def test_a_catalog_that_is_gone_is_unknown(analysts: workers.Analysts) -> None:
    analysis = await analysts.analyse("SELECT 1", "0" * 64, sql.Facts())
    assert analysis.opaque == "its analysis failed (FileNotFoundError)"


async def test_old_catalogs_are_not_kept_for_ever(
    analysts: workers.Analysts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "MAX_PUBLISHED", 3)
    for i in range(9):
        analysts.publish(replace(SHOP, version=f"{i:064}"))
    analysts.publish(SHOP)
    assert len(list(Path(analysts._folder.name).glob("*.pickle"))) == 3
    await _recovers(analysts)


@pytest.mark.parametrize("operator", ["+", "||", " OR ", " UNION ALL SELECT "])
async def test_a_thousand_operators_are_understood(analysts: workers.Analysts, operator: str) -> None:
    found = await analysts.analyse("SELECT " + operator.join(["1"] * 1000), SHOP.version, sql.Facts())
    assert not found.opaque


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "+".join(["1"] * 6000),
        "SELECT " + "||".join(["'x'"] * 9000),
        "SELECT " + "NOT " * 9000 + "true",
        "SELECT 1" + "::text" * 9000,
        "SELECT 1" + " UNION SELECT 1" * 6000,
        "SELECT " + "CASE WHEN true THEN " * 4000 + "1" + " END" * 4000,
        "SELECT " + "abs(" * 900 + "1" + ")" * 900,
        "SELECT " + "(SELECT " * 900 + "1" + ")" * 900,
    ],
    ids=["sum", "strings", "not", "casts", "arms", "case", "calls", "subqueries"],
)
async def test_depth_costs_one_statement(analysts: workers.Analysts, text: str) -> None:
    """However it ends, it is `unknown` or understood, and the next statement is analysed."""
    found = await analysts.analyse(text, SHOP.version, sql.Facts())
    assert found.opaque or found.error is not None or len(found.statements) == 1
    after = await analysts.analyse("SELECT 1", SHOP.version, sql.Facts())
    assert not after.opaque
