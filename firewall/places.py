"""What a result may have, as Postgres numbers columns: judgements as `session.Watch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firewall.catalog.labels import EVERY
from firewall.session import Watch
from firewall.sql import Kind, ObjectType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firewall.catalog import Labels, Relation, Snapshot
    from firewall.sql import Effect

# what is run by these may open cursors that nobody has seen
_OPAQUE: Final = frozenset({Kind.EXECUTE, Kind.CODE})
FETCH: Final = "fetch_stmt"
_WHOLE_ROW: Final = 0
# every column; and the system's, which no relation lists
_NOT_LISTED: Final = frozenset({EVERY, "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


class Places:
    """The columns of one catalog with the labels that stand on them."""

    def __init__(self, snapshot: Snapshot, labels: Labels) -> None:
        self.snapshot = snapshot
        self.labels = labels
        self._known = {
            relation.oid: relation.columns[-1].number if relation.columns else 0
            for relation in snapshot.relations
            if relation.oid
        }
        marked = {name: snapshot.relation(name) for name in labels.columns}
        # relation → its labelled columns' names and numbers
        self._marked = {
            name: dict(self._labelled(relation)) for name, relation in marked.items() if relation is not None
        }
        self._labelled_places = frozenset(
            (relation.oid, number)
            for name, relation in marked.items()
            if relation is not None and self._marked[name]
            for number in (_WHOLE_ROW, *self._marked[name].values())
        )

    def watch(self, effects: Iterable[Effect], nodes: Iterable[str]) -> Watch | None:
        """What may come of statements with these effects, and of these kinds; None if nothing is labelled."""
        if not self._labelled_places:
            return None
        effects = tuple(effects)
        return Watch(
            self._known,
            self._labelled_places,
            frozenset(place for effect in effects for place in self._announced(effect)),
            fetches=FETCH in nodes,
            anything=any(effect.kind is Kind.UNKNOWN for effect in effects),
            opens=any(effect.kind in _OPAQUE for effect in effects),
            own=any(map(self._beyond, effects)),
        )

    def _beyond(self, effect: Effect) -> bool:
        """Whether it shows a relation, or a column of one, that only the session has."""
        if effect.kind is not Kind.READ or effect.type is not ObjectType.RELATION:
            return False
        relation = self.snapshot.relation(effect.object)
        if relation is None:
            return True
        return not {column.name for column in relation.columns} >= set(effect.columns) - _NOT_LISTED

    def _labelled(self, relation: Relation) -> Iterator[tuple[str, int]]:
        labelled = self.labels.columns[relation.qualified]
        for column in relation.columns:
            if labelled.get(column.name) or labelled.get(EVERY):
                yield column.name, column.number

    def _announced(self, effect: Effect) -> Iterator[tuple[int, int]]:
        """The labelled columns that an effect shows; the whole row if it shows all of them."""
        marked = self._marked.get(effect.object)
        if not marked or effect.kind is not Kind.READ or effect.type is not ObjectType.RELATION:
            return
        relation = self.snapshot.relation(effect.object)
        assert relation is not None
        names = marked.keys() if EVERY in effect.columns else marked.keys() & set(effect.columns)
        if len(names) == len(marked):
            yield relation.oid, _WHOLE_ROW
        for name in names:
            yield relation.oid, marked[name]
