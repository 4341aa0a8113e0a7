"""How people decide: how fast, how often yes, and whether they can have read what they approved. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

from firewall.approval.hold import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firewall.approval.hold import Hold, Vote

# characters of SQL and values that are not taken in at a glance; about what a card shows in full
LONG: Final = 3000
BUSIEST: Final = 10
# seconds up to which a decision counts as so quick; what took longer than the last is in a class of its own
QUICK: Final = (10, 60, 300, 900, 3600)
_APPROVED: Final = frozenset({State.APPROVED, State.CONSUMED, State.LAPSED})


@dataclass(frozen=True, slots=True)
class OfRule:
    """One rule's part."""

    rule: str
    holds: int
    approved: int
    rejected: int


@dataclass(frozen=True, slots=True)
class OfDay:
    """What became of the holds opened on one UTC day."""

    day: str
    approved: int
    rejected: int
    undecided: int
    pending: int


@dataclass(frozen=True, slots=True)
class OfSpeed:
    """Decisions that took up to `within` seconds and longer than the class before; None for the slowest."""

    within: int | None
    approved: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Of some holds. Seconds from opening to the vote that decided; None where nobody has decided anything.

    days: those on which a hold was opened, oldest first. speeds: the quickest first, all of them.
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
    days: tuple[OfDay, ...]
    speeds: tuple[OfSpeed, ...]

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
    decided = [hold for hold in (*approved, *rejected) if hold.votes]
    seconds = sorted(map(_seconds, decided))
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
        days=_days(found),
        speeds=_speeds(decided),
    )


def _seconds(hold: Hold) -> float:
    return (hold.votes[-1].at - hold.opened_at).total_seconds()


def _days(found: list[Hold]) -> tuple[OfDay, ...]:
    by_day: dict[str, Counter[str]] = {}
    for hold in sorted(found, key=lambda hold: hold.opened_at):
        counts = by_day.setdefault(f"{hold.opened_at.astimezone(UTC):%Y-%m-%d}", Counter())
        counts["approved" if hold.state in _APPROVED else hold.state.value] += 1
    return tuple(
        OfDay(day, of["approved"], of["rejected"], of["expired"] + of["withdrawn"], of["pending"])
        for day, of in by_day.items()
    )


def _speeds(decided: list[Hold]) -> tuple[OfSpeed, ...]:
    counts: Counter[tuple[int | None, bool]] = Counter()
    for hold in decided:
        took = _seconds(hold)
        within = next((limit for limit in QUICK if took <= limit), None)
        counts[within, hold.state in _APPROVED] += 1
    return tuple(OfSpeed(of, counts[of, True], counts[of, False]) for of in (*QUICK, None))


def _unread(hold: Hold, vote: Vote) -> bool:
    size = len(hold.sql) + sum(len(value) for value in hold.parameters if value)
    return size > LONG and not vote.opened


def _p90(seconds: list[float]) -> float | None:
    if len(seconds) < 2:
        return seconds[0] if seconds else None
    return quantiles(seconds, n=10, method="inclusive")[-1]
