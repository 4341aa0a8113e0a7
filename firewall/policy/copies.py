"""Labels that follow data into what a statement writes, and labels of names that only a session knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firewall.catalog.labels import EVERY, Mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firewall.catalog.snapshot import Labels
    from firewall.sql.analysis import Copy

TEMPORARY: Final = "pg_temp."
# labels of temporary relations whose names are no longer remembered one by one
ALL_TEMPORARY: Final = f"{TEMPORARY}{EVERY}"


def marks(copies: Iterable[Copy], labels: Labels) -> tuple[Mark, ...]:
    """The labels that written columns get from what they are made of, and have not already."""
    found: dict[tuple[str, str, str, str], Mark] = {}
    for copy in copies:
        has = labels.columns.get(copy.relation, {})
        here = {*has.get(copy.column, ()), *has.get(EVERY, ())}
        for source in copy.sources:
            for label in of(labels, source.relation, (source.column,)):
                if label not in here:
                    mark = Mark(copy.relation, copy.column, label, f"{source.relation}.{source.column}")
                    found[mark.key] = mark
    return tuple(found.values())


def of(labels: Labels, relation: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The labels of columns, also of a temporary relation."""
    if not relation.startswith(TEMPORARY):
        return labels.of(relation, columns)
    return tuple(sorted({*labels.of(relation, columns), *labels.of(ALL_TEMPORARY, columns)}))


def of_unknown(labels: Labels, name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The labels of a relation that is not in the catalog, by a name that need not have a schema.

    known: relations that marks stand on, some of which the catalog does not have yet.
    """
    return tuple(
        sorted({label for relation in _meant(name, known) for label in of(labels, relation, (EVERY,))})
    )


def _meant(name: str, known: Iterable[str]) -> Iterator[str]:
    schema, dot, bare = name.rpartition(".")
    if dot:
        yield f"{TEMPORARY}{bare}" if schema.startswith("pg_temp") else name
        return
    yield f"{TEMPORARY}{name}"
    yield from (relation for relation in known if relation.partition(".")[2] == name)
