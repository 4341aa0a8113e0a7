"""Which labels stand on which columns, by the policy's patterns.

Patterns ignore case: a column called `"Email"` holds addresses as well. Labels spread along inheritance and
partitions both ways, because a parent's rows are its children's. The system's own catalogs are labelled only
by patterns that name the schema: `*token*` is about the data, not about `pg_ts_parser.prstoken`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall.catalog.snapshot import Labels
from firewall.policy import glob

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Mapping

    from firewall.catalog.snapshot import Snapshot

SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema"})
Marks = dict[str, dict[str, set[str]]]  # `schema.relation` → column → labels


class Labeller:
    """The policy's label patterns, compiled."""

    def __init__(self, patterns: Mapping[str, tuple[str, ...]]) -> None:
        self._everywhere = _compiled(patterns, lambda _: True)
        self._system = _compiled(patterns, lambda pattern: pattern.count(".") == 2)

    def of(self, relation: str, column: str) -> tuple[str, ...]:
        """The labels of one column of `schema.relation` by its name alone, sorted."""
        names = [f"{key}\0{column}" for key in glob.keys(relation)]
        schema = relation.partition(".")[0]
        labels = self._system if schema in SYSTEM_SCHEMAS else self._everywhere
        return tuple(label for label, regex in labels if any(map(regex.fullmatch, names)))

    def label(self, snapshot: Snapshot) -> Labels:
        """The labels of every column in the catalog."""
        marks: Marks = {}
        for relation in snapshot.relations:
            for column in relation.columns:
                if found := self.of(relation.qualified, column.name):
                    marks.setdefault(relation.qualified, {})[column.name] = set(found)
        _spread(marks, [(r.qualified, child) for r in snapshot.relations for child in r.children], snapshot)
        return Labels(
            {
                relation: {column: tuple(sorted(found)) for column, found in columns.items()}
                for relation, columns in marks.items()
            }
        )


def _compiled(
    patterns: Mapping[str, tuple[str, ...]], meant: Callable[[str], bool]
) -> tuple[tuple[str, re.Pattern[str]], ...]:
    chosen = [(label, tuple(filter(meant, _opened(patterns[label])))) for label in sorted(patterns)]
    return tuple(
        (label, glob.name_regex(globs, parts=3, ignore_case=True)) for label, globs in chosen if globs
    )


def _opened(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return ("*",) if patterns == (glob.ANY,) else patterns


def _spread(marks: Marks, kin: Iterable[tuple[str, str]], snapshot: Snapshot) -> None:
    """Carry labels from parents to children and back until nothing changes."""
    neighbours: dict[str, set[str]] = {}
    for parent, child in kin:
        neighbours.setdefault(parent, set()).add(child)
        neighbours.setdefault(child, set()).add(parent)
    waiting = [relation for relation in marks if relation in neighbours]
    while waiting:
        here = waiting.pop()
        for other in neighbours[here]:
            relation = snapshot.relation(other)
            if relation is None:
                continue
            grew = False
            for column in relation.columns:
                new = marks[here].get(column.name, set()) - marks.get(other, {}).get(column.name, set())
                if new:
                    marks.setdefault(other, {}).setdefault(column.name, set()).update(new)
                    grew = True
            if grew:
                waiting.append(other)
