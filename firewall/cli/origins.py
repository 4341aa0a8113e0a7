"""Where the label of a column comes from, in words: a pattern, a comment, a copy, a view, a parent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewall.catalog.labels import EVERY, of_comments
from firewall.policy.labels import Labeller, Ways

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firewall.catalog import Labels, Snapshot
    from firewall.catalog.labels import Mark
    from firewall.policy import Policy
    from firewall.policy.labels import Views


@dataclass(frozen=True, slots=True)
class Origin:
    """kind: policy, comment, copy, view or kin. what: the pattern, column or relation that it comes from."""

    kind: str
    what: str
    statement: str = ""
    at: str = ""

    @property
    def words(self) -> str:
        """For people."""
        match self.kind:
            case "policy":
                return f"policy pattern {self.what}"
            case "comment":
                return self.what
            case "copy":
                return f"derived from {self.what} by {self.statement or 'a new name'} at {self.at[:19]}"
            case "view":
                return f"shows {self.what}"
            case _:
                return f"shares rows with {self.what}"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One label of one column, and all that gives it."""

    relation: str
    column: str
    label: str
    origins: tuple[Origin, ...]


def of(rules: Policy, snapshot: Snapshot, marks: Sequence[Mark], views: Views) -> list[Labelled]:
    """Every label in force, by place."""
    now = of_comments(snapshot) if rules.document.label_comments else ()
    counted = [m for m in marks if rules.document.label_comments or not m.commented]
    ways = Ways.of(snapshot, views)
    labels = rules.labels(snapshot, [*counted, *now], ways)
    where = _Where(rules, labels, ways, views, counted, now)
    return [
        Labelled(relation, column, label, tuple(where.origins(relation, column, label)))
        for relation in sorted(labels.columns)
        for column in sorted(labels.columns[relation])
        for label in labels.columns[relation][column]
    ]


class _Where:
    def __init__(
        self,
        rules: Policy,
        labels: Labels,
        ways: Ways,
        views: Views,
        marks: Sequence[Mark],
        comments: Sequence[Mark],
    ) -> None:
        self._labels = labels
        self._ways = ways
        self._views = views
        self._patterns = {
            label: [(pattern, Labeller({label: (pattern,)})) for pattern in patterns]
            for label, patterns in rules.document.labels.items()
        }
        self._comments = {comment.key for comment in comments}
        self._marks: dict[tuple[str, str, str], list[Mark]] = {}
        for mark in marks:
            self._marks.setdefault((mark.relation, mark.column, mark.label), []).append(mark)
        for comment in comments:
            known = self._marks.setdefault((comment.relation, comment.column, comment.label), [])
            if not any(mark.key == comment.key for mark in known):
                known.append(comment)

    def origins(self, relation: str, column: str, label: str) -> Iterator[Origin]:
        for pattern, labeller in self._patterns.get(label, ()):
            if column != EVERY and labeller.of(relation, column):
                yield Origin("policy", pattern)
        for mark in self._marks.get((relation, column, label), ()):
            if mark.commented:
                still = mark.key in self._comments
                words = "comment" if still else "a comment that is gone"
                yield Origin("comment", words, at=mark.at)
            else:
                yield Origin("copy", mark.source, mark.statement, mark.at)
        for other, source in self._views.get(relation, {}).get(column, ()):
            if other != relation and label in self._labels.of(other, (source,)):
                yield Origin("view", f"{other}.{source}")
        for other in sorted(self._ways.kin.get(relation, ())):
            if label in self._labels.columns.get(other, {}).get(column, ()):
                yield Origin("kin", other)
