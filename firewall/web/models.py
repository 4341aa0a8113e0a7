"""What the API answers with. Each is the house's own type in JSON form, spelt out so that it is described."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from firewall import audit
from firewall.approval import State

if TYPE_CHECKING:
    from firewall.approval import Hold
    from firewall.web.house import Judged


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class VoteView(_View):
    """One person's counted word."""

    person: str
    approve: bool
    reason: str
    channel: str
    at: datetime


class HoldView(_View):
    """One hold, everything an approver must see. Times are RFC 3339 in UTC; a null parameter is NULL."""

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

    @classmethod
    def of(cls, hold: Hold) -> HoldView:
        fields = {name: getattr(hold, name) for name in cls.model_fields}
        return cls.model_validate(fields | {"requesters": sorted(hold.requesters)})


class Holds(_View):
    """Newest first."""

    holds: list[HoldView]


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
