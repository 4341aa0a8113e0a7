"""How bad it would be: points that people can add up themselves.

    kind                                                    points
    transaction setting session notify · read                    0
    insert lock maintenance                                      1
    update delete copy_in create alter execute                   2
    truncate drop copy_out                                       2
    server_io                                                    4
    unknown                                                      5
    role privilege code                                          6
    what cannot be taken back: truncate drop copy_out server_io +2
    an UPDATE or DELETE without WHERE                           +2
    a labelled column reaches the client or is written          +2
    a labelled column is only tested                            +1
    100,000 rows or more: read with labels, changed, copied out +1
    unknown beside an effect that writes                        +1

    tier: low 0–1 · medium 2–3 · high 4–5 · critical from 6

A statement has the points of its worst effect, and never less than the `risk` of a rule that matches it. Rows
are the catalog's estimate of the whole relation; of one that was never analysed there is none, and no point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from firewall.policy import moment as moments
from firewall.policy.verdict import Risk
from firewall.sql.analysis import Kind, ObjectType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firewall.policy.moment import Moment
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
    Kind.TRUNCATE: 2,
    Kind.DROP: 2,
    Kind.COPY_OUT: 2,
    Kind.SERVER_IO: 4,
    Kind.UNKNOWN: 5,
    Kind.ROLE: 6,
    Kind.PRIVILEGE: 6,
    Kind.CODE: 6,
}
IRREVERSIBLE: Final = frozenset({Kind.TRUNCATE, Kind.DROP, Kind.COPY_OUT, Kind.SERVER_IO})
TAKEN_BACK: Final = 2
UNFILTERED: Final = 2
LABELLED: Final = 2
TESTED: Final = 1
LARGE_READ: Final = 1
UNKNOWN_WRITE: Final = 1
# rows from which a change or a labelled read is a large one
LARGE: Final = 100_000
# kinds that change or take rows that are there; of reads those that are labelled
_OF_ROWS: Final = frozenset({Kind.UPDATE, Kind.DELETE, Kind.TRUNCATE, Kind.DROP, Kind.COPY_OUT})

TIERS: Final = ((6, Risk.CRITICAL), (4, Risk.HIGH), (2, Risk.MEDIUM), (0, Risk.LOW))
HARMLESS: Final = frozenset({Kind.TRANSACTION, Kind.SETTING, Kind.SESSION, Kind.NOTIFY, Kind.READ})
ORDER: Final = {Risk.LOW: 0, Risk.MEDIUM: 1, Risk.HIGH: 2, Risk.CRITICAL: 3}


@dataclass(frozen=True, slots=True)
class Sum:
    """What one effect's points are made of, as (points, what for)."""

    effect: str
    terms: tuple[tuple[int, str], ...]

    @property
    def points(self) -> int:
        return sum(points for points, _ in self.terms)

    def __str__(self) -> str:
        """`drop public.orders: 2 drop + 2 cannot be taken back = 4 (high)`."""
        written = " + ".join(f"{points} {what}" for points, what in self.terms)
        return f"{self.effect}: {written} = {self.points} ({of_points(self.points)})"


def points(effect: Effect, moment: Moment = moments.UNKNOWN) -> int:
    """One effect's points, by the table above."""
    total = POINTS[effect.kind]
    if effect.kind in IRREVERSIBLE:
        total += TAKEN_BACK
    if effect.unfiltered:
        total += UNFILTERED
    if effect.labels:
        total += LABELLED
    elif effect.tested_labels:
        total += TESTED
    if moment.rows and _large(effect, moment):
        total += LARGE_READ
    return total


def shown(effects: Sequence[Effect], moment: Moment = moments.UNKNOWN) -> tuple[Sum, ...]:
    """The arithmetic of every effect, the worst first."""
    writes = any(effect.kind not in HARMLESS and effect.kind is not Kind.UNKNOWN for effect in effects)
    sums = [_sum(effect, moment, writes=writes) for effect in dict.fromkeys(effects)]
    return tuple(sorted(sums, key=lambda each: -each.points))


def tier(effects: Sequence[Effect], floors: Iterable[Risk] = (), moment: Moment = moments.UNKNOWN) -> Risk:
    """The tier of a whole statement; `floors` are what matching rules say it is at least."""
    worst, beside, writes = 0, 0, False
    for effect in effects:
        total = points(effect, moment)
        worst = max(worst, total)
        if effect.kind is Kind.UNKNOWN:
            beside = max(beside, total + UNKNOWN_WRITE)
        elif effect.kind not in HARMLESS:
            writes = True
    return at_least(of_points(max(worst, beside) if writes else worst), floors)


def at_least(risk: Risk, floors: Iterable[Risk]) -> Risk:
    """The highest of them."""
    for floor in floors:
        if ORDER[floor] > ORDER[risk]:
            risk = floor
    return risk


def of_points(total: int) -> Risk:
    return next(risk for least, risk in TIERS if total >= least)


def _large(effect: Effect, moment: Moment) -> bool:
    if effect.type is not ObjectType.RELATION:
        return False
    counted = effect.kind in _OF_ROWS or (effect.kind is Kind.READ and bool(effect.labels))
    return counted and moment.rows.get(effect.object, 0) >= LARGE


def _sum(effect: Effect, moment: Moment, *, writes: bool) -> Sum:
    terms = [(POINTS[effect.kind], effect.kind.value)]
    if effect.kind in IRREVERSIBLE:
        terms.append((TAKEN_BACK, "cannot be taken back"))
    if effect.unfiltered:
        terms.append((UNFILTERED, "no WHERE"))
    if effect.labels:
        terms.append((LABELLED, f"labelled {', '.join(effect.labels)}"))
    elif effect.tested_labels:
        terms.append((TESTED, f"tests {', '.join(effect.tested_labels)}"))
    if _large(effect, moment):
        terms.append((LARGE_READ, f"about {int(moment.rows[effect.object])} rows"))
    if effect.kind is Kind.UNKNOWN and writes:
        terms.append((UNKNOWN_WRITE, "beside an effect that writes"))
    return Sum(str(effect), tuple(terms))
