"""Labels that no policy says: kept once, with their record, shared, and dropped by name only."""

from __future__ import annotations

import asyncio
import json

from firewall import audit, ids
from firewall.catalog.labels import COMMENT, Mark
from firewall.store import Reader, Store

from .conftest import BEFORE_GRANTS, KEY, ORIGIN

PAN = Mark(
    "public.copy", "n", "pci.pan", "public.payments.card_number", "s-1.1", "2030-01-01T00:00:00.000000Z"
)
MAIL = Mark("public.people", "*", "pii.email", COMMENT, "", "2030-01-02T00:00:00.000000Z")


def record(event: str, *marks: Mark, by: str = "bot") -> audit.Label:
    return audit.Label(
        id=ids.record_id(),
        at="2030-01-01T00:00:00.000000Z",
        event=event,
        database="shop",
        labels=[
            audit.Labelled(relation=m.relation, column=m.column, label=m.label, source=m.source)
            for m in marks
        ],
        by=by,
        why="it copies labelled data",
    )


async def kinds(store: Store) -> list[str]:
    return [json.loads(row.bytes)["kind"] for row in [r async for r in store.records()]]


async def test_marks_are_kept_with_their_record_and_their_origin(store: Store, url: str) -> None:
    marks = store.marks("shop")
    assert await marks.read() == (0, [])
    await marks.keep([PAN, MAIL], [record("added", PAN, MAIL)])
    changes, found = await marks.read()
    assert (changes, found) == (await marks.changes(), [PAN, MAIL])
    assert changes > 0
    assert await store.marks("other").read() == (0, [])
    assert await kinds(store) == ["label"]
    async with await Reader.open_reader(url) as reader:
        assert await reader.marked("shop") == [PAN, MAIL]


async def test_a_mark_that_is_there_keeps_its_time(store: Store) -> None:
    marks = store.marks("shop")
    again = Mark(*PAN.key, "s-2.2", "2031-01-01T00:00:00.000000Z")
    await marks.keep([PAN], [record("added", PAN)])
    await marks.keep([again, MAIL], [record("added", again, MAIL)])
    assert (await marks.read())[1] == [PAN, MAIL]


async def test_keeping_nothing_writes_nothing(store: Store) -> None:
    await store.marks("shop").keep([], [record("added")])
    assert await kinds(store) == []
    assert await store.marks("shop").changes() == 0


async def test_dropping_needs_all_of_them_to_be_there(store: Store) -> None:
    marks = store.marks("shop")
    await marks.keep([PAN], [record("added", PAN)])
    before = await marks.changes()
    assert not await marks.drop([PAN, MAIL], [record("dropped", PAN, MAIL)])
    assert not await marks.drop([], [record("dropped")])
    assert not await store.marks("other").drop([PAN], [record("dropped", PAN)])
    assert (await marks.read()) == (before, [PAN])
    assert await marks.drop([PAN], [record("dropped", PAN, by="dana@example.com")])
    changes, left = await marks.read()
    assert left == []
    assert changes > before
    assert await kinds(store) == ["label", "label"]


async def test_every_firewall_on_the_store_sees_every_change(store: Store, url: str) -> None:
    other = await Store.open(url, origin=ORIGIN, key=KEY)
    try:
        seen = await other.marks("shop").changes()
        many = [Mark("public.t", f"c{i}", "pii", "public.s.x", "", "t") for i in range(20)]
        await asyncio.gather(
            *(one.marks("shop").keep([m], [record("added", m)]) for one in (store, other) for m in many)
        )
        assert await other.marks("shop").changes() > seen
        assert (await other.marks("shop").read())[1] == (await store.marks("shop").read())[1]
        assert len((await store.marks("shop").read())[1]) == 20
        assert (await store.verify([KEY.public])).sound
    finally:
        await other.close()


async def test_a_store_of_the_first_version_is_brought_up_to_date(store: Store, url: str) -> None:
    await store.append([record("added", PAN)])

    def back(connection: object) -> None:
        for statement in (
            *BEFORE_GRANTS,
            *(f"DROP TABLE {name}" for name in ("marks", "shapes", "spending", "signals")),
            *(f"DROP TABLE {name}" for name in ("mark_changes", "record_facets", "views")),
            *(f"DROP INDEX records_by_{name}" for name in ("owner", "database", "rule", "trace")),
            *(
                f"ALTER TABLE records DROP COLUMN {name}"
                for name in ("owner", "database", "rule", "trace", "private")
            ),
            "ALTER TABLE agents DROP COLUMN certificate",
            "UPDATE alembic_version SET version_num = '0001'",
        ):
            connection.exec_driver_sql(statement)

    await store._database.transact(back)
    opened = await Store.open(url, origin=ORIGIN, key=KEY)
    async with opened:
        await opened.marks("shop").keep([PAN], [record("added", PAN)])
        assert (await opened.marks("shop").read())[1] == [PAN]
        assert (await opened.verify([KEY.public])).sound
