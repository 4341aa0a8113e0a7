"""Which output columns of a statement have to be masked, and how; or that this cannot be told.

By lineage: a column is masked if a value of a labelled column can be in it, however much of it. Where it is
not known where every output column comes from, or where data can leave in another way than as rows of this
result, there is no answer, and then the statement must not run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firewall.catalog.labels import EVERY
from firewall.policy import copies
from firewall.sql import Kind, ObjectType

if TYPE_CHECKING:
    from firewall.catalog import Labels
    from firewall.policy import Obligations
    from firewall.policy.obligations import Mask
    from firewall.sql import Analysis, Effect

# by these data leaves otherwise than as columns of the result, or is kept where no mask is
UNSEEN: Final = frozenset({Kind.COPY_OUT, Kind.EXECUTE, Kind.CODE, Kind.SERVER_IO, Kind.UNKNOWN, Kind.NOTIFY})

Masks = tuple["Mask | None", ...]


def masks(analysis: Analysis, effects: tuple[Effect, ...], owed: Obligations, labels: Labels) -> Masks | None:
    """The mask of each output column, None for one that may be seen; None altogether if it cannot be told.

    effects: those of the analysis, labelled.
    """
    if analysis.error is not None or len(analysis.statements) != 1:
        return None
    (statement,) = analysis.statements
    if statement.opaque or any(effect.kind in UNSEEN for effect in effects):
        return None
    if statement.output is None:
        # nothing to mask, if nothing of it can be returned
        returned = any(_masked(effect, owed) for effect in effects)
        return None if returned else ()
    found: list[Mask | None] = []
    known: set[tuple[str, str]] = set()
    for output in statement.output:
        reaching: set[str] = set()
        for source in output.sources:
            known.add((source.relation, source.column))
            reaching.update(copies.of(labels, source.relation, (source.column,)))
        found.append(owed.mask_of(sorted(reaching)))
    return tuple(found) if _accounted(effects, owed, labels, known) else None


def _masked(effect: Effect, owed: Obligations) -> bool:
    return effect.kind is Kind.READ and owed.mask_of(effect.labels) is not None


def _accounted(
    effects: tuple[Effect, ...], owed: Obligations, labels: Labels, known: set[tuple[str, str]]
) -> bool:
    """Is every masked column that can reach the client in some output? The analysis said both."""
    for effect in effects:
        if effect.type is not ObjectType.RELATION or not _masked(effect, owed):
            continue
        whole = (effect.object, EVERY) in known
        for column in effect.columns:
            mask = owed.mask_of(copies.of(labels, effect.object, (column,)))
            if mask is not None and not whole and (effect.object, column) not in known:
                return False
    return True
