"""A statement that waits for a person, and everything that the person must see to decide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import reduce
from itertools import combinations

from firewall.approval.impact import Impact  # noqa: TC001 — likewise
from firewall.approval.ran import Ran, Standing
from firewall.policy.verdict import Terms


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
    """One person's word. `channel` is where it was given: slack, web, api, cli.

    groups: the person's, of those that may decide, as they were at that moment. terms: what the person would
    let pass beyond one run. break_glass: given alone, in an emergency. opened: the person had all of the
    statement on the screen, as far as the channel can know.
    """

    person: str
    approve: bool
    reason: str
    channel: str
    at: datetime
    groups: tuple[str, ...] = ()
    terms: Terms | None = None
    break_glass: bool = False
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold. Everything on it was fixed when it was opened, except `state`, `votes`, `outcome`, `awaited`.

    digest: hex SHA-256 of exactly what would run (design section 8).
    requesters: people whose vote never counts.
    reasons, effects: one line of plain text each, for people.
    parameters: bound values as text, in order, one execution after the other; None is NULL.
    origin: the log of the firewall that opened it; its session lives and dies with that firewall.
    channels: where policy wants it shown; none is the settings' own. remind: seconds; 0 is never.
    escalates_at: from when on `escalate_groups` may decide, too, and `escalate_channels` show it as well.
    parts: so many people of each of these groups must approve, where one group cannot decide for the others.
    awaited: a session waits for it; if none does, its approval is good for the identical statement, once, for
        `use_within` seconds. outlives: it stays when the connection is lost.
    grants, shape: the most that may be let pass beyond one run, and what a grant would be for; see `grant`.
    kin: equal for holds that are much the same: one agent, one rule, statements of one shape.
    claims: what the agent says of it: intent, ticket, whom it acts for. Nobody has verified any of that.
    search_path, catalog: of the circumstances that the digest binds.
    impact: as people are shown it; None on holds of a time before there was any.
    ran: what has run ahead in the transaction whose COMMIT this is; then sql and parameters are those of all
        that COMMIT would make permanent.
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
    parts: tuple[tuple[tuple[str, ...], int], ...] = ()
    break_glass: tuple[str, ...] = ()
    awaited: bool = True
    outlives: bool = False
    use_within: float = 900.0
    grants: Terms | None = None
    shape: str = ""
    kin: str = ""
    claims: tuple[tuple[str, str], ...] = ()
    search_path: tuple[str, ...] | None = None
    catalog: str = ""
    impact: Impact | None = None
    ran: tuple[Ran, ...] = ()

    def deciders(self, at: datetime) -> tuple[str, ...]:
        """The groups that may decide at this moment."""
        escalated = self.escalates_at is not None and at >= self.escalates_at
        return (*self.groups, *self.escalate_groups) if escalated else self.groups

    @property
    def lapses_at(self) -> datetime | None:
        """Until when an approval that nobody waits for can be used."""
        if self.state is not State.APPROVED or self.awaited:
            return None
        return self.votes[-1].at + timedelta(seconds=self.use_within)

    def differs(self, other: Hold) -> str:
        """What is different about the circumstances of another hold of the same statement."""
        pairs = {
            "the policy changed": (self.revision, other.revision),
            "its search_path is another": (self.search_path, other.search_path),
            "its role is another": (self.role, other.role),
            "what it would do, or the labels of that data, changed": (
                (self.effects, self.labels),
                (other.effects, other.labels),
            ),
            "the catalog changed in what it touches": (self.catalog, other.catalog),
            "other people ask for it": (self.requesters, other.requesters),
        }
        found = [why for why, (mine, others) in pairs.items() if mine != others]
        return " and ".join(found) or "its values are sent in another form"

    @property
    def granted(self) -> Terms | None:
        """What everyone who approved lets pass beyond one run."""
        terms = [vote.terms for vote in self.votes if vote.approve]
        given = [each for each in terms if each is not None]
        return reduce(Terms.least, given) if given and len(given) == len(terms) else None

    @property
    def runs(self) -> tuple[tuple[str | None, ...], ...]:
        """The bound values of each execution; a batch (executemany) has many, and so has a transaction."""
        if self.ran:
            return tuple(run for each in self.ran if each.standing is Standing.COUNTS for run in each.runs)
        each = len(self.parameters) // max(self.executions, 1)
        return tuple(self.parameters[n * each : (n + 1) * each] for n in range(self.executions))

    @property
    def acts_for(self) -> frozenset[str]:
        """Whom the agent says it acts for, casefolded."""
        return frozenset(value.casefold().strip() for name, value in self.claims if name == "on_behalf_of")

    @property
    def glass(self) -> Vote | None:
        """The word of whoever approved it alone, in an emergency."""
        return next((vote for vote in self.votes if vote.break_glass), None)

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
    if vote.approve and person.name.casefold() in hold.acts_for:
        # nobody has verified it, so it takes an approval away and leaves a rejection
        return Refused(
            f"the agent says that it acts for you ({person.name}); somebody else has to approve it"
        )
    groups = hold.deciders(vote.at)
    mine = tuple(sorted(person.groups & set(hold.break_glass if vote.break_glass else groups)))
    if not mine and vote.break_glass:
        who = ", ".join(hold.break_glass) or "nobody: the policy has no `break_glass` for it"
        return Refused(f"{person.name} may not approve this alone; who may: {who}")
    if not mine:
        return Refused(f"{person.name} is in none of the groups that may decide: {', '.join(groups)}")
    if wrong := _wrong(hold, vote):
        return Refused(wrong)
    if any(v.person.casefold() == person.name.casefold() for v in hold.votes) and not vote.break_glass:
        return Refused(f"{person.name} has voted on {hold.id} already")
    votes = (*hold.votes, replace(vote, groups=mine))
    if not vote.approve:
        return Counted(replace(hold, votes=votes, state=State.REJECTED))
    enough = vote.break_glass or _enough(hold, votes)
    return Counted(replace(hold, votes=votes, state=State.APPROVED if enough else State.PENDING))


def _wrong(hold: Hold, vote: Vote) -> str:
    """What is wrong with the vote itself, whoever gives it."""
    if vote.break_glass and not (vote.approve and vote.reason.strip()):
        return "to break the glass is to approve, and needs a reason that the log keeps"
    if vote.terms is None:
        return ""
    if hold.grants is None or not hold.shape:
        return f"the policy lets {hold.id} be approved for one run only"
    if not vote.terms.within(hold.grants):
        return f"the policy lets {hold.id} be granted for at most {hold.grants}"
    return ""


def _enough(hold: Hold, votes: tuple[Vote, ...]) -> bool:
    """Distinct people, as many as are asked for, and of every part as many as it asks for.

    Nobody counts for two parts: any of them together have as many people as they ask for together.
    """
    people = {vote.person.casefold(): set(vote.groups) for vote in votes if vote.approve}
    if len(people) < hold.quorum:
        return False
    return all(
        sum(any(groups & set(names) for names, _ in some) for groups in people.values())
        >= sum(quorum for _, quorum in some)
        for size in range(1, len(hold.parts) + 1)
        for some in combinations(hold.parts, size)
    )
