"""What a statement owes, as a session can see to it; or why it cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firewall import masking
from firewall.errors import CatalogError
from firewall.places import FETCH
from firewall.policy import Action
from firewall.proxy import telling, text

if TYPE_CHECKING:
    from firewall.budgets import Taken
    from firewall.gate import Judgement
    from firewall.policy import Obligations
    from firewall.proxy.guarded import Guarded
    from firewall.session import Bounds, Masking, Refusal

CURSOR = "declare_cursor_stmt"


def obstacle(guarded: Guarded, judgement: Judgement, *, bounded: bool) -> Refusal | None:
    """Why its obligations could not be seen to, or, if `bounded`, those of what ran before in its session."""
    verdict, statements = judgement.verdict, judgement.analysis.statements
    owed = verdict.obligations
    if not verdict.enforced or verdict.action is Action.DENY:
        return None
    if bounded and any(statement.node == FETCH for statement in statements):
        return telling.no_cursor()
    if not owed and not verdict.budgets:
        return None
    if owed.max_affected_rows is not None or owed.read_only:
        return telling.not_enforceable(judgement)
    if len(statements) > 1:
        return telling.not_by_one()
    if any(statement.node in (CURSOR, FETCH) for statement in statements):
        return telling.no_cursor()
    if cannot_mask(guarded, judgement):
        return telling.not_maskable(judgement)
    return None


def cannot_mask(guarded: Guarded, judgement: Judgement) -> bool:
    """It is let through with masks, and what to mask cannot be told."""
    verdict = judgement.verdict
    if not verdict.enforced or not verdict.obligations.masks:
        return False
    return _masking(guarded, judgement, verdict.obligations) is None


def bounds(guarded: Guarded, judgement: Judgement, owed: Obligations, taken: Taken | None) -> Bounds:
    """What the session has to see to. Raises CatalogError."""
    found = telling.bounds(judgement, owed, taken)
    if not owed.masks:
        return found
    masks = _masking(guarded, judgement, owed)
    if masks is None:
        raise CatalogError("the labels changed while the statement was cleared; send it again")
    return replace(found, masking=masks)


def masked(judgement: Judgement, given: Bounds | None) -> list[str]:
    """Which columns of what is released are masked, for the record."""
    if given is None or given.masking is None:
        return []
    return [text.printable(line) for line in masking.told(judgement, given.masking)]


def _masking(guarded: Guarded, judgement: Judgement, owed: Obligations) -> Masking | None:
    return masking.masking(guarded.gate, judgement, owed, guarded.mask_key)
