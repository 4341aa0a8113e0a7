"""Which output columns of a statement have to be masked, and how; or that this cannot be told.

By lineage: a column is masked if a value of a labelled column can be in it, however much of it. Where it is
not known where every output column comes from, or where data can leave in another way than as rows of this
result, there is no answer, and then the statement must not run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from firewall import session
from firewall.catalog.labels import EVERY
from firewall.catalog.snapshot import RelationKind
from firewall.policy import copies
from firewall.policy.obligations import Form
from firewall.sql import Kind, ObjectType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from firewall.catalog import Labels, Relation, Snapshot
    from firewall.catalog.labels import Mark
    from firewall.gate import Gate
    from firewall.judgement import Judgement
    from firewall.policy import Obligations
    from firewall.policy.obligations import Mask
    from firewall.session.watch import Place
    from firewall.sql import Analysis, Effect

# by these data leaves otherwise than as columns of the result, or is kept where no mask is
UNSEEN: Final = frozenset(
    {
        *(Kind.COPY_OUT, Kind.EXECUTE, Kind.CODE, Kind.SERVER_IO, Kind.UNKNOWN, Kind.NOTIFY),
        Kind.SETTING,  # settings are reported
    }
)
# these change nothing
_READS: Final = frozenset({Kind.READ, Kind.TRANSACTION, Kind.SESSION, Kind.COPY_OUT})
_WHOLE_ROW: Final = 0
CURSOR: Final = "declare_cursor_stmt"

Masks = tuple["Mask | None", ...]


def masks(analysis: Analysis, effects: tuple[Effect, ...], owed: Obligations, labels: Labels) -> Masks | None:
    """The mask of each output column, None for one that may be seen; None altogether if it cannot be told.

    effects: those of the analysis, labelled.
    """
    if analysis.error is not None or len(analysis.statements) != 1:
        return None
    (statement,) = analysis.statements
    unseen = UNSEEN if statement.copy_out is None else UNSEEN - {Kind.COPY_OUT}
    if statement.opaque or any(effect.kind in unseen for effect in effects):
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
        mask = owed.mask_of(sorted(reaching))
        if mask is not None and mask.form is Form.PARTIAL and not output.whole:
            # the last four characters of `left(card_number, 4)` are the first four of the number
            mask = replace(mask, form=Form.NULL, first=0, last=0)
        found.append(mask)
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


def masked_of(gate: Gate, judgement: Judgement) -> Masks | None:
    """The masks that the verdict owes; none for each column where it owes none."""
    owed = judgement.verdict.obligations
    if not owed.masks:
        return ()
    return masks(judgement.analysis, judgement.effects, owed, gate.labelling.labels)


def masking(gate: Gate, judgement: Judgement, owed: Obligations, key: bytes) -> session.Masking | None:
    """The masks that are owed as the session carries them out; None if it cannot. key: of hashes."""
    labels = gate.labelling.labels
    found = masks(judgement.analysis, judgement.effects, owed, labels)
    if found is None:
        return None
    marks = gate.labelling.marks
    masked = tuple(_masked_places(judgement.effects, owed, labels, gate.snapshot))
    return session.Masking(
        tuple(None if mask is None else _carried_out(mask) for mask in found),
        frozenset(place for _, _, place in masked),
        frozenset(
            place
            for relation, column, place in masked
            if _stored(relation, judgement.role) and not _copied(relation.qualified, column, marks)
        ),
        key,
        # a cursor WITH HOLD runs when its transaction is committed
        lingers=any(effect.kind not in _READS for effect in judgement.effects)
        or any(statement.node == CURSOR for statement in judgement.analysis.statements),
        copying=_copying(judgement.analysis),
    )


def _copying(analysis: Analysis) -> session.Copying | None:
    sent = analysis.statements[0].copy_out
    if sent is None:
        return None
    return session.Copying(
        sent.query,
        session.Format(sent.format.value),
        sent.header,
        sent.delimiter,
        sent.null,
        sent.quote,
        sent.escape,
        sent.encoding,
    )


def told(judgement: Judgement, masking: session.Masking) -> list[str]:
    """Which output columns are masked and how, in words for the log."""
    outputs = judgement.analysis.statements[0].output or ()
    names = [output.name for output in outputs] or [f"column {n}" for n in range(1, len(masking.columns) + 1)]
    return [
        f"{name} ({mask.form})" for name, mask in zip(names, masking.columns, strict=True) if mask is not None
    ]


def _carried_out(mask: Mask) -> session.Mask:
    return session.Mask(session.Form(mask.form.value), mask.text, mask.first, mask.last)


def _masked_places(
    effects: Sequence[Effect], owed: Obligations, labels: Labels, snapshot: Snapshot
) -> Iterator[tuple[Relation, str, Place]]:
    """Every column of the relations read that has a mask, shown or not, as Postgres numbers it."""
    names = {e.object for e in effects if e.kind is Kind.READ and e.type is ObjectType.RELATION}
    for name in sorted(names):
        relation = snapshot.relation(name)
        if relation is None or not relation.oid:
            continue
        any_masked = False
        for column in relation.columns:
            if owed.mask_of(copies.of(labels, name, (column.name,))) is not None:
                any_masked = True
                yield relation, column.name, (relation.oid, column.number)
        if any_masked:
            yield relation, EVERY, (relation.oid, _WHOLE_ROW)


def _stored(relation: Relation, role: str) -> bool:
    """Nobody who sends statements says what is in its columns: it holds rows, or others have defined it."""
    defined = relation.kind in {RelationKind.VIEW, RelationKind.MATERIALIZED}
    return not defined or (bool(role) and relation.owner != role)


def _copied(relation: str, column: str, marks: Iterable[Mark]) -> bool:
    """A statement that was released has computed it, or may have."""
    return any(
        mark.statement and mark.relation == relation and mark.column in {column, EVERY} for mark in marks
    )
