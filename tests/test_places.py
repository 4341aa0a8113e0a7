"""What a judgement says may come is what Postgres says does come, whatever is labelled."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings

from firewall.catalog import Labels
from firewall.catalog.introspect import introspect
from firewall.errors import ProtocolViolation
from firewall.places import Places
from firewall.session import Action, Ruling, Watch
from firewall.session.watch import Watcher
from firewall.sql import Effect, Facts, Kind, ObjectType
from firewall.sql.analyse import analyse
from firewall.wire import Field, Frame, RowDescription
from tests.sql.lineage_queries import SCHEMA, queries
from tests.sql.shop import FIXTURES, SHOP, cases
from tests.sql.test_lineage import CASES
from tests.sql.test_lineage_server import EXTRA

BENIGN = (*cases("benign", "query"), *cases("benign/shop", "query"))
TEXTS = [
    *(
        sql
        for sql in (*(case[0] for case in CASES), *(case.sql for case in BENIGN))
        if "$1" not in sql and "FROM STDIN" not in sql
    ),
    "EXPLAIN ANALYZE SELECT * FROM customers",
    "INSERT INTO customers (name, email, city) VALUES ('x', 'y@z', 'w') RETURNING *, customers",
    "UPDATE contacts SET mail = mail || who RETURNING contacts.*",
    "DELETE FROM order_items RETURNING quantity, order_items",
    "PREPARE p AS SELECT email FROM customers; EXECUTE p",
    "DECLARE c CURSOR FOR SELECT name FROM contacts, customers; FETCH ALL FROM c; CLOSE c",
    "SELECT email INTO copied FROM customers; SELECT email FROM copied",
    "CREATE TEMP TABLE mine AS SELECT phone FROM customers; TABLE mine",
]


class Server:
    """A database, and the whole of it labelled."""

    def __init__(self, dsn: str, schema: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(schema)
        self.snapshot = asyncio.run(read(dsn))
        columns = {r.qualified: {c.name: ("all",) for c in r.columns} for r in self.snapshot.relations}
        self.places = Places(self.snapshot, Labels(columns))
        self.connection = psycopg.connect(dsn)
        self.facts = Facts(
            database=self.snapshot.database, role=self.snapshot.role, search_path=self.snapshot.search_path
        )

    def watch(self, sql: str) -> Watch:
        analysis = analyse(sql, self.snapshot, self.facts)
        watch = self.places.watch(analysis.effects, (s.node for s in analysis.statements))
        assert watch is not None
        return watch

    def described(self, sql: str) -> list[RowDescription]:
        """What Postgres says of the text's results; `psycopg.Error` if it does not run."""
        cursor, found = self.connection.execute(sql), []
        while True:
            result = cursor.pgresult
            assert result is not None
            names = [(result.fname(n) or b"").decode() for n in range(result.nfields)]
            places = [(result.ftable(n), result.ftablecol(n)) for n in range(result.nfields)]
            # libpq tells of an unsigned number what the protocol says of a signed one
            signed = [(table, column - 65536 if column > 32767 else column) for table, column in places]
            found.append(
                RowDescription(tuple(map(Field, names, *zip(*signed, strict=True)))) if names else None
            )
            if not cursor.nextset():
                return [one for one in found if one is not None]


async def read(dsn: str):
    connection = await asyncpg.connect(dsn)
    try:
        return await introspect(connection)
    finally:
        await connection.close()


def served(postgres, name: str, schema: str):
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        server = Server(postgres.dsn(name), schema)
        yield server
        server.connection.close()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def shop(postgres):
    yield from served(postgres, "places_shop", (FIXTURES / "demo" / "shop.sql").read_text() + EXTRA)


@pytest.fixture(scope="module")
def small(postgres):
    yield from served(postgres, "places_small", SCHEMA)


def look(watch: Watch, description: RowDescription) -> None:
    """Raises ProtocolViolation where a session would stop the result."""
    watcher, raw = Watcher(), description.encode()
    ruling = Ruling(Action.ALLOW, judgement=raw, watch=watch)
    watcher.released(ruling)
    watcher.look(Frame(raw[0], raw), ruling)


@pytest.mark.parametrize("sql", TEXTS)
def test_no_result_is_stopped_that_was_understood(shop, sql):
    watch = shop.watch(sql)
    try:
        descriptions = shop.described(sql)
    except psycopg.Error:
        return  # some are of another database; how many is told below
    finally:
        shop.connection.rollback()
    for description in descriptions:
        look(watch, description)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(queries())
def test_nor_one_of_any_other_query(small, sql):
    try:
        descriptions = small.described(sql)
    except psycopg.Error as error:
        event(f"not valid: {error.sqlstate}")
        return
    finally:
        small.connection.rollback()
    for description in descriptions:
        look(small.watch(sql), description)


def test_most_of_the_texts_run(shop):
    described = 0
    for sql in TEXTS:
        with contextlib.suppress(psycopg.Error):
            described += bool(shop.described(sql))
        shop.connection.rollback()
    assert described > 0.7 * len(TEXTS)


def test_a_result_is_stopped_that_was_judged_as_another(shop):
    for sql, other in (
        ("SELECT name FROM customers", "SELECT email FROM customers"),
        ("SELECT id FROM customers", "SELECT customers FROM customers"),
        ("SELECT count(email) FROM customers", "SELECT email FROM customers"),
        ("SELECT name FROM customers WHERE email = ''", "SELECT email FROM customers"),
        ("SELECT who FROM contacts", "SELECT mail FROM contacts"),
        ("UPDATE customers SET phone = ''", "UPDATE customers SET phone = '' RETURNING phone"),
    ):
        watch, descriptions = shop.watch(sql), shop.described(other)
        shop.connection.rollback()
        with pytest.raises(ProtocolViolation, match="stopped before its first row"):
            look(watch, descriptions[0])


def test_nothing_is_watched_where_nothing_is_labelled():
    assert Places(SHOP, Labels()).watch((), ()) is None
    gone = Labels({"public.dropped": {"*": ("pii",)}, "public.products": {"dropped": ("pii",)}})
    assert Places(SHOP, gone).watch((), ()) is None


def test_what_only_the_session_has_is_told_apart():
    places = Places(SHOP, Labels({"public.customers": {"email": ("pii",)}}))
    for name, columns, own in (
        ("public.customers", ("email", "id"), False),
        ("public.customers", ("*", "ctid"), False),
        ("public.customers", ("added",), True),
        ("pg_temp.mine", ("a",), True),
    ):
        watch = places.watch((Effect(Kind.READ, name, columns=columns),), ())
        assert watch is not None
        assert watch.own is own, name


def test_what_is_not_understood_may_show_anything():
    labels = Labels({"public.customers": {"*": ("pii",)}})
    unknown = Places(SHOP, labels).watch((Effect(Kind.UNKNOWN, "t"),), ())
    assert unknown is not None
    assert unknown.anything
    opening = Places(SHOP, labels).watch((Effect(Kind.EXECUTE, "public.f", ObjectType.FUNCTION),), ())
    assert opening is not None
    assert opening.opens
    assert not opening.anything
