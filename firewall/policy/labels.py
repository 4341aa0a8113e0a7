"""Which labels stand on which columns: by the policy's patterns, by marks, and by what data flows through.

Patterns ignore case: a column called `"Email"` holds addresses as well. Labels spread along inheritance and
partitions both ways, because a parent's rows are its children's, and from columns to those of the views that
show them. The system's own catalogs are labelled only by patterns that name the schema: `*token*` is about
the data, not about `pg_ts_parser.prstoken`.

Everything here only adds: no pattern, mark or view takes a label away.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from firewall.catalog import composites
from firewall.catalog.labels import EVERY
from firewall.catalog.snapshot import Labels
from firewall.policy import glob

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Mapping

    from firewall.catalog.labels import Mark
    from firewall.catalog.snapshot import Snapshot

SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema"})
Compiled = tuple[tuple[str, "re.Pattern[str]"], ...]
# view → its column → the columns that it shows, as (`schema.relation`, column); `*` is every column
Views: TypeAlias = "Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]]"
Found: TypeAlias = dict[str, dict[str, set[str]]]  # `schema.relation` → column → labels


class Labeller:
    """The policy's label patterns, compiled.

    Patterns of a column's name alone are most of them, and a catalog has few distinct column names: what
    they say of a name is worked out once for a catalog.
    """

    def __init__(self, patterns: Mapping[str, tuple[str, ...]]) -> None:
        opened = {label: _opened(patterns[label]) for label in sorted(patterns)}
        self._by_column = _compiled(opened, lambda dots: dots == 0, parts=1)
        self._by_place = _compiled(opened, lambda dots: dots > 0, parts=3)
        self._in_system = _compiled(opened, lambda dots: dots == 2, parts=3)

    def of(self, relation: str, column: str) -> tuple[str, ...]:
        """The labels of one column of `schema.relation` by its name alone, sorted."""
        return self._of(relation, column, {})

    def label(self, snapshot: Snapshot, marks: Iterable[Mark] = (), ways: Ways | None = None) -> Labels:
        """The labels of every column in the catalog, and of what marks name beyond it."""
        found: Found = {}
        memory: dict[str, frozenset[str]] = {}
        for relation in snapshot.relations:
            for column in relation.columns:
                if labels := self._of(relation.qualified, column.name, memory):
                    found.setdefault(relation.qualified, {})[column.name] = set(labels)
        for mark in marks:
            found.setdefault(mark.relation, {}).setdefault(mark.column, set()).add(mark.label)
        (ways or Ways.of(snapshot)).spread(found, found)
        return Labels({relation: _sorted(columns) for relation, columns in found.items()})

    def _of(self, relation: str, column: str, memory: dict[str, frozenset[str]]) -> tuple[str, ...]:
        if relation.partition(".")[0] in SYSTEM_SCHEMAS:
            return tuple(sorted(_placed(self._in_system, relation, column)))
        by_column = memory.get(column)
        if by_column is None:
            by_column = frozenset(label for label, regex in self._by_column if regex.fullmatch(column))
            memory[column] = by_column
        return tuple(sorted(by_column.union(_placed(self._by_place, relation, column))))


def _placed(patterns: Compiled, relation: str, column: str) -> set[str]:
    """Labels by patterns of a table, or of a schema and a table."""
    if not patterns:
        return set()
    names = [f"{key}\0{column}" for key in glob.keys(relation)]
    return {label for label, regex in patterns if any(map(regex.fullmatch, names))}


def _compiled(
    patterns: Mapping[str, tuple[str, ...]], meant: Callable[[int], bool], *, parts: int
) -> Compiled:
    """One expression for each label that has patterns with as many dots as are meant."""
    chosen = {label: tuple(g for g in globs if meant(g.count("."))) for label, globs in patterns.items()}
    return tuple(
        (label, glob.name_regex(globs, parts=parts, ignore_case=True))
        for label, globs in chosen.items()
        if globs
    )


def _opened(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return ("*",) if patterns == (glob.ANY,) else patterns


def marked(labels: Labels, marks: Iterable[Mark], ways: Ways) -> Labels:
    """The labels with some more marks, and with what follows from them. Costs what it changes."""
    found = _Copied(labels)
    touched = []
    for mark in marks:
        found[mark.relation].setdefault(mark.column, set()).add(mark.label)
        touched.append(mark.relation)
    ways.spread(found, touched)
    return Labels({**labels.columns, **{relation: _sorted(columns) for relation, columns in found.items()}})


@dataclass(frozen=True, slots=True)
class Ways:
    """Where labels go from one relation to others.

    kin: parents and children, column by column of one name. readers: relation → the views that show columns
    of it, as (view, its column, the relation's column); a table with generated columns reads itself. A column
    of a composite type is all that the type has.
    """

    snapshot: Snapshot
    kin: Mapping[str, frozenset[str]] = field(default_factory=dict)
    readers: Mapping[str, tuple[tuple[str, str, str], ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot, views: Views | None = None) -> Ways:
        kin: defaultdict[str, set[str]] = defaultdict(set)
        for relation in snapshot.relations:
            for child in relation.children:
                kin[relation.qualified].add(child)
                kin[child].add(relation.qualified)
        readers: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for view, columns in (views or {}).items():
            for column, sources in columns.items():
                for relation_name, source in sources:
                    if (relation_name, source) != (view, column):
                        readers[relation_name].append((view, column, source))
        for row, held in composites.holders(snapshot):
            readers[row].append((*held, EVERY))
        return cls(
            snapshot,
            {name: frozenset(others) for name, others in kin.items()},
            {name: tuple(found) for name, found in readers.items()},
        )

    def spread(self, found: Found, changed: Iterable[str]) -> None:
        """Carry labels on from what changed until nothing changes. Labels only grow, so this ends."""
        waiting = dict.fromkeys(changed)
        while waiting:
            here, _ = waiting.popitem()
            for other in self.kin.get(here, ()):
                if self._to_kin(found, here, other):
                    waiting[other] = None
            for view, column, source in self.readers.get(here, ()):
                if _add(found, view, column, _labels_of(found, here, source)):
                    waiting[view] = None

    def _to_kin(self, found: Found, here: str, other: str) -> bool:
        relation = self.snapshot.relation(other)
        if relation is None:
            return False
        names = [EVERY, *(column.name for column in relation.columns)]
        # not any(): all of them have to be done
        return sum(_add(found, other, name, found.get(here, {}).get(name, set())) for name in names) > 0


class _Copied(dict[str, dict[str, set[str]]]):
    """Labels that are taken over from finished ones where they are looked at."""

    def __init__(self, labels: Labels) -> None:
        super().__init__()
        self._labels = labels

    def __missing__(self, relation: str) -> dict[str, set[str]]:
        known = self._labels.columns.get(relation, {})
        columns = self[relation] = {column: set(labels) for column, labels in known.items()}
        return columns


def _add(found: Found, relation: str, column: str, labels: set[str]) -> bool:
    """Whether any of the labels is new there."""
    if not labels:
        return False
    columns = found[relation] if isinstance(found, _Copied) else found.setdefault(relation, {})
    here = columns.setdefault(column, set())
    before = len(here)
    here |= labels
    return len(here) > before


def _labels_of(found: Found, relation: str, column: str) -> set[str]:
    columns = found[relation] if isinstance(found, _Copied) else found.get(relation, {})
    names = columns if column == EVERY else (column, EVERY)
    return set().union(*(columns.get(name, ()) for name in names))


def _sorted(columns: dict[str, set[str]]) -> dict[str, tuple[str, ...]]:
    return {column: tuple(sorted(labels)) for column, labels in columns.items() if labels}
