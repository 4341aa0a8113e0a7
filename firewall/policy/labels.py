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
Compiled = tuple[tuple[str, "re.Pattern[str]"], ...]
Marks = dict[str, dict[str, set[str]]]  # `schema.relation` → column → labels


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

    def label(self, snapshot: Snapshot) -> Labels:
        """The labels of every column in the catalog."""
        marks: Marks = {}
        memory: dict[str, frozenset[str]] = {}
        for relation in snapshot.relations:
            for column in relation.columns:
                if found := self._of(relation.qualified, column.name, memory):
                    marks.setdefault(relation.qualified, {})[column.name] = set(found)
        _spread(marks, [(r.qualified, child) for r in snapshot.relations for child in r.children], snapshot)
        return Labels(
            {
                relation: {column: tuple(sorted(found)) for column, found in columns.items()}
                for relation, columns in marks.items()
            }
        )

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
