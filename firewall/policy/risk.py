"""How bad it would be: points that people can add up themselves.

    kind                                                    points
    transaction setting session notify · read                    0
    insert lock maintenance                                      1
    update delete copy_in create alter execute                   2
    truncate drop copy_out                                       4
    unknown                                                      5
    role privilege code server_io                                6
    an UPDATE or DELETE without WHERE                           +2
    a labelled column reaches the client or is written          +2
    a labelled column is only tested                            +1
    unknown beside an effect that writes                        +1

    tier: low 0–1 · medium 2–3 · high 4–5 · critical from 6

A statement has the points of its worst effect, and never less than the `risk` of a rule that matches it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firewall.policy.verdict import Risk
from firewall.sql.analysis import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firewall.sql.analysis import Effect

POINTS: Final[dict[Kind, int]] = {
    Kind.TRANSACTION: 0,
    Kind.SETTING: 0,
    Kind.SESSION: 0,
    Kind.NOTIFY: 0,
    Kind.READ: 0,
    Kind.INSERT: 1,
    Kind.LOCK: 1,
    Kind.MAINTENANCE: 1,
    Kind.UPDATE: 2,
    Kind.DELETE: 2,
    Kind.COPY_IN: 2,
    Kind.CREATE: 2,
    Kind.ALTER: 2,
    Kind.EXECUTE: 2,
    Kind.TRUNCATE: 4,
    Kind.DROP: 4,
    Kind.COPY_OUT: 4,
    Kind.UNKNOWN: 5,
    Kind.ROLE: 6,
    Kind.PRIVILEGE: 6,
    Kind.CODE: 6,
    Kind.SERVER_IO: 6,
}
UNFILTERED: Final = 2
LABELLED: Final = 2
TESTED: Final = 1
UNKNOWN_WRITE: Final = 1

TIERS: Final = ((6, Risk.CRITICAL), (4, Risk.HIGH), (2, Risk.MEDIUM), (0, Risk.LOW))
HARMLESS: Final = frozenset({Kind.TRANSACTION, Kind.SETTING, Kind.SESSION, Kind.NOTIFY, Kind.READ})
ORDER: Final = {Risk.LOW: 0, Risk.MEDIUM: 1, Risk.HIGH: 2, Risk.CRITICAL: 3}


def points(effect: Effect) -> int:
    """One effect's points, by the table above."""
    total = POINTS[effect.kind]
    if effect.unfiltered:
        total += UNFILTERED
    if effect.labels:
        total += LABELLED
    elif effect.tested_labels:
        total += TESTED
    return total


def tier(effects: Sequence[Effect], floors: Iterable[Risk] = ()) -> Risk:
    """The tier of a whole statement; `floors` are what matching rules say it is at least."""
    worst = max(map(points, effects), default=0)
    kinds = {effect.kind for effect in effects}
    if Kind.UNKNOWN in kinds and kinds - HARMLESS - {Kind.UNKNOWN}:
        worst = max(worst, POINTS[Kind.UNKNOWN] + UNKNOWN_WRITE)
    own = next(risk for least, risk in TIERS if worst >= least)
    return max((own, *floors), key=ORDER.__getitem__)
