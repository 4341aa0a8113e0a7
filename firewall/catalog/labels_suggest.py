"""Which labels columns may need, by names and by samples of values, for a person to accept. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import yaml

from firewall.catalog.labels_names import label_of
from firewall.catalog.labels_values import MATCHERS
from firewall.catalog.snapshot import RelationKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from firewall.catalog.snapshot import Labels, Relation, Snapshot

# values say what a column is if so many of them agree, and there are so many
SHARE: Final = 0.5
ENOUGH: Final = 5
# relations that hold rows of their own; views show what others hold, and labels follow by themselves
HOLDING: Final = frozenset({RelationKind.TABLE, RelationKind.PARTITIONED, RelationKind.FOREIGN})
SYSTEM_SCHEMAS: Final = frozenset({"pg_catalog", "information_schema"})


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was seen of a column: how many values there were, and how many of them fit which label."""

    values: int
    fits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A label for a column, and why. `values` were looked at, `fits` of them are what the label says."""

    relation: str
    column: str
    label: str
    by_name: bool
    values: int = 0
    fits: int = 0

    @property
    def share(self) -> float | None:
        """Of the values that fit; None if values cannot tell, or there were none."""
        return self.fits / self.values if self.values and self.label in MATCHERS else None

    @property
    def why(self) -> str:
        """In words, for people."""
        parts = ["its name"] if self.by_name else []
        if self.share is not None:
            parts.append(f"{self.share:.0%} of {self.values} values")
        return ", ".join(parts)

    @property
    def pattern(self) -> str | None:
        """What to write in a policy; None for names that no pattern can write."""
        schema, _, name = self.relation.partition(".")
        wild = any(c in part for part in (schema, name, self.column) for c in ".*?")
        return None if wild else f"{self.relation}.{self.column}"


def holding(snapshot: Snapshot) -> Iterator[Relation]:
    """Relations whose columns are looked at: a partition's are its parent's."""
    children = {child for relation in snapshot.relations for child in relation.children}
    for relation in snapshot.relations:
        inside = relation.schema in SYSTEM_SCHEMAS or relation.qualified in children
        if relation.kind in HOLDING and not inside:
            yield relation


def suggestions(
    snapshot: Snapshot, labels: Labels, sampled: Mapping[tuple[str, str], Sampled]
) -> list[Suggestion]:
    """What is not labelled yet and may need it, by label and place."""
    found = [
        suggestion
        for relation in holding(snapshot)
        for column in relation.columns
        for suggestion in _of(relation.qualified, column.name, sampled.get((relation.qualified, column.name)))
        if not _covered(suggestion.label, labels.of(relation.qualified, (column.name,)))
    ]
    return sorted(found, key=lambda s: (s.label, s.relation, s.column))


def _of(relation: str, column: str, seen: Sampled | None) -> Iterator[Suggestion]:
    named = label_of(column)
    values, fits = (seen.values, seen.fits) if seen else (0, {})
    told = None
    if values >= ENOUGH:
        told = next((label for label in MATCHERS if fits.get(label, 0) >= SHARE * values), None)
    for label in dict.fromkeys(label for label in (told, named) if label):
        yield Suggestion(relation, column, label, label == named, values, fits.get(label, 0))


def _covered(label: str, there: Iterable[str]) -> bool:
    """A label is there already if it is, or one of its family is: people have looked at the column."""
    family = label.partition(".")[0]
    return any(known == label or known.partition(".")[0] == family for known in there)


def as_yaml(found: Iterable[Suggestion]) -> str:
    """The suggestions as a policy's `labels`, each with its reason behind it."""
    by_label: defaultdict[str, list[Suggestion]] = defaultdict(list)
    for suggestion in found:
        by_label[suggestion.label].append(suggestion)
    lines: list[str] = []
    for label, members in by_label.items():
        told = [member for member in members if member.pattern is not None]
        lines += [f"  {label}:"] if told else []
        lines += [f"    - {_scalar(member.pattern)} # {member.why}" for member in told if member.pattern]
        for member in members:
            if member.pattern is None:
                place = f"{member.relation}.{member.column}"
                lines.append(f"    # {label} on {place!a}: no pattern can write it")
    head = (
        "labels:" if any(member.pattern for group in by_label.values() for member in group) else "labels: {}"
    )
    return "\n".join([head, *lines]) + "\n"


def _scalar(text: str) -> str:
    return str(yaml.safe_dump(text, width=10_000, allow_unicode=False)).partition("\n")[0]
