"""psycopg 3, whose tests are not in its source distribution: every way it has to talk to a server.

Prints what it sees; the address comes from PGHOST and PGPORT. Runs by itself, with any Python with psycopg.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import date
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb


def main() -> None:
    # whether it mentions an aborted pipeline on leaving depends on which answers have arrived by then
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    with psycopg.connect() as connection:
        values(connection)
        errors(connection)
        copies(connection)
        cursors(connection)
        pipelines(connection)
        transactions(connection)
    with psycopg.connect(autocommit=True) as connection:
        settings(connection)
        notifications(connection)
        cancels(connection)
        large(connection)
    asyncio.run(several())


def say(what: str, value: object) -> None:
    print(f"{what}: {value!r}")


def values(connection: psycopg.Connection[Any]) -> None:
    samples = [
        1,
        -(2**40),
        1.5,
        "käse",
        b"\0\xff",
        None,
        True,
        date(2020, 2, 29),
        [1, None, 3],
        Jsonb({"a": [1]}),
    ]
    for binary in (False, True):
        for sample in samples:
            row = connection.execute("SELECT %s", [sample], binary=binary).fetchone()
            say(f"value {binary}", row)
    for n in range(8):  # from the sixth on psycopg prepares it
        say("prepared", connection.execute("SELECT %s::int + 1", [n]).fetchone())
    say("unprepared", connection.execute("SELECT 1; SELECT 2, 'x'").nextset())
    say("empty", connection.execute("").statusmessage)
    cursor = connection.execute("SELECT 1 AS a, 'x'::varchar(3) AS b, now() AS c WHERE false")
    say("description", [(c.name, c.type_code, c.internal_size) for c in cursor.description or ()])
    connection.commit()


def errors(connection: psycopg.Connection[Any]) -> None:
    for text in (
        *("SELECT nope", "SELECT * FROM nowhere", "SELEC 1", "SELECT 1/0", "SELECT 'a'::int", "SELECT $1"),
        *("SELECT 1; SELECT 1/0; SELECT 3", "DO $$ BEGIN RAISE 'x' USING ERRCODE='22012', HINT='h'; END $$"),
    ):
        for parameters in (None, ()):
            try:
                connection.execute(text, parameters)
            except psycopg.Error as error:
                d = error.diag
                say(
                    "error",
                    (text, d.sqlstate, d.message_primary, d.statement_position, d.message_hint, d.severity),
                )
            connection.rollback()


def copies(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TEMP TABLE c (a int, b text)")
    with connection.cursor() as cursor:
        with cursor.copy("COPY c FROM STDIN") as copy:
            for n in range(5000):
                copy.write_row((n, f"row {n}" if n % 3 else None))
        say("copied", cursor.rowcount)
        for form in ("", " (FORMAT binary)", " (FORMAT csv, HEADER)"):
            with cursor.copy(f"COPY (SELECT * FROM c ORDER BY a LIMIT 100) TO STDOUT{form}") as copy:
                data = b"".join(bytes(block) for block in copy)
            say("copy out", (len(data), data[:40]))
        try:
            with cursor.copy("COPY c FROM STDIN") as copy:
                copy.write("1\tone\nx\ttwo\n")
        except psycopg.Error as error:
            say("bad copy", (error.sqlstate, error.diag.context))
    connection.rollback()


def cursors(connection: psycopg.Connection[Any]) -> None:
    with connection.cursor("named") as cursor:
        cursor.itersize = 70
        cursor.execute("SELECT g, repeat('x', g) FROM generate_series(1, %s) g", [200])
        say("server cursor", sum(len(row[1]) for row in cursor))
    with connection.cursor("scrolls", scrollable=True) as cursor:
        cursor.execute("SELECT generate_series(1, 50)")
        cursor.scroll(40)
        say("scrolled", cursor.fetchmany(3))
        cursor.scroll(0, mode="absolute")
        say("back", cursor.fetchone())
    with psycopg.ClientCursor(connection) as cursor:
        say("client side", cursor.execute("SELECT %s, %s", [1, "a'b"]).fetchall())
    with connection.cursor() as cursor:
        say("stream", sum(row[0] for row in cursor.stream("SELECT generate_series(1, 1000)")))
    connection.execute("CREATE TEMP TABLE m (a int)")
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO m VALUES (%s) RETURNING a", [(n,) for n in range(300)], returning=True
        )
        say("many", (cursor.rowcount, sum(1 for _ in cursor.results())))
    connection.rollback()


def pipelines(connection: psycopg.Connection[Any]) -> None:
    with connection.pipeline() as pipeline:
        found = [connection.execute("SELECT %s::int", [n]) for n in range(20)]
        pipeline.sync()
        say("pipeline", [cursor.fetchone() for cursor in found])
    connection.commit()
    try:
        with connection.pipeline() as pipeline:
            first = connection.execute("SELECT 1")
            connection.execute("SELECT 1/0")
            connection.execute("SELECT 3")
            pipeline.sync()
    except psycopg.Error as error:
        say("pipeline error", (error.sqlstate, first.fetchone()))
    connection.rollback()
    say("after", connection.execute("SELECT 'fine'").fetchone())


def transactions(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TEMP TABLE t (a int PRIMARY KEY)")
    with connection.transaction():
        connection.execute("INSERT INTO t VALUES (1)")
        try:
            with connection.transaction("inner"):
                connection.execute("INSERT INTO t VALUES (1)")
        except psycopg.errors.UniqueViolation as error:
            say("violation", (error.diag.constraint_name, error.diag.table_name, error.diag.message_detail))
    say("status", connection.info.transaction_status.name)
    try:
        connection.execute("INSERT INTO t VALUES (1)")
    except psycopg.Error:
        try:
            connection.execute("SELECT 1")
        except psycopg.Error as error:
            say("in failed transaction", error.sqlstate)
    connection.rollback()
    connection.tpc_begin(connection.xid(1, "gtrid", "bqual"))
    connection.tpc_prepare()
    connection.tpc_rollback()
    say("two phases", connection.info.transaction_status.name)


def settings(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "SET application_name TO 'somebody'; SET DateStyle TO 'SQL, DMY'; SET TimeZone TO 'UTC'"
    )
    names = (
        "application_name",
        "DateStyle",
        "TimeZone",
        "server_version",
        "integer_datetimes",
        "is_superuser",
    )
    names += ("client_encoding", "server_encoding", "standard_conforming_strings", "session_authorization")
    say("parameters", [connection.info.parameter_status(name) for name in names])
    connection.execute("RESET ALL")
    say("protocol", connection.pgconn.protocol_version)
    notices: list[str] = []
    connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    connection.execute("DO $$ BEGIN FOR i IN 1..3 LOOP RAISE NOTICE 'n %', i; END LOOP; END $$")
    connection.execute("DROP TABLE IF EXISTS not_there")
    say("notices", notices)
    composed = sql.SQL("SELECT {} AS {}").format(sql.Literal("q"), sql.Identifier('a"b'))
    say("composed", connection.execute(composed).fetchone())


def notifications(connection: psycopg.Connection[Any]) -> None:
    connection.execute("LISTEN channel")
    with psycopg.connect(autocommit=True) as other:
        for n in range(3):
            other.execute("SELECT pg_notify('channel', %s)", [f"word {n}"])
    heard = [notice.payload for notice in connection.notifies(timeout=20, stop_after=3)]
    say("heard", heard)
    connection.execute("UNLISTEN *")


def cancels(connection: psycopg.Connection[Any]) -> None:
    timer = threading.Timer(0.5, connection.cancel_safe)
    timer.start()
    try:
        connection.execute("SELECT pg_sleep(30)")
    except psycopg.Error as error:
        say("cancelled", error.sqlstate)
    timer.join()
    say("alive", connection.execute("SELECT 1").fetchone())


def large(connection: psycopg.Connection[Any]) -> None:
    text = "x" * 3_000_000
    say("large value", len(connection.execute("SELECT %s || 'y'", [text]).fetchone()[0]))
    rows = connection.execute("SELECT g, repeat('z', 100) FROM generate_series(1, 50000) g").fetchall()
    say("many rows", (len(rows), rows[-1][0]))


async def several() -> None:
    async def one(n: int) -> int:
        async with await psycopg.AsyncConnection.connect() as connection:
            found = 0
            for _ in range(5):
                cursor = await connection.execute("SELECT %s::int * 2", [n])
                found += (await cursor.fetchone() or (0,))[0]
            return found

    say("several", await asyncio.gather(*(one(n) for n in range(8))))


if __name__ == "__main__":
    main()
