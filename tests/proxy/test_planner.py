"""The planner of a real Postgres: its estimates are right, its silence is told, and nothing is executed."""

from __future__ import annotations

import json
import secrets
import socket
import struct
from typing import TYPE_CHECKING

import psycopg
import pytest
from pydantic import SecretStr

from firewall import config
from firewall.approval import Change, Estimate
from firewall.proxy import planner
from firewall.proxy.planner import Planner, read
from firewall.session import Act

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = ("pg_catalog", "public")
INT2, INT4, INT8, TEXT, NUMERIC, DATE, UUID, BOOL = 21, 23, 20, 25, 1700, 1082, 2950, 16
TABLES = """
CREATE TABLE things (id int PRIMARY KEY, state text NOT NULL, day date NOT NULL, price numeric NOT NULL,
                     mark uuid NOT NULL);
INSERT INTO things SELECT n, CASE WHEN n % 10 = 0 THEN 'open' ELSE 'done' END, date '2024-01-01' + n, n,
       md5(n::text)::uuid FROM generate_series(1, 1000) AS n;
CREATE TABLE traces (what text);
CREATE SEQUENCE counter;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO traces VALUES (tg_op); RETURN NULL; END $$;
CREATE TRIGGER noting AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON things EXECUTE FUNCTION noted();
CREATE FUNCTION leaves(int) RETURNS int VOLATILE LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO traces VALUES ('volatile'); RETURN $1; END $$;
CREATE FUNCTION lies(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN RETURN leaves($1); END $$;
CREATE FUNCTION sleeps(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(60); RETURN $1; END $$;
CREATE FUNCTION tells(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'swordfish'; END $$;
CREATE TABLE kept (id int);
CREATE RULE pair AS ON INSERT TO kept DO ALSO DELETE FROM things WHERE id <= 7;
ANALYZE things;
"""


class Asked:
    """A database, its planner, and what is done past both as the superuser."""

    def __init__(self, postgres: EmbeddedPostgres, name: str, role: str, policy: Path) -> None:
        self.dsn = postgres.dsn(name)
        fields = {"host": "127.0.0.1", "port": postgres.port, "database": name, "user": role}
        self.database = config.Database.model_validate({**fields, "policy": policy})
        self.role = role
        self.planner = Planner(self.database, SecretStr("pw"))

    async def about(self, sql: str, *values: bytes | None, formats: tuple[int, ...] = (), **more: object):
        """What the planner says of one run."""
        types = more.pop("types", ())
        options = {"role": self.role, "path": PATH, **more}
        return await self.planner.ask(options.pop("pid", 0), Act(sql, values, formats, types), "", **options)

    async def estimate(self, sql: str, *values: bytes | None, **more: object) -> Estimate:
        answer = await self.about(sql, *values, **more)
        assert answer.estimate is not None, answer
        return answer.estimate


@pytest.fixture(scope="module")
def asked(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    name = f"p_{secrets.token_hex(5)}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'pw'")
        with psycopg.connect(postgres.dsn(name), autocommit=True) as inside:
            inside.execute(TABLES)
            inside.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
            inside.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}")
            inside.execute("CREATE TABLE private (id int); CREATE SCHEMA other")
            inside.execute("CREATE TABLE other.things (id int); INSERT INTO other.things VALUES (1)")
            inside.execute(f"ANALYZE other.things; GRANT USAGE ON SCHEMA other TO {name}")
            inside.execute(f"GRANT SELECT ON other.things TO {name}")
        yield Asked(postgres, name, name, tmp_path_factory.mktemp("planner") / "policy.yaml")
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.execute(f"DROP ROLE {name}")


@pytest.fixture
def untouched(asked: Asked) -> Iterator[None]:
    """Whatever happens, nothing has happened."""
    look = """SELECT (SELECT count(*) FROM traces), (SELECT count(*) FROM things),
                     (SELECT last_value FROM counter), (SELECT is_called FROM counter),
                     (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace)"""
    with psycopg.connect(asked.dsn, autocommit=True) as admin:
        before = admin.execute(look).fetchone()
        yield
        assert admin.execute(look).fetchone() == before


@pytest.mark.parametrize(
    ("sql", "rows", "changes"),
    [
        ("SELECT * FROM things", 1000, []),
        ("SELECT * FROM things WHERE state = 'open' -- ;", 100, []),
        ("/* a */ (SELECT 1);;", 1, []),
        ("SELECT count(*) FROM things", 1, []),
        ("DELETE FROM things WHERE state = 'open'", 0, [("delete", 100)]),
        ("UPDATE things SET price = 0 RETURNING id", 1000, [("update", 1000)]),
        ("INSERT INTO traces SELECT state FROM things", 0, [("insert", 1000)]),
        ("INSERT INTO traces VALUES ('a'), ('b')", 0, [("insert", 2)]),
        (
            "WITH d AS (DELETE FROM things WHERE id <= 50 RETURNING *) INSERT INTO traces SELECT 'x' FROM d",
            0,
            [("insert", 50), ("delete", 50)],
        ),
        (
            "MERGE INTO things t USING (SELECT 5 AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE",
            0,
            [("merge", 1)],
        ),
        ("CREATE TABLE fresh AS SELECT * FROM things WHERE state = 'open'", 100, []),
        ("DECLARE c CURSOR FOR SELECT * FROM things WHERE state = 'open'", 100, []),
        # a rule makes two queries of it
        ("INSERT INTO kept VALUES (1)", 0, [("insert", 1), ("delete", 7)]),
    ],
)
@pytest.mark.usefixtures("untouched")
async def test_it_expects_what_would_come(
    asked: Asked, sql: str, rows: int, changes: list[tuple[str, int]]
) -> None:
    found = await asked.estimate(sql)
    assert found.rows == pytest.approx(rows, rel=0.1)
    assert [each.verb for each in found.changes] == [verb for verb, _ in changes]
    assert [each.rows for each in found.changes] == pytest.approx([of for _, of in changes], rel=0.1)
    assert found.cost > 0


@pytest.mark.parametrize(
    ("where", "value", "of", "binary", "rows"),
    [
        ("id <= $1", b"300", INT4, False, 300),
        ("id <= $1", b"300", 0, False, 300),
        ("id <= $1", struct.pack("!i", 300), INT4, True, 300),
        ("id <= $1", struct.pack("!q", 300), INT8, True, 300),
        ("id <= $1", struct.pack("!h", 300), INT2, True, 300),
        # the type that Postgres infers has a binary form as well
        ("id <= $1", struct.pack("!i", 300), 0, True, 300),
        ("state = $1", b"open", TEXT, False, 100),
        ("state = $1", b"open", TEXT, True, 100),
        ("state = $1", b"done", 0, False, 900),
        ("day <= $1", b"2024-07-19", DATE, False, 200),
        ("day <= $1", struct.pack("!i", 8966), DATE, True, 200),
        ("price <= $1", b"400.5", NUMERIC, False, 400),
        ("price <= $1", struct.pack("!hhhhh", 1, 0, 0, 0, 400), NUMERIC, True, 400),
        ("mark = $1", bytes.fromhex("c4ca4238a0b923820dcc509a6f75849b"), UUID, True, 1),
        ("id > 0 AND $1", b"\1", BOOL, True, 1000),
        ("id <= $1", None, INT4, False, 1),
    ],
)
async def test_it_knows_what_was_bound(
    asked: Asked, where: str, value: bytes | None, of: int, binary: bool, rows: int
) -> None:
    text = f"DELETE FROM things WHERE {where}"
    found = await asked.estimate(text, value, types=(of,) if of else (), formats=(1,) if binary else ())
    # estimates of ranges come from a histogram
    assert found.changes[0].rows == pytest.approx(rows, rel=0.1, abs=3)


async def test_names_mean_what_they_mean_in_the_session(asked: Asked) -> None:
    assert (await asked.estimate("SELECT * FROM things", path=("other", "public"))).rows == 1
    answer = await asked.about("SELECT * FROM things", path=())
    assert answer.unestimated == "the planner refused it, SQLSTATE 42P01"
    answer = await asked.about("SELECT * FROM things", path=('odd "one', "public"), role='no "such')
    assert answer.unestimated == "the planner refused it, SQLSTATE 22023"


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO things SELECT leaves(n), '', now(), 1, gen_random_uuid() FROM generate_series(1, 5) n",
        "SELECT leaves(1), nextval('counter'), setval('counter', 99)",
        "DELETE FROM things",
        "SELECT leaves(id) FROM things WHERE leaves(id) = 1",
    ],
)
@pytest.mark.usefixtures("untouched")
async def test_nothing_is_executed(asked: Asked, sql: str) -> None:
    await asked.estimate(sql)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        # what calls itself immutable is computed as it is planned, and may not write
        ("SELECT lies(1)", "planning it would write"),
        ("SELECT 1; DELETE FROM things", "the planner refused it, SQLSTATE 42601"),
        ("ANALYZE DELETE FROM things", "the planner refused it, SQLSTATE 42601"),
        ("(ANALYZE) DELETE FROM things", "the planner refused it, SQLSTATE 42601"),
        ("EXPLAIN ANALYZE DELETE FROM things", "the planner refused it, SQLSTATE 42601"),
        ("COMMIT", "the planner refused it, SQLSTATE 42601"),
        ("TRUNCATE things", "the planner refused it, SQLSTATE 42601"),
        ("SELECT * FROM private", "the firewall's login may not look at what it touches"),
        # what a function says can be data
        ("SELECT tells(1)", "the planner refused it, SQLSTATE P0001"),
    ],
)
@pytest.mark.usefixtures("untouched")
async def test_what_is_not_planned_is_told(asked: Asked, sql: str, why: str) -> None:
    answer = await asked.about(sql)
    assert (answer.estimate, answer.unestimated) == (None, why)
    assert answer.unseen == "", "locks are told all the same"


async def test_a_planner_that_is_busy_is_not_waited_for(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "PLANNER_SECONDS", 0.1)
    answer = await asked.about("SELECT sleeps(1)")
    assert answer.unestimated == "the planner did not answer in 1 s"
    assert answer.unseen == ""


async def test_a_locked_table_is_told_and_so_is_who_holds_the_lock(asked: Asked) -> None:
    with psycopg.connect(asked.dsn) as holder:
        holder.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
        holder.execute("SELECT * FROM traces")
        answer = await asked.about("DELETE FROM things", pid=holder.info.backend_pid)
    assert answer.unestimated == "another transaction has locked what the planner must look at"
    assert answer.holding == ("access exclusive on public.things", "access share on public.traces")
    assert answer.unseen == ""
    assert (await asked.about("SELECT 1")).holding == ()


async def test_a_statement_that_must_not_be_planned_is_not(asked: Asked) -> None:
    answer = await asked.planner.ask(0, None, "it is several statements at once", role="", path=())
    assert (answer.estimate, answer.unestimated) == (None, "it is several statements at once")


async def test_a_database_that_is_gone_is_told(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        gone = asked.database.model_copy(update={"port": deaf.getsockname()[1]})
        monkeypatch.setattr(planner, "WHOLE_SECONDS", 0.05)
        late = await Planner(gone, SecretStr("")).ask(1, Act("SELECT 1"), "", role="", path=PATH)
    assert late.unestimated == late.unseen == "the database did not answer in 2 s"
    monkeypatch.undo()
    answer = await Planner(gone, SecretStr("")).ask(1, Act("SELECT 1"), "", role="", path=PATH)
    assert answer.unestimated == answer.unseen
    assert answer.unestimated.startswith("the database cannot be reached")
    wrong = await Planner(asked.database, SecretStr("no")).ask(1, Act("SELECT 1"), "", role="", path=PATH)
    assert "refused the firewall's login" in wrong.unestimated


@pytest.mark.parametrize("plan", ["", "{", "1", '[{"Plan": 3}]', '[{"Plan": {"Plan Rows": "x"}}]'])
async def test_an_answer_that_is_no_plan_is_an_error(plan: str) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        read(plan)


async def test_what_a_rule_makes_of_it_is_added_up() -> None:
    node = {"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Plan Rows": 4, "Total Cost": 1.5}
    beside = {**node, "Parent Relationship": "InitPlan"}
    writes = {
        "Node Type": "ModifyTable",
        "Operation": "Update",
        "Relation Name": "t",
        "Plans": [node, beside],
    }
    plans = [{"Plan": {**writes, "Total Cost": 2.5}}, "Notify", {"Plan": node}]
    assert read(json.dumps(plans)) == Estimate(4, 4.0, (Change("update", "t", 4),))
    assert read("[]") == Estimate(0, 0.0)
