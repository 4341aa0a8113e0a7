"""Which columns the policy's patterns label, and where labels spread."""

from __future__ import annotations

from pathlib import Path

import pytest

from firewall import policy
from firewall.catalog import Column, Labels, Relation, RelationKind, Snapshot
from firewall.policy.labels import Labeller


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
