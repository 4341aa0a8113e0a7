"""What the API answers with. Each is the house's own type in JSON form, spelt out so that it is described."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from firewall import audit
from firewall.approval import Standing, State

if TYPE_CHECKING:
    from firewall.approval import Grant, Hold
    from firewall.web.house import Judged


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class Terms(_View):
    """The most that an approver may let pass beyond one run."""

    seconds: float
    uses: int
    rows: int | None


class VoteView(_View):
    """One person's counted word."""

    person: str
    approve: bool
    reason: str
    channel: str
    at: datetime
    terms: Terms | None
    break_glass: bool


class ChangeView(_View):
    """Rows that the planner expects to be written."""

    verb: str
    relation: str
    rows: int


class EstimateView(_View):
    """The planner's expectation of one run."""

    rows: int
    cost: float
    changes: tuple[ChangeView, ...]


class EarlierView(_View):
    """A statement that the session ran before, or tried to, cut to one line."""

    sql: str
    outcome: str


class ImpactView(_View):
    """What a hold would come to, as it was known when it was opened; `lines` says all of it in words.

    `estimate` is of the first of `runs`, or `unestimated` says why there is none. `ceiling` is how many rows
    it may change if it `writes`, null for any number. `transaction` is for how many seconds one is open.
    """

    lines: tuple[str, ...]
    estimate: EstimateView | None
    unestimated: str
    runs: int
    writes: bool
    ceiling: int | None
    labelled: tuple[str, ...]
    sets_off: tuple[str, ...]
    takes: tuple[str, ...]
    holding: tuple[str, ...]
    unseen: str
    transaction: float | None
    earlier: tuple[EarlierView, ...]


class RanView(_View):
    """A statement that has run in a transaction whose COMMIT waits, and what came of it."""

    statement: str
    sql: str
    parameters: tuple[str | None, ...]
    executions: int
    outcome: str
    standing: Standing
    effects: tuple[str, ...]


class HoldView(_View):
    """One hold, everything an approver must see. Times are RFC 3339 in UTC; a null parameter is NULL.

    `ran` is what a COMMIT that waits would make permanent, in order; `sql` and `parameters` are then of all.
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
    executions: int
    rule: str
    reasons: tuple[str, ...]
    effects: tuple[str, ...]
    labels: tuple[str, ...]
    risk: str
    groups: tuple[str, ...]
    quorum: int
    requesters: list[str]
    revision: str
    votes: tuple[VoteView, ...]
    decided_by: str
    outcome: str
    parts: tuple[tuple[tuple[str, ...], int], ...]
    break_glass: tuple[str, ...]
    awaited: bool
    grants: Terms | None
    kin: str
    claims: tuple[tuple[str, str], ...]
    impact: ImpactView | None
    ran: tuple[RanView, ...]

    @classmethod
    def of(cls, hold: Hold) -> HoldView:
        fields = {name: getattr(hold, name) for name in cls.model_fields}
        return cls.model_validate(fields | {"requesters": sorted(hold.requesters)})


class GrantView(_View):
    """Leave for more than one run of statements of one shape. `state`: open, used up, over or revoked."""

    id: str
    hold: str
    agent: str
    database: str
    sql: str
    rule: str
    by: tuple[str, ...]
    given_at: datetime
    until: datetime
    uses: int
    used: int
    rows: int | None
    spent: int
    revoked_by: str
    state: str

    @classmethod
    def of(cls, grant: Grant, now: datetime) -> GrantView:
        fields = {name: getattr(grant, name) for name in cls.model_fields if name != "state"}
        return cls.model_validate(fields | {"state": grant.state(now)})


class Grants(_View):
    """Those that last longest first."""

    grants: list[GrantView]


class Holds(_View):
    """Newest first."""

    holds: list[HoldView]


class OfRule(_View):
    """One rule's part."""

    rule: str
    holds: int
    approved: int
    rejected: int


class OfDay(_View):
    """What became of the holds opened on one UTC day."""

    day: str
    approved: int
    rejected: int
    undecided: int
    pending: int


class OfSpeed(_View):
    """Decisions within so many seconds, and slower than the class before; null for the slowest."""

    within: int | None
    approved: int
    rejected: int


class HoldStats(_View):
    """How people decide. Seconds to the deciding vote; `unread` are approvals of long statements unopened."""

    holds: int
    pending: int
    approved: int
    rejected: int
    undecided: int
    approval_rate: float | None
    seconds_median: float | None
    seconds_p90: float | None
    approvals: int
    unread: int
    unread_by: tuple[tuple[str, int], ...]
    glass: int
    busiest: tuple[OfRule, ...]
    days: tuple[OfDay, ...]
    speeds: tuple[OfSpeed, ...]


class OutcomeView(_View):
    """Postgres's word: its command tag, or its error."""

    tag: str
    rows: int
    bytes: int
    micros: int
    sqlstate: str
    message: str


class RefusalView(_View):
    """What the agent was told instead."""

    sqlstate: str
    message: str


class StatementView(_View):
    """One judged statement of the log, with what came of it as far as that is known."""

    id: str
    at: str
    session: str
    statement: str
    hold: str
    agent: str
    owner: str
    database: str
    environment: str
    role: str
    sql: str
    verdict: Literal["allow", "hold", "deny"]
    enforced: bool
    risk: str
    rule: str
    reasons: list[str]
    effects: list[audit.Effect]
    relations: list[str]
    labels: list[str]
    opaque: str
    fingerprint: str
    revision: str
    catalog: str
    outcome: OutcomeView | None = None
    refusal: RefusalView | None = None

    @property
    def day(self) -> str:
        """The UTC day, for grouping; a stamp begins with it."""
        return self.at[:10]

    @classmethod
    def of(cls, judged: Judged) -> StatementView:
        came = {
            "outcome": judged.outcome and OutcomeView.model_validate(judged.outcome),
            "refusal": judged.refusal and RefusalView.model_validate(judged.refusal),
        }
        fields = {name: getattr(judged.record, name) for name in cls.model_fields if name not in came}
        return cls.model_validate(fields | came)


class Statements(_View):
    """Newest first. `older` is the `before` of the next page, absent on the last one.

    A page may be short, or empty, and have an `older`: a search looks so far at a time, and no further.
    """

    statements: list[StatementView]
    older: str | None = None


class StatementStory(_View):
    """Every record of one statement, oldest first, as the log has them."""

    statement: str
    records: list[dict[str, Any]]


class Health(_View):
    """`ok`, or `unavailable` when the store cannot be read."""

    status: Literal["ok", "unavailable"]
