"""Lineage against a real server: what Postgres says of its columns, and what its results depend on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings

from firewall.catalog.introspect import introspect
from firewall.catalog.snapshot import RelationKind, Snapshot
from firewall.sql.analysis import Facts, Source
from firewall.sql.lineage import trace
from tests.sql.lineage_queries import SCHEMA, queries
from tests.sql.test_lineage import CASES

SHOP_SQL = Path(__file__).parents[2] / "fixtures" / "demo" / "shop.sql"
EXTRA = """
CREATE VIEW contacts AS SELECT name AS who, email AS mail FROM customers WHERE phone IS NOT NULL;
CREATE MATERIALIZED VIEW mails AS SELECT mail FROM contacts;
CREATE TABLE parent (a text, b text);
CREATE TABLE child (c text) INHERITS (parent);
INSERT INTO child VALUES ('1', '2', '3');
CREATE TABLE docs (id int, doc jsonb);
CREATE TABLE notes (id int, note text);
CREATE TABLE named (id int UNIQUE, name text, note text);
CREATE SCHEMA other;
CREATE TABLE other.customers (secret text);
CREATE FUNCTION buyers() RETURNS SETOF orders LANGUAGE sql STABLE AS 'SELECT * FROM orders';
CREATE FUNCTION all_of() RETURNS SETOF record LANGUAGE sql STABLE AS 'SELECT * FROM orders';
"""
SCRAMBLED = ("NULL", "coalesce({0}, '') || '~'", "'q'")


@dataclass(repr=False)
class Server:
    """A database, its snapshot, and an open transaction's connection to it."""

    connection: psycopg.Connection
    snapshot: Snapshot

    def __post_init__(self):
        self.by_oid = {relation.oid: relation for relation in self.snapshot.relations}

    def lineage(self, sql):
        return trace(sql, self.snapshot, Facts(database=self.snapshot.database))

    def origins(self, cursor):
        """Each result column's base column, as RowDescription tells it."""
        result = cursor.pgresult
        for n in range(result.nfields):
            relation = self.by_oid.get(result.ftable(n))
            columns = relation.columns if relation else ()
            number = result.ftablecol(n)
            yield next((Source(relation.qualified, c.name) for c in columns if c.number == number), None)


def furnish(postgres, database, schema):
    with psycopg.connect(postgres.dsn(database), autocommit=True) as admin:
        admin.execute(schema)

    async def read():
        connection = await asyncpg.connect(postgres.dsn(database))
        try:
            return await introspect(connection)
        finally:
            await connection.close()

    return Server(psycopg.connect(postgres.dsn(database)), asyncio.run(read()))


def served(postgres, name, schema):
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        server = furnish(postgres, name, schema)
        yield server
        server.connection.close()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def shop_server(postgres):
    yield from served(postgres, "lineage_shop", SHOP_SQL.read_text() + EXTRA)


@pytest.fixture(scope="module")
def small_server(postgres):
    yield from served(postgres, "lineage_small", SCHEMA)


def announced(server, cursor, lineage):
    assert len(cursor.description) == len(lineage.outputs)
    for origin, output in zip(server.origins(cursor), lineage.outputs, strict=True):
        assert origin is None or origin in output.sources, output


def unconcerned(server, lineage):
    """The text columns of tables that the lineage says have no part in the result."""
    concerned = lineage.reaches | lineage.tested
    for relation in server.snapshot.relations:
        if relation.schema == "public" and relation.kind is RelationKind.TABLE:
            for column in relation.columns:
                if column.type == "text" and (relation.qualified, column.name) not in concerned:
                    yield relation, column


def rows(cursor):
    return sorted(map(repr, cursor.fetchall()))


@pytest.mark.parametrize("sql", [case[0] for case in CASES if "$1" not in case[0]])
def test_every_case_is_valid_and_announces_what_postgres_returns(shop_server, sql):
    connection = shop_server.connection
    try:
        cursor = connection.execute(sql)
        if cursor.description:
            lineage = shop_server.lineage(sql)
            assert lineage is not None
            announced(shop_server, cursor, lineage)
    finally:
        connection.rollback()


# INVARIANT: 3. What lineage does not name has no part in the result.
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(queries())
def test_columns_that_lineage_does_not_name_do_not_matter(small_server, sql):
    connection = small_server.connection
    lineage = small_server.lineage(sql)
    try:
        cursor = connection.execute(sql)
    except psycopg.Error as error:
        event(f"not valid: {error.sqlstate}")
        connection.rollback()
        return
    try:
        event("traced" if lineage else "valid, but not traced")
        if lineage is None:
            return
        announced(small_server, cursor, lineage)
        before = rows(cursor)
        for replacement in SCRAMBLED:
            with connection.transaction(force_rollback=True):
                for relation, column in unconcerned(small_server, lineage):
                    value = replacement.format(column.name)
                    connection.execute(f"UPDATE ONLY {relation.qualified} SET {column.name} = {value}")
                assert rows(connection.execute(sql)) == before
    finally:
        connection.rollback()
