"""How many rows relations have, by the catalog's own estimate (`pg_class.reltuples`; manual 52.11).

It is as old as the last VACUUM or ANALYZE, and counts a relation together with its partitions and children.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firewall.catalog.snapshot import RelationKind

if TYPE_CHECKING:
    from firewall.catalog.snapshot import Relation, Snapshot

# what has rows of its own; a view's are those of the relations that it reads, which are judged beside it
STORED: Final = frozenset(
    {RelationKind.TABLE, RelationKind.PARTITIONED, RelationKind.MATERIALIZED, RelationKind.FOREIGN}
)


def rows(snapshot: Snapshot) -> dict[str, float]:
    """`schema.relation` → rows. What was never analysed, or has a part that was not, is left out."""
    known: dict[str, float | None] = {}
    for relation in snapshot.relations:
        _count(snapshot, relation, known)
    return {name: found for name, found in known.items() if found is not None}


def _count(snapshot: Snapshot, relation: Relation, known: dict[str, float | None]) -> float | None:
    name = relation.qualified
    if name in known:
        return known[name]
    if relation.kind not in STORED:
        known[name] = 0.0
        return 0.0
    known[name] = None  # until it is known: an inheritance that goes round in circles has no end
    own = 0.0 if relation.kind is RelationKind.PARTITIONED else relation.rows
    parts: list[float | None] = [own if own >= 0 else None]
    for child in relation.children:
        found = snapshot.relation(child)
        parts.append(_count(snapshot, found, known) if found else None)
    whole = [part for part in parts if part is not None]
    known[name] = sum(whole) if len(whole) == len(parts) else None
    return known[name]
