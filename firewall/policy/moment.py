"""What only the moment of judging knows, and which of it a verdict depends on.

A verdict that depends on none of this may be kept; one that does is made anew whenever it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from firewall.sql.analysis import Kind, ObjectType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from firewall.sql.analysis import Effect

# kinds that concern the session and not what is stored
SESSION_ONLY: Final = frozenset({Kind.TRANSACTION, Kind.SETTING, Kind.SESSION, Kind.NOTIFY})
# what may have relations inside it
CONTAINERS: Final = frozenset(
    {ObjectType.DATABASE, ObjectType.ROLE, ObjectType.EXTENSION, ObjectType.STATEMENT}
)


class Fact(StrEnum):
    """Something that text, session, catalog and policy do not tell."""

    CLOCK = "clock"
    ROWS = "rows"
    FIRST_USE = "first use"
    TRANSACTION = "transaction"
    SPENT = "spent"


@dataclass(frozen=True, slots=True)
class Moment:
    """The facts of one judging. None is what is not known; then allow rules do not match, others do.

    now: with its time zone. rows: `schema.relation` → the catalog's estimate of its rows; a relation that is
    not there is one of which nothing is known. first_use: the agent has never run a statement of this shape
    in this database. in_transaction: it would run inside a transaction block that was begun before.
    transaction_age: seconds since that; 0 outside of one. spent: budget → rows that count against it.
    """

    now: datetime | None = None
    rows: Mapping[str, float] = field(default_factory=dict)
    first_use: bool | None = None
    in_transaction: bool | None = None
    transaction_age: float | None = None
    spent: Mapping[str, int] = field(default_factory=dict)


UNKNOWN: Final = Moment()


def rows_of(effect: Effect, moment: Moment) -> float | None:
    """How many rows the effect may concern at most: those of its relation, 0 where none can be, or None."""
    if effect.type is ObjectType.RELATION:
        return moment.rows.get(effect.object)
    if effect.kind in SESSION_ONLY:
        return 0
    unseen = effect.type in CONTAINERS or effect.type is ObjectType.SCHEMA or effect.kind is Kind.UNKNOWN
    return None if unseen else 0
