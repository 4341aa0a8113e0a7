"""Snapshots as JSON."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.catalog.serial import digest, dump, load
from firewall.catalog.snapshot import Column, Function, Relation, RelationKind, Snapshot
from firewall.errors import CatalogError

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
columns = st.builds(Column, names, names, st.integers(1, 1600), st.booleans(), names, names)
relations = st.builds(
    Relation,
    *(names, names, st.sampled_from(RelationKind)),
    columns=st.lists(columns, max_size=3).map(tuple),
    children=st.lists(names, max_size=2).map(tuple),
    rows=st.floats(-1, 1e15),
)
functions = st.builds(
    Function, *(names, names, names, names), st.integers(-1, 100), st.integers(0, 100), st.booleans()
)
snapshots = st.builds(
    Snapshot,
    *(st.just(""), names, st.integers(130000, 190000)),
    relations=st.lists(relations, max_size=3).map(tuple),
    functions=st.lists(functions, max_size=3).map(tuple),
).map(lambda snapshot: replace(snapshot, version=digest(snapshot)))


@given(snapshots)
def test_what_was_dumped_is_loaded(snapshot):
    assert load(dump(snapshot)) == snapshot


def test_a_real_catalog_survives(snapshot):
    assert load(dump(snapshot)) == snapshot


def test_a_dump_from_before_a_member_was_added_is_read(snapshot):
    document = json.loads(dump(snapshot))
    for later in ("memberships", "extensions", "servers"):
        assert document["snapshot"].pop(later)
    for table in document["snapshot"]["relations"]:
        table.pop("server", None)
        for policy in table.get("policies", ()):
            policy.pop("roles", None)
    loaded = load(json.dumps(document))
    assert loaded.memberships == loaded.extensions == loaded.servers == ()
    assert {relation.name for relation in loaded.relations} == {r.name for r in snapshot.relations}


def test_indexes_made_on_first_use_are_not_pickled(snapshot):
    before = len(pickle.dumps(snapshot))
    assert snapshot.by_name
    assert snapshot.functions_by_name
    assert len(pickle.dumps(snapshot)) == before


@given(snapshots)
def test_row_estimates_do_not_count(snapshot):
    other = replace(snapshot, relations=tuple(replace(r, rows=7.0) for r in snapshot.relations))
    assert digest(other) == digest(snapshot)


def test_an_edited_file_gets_another_version():
    first = Snapshot("", "shop", 180000, roles=("a",))
    edited = dump(first).replace('"a"', '"b"')
    assert load(edited).version != load(dump(first)).version


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"format": 2}, "format"),
        ({"snapshot": {"version": "", "server_version": 1}}, "snapshot.database"),
        ({"snapshot": {"version": "", "database": "d", "server_version": 1, "extra": 1}}, "snapshot.extra"),
        (
            {
                "snapshot": {
                    "version": "",
                    "database": "d",
                    "server_version": 1,
                    "relations": [{"schema": "s", "name": "n", "kind": "tablet", "columns": []}],
                }
            },
            "snapshot.relations.0.kind",
        ),
        (
            {
                "snapshot": {
                    "version": "",
                    "database": "d",
                    "server_version": 1,
                    "functions": [{"schema": "s", "name": "n", "secret": 1}],
                }
            },
            "snapshot.functions.0",
        ),
    ],
)
def test_a_wrong_file_is_told_where(change, where):
    document = {"format": 1, "snapshot": {"version": "", "database": "d", "server_version": 1}} | change
    with pytest.raises(CatalogError) as caught:
        load(json.dumps(document))
    assert f"`{where}" in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "\x00"])
def test_a_file_that_is_no_snapshot(text):
    with pytest.raises(CatalogError):
        load(text)
