"""What is proposed, why, and as a policy that loads."""

from __future__ import annotations

from pathlib import Path

import yaml

from firewall import policy
from firewall.catalog import Column, Labels, Relation, RelationKind, Snapshot
from firewall.catalog.labels_suggest import Sampled, as_yaml, holding, suggestions


def table(name: str, *columns: str, kind: RelationKind = RelationKind.TABLE, **more: object) -> Relation:
    schema, _, bare = name.partition(".")
    return Relation(schema, bare, kind, tuple(Column(c, "text") for c in columns), **more)


SHOP = Snapshot(
    "v",
    "shop",
    180000,
    (
        table("public.people", "id", "email", "x", "note"),
        table("public.parts", "email", kind=RelationKind.PARTITIONED, children=("public.part_1",)),
        table("public.part_1", "email"),
        table("public.v", "email", kind=RelationKind.VIEW),
        table("pg_catalog.pg_authid", "password"),
        table("public.odd", "e*mail", "a.phone"),
    ),
)


def test_tables_are_looked_at_once_and_views_and_the_system_not():
    assert [r.name for r in holding(SHOP)] == ["people", "parts", "odd"]


def test_names_and_values_propose():
    seen = {
        ("public.people", "email"): Sampled(100, {"pii.email": 98}),
        ("public.people", "x"): Sampled(10, {"pci.pan": 6, "pii.phone": 10}),
        ("public.people", "note"): Sampled(4, {"pii.email": 4}),
        ("public.people", "id"): Sampled(10, {"pii.national": 2}),
    }
    found = {(s.relation, s.column, s.label): s for s in suggestions(SHOP, Labels(), seen)}
    assert found.keys() == {
        ("public.people", "email", "pii.email"),
        ("public.people", "x", "pci.pan"),
        ("public.parts", "email", "pii.email"),
        ("public.odd", "e*mail", "pii.email"),
        ("public.odd", "a.phone", "pii.phone"),
    }
    assert found["public.people", "email", "pii.email"].why == "its name, 98% of 100 values"
    assert found["public.people", "x", "pci.pan"].why == "60% of 10 values"
    assert found["public.parts", "email", "pii.email"].why == "its name"


def test_what_the_values_say_stands_beside_what_the_name_says():
    seen = {("public.people", "email"): Sampled(10, {"pii.phone": 10})}
    found = [s for s in suggestions(SHOP, Labels(), seen) if s.relation == "public.people"]
    assert [(s.label, s.why) for s in found] == [
        ("pii.email", "its name, 0% of 10 values"),
        ("pii.phone", "100% of 10 values"),
    ]


def test_what_is_labelled_already_is_left_out():
    labels = Labels({"public.people": {"email": ("pii",)}, "public.parts": {"email": ("secret",)}})
    found = {s.relation for s in suggestions(SHOP, labels, {})}
    assert found == {"public.parts", "public.odd"}


def test_the_yaml_is_part_of_a_policy():
    text = as_yaml(suggestions(SHOP, Labels(), {}))
    assert "no pattern can write it" in text
    whole = "version: 1\ndefault: hold\napproval: {groups: dba}\nrules: [{name: r, allow: read, why: w}]\n"
    loaded = policy.parse(whole + text, Path("p.yaml"))
    assert loaded.document.labels == {"pii.email": ("public.parts.email", "public.people.email")} | {
        label: columns for label, columns in yaml.safe_load(text)["labels"].items() if label != "pii.email"
    }
    assert loaded.labels(SHOP).of("public.people", ("email",)) == ("pii.email",)
    assert yaml.safe_load(as_yaml([])) == {"labels": {}}
