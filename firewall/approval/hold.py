"""A statement that waits for a person, and everything that the person must see to decide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 — dataclass field, resolved at runtime by the store
from enum import StrEnum


class State(StrEnum):
    """pending → approved | rejected | expired | withdrawn; approved → consumed | lapsed."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    CONSUMED = "consumed"
    LAPSED = "lapsed"


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's word. `channel` is where it was given: slack, web, api, cli."""

    person: str
    approve: bool
    reason: str
    channel: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold. Everything on it was fixed when it was opened, except `state`, `votes` and `outcome`.

    digest: hex SHA-256 of exactly what would run (design section 8).
    requesters: people whose vote never counts.
    reasons, effects: one line of plain text each, for people.
    parameters: bound values as text, in order, one execution after the other; None is NULL.
    origin: the log of the firewall that opened it; its session lives and dies with that firewall.
    channels: where policy wants it shown; none is the settings' own. remind: seconds; 0 is never.
    escalates_at: from when on `escalate_groups` may decide, too, and `escalate_channels` show it as well.
    """

    id: str
    digest: str
    state: State
    opened_at: datetime
    expires_at: datetime
    session: str
    statement: str
    agent: str
    owner: str
    database: str
    environment: str
    role: str
    sql: str
    parameters: tuple[str | None, ...]
    rule: str
    reasons: tuple[str, ...]
    effects: tuple[str, ...]
    labels: tuple[str, ...]
    risk: str
    groups: tuple[str, ...]
    quorum: int
    requesters: frozenset[str]
    revision: str
    votes: tuple[Vote, ...] = ()
    outcome: str = ""
    executions: int = 1
    origin: str = ""
    channels: tuple[str, ...] = ()
    remind: float = 0.0
    escalates_at: datetime | None = None
    escalate_groups: tuple[str, ...] = ()
    escalate_channels: tuple[str, ...] = ()

    def deciders(self, at: datetime) -> tuple[str, ...]:
        """The groups that may decide at this moment."""
        escalated = self.escalates_at is not None and at >= self.escalates_at
        return (*self.groups, *self.escalate_groups) if escalated else self.groups

    @property
    def runs(self) -> tuple[tuple[str | None, ...], ...]:
        """The bound values of each execution; a batch (executemany) has many."""
        each = len(self.parameters) // max(self.executions, 1)
        return tuple(self.parameters[n * each : (n + 1) * each] for n in range(self.executions))

    @property
    def decided_by(self) -> str:
        """The people whose votes made the decision, for display; empty while pending."""
        wanted = self.state in {State.APPROVED, State.CONSUMED, State.LAPSED}
        if self.state not in {State.APPROVED, State.CONSUMED, State.LAPSED, State.REJECTED}:
            return ""
        return ", ".join(v.person for v in self.votes if v.approve is wanted)


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who may decide, as policy knows them at this moment. `name` is unique, e.g. an e-mail."""

    name: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Counted:
    """The vote counts; `hold` is as it stands after it."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class Refused:
    """The vote does not count, and why, in words for the person."""

    why: str


def cast(hold: Hold, person: Person, vote: Vote) -> Counted | Refused:
    """What a vote does to a hold. Pure: the store carries it out conditionally on the state it was cast on.

    One rejection by someone entitled rejects; approval needs `quorum` distinct people, each a member of one
    of the hold's groups and none of them a requester.
    """
    if vote.at >= hold.expires_at and hold.state is State.PENDING:
        return Refused(f"hold {hold.id} expired at {hold.expires_at:%H:%M:%S} UTC")
    if hold.state is not State.PENDING:
        by = f" by {hold.decided_by}" if hold.decided_by else ""
        return Refused(f"hold {hold.id} is already {hold.state}{by}")
    # INVARIANT: 7. a requester's vote never counts, whatever groups they are in
    if person.name.casefold() in {requester.casefold() for requester in hold.requesters}:
        return Refused(f"you asked for this yourself ({person.name} is a requester of {hold.id})")
    groups = hold.deciders(vote.at)
    if not person.groups & set(groups):
        return Refused(f"{person.name} is in none of the groups that may decide: {', '.join(groups)}")
    if any(v.person.casefold() == person.name.casefold() for v in hold.votes):
        return Refused(f"{person.name} has voted on {hold.id} already")
    votes = (*hold.votes, vote)
    if not vote.approve:
        return Counted(replace(hold, votes=votes, state=State.REJECTED))
    approvals = {v.person.casefold() for v in votes if v.approve}
    state = State.APPROVED if len(approvals) >= hold.quorum else State.PENDING
    return Counted(replace(hold, votes=votes, state=state))
