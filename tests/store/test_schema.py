"""Migrations build exactly the tables, once, whoever asks; a newer store is left alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from firewall import audit
from firewall.errors import StoreError
from firewall.store import Reader, Store, engine, schema, tables

from .conftest import BEFORE_GRANTS, KEY, ORIGIN, Kit

if TYPE_CHECKING:
    from sqlalchemy import Connection


def test_the_code_knows_its_newest_migration() -> None:
    assert ScriptDirectory.from_config(schema._configuration()).get_heads() == [schema.HEAD]


async def test_migrations_make_the_tables_as_they_are_declared(store: Store) -> None:
    def differences(connection: Connection) -> tuple[list[object], dict[str, list[object]]]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = inspect(connection)
        indexes = {
            table: sorted(
                (i["name"], tuple(i["column_names"]), bool(i["unique"])) for i in found.get_indexes(table)
            )
            for table in tables.metadata.tables
        }
        return compare_metadata(context, tables.metadata), indexes

    changes, indexes = await store._database.read(differences)
    assert changes == []
    assert indexes == {
        name: sorted((i.name, tuple(c.name for c in i.columns), i.unique) for i in table.indexes)
        for name, table in tables.metadata.tables.items()
    }


async def test_several_may_make_a_store_at_once(url: str, kit: Kit) -> None:
    stores = await asyncio.gather(*(Store.open(url, origin=ORIGIN, key=KEY) for _ in range(4)))
    try:
        await asyncio.gather(*(store.append([kit.judgement()]) for store in stores))
        report = await stores[0].verify([KEY.public])
        assert (report.findings, report.records) == ((), 4)
    finally:
        for store in stores:
            await store.close()


async def test_a_newer_store_is_left_alone(store: Store, url: str) -> None:
    await store._database.transact(
        lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    )
    with pytest.raises(StoreError, match="newer than this firewall's") as error:
        await Store.open(url, origin=ORIGIN, key=KEY)
    assert error.value.hint == "upgrade the firewall"
    with pytest.raises(StoreError, match="newer than this firewall's"):
        await Reader.open_reader(url)


async def test_an_empty_or_foreign_database_is_no_store(url: str) -> None:
    database = engine.connect(url, create=True)
    try:
        with pytest.raises(StoreError, match="there is no store"):
            await Reader.open_reader(url)
        with pytest.raises(StoreError, match="there is no store"):
            await Store.open(url, origin=ORIGIN, key=KEY, create=False)
        await database.transact(lambda c: c.execute(text("CREATE TABLE agents (x integer)")))
        with pytest.raises(StoreError, match="is not a store") as error:
            await Store.open(url, origin=ORIGIN, key=KEY)
        assert "database of its own" in error.value.hint
    finally:
        await database.close()


async def test_what_is_in_the_log_already_is_filed_as_new_records_are(
    store: Store, url: str, kit: Kit
) -> None:
    judged = kit.judgement(labels=["pii.email"])
    made = audit.Decision(
        id="r-decision", at=judged.at, statement="q-1", state="approved", by=["dana", "omar"], digest="d"
    )
    await store.append([judged, made])

    def undo(connection: Connection) -> None:
        for statement in BEFORE_GRANTS:
            connection.execute(text(statement))
        for name in ("owner", "database", "rule"):
            connection.execute(text(f"DROP INDEX records_by_{name}"))
            connection.execute(text(f"ALTER TABLE records DROP COLUMN {name}"))
        connection.execute(text("DROP INDEX records_by_trace"))
        connection.execute(text("ALTER TABLE records DROP COLUMN trace"))
        # records of that time had their values themselves
        connection.execute(text("ALTER TABLE records RENAME COLUMN private TO old"))
        for table in ("record_facets", "views"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))

    await store._database.transact(undo)
    async with await Store.open(url, origin=ORIGIN, key=KEY) as again:
        await again._database.transact(lambda c: c.execute(text("UPDATE records SET private = old")))
        # it compares what records are found by with what they say
        assert (await again.verify([KEY.public])).findings == ()
        found = [await again.search(**{name: value}) for name, value in (("by", "omar"), ("rule", "reads"))]
        assert [[j.record.id for j in page] for page in found] == [[judged.id], [judged.id]]
