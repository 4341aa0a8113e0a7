"""What a statement owes, as a session can see to it; or why it cannot."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from firewall import masking
from firewall.errors import CatalogError
from firewall.masking import CURSOR
from firewall.places import FETCH
from firewall.policy import Action, obligations
from firewall.proxy import telling, text
from firewall.sql import Kind

if TYPE_CHECKING:
    from firewall.budgets import Taken
    from firewall.catalog.snapshot import Function
    from firewall.judgement import Judgement
    from firewall.policy import Obligations, Verdict
    from firewall.proxy.guarded import Guarded
    from firewall.session import Bounds, Masking, Refusal

_FETCH = re.compile(r"\bfetch\b", re.IGNORECASE)
# Names of cursors of one session; once there are more, none is told from another.
MAX_CURSORS = 10_000
# What may end its transaction and begin another, in which what was said of the first does not hold.
OWN_TRANSACTIONS = frozenset({"call_stmt", "do_stmt"})
# What changes rows of tables or none at all. Whatever else there is may change some that Postgres does not
# count: TRUNCATE and DROP, rewriting a table, foreign tables, other sessions.
COUNTED = frozenset(
    {
        *(Kind.TRANSACTION, Kind.SETTING, Kind.SESSION, Kind.NOTIFY, Kind.READ, Kind.LOCK, Kind.CREATE),
        *(Kind.INSERT, Kind.UPDATE, Kind.DELETE, Kind.COPY_IN, Kind.COPY_OUT),
    }
)


class Cursors:
    """The cursors that a session was let declare, by name, and how their rows reach the client."""

    def __init__(self) -> None:
        self._known: dict[str, Masking | None] = {}
        # one name was used for two: which of them is open, only Postgres knows
        self._doubtful: set[str] = set()
        # a name that is forgotten could be declared anew, while the one before is still open
        self._full = False

    def knows(self, name: str) -> bool:
        """What is fetched from it is known."""
        return not self._full and name in self._known and name not in self._doubtful

    def declared(self, name: str, masking: Masking | None) -> None:
        """A declaration of this name is about to be sent."""
        if name in self._known:
            if _shown(self._known[name]) != _shown(masking):
                self._doubtful.add(name)
        elif len(self._known) >= MAX_CURSORS:
            self._full = True
        else:
            self._known[name] = masking

    def masking(self, name: str) -> Masking | None:
        """Of what is fetched from it; None where all of it may be seen."""
        return self._known[name]


def _shown(masking: Masking | None) -> tuple[object, ...]:
    return () if masking is None else (masking.columns, masking.places, masking.stored)


def obstacle(guarded: Guarded, judgement: Judgement, cursors: Cursors, *, bounded: bool) -> Refusal | None:
    """Why its obligations could not be seen to, or, if `bounded`, those of what ran before in its session."""
    verdict, statements = judgement.verdict, judgement.analysis.statements
    owed = verdict.obligations
    if not verdict.enforced or verdict.action is Action.DENY:
        return None
    if bounded and any(statement.node == FETCH for statement in statements):
        if len(statements) > 1:
            return telling.not_by_one()
        if owed or verdict.budgets or not cursors.knows(statements[0].cursor):
            return telling.no_cursor()
    if not owed and not verdict.budgets:
        return None
    if owed.max_affected_rows is not None and (unseen := uncountable(judgement)):
        return telling.not_countable(judgement, unseen)
    if owed.read_only and any(statement.node in OWN_TRANSACTIONS for statement in statements):
        return telling.not_read_only(judgement)
    if len(statements) > 1:
        return telling.not_by_one()
    if statements and statements[0].node in {CURSOR, FETCH} and not _only_masks(verdict):
        return telling.no_cursor()
    if owed.masks and statements[0].node == CURSOR and any(map(_fetches, guarded.gate.snapshot.functions)):
        # it could be called with the cursor's name, and nothing would tell whose values it returns
        return telling.no_cursor()
    if cannot_mask(guarded, judgement):
        return telling.not_maskable(judgement)
    return None


def _fetches(function: Function) -> bool:
    return _FETCH.search(function.body) is not None


def _only_masks(verdict: Verdict) -> bool:
    """Rows of a cursor are not counted, nor what they change, nor the time that they take."""
    owed = verdict.obligations
    limits = (owed.max_rows, owed.max_affected_rows, owed.statement_timeout)
    return all(limit is None for limit in limits) and not verdict.budgets


def uncountable(judgement: Judgement) -> str:
    """What of it changes rows that nobody can count, in words for people; empty if nothing does.

    What code that cannot be seen through does to tables Postgres counts as well, and what else it may do is
    what a person was asked about. Where nobody is asked, that it can be counted has to be certain.
    """
    held = judgement.verdict.action is Action.HOLD
    for effect in judgement.effects:
        if effect.kind not in COUNTED and not (held and effect.kind is Kind.EXECUTE):
            return str(effect)
    nodes = (statement.node for statement in judgement.analysis.statements)
    return next((node for node in nodes if node in OWN_TRANSACTIONS), "")


def cannot_mask(guarded: Guarded, judgement: Judgement) -> bool:
    """It is let through with masks, and what to mask cannot be told."""
    verdict = judgement.verdict
    if not verdict.enforced or not verdict.obligations.masks:
        return False
    return _masking(guarded, judgement, verdict.obligations) is None


def fetched(judgement: Judgement, cursors: Cursors) -> Bounds | None:
    """What the session has to see to when it fetches from a cursor."""
    statement = next((s for s in judgement.analysis.statements if s.node == FETCH), None)
    if statement is None or not cursors.knows(statement.cursor):
        return None
    masking = cursors.masking(statement.cursor)
    if masking is None:
        return None
    return replace(telling.bounds(judgement, obligations.NONE, None), masking=masking)


def declared(judgement: Judgement, given: Bounds | None, cursors: Cursors) -> None:
    """What is released may be a cursor's declaration."""
    for statement in judgement.analysis.statements:
        if statement.node == CURSOR:
            cursors.declared(statement.cursor, given.masking if given is not None else None)


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
