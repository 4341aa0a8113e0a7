"""Rows that may be changed, and transactions in which none may, with Postgres behind them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
import pytest_asyncio
from house import House, open_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLES = """
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE);
CREATE TABLE counts (id int);
CREATE TABLE looked AS SELECT generate_series(1, 20) AS id;
CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.counts VALUES (new.id); RETURN new; END$$;
CREATE TABLE counted (id int);
CREATE TRIGGER counts AFTER INSERT ON counted FOR EACH ROW EXECUTE FUNCTION counted();
CREATE FUNCTION switch() RETURNS text LANGUAGE sql
  RETURN pg_catalog.set_config('transaction_read_only', 'off', false);
CREATE FUNCTION change(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO public.counts VALUES (n) RETURNING id';
CREATE FUNCTION unseen() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN EXECUTE 'INSERT INTO public.' || TG_ARGV[0] || ' SELECT 1'; RETURN new; END$$;
CREATE TABLE unseen (id int);
CREATE TRIGGER unseen AFTER INSERT OR UPDATE ON unseen FOR EACH ROW EXECUTE FUNCTION unseen('counts');
GRANT ALL ON parents, children, counts, counted, looked, unseen TO public;
INSERT INTO parents SELECT generate_series(1, 20);
INSERT INTO children SELECT id, (id + 1) / 2 FROM generate_series(1, 20) AS id;
"""
POLICY = """
version: 1
mode: enforce
default: deny
approvers: {first.dba@example.com: {groups: [dba]}}
approval: {groups: [dba]}
rules:
  - {name: session, allow: [transaction, setting, session], why: harmless}
  - {name: reads, allow: read, why: read only, obligations: {read_only: true}, when: {relations: looked}}
  - {name: other reads, allow: read, why: w, when: {relations: [parents, children, counts, counted, unseen]}}
  - {name: calls, allow: execute, why: w}
  - {name: empties, allow: truncate, why: w, obligations: {max_affected_rows: 3}}
  - name: changes
    allow: [insert, update, delete, copy_in, create]
    why: few at a time
    obligations: {max_affected_rows: 3}
  - {name: asked, hold: update, why: w, when: {relations: [parents, unseen]}}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def changing(
    postgres: EmbeddedPostgres, shop: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("changing")
    (folder / "policy.yaml").write_text(POLICY)
    with psycopg.connect(postgres.dsn(shop), autocommit=True) as admin:
        admin.execute(TABLES)
    async with open_house(postgres, shop, folder) as house:
        yield house


@asynccontextmanager
async def connected(house: House) -> AsyncIterator[psycopg.AsyncConnection[tuple[object, ...]]]:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        yield connection


async def outcome(connection: psycopg.AsyncConnection[tuple[object, ...]], sql: str) -> str:
    """The SQLSTATE, empty if it went well."""
    try:
        await connection.execute(sql)
    except psycopg.Error as error:
        return error.sqlstate or ""
    return ""


async def refused(connection: psycopg.AsyncConnection[tuple[object, ...]], sql: str, *values: object) -> str:
    with pytest.raises(psycopg.Error) as caught:
        await connection.execute(sql, values or None)
    return caught.value.sqlstate or ""


async def test_more_than_so_many_are_undone(changing: House) -> None:
    """By simple and extended queries, in and outside of transactions, also what a tag does not show."""
    count = changing.count
    counts = "INSERT INTO counts SELECT generate_series(1, 3)"
    async with connected(changing) as connection:
        await connection.execute(counts)
        await connection.execute("INSERT INTO counts SELECT generate_series(1, %s)", [3])
        assert count("counts") == 6
        assert await refused(connection, counts.replace("3", "4")) == "QF007"
        assert await refused(connection, "INSERT INTO counts SELECT generate_series(1, %s)", 4) == "QF007"
        for beyond in (
            "WITH gone AS (DELETE FROM counts WHERE id < 3) INSERT INTO counts VALUES (9)",
            "DELETE FROM parents WHERE id < 3",  # with two children each
            "INSERT INTO counted VALUES (1), (2)",  # and a note each
            "EXPLAIN ANALYZE DELETE FROM counts",
            "CREATE TABLE copies AS SELECT id FROM counts",
            "DELETE FROM counts RETURNING id",
        ):
            assert await refused(connection, beyond) == "QF007", beyond
        # what cannot be counted is not let through
        for unseen in (
            "TRUNCATE counts",
            "DO $$BEGIN DELETE FROM public.counts; END$$",
            "INSERT INTO unseen VALUES (1)",
        ):
            assert await refused(connection, unseen) == "42501", unseen
        assert count("counts") == 6
        assert (count("parents"), count("children"), count("counted")) == (20, 20, 0)
        await connection.execute("INSERT INTO counted VALUES (1)")
        # a transaction fails, and nothing of it lasts but what a savepoint keeps
        await connection.execute("BEGIN")
        await connection.execute(counts)
        await connection.execute("SAVEPOINT here")
        assert await refused(connection, "DELETE FROM counts") == "QF007"
        assert await refused(connection, "SELECT id FROM counts") == "25P02"
        await connection.execute("ROLLBACK TO here")
        await connection.execute("COMMIT")
        assert count("counts") == 10
        async with connection.cursor() as cursor:
            async with cursor.copy("COPY counts FROM STDIN") as copy:
                await copy.write("1\n2\n3\n")
            with pytest.raises(psycopg.Error) as caught:
                async with cursor.copy("COPY counts FROM STDIN") as copy:
                    await copy.write("1\n2\n3\n4\n")
            assert caught.value.sqlstate == "QF007"
        assert count("counts") == 13
        async with connection.transaction(), connection.pipeline():
            await connection.execute("DELETE FROM counts WHERE id > 50")
            await connection.execute("INSERT INTO counts VALUES (1), (1), (1)")


async def test_batches_and_rows_fetched_in_parts_are_counted(changing: House) -> None:
    connection = await asyncpg.connect(changing.dsn())
    before = changing.count("counts")
    assert await connection.fetchval("INSERT INTO counts VALUES (50) RETURNING id") == 50
    with pytest.raises(asyncpg.PostgresError) as caught:
        await connection.fetchval("UPDATE counts SET id = id RETURNING id")
    assert caught.value.sqlstate == "QF007"
    await connection.executemany("INSERT INTO counts VALUES ($1)", [(n,) for n in range(3)])
    with pytest.raises(asyncpg.PostgresError) as caught:
        await connection.executemany("INSERT INTO counts VALUES ($1)", [(n,) for n in range(4)])
    assert caught.value.sqlstate == "QF007"
    await connection.copy_records_to_table("counts", records=[(n,) for n in range(3)])
    with pytest.raises(asyncpg.PostgresError):
        await connection.copy_records_to_table("counts", records=[(n,) for n in range(4)])
    assert changing.count("counts") == before + 7
    await connection.close()


async def test_approved_is_approved_for_so_many(changing: House) -> None:
    async with connected(changing) as connection:
        wide = asyncio.create_task(refused(connection, "UPDATE parents SET id = id"))
        hold = await changing.decide(approve=True)
        assert any("at most 3 rows changed" in reason for reason in hold.reasons)
        assert await wide == "QF007"
        narrow = asyncio.create_task(connection.execute("UPDATE parents SET id = id WHERE id = 1"))
        await changing.decide(approve=True)
        await narrow
        # with what runs unseen, which a person has let: two rows are four, by its trigger
        with psycopg.connect(changing.postgres.dsn(changing.database), autocommit=True) as admin:
            admin.execute("INSERT INTO unseen VALUES (1), (2)")
        before = changing.count("counts")
        for where, sqlstate in (("", "QF007"), (" WHERE id = 1", "")):
            asked = asyncio.create_task(outcome(connection, f"UPDATE unseen SET id = id{where}"))
            hold = await changing.decide(approve=True)
            assert any("unseen" in reason for reason in hold.reasons)
            assert await asked == sqlstate
        assert changing.count("counts") == before + 1


async def test_what_is_read_only_changes_nothing(changing: House) -> None:
    """Postgres says so itself, and nothing in the session or inside the statement switches that off."""
    before = changing.count("counts")
    write = "SELECT change(id) FROM looked LIMIT 1"
    async with connected(changing) as connection:
        assert len(await (await connection.execute("SELECT id FROM looked")).fetchall()) == 20
        found = await connection.execute("SELECT id FROM looked WHERE id = %s", [1])
        assert await found.fetchall() == [(1,)]
        for off in (
            None,
            "SET default_transaction_read_only = off",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        ):
            if off is not None:
                await connection.execute(off)
            for values in (None, ["1"]):
                text = write if values is None else write.replace("LIMIT 1", "LIMIT %s::int")
                assert await refused(connection, text, *(values or ())) == "25006"
            assert await refused(connection, "SELECT switch() FROM looked") == "25001"
        # in a transaction, where a subtransaction ends, and in one that says it writes
        for begin in (["BEGIN"], ["BEGIN READ WRITE"], ["BEGIN", "SET TRANSACTION READ WRITE"]):
            for statement in begin:
                await connection.execute(statement)
            assert await refused(connection, write) == "25006"
            await connection.execute("ROLLBACK")
        await connection.execute("BEGIN")
        await connection.execute("SAVEPOINT a")
        await connection.execute("SELECT id FROM looked")
        await connection.execute("RELEASE a")
        assert await refused(connection, write) == "25006"
        await connection.execute("ROLLBACK")
        # other statements write as before
        await connection.execute("INSERT INTO counts VALUES (1)")
    assert changing.count("counts") == before + 1


async def test_a_cursor_that_was_declared_read_only_is_fetched_from_read_only(changing: House) -> None:
    async with connected(changing) as connection:
        await connection.execute("BEGIN")
        await connection.execute("SAVEPOINT a")
        await connection.execute("DECLARE c CURSOR FOR SELECT id FROM looked")
        await connection.execute("RELEASE a")
        for shown in ("off", "on"):
            found = await connection.execute("SHOW transaction_read_only")
            assert await found.fetchall() == [(shown,)]
            assert len(await (await connection.execute("FETCH 1 FROM c")).fetchall()) == 1
        await connection.execute("ROLLBACK")
