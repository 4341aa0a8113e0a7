"""The second net: a result with a labelled column that the analysis did not announce never begins."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
import pytest_asyncio
from house import House, open_house, prepare

from firewall.sql import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres
    from firewall.sql import Analysis, Facts

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "/* misread */ SELECT id, card_number FROM payments ORDER BY id"


class Misreading:
    """Analysts that overlook every column of what stands behind `/* misread */`."""

    def __init__(self, real: object) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    async def analyse(self, text: str, version: str, facts: Facts) -> Analysis:
        analysis: Analysis = await self._real.analyse(text, version, facts)  # type: ignore[attr-defined]
        if "/* misread */" not in text:
            return analysis
        statements = tuple(
            replace(
                s,
                effects=tuple(
                    replace(e, columns=(), tested=()) if e.kind is Kind.READ else e for e in s.effects
                ),
            )
            for s in analysis.statements
        )
        return replace(analysis, statements=statements)


@pytest_asyncio.fixture(loop_scope="session")
async def wrong(
    postgres: EmbeddedPostgres, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """A firewall whose analysis is wrong about some texts, before a shop of this test's own."""
    prepare(postgres, database)
    async with open_house(postgres, database, tmp_path) as house:
        gate = house.app.gates["shop"]
        monkeypatch.setattr(gate, "_analysts", Misreading(gate._analysts))
        yield house


@asynccontextmanager
async def connected(house: House) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        yield connection


async def is_stopped(house: House, raised: pytest.ExceptionInfo[BaseException]) -> None:
    """The client heard why, and the log says that nothing came and that the session ended."""
    said = str(raised.value)
    assert "stopped before its first row" in said
    assert "card_number" in said
    async with asyncio.timeout(30):
        while not (stopped := [r for r in await house.records("outcome") if r["sqlstate"] == "QF004"]):
            await asyncio.sleep(0.01)
    assert stopped[-1]["bytes"] == 0
    [fault] = await house.records("fault")
    assert "card_number" in str(fault["error"])


async def test_by_the_simple_protocol(wrong: House) -> None:
    async with connected(wrong) as connection:
        with pytest.raises(psycopg.Error) as raised:
            await psycopg.AsyncClientCursor(connection).execute(SECRET)
        assert raised.value.sqlstate == "QF004"
        assert connection.closed
    await is_stopped(wrong, raised)


async def test_by_the_extended_protocol(wrong: House) -> None:
    async with connected(wrong) as connection:
        with pytest.raises(psycopg.Error) as raised:
            await connection.execute(SECRET.replace("ORDER", "WHERE id < %s ORDER"), [5], prepare=True)
        assert raised.value.sqlstate == "QF004"
    await is_stopped(wrong, raised)


async def test_by_a_driver_that_describes_the_statement_and_not_the_portal(wrong: House) -> None:
    connection = await asyncpg.connect(wrong.dsn(), statement_cache_size=10)
    try:
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)) as raised:
            await connection.fetch(SECRET)
        assert connection.is_closed()
    finally:
        connection.terminate()
    await is_stopped(wrong, raised)


async def test_by_a_cursor(wrong: House) -> None:
    async with connected(wrong) as connection:
        await connection.execute("BEGIN")
        await connection.execute("DECLARE fine CURSOR FOR SELECT id, sku FROM products")
        assert await (await connection.execute("FETCH 1 FROM fine")).fetchall()
        await connection.execute(f"DECLARE c CURSOR FOR {SECRET}")
        with pytest.raises(psycopg.Error) as raised:
            await connection.execute("FETCH 1 FROM c")
        assert raised.value.sqlstate == "QF004"
    await is_stopped(wrong, raised)


async def test_by_execute(wrong: House) -> None:
    async with connected(wrong) as connection:
        await connection.execute(f"PREPARE p AS {SECRET}")
        with pytest.raises(psycopg.Error) as raised:
            await connection.execute("EXECUTE p /* misread */")
        assert raised.value.sqlstate == "QF004"
    await is_stopped(wrong, raised)


async def test_a_plan_shows_no_column_and_comes(wrong: House) -> None:
    async with connected(wrong) as connection:
        assert await (await connection.execute(f"EXPLAIN {SECRET}")).fetchall()


async def test_what_another_has_changed_unseen_is_stopped_once(wrong: House) -> None:
    """A column past the firewall: the catalog that the statement was judged by is not the database's."""
    text = "SELECT * FROM products ORDER BY id LIMIT 1"
    async with connected(wrong) as connection:
        assert await (await connection.execute(text)).fetchall()
    with psycopg.connect(wrong.postgres.dsn(wrong.database), autocommit=True) as admin:
        admin.execute("ALTER TABLE products ADD COLUMN supplier_email text DEFAULT 'a@b.example'")
    async with connected(wrong) as connection:
        with pytest.raises(psycopg.Error) as raised:
            await connection.execute(text)
        assert raised.value.sqlstate == "QF004"
    async with connected(wrong) as connection:
        # judged by the catalog as it is now
        asking = connection.execute("SELECT sku FROM products ORDER BY id LIMIT 1")
        assert await (await asking).fetchall()
    version = wrong.app.gates["shop"].snapshot.version
    assert (await wrong.records("judgement"))[-1]["catalog"] == version
    products = wrong.app.gates["shop"].snapshot.relation("public.products")
    assert products is not None
    assert "supplier_email" in {column.name for column in products.columns}
