"""`decide: at_commit` with Postgres and real drivers: one decision on a transaction, and ways around it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
import pytest_asyncio
from house import OWNER, House, open_house

from firewall import policy, wire
from firewall.approval import Counted, Refused, Standing, State
from firewall.policy import fields
from tests.proxy.client import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from firewall.approval import Hold
    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

DBA = "dba@example.com"
POLICY = f"""
version: 1
mode: enforce
default: hold
approvers: {{{DBA}: {{groups: [dba]}}, {OWNER}: {{groups: [dba]}}}}
approval: {{groups: [dba]}}
rules:
  - {{name: session, allow: [transaction, setting, session, create, drop], why: harmless}}
  - {{name: reads, allow: read, why: harmless}}
  - {{name: free, allow: insert, when: {{relations: atc_free}}, why: harmless}}
  - name: writes are decided as one
    hold: [insert, update, delete]
    when: {{relations: [atc_ledger, atc_trail]}}
    why: somebody sees what it did
    decide: at_commit
    obligations: {{max_affected_rows: 5}}
  - name: there is little time
    hold: insert
    when: {{relations: atc_brief}}
    why: somebody sees what it did
    decide: {{at_commit: 1s}}
"""
TABLES = """
CREATE TABLE atc_ledger (id int PRIMARY KEY, what text);
CREATE TABLE atc_trail (what text);
CREATE TABLE atc_free (id int);
CREATE TABLE atc_brief (id int);
CREATE FUNCTION atc_note() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO atc_trail VALUES (NEW.what); RETURN NEW; END $$;
CREATE TRIGGER note AFTER INSERT ON atc_ledger FOR EACH ROW EXECUTE FUNCTION atc_note();
CREATE SEQUENCE atc_numbers;
GRANT ALL ON atc_ledger, atc_trail, atc_free, atc_brief, atc_numbers TO firewall_login;
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at_commit(
    postgres: EmbeddedPostgres, shop: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """One firewall for all tests here; the tables are emptied by each."""
    with psycopg.connect(postgres.dsn(shop), autocommit=True) as admin:
        admin.execute(TABLES)
    folder = tmp_path_factory.mktemp("at_commit")
    (folder / "policy.yaml").write_text(POLICY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "MIN_AT_COMMIT", 1.0)
        async with open_house(postgres, shop, folder) as house:
            yield house


@pytest.fixture
def house(at_commit: House) -> House:
    with psycopg.connect(at_commit.postgres.dsn(at_commit.database), autocommit=True) as admin:
        admin.execute("TRUNCATE atc_ledger, atc_trail, atc_free, atc_brief")
    return at_commit


@pytest_asyncio.fixture(loop_scope="session")
async def connection(house: House) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def client(house: House) -> AsyncIterator[Client]:
    async with await Client.connect(house.app.port) as opened:
        await opened.log_in(house.agent, house.token)
        yield opened


async def _vote(house: House, hold: Hold, *, approve: bool, person: str = DBA) -> object:
    return await house.app.desk.vote(hold.id, person, approve=approve, reason="", channel="cli")


async def _decided(house: House, *, approve: bool) -> Hold:
    hold = await house.next_hold()
    assert isinstance(await _vote(house, hold, approve=approve), Counted)
    return hold


async def _nobody_is_asked(house: House) -> None:
    assert await house.app.store.holds([State.PENDING]) == []


def _insert(number: int, table: str = "atc_ledger") -> str:
    return f"INSERT INTO {table} VALUES ({number}{', $q$x$q$' if table == 'atc_ledger' else ''})"


async def _answers(client: Client, *messages: wire.FrontendMessage) -> list[wire.BackendMessage]:
    client.send(*(message.encode() for message in messages))
    return await client.until(wire.ReadyForQuery)


def _states(answers: list[wire.BackendMessage]) -> list[str]:
    return [each.sqlstate for each in answers if isinstance(each, wire.ErrorResponse)]


def _run(sql: str, *, name: str = "") -> tuple[wire.FrontendMessage, ...]:
    return wire.Parse(name, sql), wire.Bind("", name), wire.Execute("")


async def test_one_decision_on_all_of_it(house: House, connection: psycopg.AsyncConnection) -> None:
    notices: list[str] = []
    connection.add_notice_handler(lambda told: notices.append(told.message_primary or ""))
    await connection.execute("BEGIN")
    await connection.execute("INSERT INTO atc_ledger VALUES (%s, %s)", [1, "one"])
    row = await (await connection.execute("INSERT INTO atc_ledger VALUES (2, 'two') RETURNING id")).fetchone()
    assert row == (2,)  # a read, at once
    await connection.execute("INSERT INTO atc_free VALUES (1)")
    await connection.execute("UPDATE atc_ledger SET what = 'three' WHERE id < %s", [3])
    await _nobody_is_asked(house)
    assert house.count("atc_ledger") == 0
    committing = asyncio.create_task(connection.execute("COMMIT"))
    hold = await house.next_hold()
    assert [(each.sql, each.parameters, each.outcome, each.standing) for each in hold.ran] == [
        (
            "INSERT INTO atc_ledger VALUES ($1, $2)",
            ("1", "one"),
            "INSERT 0 1, 2 rows changed with all that it set off",
            Standing.COUNTS,
        ),
        (
            "INSERT INTO atc_ledger VALUES (2, 'two') RETURNING id",
            (),
            "INSERT 0 1, 2 rows changed with all that it set off",
            Standing.COUNTS,
        ),
        (
            "UPDATE atc_ledger SET what = 'three' WHERE id < $1",
            ("3",),
            "UPDATE 2, 2 rows changed with all that it set off",
            Standing.COUNTS,
        ),
    ]
    assert hold.sql.endswith(";\nCOMMIT")
    assert all(each.sql in hold.sql for each in hold.ran)
    assert hold.parameters == ("1", "one", "3")
    assert (hold.expires_at - hold.opened_at).total_seconds() == 60
    assert hold.rule == "writes are decided as one"
    assert any("to commit" not in line and "atc_ledger" in line for line in hold.effects)
    # who asked does not decide, and nobody has seen anything yet
    assert isinstance(await _vote(house, hold, approve=True, person=OWNER), Refused)
    assert house.count("atc_ledger") == 0
    assert isinstance(await _vote(house, hold, approve=True), Counted)
    await committing
    assert (house.count("atc_ledger"), house.count("atc_trail")) == (2, 2)
    assert notices[0] == "query-firewall: this runs now, and waits for approval by dba at COMMIT"
    story = await house.story(hold.id)
    assert [record["kind"] for record in story] == [
        *("judgement", "hold", "vote", "vote", "decision", "release", "outcome")
    ]
    opened = story[1]
    assert opened["parameters"] == ["1", "one", "3"]
    waited = [r for r in await house.records("waiting") if r["hold"] == hold.id]
    ran = [record["statement"] for record in waited]
    assert ran == [each.statement for each in hold.ran]
    assert {(record["event"], record["why"]) for record in waited} == {("ahead", "counts")}
    # what is said of the hold has what is said of them in it
    whole = {record.statement for record in await house.app.store.hold_records(hold.id)}
    assert whole == {*ran, hold.statement}
    assert story[5]["digest"] == hold.digest
    assert story[6]["tag"] == "COMMIT"
    releases = [r for r in await house.records("release") if r["statement"] in ran]
    assert {r["leave"] for r in releases} == {"rule writes are decided as one, to be decided at COMMIT"}


async def test_what_is_rejected_is_rolled_back_as_a_whole(
    house: House, connection: psycopg.AsyncConnection
) -> None:
    for _ in range(2):
        await connection.execute("BEGIN")
        await connection.execute(_insert(1))
        await connection.execute("SAVEPOINT a")
        await connection.execute(_insert(2))
        committing = asyncio.create_task(connection.execute("COMMIT"))
        hold = await _decided(house, approve=False)
        with pytest.raises(psycopg.Error) as raised:
            await committing
        assert raised.value.sqlstate == "QF001"
        assert "the transaction was rolled back" in (raised.value.diag.message_detail or "")
        assert len(hold.ran) == 2
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert house.count("atc_ledger") == 0


async def test_there_is_little_time(house: House, connection: psycopg.AsyncConnection) -> None:
    await connection.execute("BEGIN")
    await connection.execute(_insert(1, "atc_brief"))
    with pytest.raises(psycopg.Error) as raised:
        await connection.execute("COMMIT")
    assert raised.value.sqlstate == "QF002"
    assert "keep it short" in (raised.value.diag.message_hint or "")
    assert house.count("atc_brief") == 0


@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_who_gives_up_rolls_back(house: House, how: str) -> None:
    connection = await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True)
    await connection.execute("BEGIN")
    await connection.execute(_insert(1))
    committing = asyncio.create_task(connection.execute("END"))
    hold = await house.next_hold()
    if how == "cancel":
        await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await committing
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        await connection.close()
    else:
        committing.cancel()
        await asyncio.wait([committing])
        await connection.close()
    assert (await house.app.desk.settled(hold.id)).state is State.WITHDRAWN
    assert house.count("atc_ledger") == 0


BRIEF = _insert(1, "atc_brief")


@pytest.mark.parametrize(
    ("begins", "sql"),
    [
        # a transaction that nobody has begun, or that ends with the text
        ("", BRIEF),
        ("", f"BEGIN; {BRIEF}; COMMIT"),
        ("", f"{BRIEF}; {_insert(2, 'atc_brief')}"),
        # what ROLLBACK does not undo, or what is not known to be one write
        ("BEGIN", "INSERT INTO atc_brief VALUES (setval('atc_numbers', 5))"),
        ("BEGIN", "INSERT INTO atc_brief SELECT length(pg_advisory_lock(1)::text)"),
        ("BEGIN", "INSERT INTO atc_brief SELECT length(pg_notify('a', 'b')::text)"),
        ("BEGIN", f"SELECT 1; {BRIEF}"),
        ("BEGIN", f"WITH w AS ({BRIEF} RETURNING id) SELECT id FROM w"),
        ("BEGIN", f"EXPLAIN ANALYZE {BRIEF}"),
        ("BEGIN", "COPY atc_brief FROM STDIN"),
        ("BEGIN", "DO 'BEGIN INSERT INTO atc_brief VALUES (1); END'"),
    ],
)
async def test_some_are_decided_at_once(house: House, client: Client, begins: str, sql: str) -> None:
    if begins:
        await _answers(client, wire.Query(begins))
    asked = asyncio.create_task(_answers(client, wire.Query(sql)))
    hold = await _decided(house, approve=False)
    assert (hold.sql, hold.ran) == (sql, ())
    assert _states(await asked) == ["QF001"]
    assert house.count("atc_brief") == 0


async def test_a_ceiling_is_kept_meanwhile(house: House, connection: psycopg.AsyncConnection) -> None:
    await connection.execute("BEGIN")
    with pytest.raises(psycopg.Error) as raised:
        await connection.execute("INSERT INTO atc_ledger SELECT n, 'x' FROM generate_series(1, 9) AS n")
    assert raised.value.sqlstate == "QF007"
    # what has failed commits nothing, and nobody is asked
    await connection.execute("COMMIT")
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert house.count("atc_ledger") == 0


async def test_savepoints(house: House, connection: psycopg.AsyncConnection) -> None:
    await connection.execute("BEGIN")
    await connection.execute("SAVEPOINT before")
    await connection.execute(_insert(1))
    await connection.execute("ROLLBACK TO before")
    await connection.execute("COMMIT")  # nothing is left to be asked for
    await connection.execute("BEGIN")
    await connection.execute(_insert(1))
    await connection.execute('SAVEPOINT "A"; SAVEPOINT b')
    await connection.execute(_insert(2))
    with pytest.raises(psycopg.errors.UniqueViolation):
        await connection.execute(_insert(1))
    await connection.execute('ROLLBACK TO b; RELEASE "A"')
    await connection.execute(_insert(3))
    committing = asyncio.create_task(connection.execute("COMMIT"))
    hold = await _decided(house, approve=True)
    await committing
    assert [each.standing for each in hold.ran] == [
        *(Standing.COUNTS, Standing.UNDONE, Standing.FAILED, Standing.COUNTS)
    ]
    assert _insert(2) not in hold.sql
    with psycopg.connect(house.postgres.dsn(house.database)) as admin:
        assert admin.execute("SELECT array_agg(id ORDER BY id) FROM atc_ledger").fetchone() == ([1, 3],)


async def test_nested_transactions_as_drivers_have_them(house: House) -> None:
    upsert = "INSERT INTO atc_ledger VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET what = EXCLUDED.what"
    merge = """MERGE INTO atc_ledger AS l USING (VALUES (1), (4)) AS v (id) ON l.id = v.id
               WHEN MATCHED THEN UPDATE SET what = 'm' WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'm')"""
    opened = await asyncpg.connect(house.dsn())
    try:
        asking = asyncio.create_task(_decided(house, approve=True))
        async with opened.transaction():
            await opened.execute("INSERT INTO atc_ledger VALUES ($1, $2)", 1, "a")
            nested = opened.transaction()
            await nested.start()
            await opened.execute("INSERT INTO atc_ledger VALUES ($1, $2)", 2, "gone")
            await nested.rollback()
            async with opened.transaction():
                await opened.execute(upsert)
            await opened.execute(merge)
        hold = await asking
    finally:
        await opened.close()
    assert [(each.standing, each.outcome.partition(",")[0]) for each in hold.ran] == [
        (Standing.COUNTS, "INSERT 0 1"),
        (Standing.UNDONE, "INSERT 0 1"),
        (Standing.COUNTS, "INSERT 0 1"),
        (Standing.COUNTS, "MERGE 2"),
    ]
    assert house.count("atc_ledger WHERE what = 'm'") == 2


@pytest.mark.parametrize("approve", [True, False])
async def test_a_pipeline_as_jdbc_sends_it(house: House, client: Client, *, approve: bool) -> None:
    begun = await _answers(client, *_run("BEGIN"), *_run(_insert(1)), *_run(_insert(2)), wire.Sync())
    assert _states(begun) == []
    assert [m.tag for m in begun if isinstance(m, wire.CommandComplete)] == ["BEGIN", *["INSERT 0 1"] * 2]
    committing = asyncio.create_task(
        _answers(client, *_run(_insert(3)), *_run("COMMIT", name="c"), wire.Sync())
    )
    hold = await _decided(house, approve=approve)
    assert len(hold.ran) == 3
    answers = await committing
    assert _states(answers) == ([] if approve else ["QF001"])
    assert answers[-1] == wire.ReadyForQuery("I")
    assert house.count("atc_ledger") == (3 if approve else 0)
    assert _states(await _answers(client, *_run("SELECT 1"), wire.Sync())) == []


async def test_a_batch_is_counted_as_one(house: House, client: Client) -> None:
    await _answers(client, wire.Query("BEGIN"))
    parsed = wire.Parse("s", "INSERT INTO atc_ledger VALUES ($1, 'x')", (23,))
    rows = [m for n in (b"1", b"2") for m in (wire.Bind("", "s", (), (n,)), wire.Execute(""))]
    await _answers(client, parsed, *rows, wire.Sync())
    committing = asyncio.create_task(_answers(client, wire.Query("COMMIT")))
    hold = await _decided(house, approve=True)
    assert (hold.ran[0].executions, hold.runs) == (2, (("1",), ("2",)))
    assert _states(await committing) == []
    assert house.count("atc_ledger") == 2


async def test_and_chain_begins_another(house: House, connection: psycopg.AsyncConnection) -> None:
    await connection.execute("BEGIN")
    for number in (1, 2):
        await connection.execute(_insert(number))
        committing = asyncio.create_task(connection.execute("COMMIT AND CHAIN"))
        hold = await _decided(house, approve=True)
        await committing
        assert [each.sql for each in hold.ran] == [_insert(number)]
    await connection.execute("ROLLBACK")
    assert house.count("atc_ledger") == 2


# --- ways around it


async def test_a_commit_that_stood_before_does_not_stand_now(
    house: House, connection: psycopg.AsyncConnection
) -> None:
    for _ in range(3):
        for sql in ("BEGIN", "SELECT 1", "COMMIT"):
            await connection.execute(sql, prepare=False)
    await connection.execute("BEGIN")
    await connection.execute(_insert(1))
    committing = asyncio.create_task(connection.execute("COMMIT"))
    await _decided(house, approve=False)
    with pytest.raises(psycopg.Error):
        await committing
    assert house.count("atc_ledger") == 0


async def test_a_commit_that_was_bound_before_is_void(house: House, client: Client) -> None:
    await _answers(client, wire.Query("BEGIN"))
    await _answers(client, wire.Parse("c", "COMMIT"), wire.Bind("p", "c"), wire.Sync())
    await _answers(client, wire.Query(_insert(1)))
    assert _states(await _answers(client, wire.Execute("p"), wire.Sync())) == ["55000"]
    await _answers(client, wire.Query("COMMIT"))
    assert house.count("atc_ledger") == 0


async def test_a_write_that_was_not_run_before_the_commit_was_decided_is_void(
    house: House, client: Client
) -> None:
    await _answers(client, wire.Query("BEGIN"))
    await _answers(client, wire.Query(_insert(1)))
    await _answers(client, wire.Parse("w", _insert(2)), wire.Bind("w", "w"), wire.Sync())
    bound = (wire.Parse("c", "COMMIT"), wire.Bind("c", "c"), wire.Execute("w"), wire.Execute("c"))
    committing = asyncio.create_task(_answers(client, *bound, wire.Sync()))
    hold = await _decided(house, approve=True)
    assert hold.ran[1].outcome == "its result has not been read to its end"
    assert _states(await committing) == ["55000"]
    assert house.count("atc_ledger") == 0


@pytest.mark.parametrize("sql", ["PREPARE TRANSACTION 'atc'", "COMMIT; SELECT 1", "SELECT 1; END; BEGIN"])
async def test_nothing_else_commits(house: House, client: Client, sql: str) -> None:
    await _answers(client, wire.Query("BEGIN"))
    await _answers(client, wire.Query(_insert(1)))
    asked = asyncio.create_task(_answers(client, wire.Query(sql)))
    while not asked.done() and (pending := await house.app.store.holds([State.PENDING])) == []:
        await asyncio.sleep(0.01)
    if not asked.done():
        await _vote(house, pending[0], approve=True)
    assert _states(await asked) == ["0A000"]
    await _answers(client, wire.Query("COMMIT"))
    assert house.count("atc_ledger") == 0


@pytest.mark.parametrize("asked", [True, False])
async def test_a_policy_that_changed_meanwhile_voids_it(
    house: House,
    connection: psycopg.AsyncConnection,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    asked: bool,
) -> None:
    gate = house.app.gates["shop"]
    before = gate.policy
    other = tmp_path_factory.mktemp("other") / "policy.yaml"
    other.write_text(POLICY.replace("there is little time", "there is no time"))
    await connection.execute("BEGIN")
    await connection.execute(_insert(1))
    hold = None
    try:
        if asked:
            committing = asyncio.create_task(connection.execute("COMMIT"))
            hold = await house.next_hold()
            gate.policy = policy.parse(other.read_text(), other)
            await _vote(house, hold, approve=True)
            with pytest.raises(psycopg.Error) as raised:
                await committing
        else:
            gate.policy = policy.parse(other.read_text(), other)
            with pytest.raises(psycopg.Error) as raised:
                await connection.execute("COMMIT")
    finally:
        gate.policy = before
    assert raised.value.sqlstate == "QF003"
    assert "the policy changed while the transaction was open" in (raised.value.diag.message_detail or "")
    if hold is not None:
        assert (await house.app.desk.hold(hold.id)).state is State.LAPSED  # type: ignore[union-attr]
    await _nobody_is_asked(house)
    assert house.count("atc_ledger") == 0


NOTE = "CREATE OR REPLACE FUNCTION atc_note() RETURNS trigger LANGUAGE plpgsql AS"


@pytest.mark.parametrize(
    ("ddl", "why"),
    [
        ("CREATE TABLE IF NOT EXISTS atc_elsewhere (id int)", ""),
        (f"{NOTE} $$ BEGIN DELETE FROM atc_free; RETURN NEW; END $$", "what it would do"),
        (f"{NOTE} $$ BEGIN INSERT INTO atc_trail VALUES (''); RETURN NEW; END $$", "the catalog changed"),
    ],
)
async def test_only_ddl_on_what_it_touches_voids_it(
    house: House, connection: psycopg.AsyncConnection, ddl: str, why: str
) -> None:
    await connection.execute("BEGIN")
    await connection.execute(_insert(1))
    committing = asyncio.create_task(connection.execute("COMMIT"))
    hold = await house.next_hold()
    with psycopg.connect(house.postgres.dsn(house.database), autocommit=True) as admin:
        admin.execute(ddl)
    await _vote(house, hold, approve=True)
    try:
        if not why:
            await committing
        else:
            with pytest.raises(psycopg.Error) as raised:
                await committing
            assert raised.value.sqlstate == "QF003"
            assert why in (raised.value.diag.message_detail or "")
    finally:
        with psycopg.connect(house.postgres.dsn(house.database), autocommit=True) as admin:
            body = "BEGIN INSERT INTO atc_trail VALUES (NEW.what); RETURN NEW; END"
            admin.execute(f"{NOTE} $$ {body} $$")
        await house.app.gates["shop"].refresh()
    assert house.count("atc_ledger") == (0 if why else 1)
