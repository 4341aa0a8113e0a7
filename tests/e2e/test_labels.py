"""A copy of sensitive data is sensitive: for whoever comes next, in any session, after a restart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
import pytest_asyncio
from house import DBA, OWNER, SECURITY, House, open_house, prepare

from firewall import credentials
from firewall.app import App

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from firewall.approval import Hold
    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def copying(postgres: EmbeddedPostgres, database: str, tmp_path: Path) -> AsyncIterator[House]:
    """A firewall before a shop of this test's own, where tables come and go."""
    prepare(postgres, database)
    async with open_house(postgres, database, tmp_path) as house:
        yield house


async def approve(house: House) -> Hold:
    """Everybody approves what waits, as long as it does."""
    hold = await house.next_hold()
    for person in (SECURITY, DBA, "second.dba@example.com", "second.security@example.com"):
        await house.app.desk.vote(hold.id, person, approve=True, reason="", channel="cli")
    return hold


async def run_approved(house: House, sql: str) -> Hold:
    """Run a statement that is held, and approve it."""
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        approving = asyncio.create_task(approve(house))
        async with asyncio.timeout(20):
            await connection.execute(sql)
        return await approving


async def held(house: House, sql: str, *, dsn: str = "") -> Hold:
    """The hold that a statement gets in a session of its own; the statement is given up."""
    async with await psycopg.AsyncConnection.connect(dsn or house.dsn(), autocommit=True) as connection:
        asking = asyncio.create_task(connection.execute(sql))
        hold = await house.next_hold()
        await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await asking
    return hold


async def rows(house: House, sql: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        return await (await connection.execute(sql)).fetchall()


async def test_a_copy_of_card_numbers_is_held_for_another_agent(copying: House) -> None:
    await run_approved(copying, "CREATE TABLE copy AS SELECT id, card_number AS n FROM payments")
    token = await credentials.add_agent(copying.app.store, "other", owner=OWNER, issuer="operator")
    other = f"postgresql://other:{token}@127.0.0.1:{copying.app.port}/shop"
    hold = await held(copying, "SELECT * FROM copy", dsn=other)
    assert hold.agent == "other"
    assert hold.labels == ("pci.pan",)
    assert hold.groups == ("security",)
    # column by column: what was not labelled flows
    assert await rows(copying, "SELECT id FROM copy WHERE id = 1") == [(1,)]
    [record] = await copying.records("label")
    assert record["labels"] == [
        {
            "relation": "public.copy",
            "column": "n",
            "label": "pci.pan",
            "source": "public.payments.card_number",
        }
    ]
    assert record["by"] == "shopper"
    assert record["statement"]
    assert (await copying.app.store.verify([copying.app.key.public])).sound


async def test_copies_of_copies_views_and_new_names_stay_labelled(copying: House) -> None:
    await run_approved(copying, "CREATE TABLE one AS SELECT card_number AS a FROM payments")
    await run_approved(copying, "CREATE TABLE two AS SELECT a AS b FROM one")
    await run_approved(copying, "CREATE VIEW three AS SELECT b AS c FROM two")
    await run_approved(copying, "CREATE MATERIALIZED VIEW four AS SELECT c AS d FROM three")
    await run_approved(copying, "ALTER TABLE two RENAME COLUMN b TO harmless")
    await run_approved(copying, "ALTER TABLE one RENAME TO innocent")
    for sql in (
        "SELECT harmless FROM two",
        "SELECT c FROM three",
        "SELECT d FROM four",
        "SELECT a FROM innocent",
    ):
        assert (await held(copying, sql)).labels == ("pci.pan",), sql


async def test_rows_that_are_copied_into_a_table_that_is_there(copying: House) -> None:
    with psycopg.connect(copying.direct(), autocommit=True) as admin:
        admin.execute("CREATE TABLE notes (id serial, body text, extra text)")
    await copying.app.gates["shop"].refresh()
    assert await rows(copying, "SELECT body FROM notes") == []
    await run_approved(copying, "INSERT INTO notes (body) SELECT card_number FROM payments LIMIT 1")
    assert (await held(copying, "SELECT body FROM notes")).labels == ("pci.pan",)
    assert await rows(copying, "SELECT extra FROM notes") == [(None,)]
    await run_approved(copying, "UPDATE notes SET extra = c.email FROM customers AS c WHERE c.id = notes.id")
    assert (await held(copying, "SELECT extra FROM notes")).labels == ("pii.email",)


async def test_labels_are_there_after_a_restart_and_for_a_table_made_anew(
    postgres: EmbeddedPostgres, database: str, tmp_path: Path
) -> None:
    prepare(postgres, database)
    async with open_house(postgres, database, tmp_path) as first:
        await run_approved(first, "CREATE TABLE copy AS SELECT card_number AS n FROM payments")
        await run_approved(first, "DROP TABLE copy")
        await run_approved(first, "CREATE TABLE copy (n text)")
        marks = list(first.app.gates["shop"].labelling.marks)
    app = await App.open(first.app.settings)
    await app.start()
    try:
        second = House(app, postgres, database, first.token)
        assert list(app.gates["shop"].labelling.marks) == marks
        assert (await held(second, "SELECT n FROM copy")).labels == ("pci.pan",)
    finally:
        await app.close()


async def test_a_temporary_copy_passes_its_labels_on(copying: House) -> None:
    async with await psycopg.AsyncConnection.connect(copying.dsn(), autocommit=True) as connection:

        async def approved(sql: str) -> Hold:
            approving = asyncio.create_task(approve(copying))
            async with asyncio.timeout(20):
                await connection.execute(sql)
            return await approving

        await approved("CREATE TEMP TABLE t AS SELECT card_number AS n FROM payments")
        assert (await approved("SELECT n FROM t")).labels == ("pci.pan",)
        await approved("CREATE TABLE kept AS SELECT n FROM t")
    assert (await held(copying, "SELECT * FROM kept")).labels == ("pci.pan",)
    recorded = [mark["relation"] for r in await copying.records("label") for mark in r["labels"]]
    assert "public.kept" in recorded


async def test_a_comment_labels_and_its_removal_unlabels_nothing(copying: House) -> None:
    with psycopg.connect(copying.postgres.dsn(copying.database), autocommit=True) as admin:
        admin.execute("COMMENT ON COLUMN products.stock IS 'how many [label: secret.stock]'")
        await copying.app.gates["shop"].refresh()
        assert (await held(copying, "SELECT stock FROM products")).labels == ("secret.stock",)
        admin.execute("COMMENT ON COLUMN products.stock IS 'how many'")
    await copying.app.gates["shop"].refresh()
    assert (await held(copying, "SELECT stock FROM products")).labels == ("secret.stock",)
    [record] = await copying.records("label")
    assert record["labels"][0]["source"] == "comment"


async def test_what_was_approved_is_void_once_its_labels_are_others(copying: House) -> None:
    async with await psycopg.AsyncConnection.connect(copying.dsn(), autocommit=True) as connection:
        asking = asyncio.create_task(connection.execute("DELETE FROM order_items RETURNING quantity"))
        hold = await copying.next_hold()
        with psycopg.connect(copying.postgres.dsn(copying.database), autocommit=True) as admin:
            admin.execute("COMMENT ON COLUMN order_items.quantity IS '[label: pci.pan]'")
        gate = copying.app.gates["shop"]
        version = gate.snapshot.version
        await gate.refresh()
        assert gate.snapshot.version != version
        await copying.app.desk.vote(hold.id, DBA, approve=True, reason="", channel="cli")
        again = await copying.next_hold()
        assert "labels of that data, changed" in again.reasons[0]
        assert again.labels == ("pci.pan",)
        await copying.app.desk.vote(again.id, SECURITY, approve=False, reason="no", channel="cli")
        with pytest.raises(psycopg.Error, match="no"):
            await asking
