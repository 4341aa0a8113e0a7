"""How people decide: how fast, how often yes, and whether they can have read what they approved. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

from firewall.approval.hold import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firewall.approval.hold import Hold, Vote

# characters of SQL and values that are not taken in at a glance; about what a card shows in full
LONG: Final = 3000
BUSIEST: Final = 10
_APPROVED: Final = frozenset({State.APPROVED, State.CONSUMED, State.LAPSED})


@dataclass(frozen=True, slots=True)
class OfRule:
    """One rule's part."""

    rule: str
    holds: int
    approved: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Of some holds. Seconds from opening to the vote that decided; None where nobody has decided anything.

    unread: approvals of long statements by people who had not opened them. unread_by: who gave how many.
    glass: decisions of somebody alone, in an emergency. undecided: expired or withdrawn.
    """

    holds: int
    pending: int
    approved: int
    rejected: int
    undecided: int
    seconds_median: float | None
    seconds_p90: float | None
    approvals: int
    unread: int
    unread_by: tuple[tuple[str, int], ...]
    glass: int
    busiest: tuple[OfRule, ...]

    @property
    def approval_rate(self) -> float | None:
        """Of what people decided, the part that they approved."""
        decided = self.approved + self.rejected
        return self.approved / decided if decided else None


def stats(holds: Iterable[Hold]) -> Stats:
    """What these holds tell."""
    found = list(holds)
    by_state = Counter(hold.state for hold in found)
    approved = [hold for hold in found if hold.state in _APPROVED]
    rejected = [hold for hold in found if hold.state is State.REJECTED]
    seconds = sorted(
        (hold.votes[-1].at - hold.opened_at).total_seconds() for hold in (*approved, *rejected) if hold.votes
    )
    approvals = [(hold, vote) for hold in found for vote in hold.votes if vote.approve]
    unread = Counter(vote.person for hold, vote in approvals if _unread(hold, vote))
    rules = Counter(hold.rule for hold in found)
    yes, no = Counter(hold.rule for hold in approved), Counter(hold.rule for hold in rejected)
    return Stats(
        holds=len(found),
        pending=by_state[State.PENDING],
        approved=len(approved),
        rejected=len(rejected),
        undecided=by_state[State.EXPIRED] + by_state[State.WITHDRAWN],
        seconds_median=median(seconds) if seconds else None,
        seconds_p90=_p90(seconds),
        approvals=len(approvals),
        unread=unread.total(),
        unread_by=tuple(sorted(unread.items(), key=lambda pair: (-pair[1], pair[0]))),
        glass=sum(vote.break_glass for _, vote in approvals),
        busiest=tuple(
            OfRule(rule, number, yes[rule], no[rule])
            for rule, number in sorted(rules.items(), key=lambda pair: (-pair[1], pair[0]))[:BUSIEST]
        ),
    )


def _unread(hold: Hold, vote: Vote) -> bool:
    size = len(hold.sql) + sum(len(value) for value in hold.parameters if value)
    return size > LONG and not vote.opened


def _p90(seconds: list[float]) -> float | None:
    if len(seconds) < 2:
        return seconds[0] if seconds else None
    return quantiles(seconds, n=10, method="inclusive")[-1]
