"""What the log holds: one versioned record for everything that happened.

Values are strings, integers, booleans, lists and maps only: RFC 8785 makes floats hazardous, so times are
RFC 3339 strings and durations whole microseconds. A kind is never changed, only followed by a new version.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict


class _Record(BaseModel):
    """Fields of every record. `session`, `statement` and `hold` correlate; empty where they do not apply.

    sealed: what the record commits to instead of having it (`sealed.py`); empty where it has no values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    id: str
    at: str
    session: str = ""
    statement: str = ""
    hold: str = ""
    sealed: str = ""


class Effect(BaseModel):
    """One effect as judged; the fields of `firewall explain --json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    object: str
    columns: list[str] = []
    labels: list[str] = []


class Session(_Record):
    """A session began, was turned away, or ended, and why."""

    kind: Literal["session"] = "session"
    event: Literal["opened", "refused", "closed"]
    agent: str
    owner: str = ""
    database: str
    address: str = ""
    application: str = ""
    why: str = ""


class Judgement(_Record):
    """The machine's word on one text, before anything came of it.

    A statement has another one, with the `hold` that it waited for, where an approval came to nothing because
    things had changed meanwhile.

    trace: the `traceparent` (W3C Trace Context) that the agent has sent with the text.
    """

    kind: Literal["judgement"] = "judgement"
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
    effects: list[Effect]
    relations: list[str]
    labels: list[str] = []
    opaque: str = ""
    fingerprint: str = ""
    revision: str
    catalog: str
    trace: str = ""


class HoldOpened(_Record):
    """A statement began to wait. From `escalates` on, the `escalate_groups` may decide it, too.

    claims: what the agent says of it, unverified: `intent: …`, `ticket: …`.
    impact: line by line what approvers are shown of it. Of a COMMIT, a `waiting` record for each statement
    that has run ahead of it stands beside this one.
    """

    kind: Literal["hold"] = "hold"
    agent: str
    digest: str
    rule: str
    risk: str
    parameters: list[str | None]
    groups: list[str]
    quorum: int
    requesters: list[str]
    expires: str
    escalates: str = ""
    escalate_groups: list[str] = []
    claims: list[str] = []
    impact: list[str] = []


class Vote(_Record):
    """A person's word, counted or not; `why` says why not. terms: what it lets pass beyond one run."""

    kind: Literal["vote"] = "vote"
    person: str
    approve: bool
    reason: str
    channel: str
    counted: bool
    why: str = ""
    terms: str = ""


class BreakGlass(_Record):
    """Somebody approved alone what more people, or others, were to decide. Always look at it."""

    kind: Literal["break_glass"] = "break_glass"
    person: str
    reason: str
    channel: str
    agent: str
    digest: str
    groups: list[str]
    quorum: int


class Waiting(_Record):
    """Nobody waits for a hold any more, though it stays; or its agent has come back.

    Of `ahead` the hold is a COMMIT's: the statement has run in its transaction and waits for it, and why says
    what the COMMIT makes of it: it `counts`, is `undone` by ROLLBACK TO, or has `failed`.
    """

    kind: Literal["waiting"] = "waiting"
    event: Literal["left", "resumed", "ahead"]
    agent: str
    why: str


class Grant(_Record):
    """Leave for more than one run was given or taken back; a release whose leave is `grant ID` is its use."""

    kind: Literal["grant"] = "grant"
    event: Literal["given", "revoked"]
    grant: str
    agent: str
    shape: str
    by: list[str]
    until: str
    uses: int
    rows: int | None = None
    why: str = ""


class Decision(_Record):
    """What became of a hold, by whose votes (empty for expiry and withdrawal)."""

    kind: Literal["decision"] = "decision"
    state: Literal["approved", "rejected", "expired", "withdrawn", "lapsed"]
    by: list[str]
    why: str = ""
    digest: str


class Release(_Record):
    """What is about to be sent to Postgres, and by whose leave: `rule NAME`, `hold ID`, `grant ID` or
    `observe mode`.

    standing: the rule's leave is for this text with any parameters, in this session, for a minute at most and
    as long as policy and catalog stay the same; what is run by it is in `Runs` of the same statement.
    masked: the output columns that reach the client masked, each with the form of its mask.
    """

    kind: Literal["release"] = "release"
    agent: str
    digest: str
    leave: str
    parameters: list[str | None] = []
    standing: bool = False
    masked: list[str] = []


@with_config(ConfigDict(extra="forbid"))
class Run(TypedDict):
    """One execution that a standing release let through. `number` counts what the session executes.

    This and `End` are maps: there are thousands of them in a second, and models cost three times as much.
    """

    number: int
    at: str
    digest: str
    parameters: list[str | None]


@with_config(ConfigDict(extra="forbid"))
class End(TypedDict):
    """What came of a run; the fields of an outcome."""

    number: int
    at: str
    tag: str
    rows: int
    bytes: int
    micros: int
    sqlstate: str
    message: str


class Runs(_Record):
    """Executions under the standing release of `statement`, as they were released and as they ended."""

    kind: Literal["runs"] = "runs"
    agent: str
    released: list[Run]
    ended: list[End]


class Refusal(_Record):
    """What was not sent, and what the agent is told instead."""

    kind: Literal["refusal"] = "refusal"
    agent: str
    sqlstate: str
    message: str


class Outcome(_Record):
    """Postgres's word: its command tag or its error. `micros` from release to the last byte."""

    kind: Literal["outcome"] = "outcome"
    agent: str
    tag: str
    rows: int
    bytes: int
    micros: int
    sqlstate: str = ""
    message: str = ""


class Policy(_Record):
    """A policy came into force; or, where `refused` says why, one did not, and `revision` stays.

    by: who asked for it; empty when the firewall started. before: the revision that it takes the place of.
    changes: what is different, one line each as `firewall policy diff` has them.
    """

    kind: Literal["policy"] = "policy"
    database: str
    revision: str
    path: str
    mode: str
    by: str = ""
    before: str = ""
    changes: list[str] = []
    refused: str = ""


class Credential(_Record):
    """An agent's or person's credential was issued, disabled or enabled; never the credential itself.

    linked: a link was made by which the person can sign in once, from the firewall's own machine.
    certificate: the name in client certificates that stands for the agent, where it was given one.
    """

    kind: Literal["credential"] = "credential"
    event: Literal["issued", "reissued", "disabled", "enabled", "linked"]
    subject: Literal["agent", "person"]
    name: str
    owner: str = ""
    by: str
    certificate: str = ""


class SignIn(_Record):
    """A person signed in, or failed to."""

    kind: Literal["sign_in"] = "sign_in"
    person: str
    channel: str
    succeeded: bool
    why: str = ""


class Labelled(BaseModel):
    """A label on a column (`*` is every column), and where it comes from: `comment`, or another column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    relation: str
    column: str
    label: str
    source: str


class Label(_Record):
    """Labels that no policy says were put on columns, or taken off.

    by: the agent whose statement copies labelled data, or the person who dropped them; empty where the
    database's own catalog gives them.
    """

    kind: Literal["label"] = "label"
    event: Literal["added", "dropped"]
    database: str
    labels: list[Labelled]
    by: str = ""
    why: str


class Span(BaseModel):
    """Records `first` to `last` of the log, both included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int
    last: int


class Erasure(_Record):
    """The values of these records were erased; what they commit to stays. Other records have none.

    by: a person, or `retention`. records: how many had values until then.
    """

    kind: Literal["erasure"] = "erasure"
    by: str
    why: str
    spans: list[Span]
    records: int


class Place(BaseModel):
    """Where a checkpoint was to be published; `failed` says why it was not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: str
    failed: str = ""


class Published(_Record):
    """A checkpoint of this log was published where its operator cannot take it back."""

    kind: Literal["checkpoint"] = "checkpoint"
    size: int
    root: str
    places: list[Place]


class Export(_Record):
    """Records are handed out. `filter` is what was asked for, as `name=value`; `count`, how many records.

    written before the first of them is: an export that was broken off stands here, too.
    """

    kind: Literal["export"] = "export"
    by: str
    form: str
    filter: list[str]
    count: int


class Past(BaseModel):
    """What a guarded role has run `calls` times, of which only `through` are in the log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    fingerprint: str
    sql: str
    calls: int
    through: int


class Watch(_Record):
    """The database's own count of statements, from `since` to `until`, was compared with the log's.

    source: `pg_stat_statements` or `pgaudit`. statements: how many kinds were looked at. past: what did not
    come through the firewall. lost: why some of the window is not known.
    """

    kind: Literal["watch"] = "watch"
    by: str
    database: str
    source: str
    roles: list[str]
    since: str
    until: str
    statements: int
    past: list[Past]
    lost: str = ""


class Fault(_Record):
    """An internal error; it closed the session, both sides."""

    kind: Literal["fault"] = "fault"
    where: str
    error: str


Record = Annotated[
    Session
    | Judgement
    | HoldOpened
    | Vote
    | BreakGlass
    | Waiting
    | Grant
    | Decision
    | Release
    | Refusal
    | Outcome
    | Runs
    | Policy
    | Credential
    | SignIn
    | Label
    | Erasure
    | Published
    | Export
    | Watch
    | Fault,
    Field(discriminator="kind"),
]

ADAPTER: TypeAdapter[Record] = TypeAdapter(Record)
