"""Which columns the policy's patterns label, and where labels spread."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import policy
from firewall.catalog import Column, Labels, Relation, RelationKind, Snapshot
from firewall.catalog.labels import Mark
from firewall.policy.labels import Labeller, Ways, marked


@pytest.mark.parametrize(
    ("pattern", "relation", "column", "stands"),
    [
        ("email", "public.customers", "email", True),
        ("email", "public.customers", "Email", True),
        ("email", "public.customers", "email2", False),
        ("*email*", "public.customers", "work_email_2", True),
        ("customers.email", "public.customers", "email", True),
        ("customers.email", "other.customers", "email", True),
        ("customers.email", "public.suppliers", "email", False),
        ("public.customers.email", "public.customers", "email", True),
        ("public.customers.email", "other.customers", "email", False),
        ("*.email", "public.customers", "email", True),
        ("cust?.email", "public.cust1", "email", True),
        ("public.*.*", "public.customers", "id", True),
        ("any", "public.customers", "id", True),
        ("email", "public.odd.table", "email", True),
        ("table.email", "public.odd.table", "email", True),
        ("a.b", "public.customers", "a.b", False),
        ("*token*", "pg_catalog.pg_ts_parser", "prstoken", False),
        ("any", "information_schema.columns", "table_name", False),
        ("pg_catalog.pg_ts_parser.*", "pg_catalog.pg_ts_parser", "prstoken", True),
    ],
)
def test_a_pattern_labels_columns(pattern, relation, column, stands):
    assert Labeller({"x": (pattern,)}).of(relation, column) == (("x",) if stands else ())


def relation(name: str, *columns: str, children: tuple[str, ...] = ()) -> Relation:
    schema, _, bare = name.partition(".")
    return Relation(
        schema, bare, RelationKind.TABLE, tuple(Column(c, "text") for c in columns), children=children
    )


def snapshot(*relations: Relation) -> Snapshot:
    return Snapshot("v", "shop", 180000, relations)


def test_every_column_of_the_catalog_is_labelled():
    text = """
version: 1
default: hold
labels: {pii.email: email, pii: [email, phone], pci.pan: payments.pan}
approval: {groups: dba}
rules: [{name: r, allow: read, why: w}]
"""
    shop = snapshot(relation("public.customers", "id", "email", "phone"), relation("public.payments", "pan"))
    assert policy.parse(text, Path("p.yaml")).labels(shop) == Labels(
        {
            "public.customers": {"email": ("pii", "pii.email"), "phone": ("pii",)},
            "public.payments": {"pan": ("pci.pan",)},
        }
    )


def test_labels_spread_to_children_parents_and_siblings():
    shop = snapshot(
        relation("public.all_people", "email", children=("public.people",)),
        relation(
            "public.people", "email", "id", children=("public.people_1", "public.people_2", "public.gone")
        ),
        relation("public.people_1", "email", "id"),
        relation("public.people_2", "email", "id", "note"),
        relation("public.other", "email"),
    )
    labels = Labeller({"pii": ("people_1.email",)}).label(shop)
    assert {name for name, columns in labels.columns.items() if columns == {"email": ("pii",)}} == {
        "public.all_people",
        "public.people",
        "public.people_1",
        "public.people_2",
    }
    assert "public.other" not in labels.columns


def mark(relation: str, column: str, label: str, source: str = "public.people.email") -> Mark:
    return Mark(relation, column, label, source)


def test_marks_add_to_what_patterns_say():
    shop = snapshot(relation("public.people", "id", "email"))
    labels = Labeller({"pii": ("email",)}).label(shop, [mark("public.people", "email", "secret")])
    assert labels.columns == {"public.people": {"email": ("pii", "secret")}}


def test_a_mark_on_every_column_is_on_those_that_are_asked_for():
    labels = Labeller({}).label(snapshot(relation("public.t", "a")), [mark("public.t", "*", "pii")])
    assert labels.of("public.t", ("a",)) == labels.of("public.t", ("*",)) == ("pii",)
    assert labels.of("public.t", ("not known yet",)) == ("pii",)
    assert labels.of("public.t", ()) == ()


def test_a_mark_on_what_is_not_in_the_catalog_yet_waits_for_it():
    labels = Labeller({}).label(snapshot(), [mark("public.copy", "email", "pii")])
    assert labels.of("public.copy", ("email",)) == ("pii",)


def test_a_policy_decides_whether_comments_count():
    text = "version: 1\ndefault: hold\napproval: {groups: dba}\nrules: [{name: r, allow: read, why: w}]\n"
    shop = snapshot(relation("public.people", "email", "name"))
    marks = [mark("public.people", "email", "pii", "comment"), mark("public.people", "name", "pii")]
    with_comments = policy.parse(text, Path("p.yaml")).labels(shop, marks)
    without = policy.parse(f"{text}label_comments: false\n", Path("p.yaml")).labels(shop, marks)
    assert with_comments.columns == {"public.people": {"email": ("pii",), "name": ("pii",)}}
    assert without.columns == {"public.people": {"name": ("pii",)}}


def test_labels_follow_views_and_views_of_views():
    shop = snapshot(
        relation("public.people", "id", "email", children=("public.more",)), relation("public.more")
    )
    views = {
        "public.v": {"who": (("public.people", "email"),), "number": (("public.people", "id"),)},
        "public.w": {"it": (("public.v", "who"), ("public.v", "number"))},
        "public.all": {"row": (("public.people", "*"),)},
        "public.ring": {"x": (("public.ring2", "x"), ("public.w", "it"))},
        "public.ring2": {"x": (("public.ring", "x"),)},
    }
    labels = Labeller({"pii": ("email",)}).label(shop, (), Ways.of(shop, views))
    del labels.columns["public.people"]
    assert labels.columns == {
        "public.v": {"who": ("pii",)},
        "public.w": {"it": ("pii",)},
        "public.all": {"row": ("pii",)},
        "public.ring": {"x": ("pii",)},
        "public.ring2": {"x": ("pii",)},
    }


def test_a_column_that_holds_rows_has_all_labels_of_the_rows():
    contact = Relation("public", "contact", RelationKind.COMPOSITE, (Column("email", "text", 1),))
    deeper = Relation("public", "deeper", RelationKind.COMPOSITE, (Column("c", "public.contact[]", 1),))
    held = Relation(
        "public", "t", RelationKind.TABLE, (Column("id", "integer", 1), Column("d", "public.deeper", 2))
    )
    shop = Snapshot("", "shop", 180000, relations=(contact, deeper, held))
    labels = Labeller({"pii": ("email",)}).label(shop, (), Ways.of(shop))
    assert labels.columns["public.t"] == {"d": ("pii",)}


NAMES = ["public.a", "public.b", "public.c", "public.d"]
COLUMNS = ["x", "y"]
some_marks = st.lists(
    st.builds(
        mark,
        st.sampled_from([*NAMES, "public.new"]),
        st.sampled_from([*COLUMNS, "*"]),
        st.sampled_from(["pii", "pci"]),
        st.sampled_from(["comment", "public.a.x"]),
    ),
    max_size=4,
)
catalogs = st.lists(
    st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(tuple), min_size=4, max_size=4
).map(lambda kin: snapshot(*(relation(n, *COLUMNS, children=c) for n, c in zip(NAMES, kin, strict=True))))
some_views = st.dictionaries(
    st.sampled_from(NAMES),
    st.dictionaries(
        st.sampled_from(COLUMNS),
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([*COLUMNS, "*"])), max_size=2).map(tuple),
    ),
    max_size=2,
)
some_patterns = st.dictionaries(
    st.sampled_from(["hr", "pii"]), st.sampled_from([("x",), ("a.y",), ("public.c.*",)]), max_size=2
)


def pairs(labels: Labels) -> set[tuple[str, str, str]]:
    return {(r, c, label) for r, columns in labels.columns.items() for c in columns for label in columns[c]}


@given(catalogs, some_views, some_patterns, some_patterns, some_marks, some_marks)
def test_labels_never_shrink_by_what_is_added(shop, views, patterns, more_patterns, marks, more_marks):
    ways = Ways.of(shop, views)
    before = pairs(Labeller(patterns).label(shop, marks, Ways.of(shop)))
    together = {
        label: patterns.get(label, ()) + more_patterns.get(label, ())
        for label in patterns.keys() | more_patterns.keys()
    }
    for after in (
        Labeller(patterns).label(shop, marks, ways),
        Labeller(patterns).label(shop, marks + more_marks, Ways.of(shop)),
        Labeller(together).label(shop, marks, Ways.of(shop)),
    ):
        assert before <= pairs(after)


@given(catalogs, some_views, some_patterns, some_marks, some_marks)
def test_marks_that_come_later_do_what_they_would_have_done_from_the_start(
    shop, views, patterns, marks, more_marks
):
    ways = Ways.of(shop, views)
    labeller = Labeller(patterns)
    first = labeller.label(shop, marks, ways)
    kept = pairs(first)
    assert pairs(marked(first, more_marks, ways)) == pairs(labeller.label(shop, marks + more_marks, ways))
    assert pairs(first) == kept
