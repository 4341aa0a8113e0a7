"""Which holds are decided for the same reasons, so that a person may decide them together. Pure.

Similar is where everything is the same but the text and its values. Only what is short enough to be read
whole beside others is, so that nobody decides on several statements of which they saw the beginnings.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from firewall.approval.hold import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firewall.approval.hold import Hold

# characters of a statement and its values that are taken in at a glance
SHORT: Final = 400
_OWN = ("id", "digest", "session", "statement", "sql", "outcome", "revision")
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def similarity(hold: Hold) -> Hold | None:
    """Equal for holds that may be decided together; None for one that is decided by itself."""
    if hold.executions > 1 or hold.ran or size(hold) > SHORT:
        return None
    none: dict[str, Any] = dict.fromkeys(_OWN, "")
    return replace(
        hold,
        **none,
        state=State.PENDING,
        opened_at=_NO_TIME,
        expires_at=_NO_TIME,
        escalates_at=None,
        parameters=(),
        votes=(),
        impact=None,
    )


def grouped(holds: Iterable[Hold]) -> list[list[Hold]]:
    """Similar ones together, each group where its first stands; the order is kept."""
    groups: dict[Hold | str, list[Hold]] = {}
    for hold in holds:
        groups.setdefault(similarity(hold) or hold.id, []).append(hold)
    return list(groups.values())


def size(hold: Hold) -> int:
    """Characters to read; a value counts for one more, so that many empty ones are many."""
    return len(hold.sql) + len(hold.parameters) + sum(len(value or "") for value in hold.parameters)
