"""Masked columns, with Postgres and real drivers: on every path that a value can take to the client."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
import pytest_asyncio
from house import House, open_house

from firewall.session import withheld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = """
version: 1
mode: enforce
default: deny
labels:
  {pii.email: "*email*", pii.phone: "*phone*", pii.name: customers.name, pci.pan: card_number, pii.nick: nick}
approvers: {dba@example.com: {groups: [dba]}}
approval: {groups: [dba]}
rules:
  - name: all of it
    allow: any
    why: with masks
    obligations:
      mask:
        {pii.email: hash, pii.phone: "null", pii.name: {text: somebody}, pci.pan: {last: 4},
         pii.nick: {text: "a,b|\\t\\"\\\\.\\nä"}}
"""
# of the first customer and the first payment in the demo's shop
MASKED = "SELECT id, email, phone, name FROM customers WHERE id = 1"
# hostile to every format of COPY: delimiters, quotes, line ends, spellings of NULL, the end of a file
HOSTILE = (
    *("plain", "", r"\N", r"\.", "NULL", "a,b;c|d\te", "two\nlines\r\nand\rmore", 'quo"te"\'s', "\\s\\\\"),
    *("\b\f\v", "ünïcödé €", "\n", '"', ",", " spaces "),
)
COPIED = "id, email, free, nick, card_number, phone"
COPIES = f"""
DROP TABLE IF EXISTS masked_copy, masked_copy_back;
CREATE TABLE masked_copy (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, email text,
    free text, nick text, card_number varchar, phone text);
CREATE TABLE masked_copy_back AS SELECT {COPIED} FROM masked_copy;
GRANT ALL ON masked_copy TO PUBLIC;
"""


@asynccontextmanager
async def masking(postgres: EmbeddedPostgres, shop: str, folder: Path) -> AsyncIterator[House]:
    (folder / "policy.yaml").write_text(POLICY)
    async with open_house(postgres, shop, folder) as house:
        yield house


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def masked(
    postgres: EmbeddedPostgres, shop: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """One firewall for all tests here that do not need another."""
    values = (None, *HOSTILE)
    rows = [(n, *(values[(n + k) % len(values)] for k in range(5))) for n in range(len(values))]
    with psycopg.connect(postgres.dsn(shop), autocommit=True) as direct:
        direct.execute(COPIES)
        insert = f"INSERT INTO masked_copy ({COPIED}) VALUES (%s, %s, %s, %s, %s, %s)"
        direct.cursor().executemany(insert, rows)
    async with masking(postgres, shop, tmp_path_factory.mktemp("masked")) as house:
        yield house


@pytest_asyncio.fixture(loop_scope="session")
async def connection(masked: House) -> AsyncIterator[asyncpg.Connection]:
    """An agent's."""
    opened = await asyncpg.connect(masked.dsn())
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def first(postgres: EmbeddedPostgres, shop: str) -> dict[str, str]:
    """The values that must not be seen."""
    with psycopg.connect(postgres.dsn(shop)) as direct:
        customer = direct.execute("SELECT email, phone, name FROM customers WHERE id = 1").fetchone()
        payment = direct.execute("SELECT card_number FROM payments WHERE id = 1").fetchone()
    assert customer is not None
    assert payment is not None
    return dict(zip(("email", "phone", "name", "card"), (*customer, *payment), strict=True))


async def test_drivers_get_masks_in_text_and_binary(masked: House, first: dict[str, str]) -> None:
    seen: set[str] = set()
    for binary in (False, True):
        for prepare in (False, True):
            async with await psycopg.AsyncConnection.connect(masked.dsn(), autocommit=True) as opened:
                for _ in range(2):
                    cursor = opened.cursor(binary=binary)
                    row = await (await cursor.execute(MASKED, prepare=prepare)).fetchone()
                    assert row is not None
                    assert (row[0], *row[2:]) == (1, None, "somebody")
                    seen.add(row[1])
                    found = await cursor.execute("SELECT card_number FROM payments WHERE id = %s", [1])
                    assert (await found.fetchone() or ("",))[0][-4:] == first["card"][-4:]
                    assert found.description is not None
                    assert found.description[0].type_code == 25
    async with await psycopg.AsyncConnection.connect(masked.dsn(), autocommit=True) as opened:
        row = await (await psycopg.AsyncClientCursor(opened).execute(MASKED)).fetchone()
        assert row is not None
        seen.add(row[1])
    connection = await asyncpg.connect(masked.dsn())
    for _ in range(2):
        record = await connection.fetchrow(MASKED)
        assert (record["id"], record["phone"], record["name"]) == (1, None, "somebody")
        seen.add(record["email"])
    statement = await connection.prepare("SELECT card_number, id FROM payments WHERE id = $1")
    card = await statement.fetchval(1)
    assert card == "*" * (len(first["card"]) - 4) + first["card"][-4:]
    await connection.close()
    releases = [r["masked"] for r in await masked.records("release") if r["masked"]]
    assert ["email (hash)", "phone (null)", "name (text)"] in releases
    # the same value has the same hash everywhere, and it is not the value
    (email,) = seen
    assert email != first["email"]
    assert len(email) == 32


async def test_hashes_are_of_the_house(
    postgres: EmbeddedPostgres, shop: str, masked: House, tmp_path: Path
) -> None:
    # another process, another log, the same key
    shutil.copy(masked.app.settings.key, tmp_path)
    async with masking(postgres, shop, tmp_path) as other:
        hashes = set()
        for house in (masked, other):
            opened = await asyncpg.connect(house.dsn())
            hashes.add(await opened.fetchval("SELECT email FROM customers WHERE id = 1"))
            await opened.close()
    assert len(hashes) == 1


async def test_portals_and_returning(connection: asyncpg.Connection, first: dict[str, str]) -> None:
    whole = await connection.fetch("SELECT email, id FROM customers ORDER BY id")
    async with connection.transaction():
        cursor = await connection.cursor("SELECT email, id FROM customers ORDER BY id")
        parts = [row for _ in range(4) for row in await cursor.fetch(3)]
    assert parts == whole[:12]
    assert len({row["email"] for row in whole}) == len(whole)
    for text in (
        "UPDATE customers SET city = city WHERE id = 1 RETURNING email",
        "SELECT c.email FROM customers c JOIN customers d USING (email) WHERE c.id = 1",
        "WITH x AS (SELECT * FROM customers) SELECT email FROM x WHERE id = 1",
        "SELECT DISTINCT email FROM customers WHERE id = 1 GROUP BY email",
    ):
        assert await connection.fetchval(text) == whole[0]["email"], text
    assert await connection.fetchval("SELECT count(email) FROM customers") == len(whole)
    assert await connection.fetchval("SELECT id FROM customers WHERE email = $1", first["email"]) == 1


async def test_cursors_and_prepared_statements_of_sql(connection: asyncpg.Connection, masked: House) -> None:
    whole = await connection.fetch("SELECT email, id FROM customers ORDER BY id LIMIT 6")
    await connection.execute("PREPARE p AS SELECT email, id FROM customers ORDER BY id LIMIT 6")
    assert await connection.fetch("EXECUTE p") == whole
    async with connection.transaction():
        await connection.execute("DECLARE c CURSOR FOR SELECT email, id FROM customers ORDER BY id")
        await connection.execute("DECLARE plain CURSOR FOR SELECT id FROM products ORDER BY id")
        assert await connection.fetch("FETCH 4 FROM c") + await connection.fetch("FETCH 2 FROM c") == whole
        assert await connection.fetchval("FETCH 1 FROM plain") == 1
        with pytest.raises(asyncpg.PostgresError) as caught:
            async with connection.transaction():  # a savepoint
                await connection.fetch("FETCH 1 FROM other")
        assert caught.value.sqlstate == "0A000"
        await connection.execute("CLOSE c")
        # a name for two: which of them it is only Postgres knows
        await connection.execute("DECLARE c CURSOR FOR SELECT id, id FROM customers ORDER BY id")
        with pytest.raises(asyncpg.PostgresError) as caught:
            async with connection.transaction():
                await connection.fetch("FETCH 1 FROM c")
        assert caught.value.sqlstate == "0A000"
    async with (
        await psycopg.AsyncConnection.connect(masked.dsn()) as opened,
        opened.cursor("named") as cursor,
    ):
        await cursor.execute("SELECT email, id FROM customers ORDER BY id LIMIT 6")
        assert [row[0] async for row in cursor] == [row["email"] for row in whole]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT substr(email, 1, 1) FROM customers WHERE id = 1",
        "SELECT upper(email) || '' FROM customers WHERE id = 1",
        "SELECT max(email) FROM customers",
        "SELECT substr(card_number, 1, 4) FROM payments WHERE id = 1",
        "SELECT CASE WHEN id > 1000 THEN email ELSE 'x' END FROM customers WHERE id = 1",
        "SELECT c FROM customers c WHERE id = 1",
        "SELECT array_agg(email) FROM customers",
        "SELECT row_to_json(c) FROM customers c WHERE id = 1",
        "SELECT row(c.*)::text FROM customers c WHERE id = 1",
        "SELECT email FROM customers WHERE id = 1 UNION SELECT substr(email, 2) FROM customers WHERE id = 1",
        "SELECT x FROM (SELECT email x FROM customers UNION ALL SELECT substr(email, 2) FROM customers) y",
    ],
)
async def test_of_what_is_computed_nothing_is_left(connection: asyncpg.Connection, text: str) -> None:
    # whoever chooses the expression would put the value together
    found = await connection.fetch(text)
    assert found
    assert {row[0] for row in found} == {None}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 FROM customers WHERE id = 1 AND email::int = 1",
        "SELECT set_config('application_name', email, false) FROM customers WHERE id = 1",
        "SELECT pg_notify('x', email) FROM customers WHERE id = 1",
        "DO $$ BEGIN RAISE NOTICE '%', (SELECT email FROM customers WHERE id = 1); END $$",
        "SELECT email FROM customers WHERE id = 1; SELECT 1",
        "COPY (SELECT email FROM customers) TO '/tmp/never'",
        "COPY (SELECT email FROM customers) TO PROGRAM 'cat'",
        "COPY (SELECT email FROM customers) TO STDOUT (ENCODING 'SJIS')",
        "COPY (SELECT email FROM customers) TO STDOUT (NULL '\\x')",
        "COPY (SELECT email FROM customers) TO STDOUT (FORMAT csv, QUOTE E'\\n')",
    ],
)
async def test_what_cannot_be_masked_is_refused(
    connection: asyncpg.Connection, first: dict[str, str], text: str
) -> None:
    heard: list[str] = []
    connection.add_log_listener(lambda _, message: heard.append(str(message.as_dict())))
    with pytest.raises(asyncpg.PostgresError) as caught:
        await connection.execute(text)
    assert "query-firewall" in str(caught.value)
    assert first["email"] not in repr((caught.value.as_dict(), heard))


@pytest.mark.parametrize(
    ("text", "sqlstate"),
    [
        ("SELECT email::int FROM customers WHERE id = 1", "22P02"),
        ("SELECT 1 / (length(email) - length(email)) FROM customers WHERE id = 1", "22012"),
        ("INSERT INTO customers (id, name, email, city) VALUES (1, 'x', 'y', 'z') RETURNING email", "23505"),
    ],
)
async def test_errors_quote_nothing(
    masked: House, connection: asyncpg.Connection, first: dict[str, str], text: str, sqlstate: str
) -> None:
    for way in (connection.execute, connection.fetch):
        with pytest.raises(asyncpg.PostgresError) as caught:
            await way(text)
        told = str(caught.value.as_dict())
        assert caught.value.sqlstate == sqlstate, told
        assert first["email"] not in told
        assert "withholds" in told
    # what Postgres says of the text itself it may say
    with pytest.raises(asyncpg.UndefinedColumnError, match="emial"):
        await connection.execute("SELECT emial FROM customers")
    async with asyncio.timeout(30):
        while sum(r["sqlstate"] == sqlstate for r in await masked.records("outcome")) < 2:
            await asyncio.sleep(0.01)
    assert first["email"] not in str([r["message"] for r in await masked.records("outcome")])


@pytest.mark.parametrize(
    ("options", "encoding"),
    [
        ("(FORMAT text)", "UTF8"),
        ("(DELIMITER '|', HEADER)", "UTF8"),
        ("(ENCODING 'windows-1252', DELIMITER 'N', NULL '-0-')", "UTF8"),
        ("CSV", "UTF8"),
        (
            "(FORMAT csv, HEADER on, DELIMITER ';', QUOTE '''', ESCAPE '\\', NULL 'nil', FORCE_QUOTE *)",
            "UTF8",
        ),
        ("(FORMAT csv, DELIMITER 'e', QUOTE 'i', ESCAPE 'a', NULL 'NULL')", "UTF8"),
        ("(FORMAT csv, HEADER)", "WIN1252"),
        ("(FORMAT binary)", "UTF8"),
    ],
)
async def test_copy_brings_what_select_brings(
    postgres: EmbeddedPostgres, shop: str, masked: House, options: str, encoding: str
) -> None:
    # as Postgres itself reads it back
    found: set[bytes] = set()
    async with await psycopg.AsyncConnection.connect(masked.dsn(), autocommit=True) as opened:
        select = f"SELECT {COPIED} FROM masked_copy ORDER BY id"
        expected = await (await opened.execute(select)).fetchall()
        await opened.execute(f"SET client_encoding = '{encoding}'")
        for what in ("masked_copy", f"masked_copy ({COPIED})", f"({select})"):
            async with opened.cursor().copy(f"COPY {what} TO STDOUT {options}") as copy:
                found.add(b"".join([bytes(data) async for data in copy]))
    (data,) = found
    with psycopg.connect(postgres.dsn(shop), autocommit=True) as direct:
        direct.execute("TRUNCATE masked_copy_back")
        direct.execute(f"SET client_encoding = '{encoding}'")
        back = f"COPY masked_copy_back FROM STDIN {options.replace(', FORCE_QUOTE *', '')}"
        with direct.cursor().copy(back) as copy:
            copy.write(data)
        read = direct.execute("SELECT * FROM masked_copy_back ORDER BY id").fetchall()
    if "-0-" in options:
        # in masked columns it cannot be told from a value that looks like it, and is masked like one
        assert expected[0][1] is None
        assert len(read[0][1]) == 32
        read = [
            (e if e is None else r for r, e in zip(*pair, strict=True))
            for pair in zip(read, expected, strict=True)
        ]
        read = [tuple(row) for row in read]
    assert read == expected


async def test_a_copy_that_fails_quotes_nothing(masked: House) -> None:
    async with await psycopg.AsyncConnection.connect(masked.dsn(), autocommit=True) as opened:
        with pytest.raises(psycopg.Error, match=withheld.WHY) as caught:
            async with opened.cursor().copy("COPY (SELECT email::int FROM customers) TO STDOUT") as copy:
                await copy.read()
        assert caught.value.sqlstate == "22P02"
        assert "@" not in str(caught.value)
        nothing = "COPY (SELECT email FROM customers WHERE false) TO STDOUT CSV"
        async with opened.cursor().copy(nothing) as copy:
            assert [data async for data in copy] == []
