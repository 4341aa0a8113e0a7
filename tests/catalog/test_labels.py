"""What comments say of labels, and labels under new names."""

from __future__ import annotations

import pytest

from firewall.catalog import Column, Labels, Relation, RelationKind, Snapshot
from firewall.catalog.labels import COMMENT, Mark, misspelt, of_comments, renamed, said, unknown_to


@pytest.mark.parametrize(
    ("comment", "labels", "wrong"),
    [
        ("", (), ()),
        ("where receipts go", (), ()),
        ("[label: pii.email]", ("pii.email",), ()),
        ("where receipts go [label: pii.email, secret], usually", ("pii.email", "secret"), ()),
        ("[LABEL:Pii.Email]", ("pii.email",), ()),
        ("[label: a b,c]\n[label:\td]", ("a", "b", "c", "d"), ()),
        ("[label: a [label: b]", ("b",), ()),
        ("[label:]", (), ()),
        ("[label: p!i, -x, pii..x, ok]", ("ok",), ("-x", "p!i", "pii..x")),
        ("label: pii", (), ()),
        ("[labels: pii]", (), ()),
        ("[label pii]", (), ()),
    ],
)
def test_a_comment_names_labels(comment, labels, wrong):
    assert said(comment).labels == labels
    assert said(comment).wrong == wrong


def relation(name: str, *columns: Column, oid: int = 1, comment: str = "") -> Relation:
    return Relation("public", name, RelationKind.TABLE, columns, oid=oid, comment=comment)


def test_comments_label_a_column_or_all_of_a_relation():
    shop = Snapshot(
        "v",
        "shop",
        180000,
        (
            relation("people", Column("id", "int"), Column("e", "text", comment="[label: pii.email x?]")),
            relation("notes", Column("n", "text"), comment="[label: phi]"),
        ),
    )
    assert of_comments(shop) == (
        Mark("public.people", "e", "pii.email", COMMENT),
        Mark("public.notes", "*", "phi", COMMENT),
    )
    assert misspelt(shop) == (("public.people", "e", "x?"),)


def test_labels_stay_with_data_whose_name_changes():
    before = Snapshot(
        "v",
        "shop",
        180000,
        (
            relation("people", Column("id", "int", 1), Column("email", "text", 2), oid=7),
            relation("other", Column("email", "text", 1), oid=8),
            relation("gone", Column("email", "text", 1), oid=9),
        ),
    )
    labels = Labels({f"public.{n}": {"email": ("pii",)} for n in ("people", "other", "gone")})
    after = Snapshot(
        "w",
        "shop",
        180000,
        (
            relation("persons", Column("id", "int", 1), Column("email", "text", 2), oid=7),
            # dropped and made anew under the name: another column
            relation("other", Column("mail", "text", 1), Column("email", "text", 2), oid=8),
            relation("gone", Column("x", "text", 1), oid=10),
        ),
    )
    assert set(renamed(before, labels, after)) == {
        Mark("public.persons", "email", "pii", "public.people.email"),
        Mark("public.other", "mail", "pii", "public.other.email"),
    }
    assert renamed(before, labels, before) == ()


def test_marks_are_told_apart_by_everything_but_their_time_and_statement():
    one, two = Mark("r", "c", "l", "s", "q-1", "t1"), Mark("r", "c", "l", "s", "q-2", "t2")
    other = Mark("r", "c", "l", "s2")
    assert unknown_to({one.key: one}, [two, other, other]) == (other,)
