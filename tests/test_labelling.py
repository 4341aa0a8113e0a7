"""Labels follow what is released, are kept before they count, and reach every firewall on the store."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firewall import labelling as module
from firewall import policy, sql
from firewall.catalog import Column, Relation, RelationKind, Snapshot
from firewall.errors import CatalogError, StoreError
from firewall.labelling import Labelling
from firewall.sql.analyse import analyse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall import audit
    from firewall.catalog.labels import Mark

FACTS = sql.Facts()
TABLES = ("people", "a", "b", "c")


def rules(more: str = "") -> policy.Policy:
    return policy.parse(
        "version: 1\ndefault: hold\nlabels: {pii.email: people.email}\napproval: {groups: dba}\n"
        f"rules: [{{name: r, allow: read, why: w}}]\n{more}",
        Path("p.yaml"),
    )


def catalog(*names: str, comment: str = "", version: str = "1") -> Snapshot:
    return Snapshot(
        version,
        "shop",
        180000,
        tuple(
            Relation(
                "public",
                name,
                RelationKind.TABLE,
                (
                    Column("id", "int", 1),
                    Column("email", "text", 2, comment=comment if name == "people" else ""),
                ),
                oid=number,
            )
            for number, name in enumerate(names, 1)
        ),
    )


SHOP = catalog(*TABLES)


@dataclass
class Book:
    """A store in memory that can fail."""

    name: str = "shop"
    marks: list[Mark] = field(default_factory=list)
    records: list[audit.Record] = field(default_factory=list)
    broken: bool = False
    number: int = 0

    async def read(self) -> tuple[int, list[Mark]]:
        return await self.changes(), list(self.marks)

    async def changes(self) -> int:
        if self.broken:
            raise StoreError("the disk is full")
        return self.number

    async def keep(self, marks: Sequence[Mark], records: Sequence[audit.Record]) -> None:
        await self.changes()
        self.marks += [mark for mark in marks if mark.key not in {known.key for known in self.marks}]
        self.records += records
        self.number += 1


async def opened(book: Book, snapshot: Snapshot = SHOP, more: str = "") -> Labelling:
    labelling = Labelling(rules(more), book)
    await labelling.read(snapshot)
    return labelling


async def release(
    labelling: Labelling, text: str, facts: sql.Facts = FACTS, snapshot: Snapshot = SHOP
) -> None:
    await labelling.released(analyse(text, snapshot, facts), "bot", session="s-1", statement="s-1.1")


def shown(labelling: Labelling, text: str, facts: sql.Facts = FACTS) -> set[str]:
    """The labels that a text's effects have."""
    return {label for effect in labelling.attach(analyse(text, SHOP, facts)) for label in effect.labels}


async def test_what_is_released_is_labelled_kept_and_recorded() -> None:
    book = Book()
    labelling = await opened(book)
    version = labelling.version
    assert shown(labelling, "SELECT id FROM a") == set()
    await release(labelling, "INSERT INTO a (id) SELECT email FROM people")
    assert shown(labelling, "SELECT id FROM a") == {"pii.email"}
    assert shown(labelling, "SELECT email FROM a") == set()
    assert labelling.version > version
    [mark] = book.marks
    assert mark.key == ("public.a", "id", "pii.email", "public.people.email")
    assert (mark.statement, mark.at) != ("", "")
    [record] = book.records
    assert (record.event, record.by, record.statement) == ("added", "bot", "s-1.1")


async def test_what_is_labelled_already_writes_nothing_more() -> None:
    book = Book()
    labelling = await opened(book)
    for _ in range(3):
        await release(labelling, "INSERT INTO a SELECT * FROM people")
        await release(labelling, "INSERT INTO people SELECT * FROM a")
        await release(labelling, "SELECT email FROM people")
    assert len(book.records) == 1


async def test_what_cannot_be_kept_does_not_count_and_must_not_be_released() -> None:
    book = Book()
    labelling = await opened(book)
    book.broken = True
    with pytest.raises(StoreError):
        await release(labelling, "INSERT INTO a SELECT * FROM people")
    with pytest.raises(CatalogError, match="labels cannot be kept"):
        await labelling.read(replace(SHOP, version="2"))
    assert shown(labelling, "SELECT * FROM a") == set()
    book.broken = False
    await release(labelling, "INSERT INTO a SELECT * FROM people")
    assert shown(labelling, "SELECT * FROM a") == {"pii.email"}


async def test_every_firewall_on_a_store_knows_and_a_drop_is_for_all() -> None:
    book = Book()
    one, two = await opened(book), await opened(book)
    await release(one, "INSERT INTO a SELECT * FROM people")
    assert shown(two, "SELECT * FROM a") == set()
    await two.refresh()
    assert shown(two, "SELECT * FROM a") == {"pii.email"}
    book.marks.clear()
    book.number += 1
    for labelling in (one, two):
        version = labelling.version
        await labelling.refresh()
        assert shown(labelling, "SELECT * FROM a") == set()
        assert labelling.version > version
        version = labelling.version
        await labelling.refresh()
        assert labelling.version == version


async def test_a_text_that_copies_and_then_reads_the_copy() -> None:
    labelling = await opened(Book())
    text = "INSERT INTO a SELECT * FROM people; INSERT INTO b SELECT * FROM a; SELECT email FROM b"
    effects = labelling.attach(analyse(text, SHOP, FACTS))
    assert [e.labels for e in effects if e.object == "public.b" and e.kind is sql.Kind.READ] == [
        ("pii.email",)
    ]
    await release(labelling, text)
    assert shown(labelling, "SELECT email FROM b") == {"pii.email"}


async def test_comments_are_kept_unless_the_policy_says_that_they_do_not_count() -> None:
    said = catalog(*TABLES, comment="[label: secret]", version="2")
    book = Book()
    labelling = await opened(book, said)
    assert shown(labelling, "SELECT email FROM people") == {"pii.email", "secret"}
    await labelling.read(replace(SHOP, version="3"))
    assert shown(labelling, "SELECT email FROM people") == {"pii.email", "secret"}
    # what was copied while they counted stays
    await release(labelling, "INSERT INTO a SELECT * FROM people")
    labelling.govern(rules("label_comments: false"))
    assert shown(labelling, "SELECT email FROM people") == {"pii.email"}
    assert shown(labelling, "SELECT email FROM a") == {"pii.email", "secret"}
    other = Book()
    await opened(other, said, "label_comments: false")
    assert other.marks == []


async def test_a_new_name_keeps_the_labels() -> None:
    book = Book()
    labelling = await opened(book)
    await labelling.read(catalog("persons", "a", "b", "c", version="2"))
    assert labelling.labels.of("public.persons", ("email",)) == ("pii.email",)
    assert [record.why for record in book.records] == ["the column was renamed"]


async def test_temporary_copies_are_known_by_name_and_too_many_by_their_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_TEMPORARY", 3)
    book = Book()
    labelling = await opened(book)

    def facts(name: str) -> sql.Facts:
        return sql.Facts(temporary=frozenset({name}))

    await release(labelling, "CREATE TEMP TABLE t0 AS SELECT email FROM people")
    assert book.marks == []
    assert shown(labelling, "SELECT * FROM t0", facts("t0")) == {"pii.email"}
    assert shown(labelling, "SELECT * FROM other", facts("other")) == set()
    for number in range(1, 9):
        await release(labelling, f"CREATE TEMP TABLE t{number} AS SELECT email FROM people")
    assert len([m for m in labelling.marks if m.relation.startswith("pg_temp")]) <= 4
    for number in range(9):
        assert shown(labelling, f"SELECT * FROM t{number}", facts(f"t{number}")) == {"pii.email"}
    await release(labelling, "INSERT INTO c SELECT * FROM t0", facts("t0"))
    assert shown(labelling, "SELECT * FROM c") == {"pii.email"}


copies = st.lists(
    st.tuples(
        st.sampled_from(TABLES[1:]),
        st.sampled_from(TABLES),
        st.sampled_from(
            [
                "INSERT INTO {0} SELECT * FROM {1}",
                "INSERT INTO {0} (id) SELECT email FROM {1}",
                "UPDATE {0} SET email = x.email FROM {1} AS x",
                "WITH w AS (SELECT email FROM {1}) INSERT INTO {0} (email) SELECT max(email) FROM w",
                "MERGE INTO {0} USING {1} AS x ON x.id = {0}.id WHEN MATCHED THEN UPDATE SET email = x.email",
            ]
        ),
    ),
    max_size=6,
)


@settings(max_examples=50)
@given(copies)
async def test_whatever_way_it_took_a_copy_is_labelled(steps: list[tuple[str, str, str]]) -> None:
    """What a column can hold is worked out with sets, and its labels are never fewer."""
    labelling = await opened(Book())
    holds = {("people", "email")}
    for target, source, text in steps:
        if target == source:
            continue
        await release(labelling, text.format(target, source))
        if "SELECT *" in text:
            holds |= {(target, column) for column in ("id", "email") if (source, column) in holds}
        elif (source, "email") in holds:
            holds.add((target, "id" if "(id)" in text else "email"))
        for table in TABLES:
            for column in ("id", "email"):
                labelled = shown(labelling, f"SELECT {column} FROM {table}") == {"pii.email"}
                assert labelled == ((table, column) in holds), (table, column)
