"""Columns that hold rows."""

from __future__ import annotations

import pytest

from firewall.catalog import Column, Relation, RelationKind, Snapshot, Type, TypeKind
from firewall.catalog.composites import holders

CONTACT = Relation("public", "contact", RelationKind.COMPOSITE, (Column("email", "text", 1),))
ODD = Relation("Odd Schema", 'a"b', RelationKind.TABLE, (Column("x", "integer", 1),))
DOMAINS = (
    Type("public", "reachable", TypeKind.DOMAIN, of="public.contact"),
    Type("public", "twice", TypeKind.DOMAIN, of="public.reachable[]"),
    Type("public", "ring", TypeKind.DOMAIN, of="public.ring"),
    Type("public", "mood", TypeKind.ENUM),
)


def holding(kind):
    table = Relation("public", "t", RelationKind.TABLE, (Column("id", "integer", 1), Column("c", kind, 2)))
    return list(holders(Snapshot("", "db", 180000, relations=(CONTACT, ODD, table), types=DOMAINS)))


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("public.contact", "public.contact"),
        ("public.contact[]", "public.contact"),
        ("public.reachable", "public.contact"),
        ("public.twice", "public.contact"),
        ('"Odd Schema"."a""b"[]', 'Odd Schema.a"b'),
        ("public.t", "public.t"),
    ],
)
def test_a_column_that_holds_rows(kind, row):
    assert holding(kind) == [(row, ("public.t", "c"))]


@pytest.mark.parametrize(
    "kind", ["text", "numeric(10,2)", "public.mood", "public.gone", "public.ring", "a.b.c"]
)
def test_a_column_that_holds_none(kind):
    assert holding(kind) == []
