"""The machine's word on a statement, with every reason for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firewall.policy.obligations import NONE, Obligations

if TYPE_CHECKING:
    from firewall.policy.moment import Fact


class Action(StrEnum):
    """Deny beats hold beats allow."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"

    # Enum's own is a call in Python, and every reason is hashed
    __hash__ = str.__hash__


class Risk(StrEnum):
    """How bad it would be, for people to sort by."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    __hash__ = str.__hash__  # as above


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks, and of what."""

    agent: str
    owner: str
    database: str
    environment: str = ""
    team: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule's word on one effect. `rule` is `default` where no rule covers the effect."""

    rule: str
    action: Action
    effect: str  # the effect in words, as `str(effect)`
    why: str  # the rule's own reason, or what the default says
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Escalation:
    """After so many seconds these groups may decide, too, and these channels show it as well."""

    after: float
    groups: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """How much more than one run an approver may let pass: for so many seconds, so often, so many rows."""

    seconds: float
    uses: int
    rows: int | None = None

    def within(self, most: Terms) -> bool:
        """No more than `most` in anything; without a bound is more than any."""
        bounded = most.rows is None or (self.rows is not None and self.rows <= most.rows)
        return self.seconds <= most.seconds and self.uses <= most.uses and bounded

    def least(self, other: Terms) -> Terms:
        """What both let pass."""
        rows = [each for each in (self.rows, other.rows) if each is not None]
        return Terms(
            min(self.seconds, other.seconds), min(self.uses, other.uses), min(rows) if rows else None
        )

    def __str__(self) -> str:
        """For people: `1800 s, 10 runs, 500 rows`."""
        rows = "" if self.rows is None else f", {self.rows} rows"
        return f"{self.seconds:g} s, {self.uses} runs{rows}"


@dataclass(frozen=True, slots=True)
class Requirement:
    """Who must approve: `quorum` distinct people over all `groups`; times in seconds.

    channels: where it is shown, as policy writes them; none is the settings' own. remind: 0 is never.
    parts: where rules ask for groups of which none may decide for the others, so many of each of these.
    wait: how long the agent waits before it is told to come back; as long as the hold, if None. outlives: the
    hold stays when the agent's connection is lost. use_within: of an approval that nobody waited for. grants:
    the most that an approver may grant; once only, if None. break_glass: who may approve alone, in need.
    at_commit: in an open transaction it may run first, and be decided within so long at COMMIT.
    """

    groups: tuple[str, ...]
    quorum: int = 1
    expires: float = 900.0
    channels: tuple[str, ...] = ()
    remind: float = 0.0
    escalation: Escalation | None = None
    wait: float | None = None
    outlives: bool = False
    use_within: float = 900.0
    grants: Terms | None = None
    break_glass: tuple[str, ...] = ()
    parts: tuple[tuple[tuple[str, ...], int], ...] = ()
    at_commit: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """May it? `enforced` is false in observe mode: judged and recorded, but relayed all the same.

    obligations: what it owes where it is let through. facts: what the verdict depends on beyond subject and
    effects; one that depends on any is true of its moment only. budgets: those that its rows count against.
    """

    action: Action
    risk: Risk
    reasons: tuple[Reason, ...]
    revision: str
    requirement: Requirement | None = None
    enforced: bool = True
    obligations: Obligations = NONE
    facts: frozenset[Fact] = frozenset()
    budgets: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """The rule that decided: the first one with the verdict's own action."""
        return next((r.rule for r in self.reasons if r.action is self.action), "default")

    @property
    def why(self) -> str:
        """The deciding reason in one line."""
        found = next((r for r in self.reasons if r.action is self.action), None)
        return f"{found.why}: {found.effect}" if found else ""
