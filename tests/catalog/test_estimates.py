"""Rows of relations, with their partitions and children, as far as anybody knows."""

from __future__ import annotations

from firewall.catalog import Relation, RelationKind, Snapshot, estimates


def relation(name: str, kind: RelationKind, rows: float, *children: str) -> Relation:
    return Relation("s", name, kind, (), rows=rows, children=children)


def rows(*relations: Relation) -> dict[str, float]:
    return estimates.rows(Snapshot("v", "d", 180000, relations))


def test_what_was_analysed_is_known():
    assert rows(relation("t", RelationKind.TABLE, 5), relation("u", RelationKind.TABLE, -1)) == {"s.t": 5}


def test_a_whole_is_its_parts():
    parted = relation("p", RelationKind.PARTITIONED, 999, "s.p1", "s.p2")
    parts = (relation("p1", RelationKind.TABLE, 5), relation("p2", RelationKind.TABLE, 7))
    assert rows(parted, *parts)["s.p"] == 12
    assert rows(relation("t", RelationKind.TABLE, 1, "s.p1"), *parts)["s.t"] == 6


def test_one_part_that_is_not_known_is_enough():
    known = rows(
        relation("p", RelationKind.PARTITIONED, 999, "s.p1", "s.p2"),
        relation("p1", RelationKind.TABLE, 5),
        relation("p2", RelationKind.TABLE, -1),
        relation("q", RelationKind.PARTITIONED, 999, "s.absent"),
    )
    assert known == {"s.p1": 5}


def test_a_view_has_none_of_its_own():
    assert rows(relation("v", RelationKind.VIEW, -1), relation("m", RelationKind.MATERIALIZED, 3)) == {
        "s.v": 0,
        "s.m": 3,
    }


def test_a_circle_ends():
    circle = (relation("a", RelationKind.TABLE, 1, "s.b"), relation("b", RelationKind.TABLE, 1, "s.a"))
    assert rows(*circle) == {}
