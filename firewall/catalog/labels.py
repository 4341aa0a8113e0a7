"""Labels that the database itself gives: by comments on columns and relations, and under names of before.

A `Mark` is a label that stands on a column for a reason other than the policy's patterns. Marks are only ever
added by what is seen; a person takes them away. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from firewall.catalog.snapshot import Labels, Relation, Snapshot

# a label's name, wherever one is written
LABEL: Final = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*")
EVERY: Final = "*"
COMMENT: Final = "comment"
_IN_COMMENT: Final = re.compile(r"\[label:([^\[\]]*)\]", re.IGNORECASE)
_SEPARATORS: Final = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class Mark:
    """A label on a column of `schema.relation`; `*` is every column of it, those not known yet too.

    source: `comment`, or the column that the data came from, `schema.relation.column`.
    statement: what copied it, as the log names statements; empty if none did. at: since when, RFC 3339.
    """

    relation: str
    column: str
    label: str
    source: str
    statement: str = ""
    at: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it another mark than others."""
        return self.relation, self.column, self.label, self.source

    @property
    def commented(self) -> bool:
        return self.source == COMMENT


@dataclass(frozen=True, slots=True)
class Said:
    """The labels that a comment names, and words in their place that are none."""

    labels: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


def said(comment: str) -> Said:
    """What a comment says of labels: `[label: pii.email, secret]`, anywhere in it, in any case."""
    if "[" not in comment:
        return Said()
    words = {
        word for inside in _IN_COMMENT.findall(comment) for word in _SEPARATORS.split(inside.lower()) if word
    }
    labels = {word for word in words if LABEL.fullmatch(word)}
    return Said(tuple(sorted(labels)), tuple(sorted(words - labels)))


def of_comments(snapshot: Snapshot) -> tuple[Mark, ...]:
    """What comments say now: of a column, or of a relation and so of all its columns."""
    return tuple(
        Mark(relation.qualified, column, label, COMMENT)
        for relation, column, comment in _comments(snapshot)
        for label in said(comment).labels
    )


def misspelt(snapshot: Snapshot) -> tuple[tuple[str, str, str], ...]:
    """Words in comments where a label should stand: relation, column (or `*`) and word."""
    return tuple(
        (relation.qualified, column, word)
        for relation, column, comment in _comments(snapshot)
        for word in said(comment).wrong
    )


def _comments(snapshot: Snapshot) -> Iterator[tuple[Relation, str, str]]:
    for relation in snapshot.relations:
        if relation.comment:
            yield relation, EVERY, relation.comment
        for column in relation.columns:
            if column.comment:
                yield relation, column.name, column.comment


def renamed(before: Snapshot, labels: Labels, after: Snapshot) -> tuple[Mark, ...]:
    """Labels of columns that are called otherwise now, under their new names: the data is the same.

    labels: those of the catalog before.
    """
    old = {relation.oid: relation for relation in before.relations if relation.oid}
    return tuple(
        Mark(new.qualified, name, label, f"{known.qualified}.{was}")
        for new in after.relations
        if (known := old.get(new.oid)) is not None and known.qualified in labels.columns
        if known is not new
        for was, name in _same_columns(known, new)
        if (known.qualified, was) != (new.qualified, name)
        for label in labels.of(known.qualified, (was,))
    )


def _same_columns(before: Relation, after: Relation) -> Iterator[tuple[str, str]]:
    names = {column.number: column.name for column in before.columns}
    for column in after.columns:
        if column.number in names:
            yield names[column.number], column.name


def unknown_to(known: Mapping[tuple[str, str, str, str], Mark], marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """Those that are not known yet, once each."""
    return tuple({mark.key: mark for mark in marks if mark.key not in known}.values())
