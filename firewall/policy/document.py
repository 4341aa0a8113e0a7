"""The policy file as written: its keys, and the models of what stands below them.

A rule reads as a sentence: *hold* update, delete *when* relations are `public.orders`, *why* … .
This is a trust boundary: unknown keys are errors, and a matcher that is empty is an error, because it would
match everything; who means that writes `any`. The texts below the fields are what editors show of them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr

from firewall.policy import fields, glob
from firewall.policy.fields import MATCHER, WRITTEN, Flag
from firewall.policy.source import shown
from firewall.policy.verdict import Action, Risk


class Mode(StrEnum):
    """`observe` judges and records, and relays everything."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


def _when(value: Any) -> Any:
    if value is None or value == {}:
        raise ValueError("`when` is empty; write `when: any` if the rule is for everyone and everything")
    return None if value == glob.ANY else value


def _masked(value: Any) -> Any:
    """`null`, `hash` and a mapping with what stays or what stands instead."""
    if value is None or value == "null":
        return {"null": True}
    if value == "hash":
        return {"hash": True}
    if isinstance(value, dict) and (value.keys() == {"text"} or value.keys() & {"first", "last"}):
        if "text" in value and len(value) > 1:
            raise ValueError("either a text stands instead or some characters stay; write one of them")
        return value
    raise ValueError(
        f"`{shown(value)}` is no way to mask; write `null`, `hash`, `{{text: …}}`, "
        "or `{first: 1, last: 4}` for what stays"
    )


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SlackAccount(_Model):
    """A Slack user; without `team` the id counts in whatever workspace the firewall's app is installed."""

    user: fields.SlackUser
    """A Slack user id, e.g. U012AB3CD"""
    team: fields.SlackTeam = ""
    """The workspace's id, e.g. T012AB3CD"""


class TeamsAccount(_Model):
    """A Microsoft Teams user; without `tenant` the id counts in the tenant that the settings name."""

    user: fields.EntraId
    """The user's object id in Microsoft Entra"""
    tenant: Annotated[fields.EntraId | None, WRITTEN] = None
    """The tenant's id"""


class Approver(_Model):
    """A person who may decide, by groups; the e-mail address is the key."""

    groups: fields.Groups
    """The groups that the person is in; a group exists by having members"""
    slack: Annotated[
        tuple[SlackAccount, ...],
        BeforeValidator(fields.slack, json_schema_input_type=str | SlackAccount | list[str | SlackAccount]),
    ] = ()
    """The person's Slack account, or several"""
    teams: Annotated[
        tuple[TeamsAccount, ...] | None,
        BeforeValidator(fields.teams, json_schema_input_type=str | TeamsAccount | list[str | TeamsAccount]),
    ] = None
    """The person's Microsoft Teams account, or several"""


class Escalation(_Model):
    """Whom else a hold is put before when nobody has decided it in time."""

    after: fields.Duration
    """How long the others have first, e.g. 10m"""
    groups: Annotated[fields.Groups | None, WRITTEN] = None
    """Members of these groups may decide from then on, too"""
    channels: Annotated[fields.Channels | None, WRITTEN] = None
    """Where it is shown then as well"""


class Grants(_Model):
    """The most that an approver may let pass with one decision; without it, one run."""

    seconds: Annotated[fields.Duration, Field(alias="for")]
    """How long a grant lasts at most, e.g. 8h"""
    uses: Annotated[int, Field(strict=True, ge=1, le=fields.MAX_USES)]
    """How many runs at most"""
    rows: Annotated[fields.Rows | None, WRITTEN] = None
    """How many rows returned or changed at most, by all runs together"""


class Approval(_Model):
    """Who decides a hold and how long it waits; what a rule leaves out comes from the top level."""

    groups: Annotated[fields.Groups | None, WRITTEN] = None
    """A member of one of these groups may decide"""
    quorum: Annotated[fields.Quorum | None, WRITTEN] = None
    """How many different people must approve"""
    expires: Annotated[fields.Duration | None, WRITTEN] = None
    """How long a hold waits: 90s, 15m, 1h30m, at most 7d"""
    channels: Annotated[fields.Channels | None, WRITTEN] = None
    """Where it is shown, e.g. slack:C012AB3CD; the settings' channel if left out"""
    remind: Annotated[fields.Duration | None, WRITTEN] = None
    """Remind those who may decide each time when this long has passed, e.g. 5m"""
    escalate: Annotated[Escalation | None, WRITTEN] = None
    """Whom else to ask after a while"""
    wait: Annotated[fields.Duration | None, WRITTEN] = None
    """How long the agent waits before it is told to come back; as long as the hold, if left out"""
    outlives_connection: Annotated[Flag | None, WRITTEN] = None
    """true where a hold stays when the agent's connection is lost; its approval is used by coming back"""
    use_within: Annotated[fields.Duration | None, WRITTEN] = None
    """How long an approval that nobody waited for can be used, 15m if left out"""
    grants: Annotated[Grants | None, WRITTEN] = None
    """What an approver may let pass beyond one run: statements of that shape, by that agent"""
    break_glass: Annotated[fields.Groups | None, WRITTEN] = None
    """Groups whose members may approve alone in an emergency, with a reason and an alarm"""


class Who(_Model):
    """Who asks, and of what. All of them must match; each is a list of which one must."""

    agents: Annotated[fields.Texts | None, MATCHER] = None
    """Names of agents, as patterns"""
    owners: Annotated[fields.Texts | None, MATCHER] = None
    """E-mail addresses of the people who answer for the agents"""
    teams: Annotated[fields.Texts | None, MATCHER] = None
    """The agents' teams"""
    databases: Annotated[fields.Texts | None, MATCHER] = None
    """Databases, by the names under which agents know them"""
    environments: Annotated[fields.Texts | None, MATCHER] = None
    """Environments of databases, as the settings say"""


class Window(_Model):
    """From a time of day to another, on some days, in a time zone."""

    begin: Annotated[fields.TimeOfDay, Field(alias="from")]
    """The first minute, e.g. 09:00"""
    end: Annotated[fields.TimeOfDay, Field(alias="to")]
    """The minute at which it is over, e.g. 17:30; before `from` it is the next day's"""
    days: Annotated[fields.Days | None, WRITTEN] = None
    """On which days it begins: mon, tue, …; every day if left out"""
    zone: fields.Zone = "UTC"
    """A time zone, e.g. Europe/Berlin"""


class When(Who):
    """What narrows a rule. All of them must match; each is a list of which one must."""

    selectors: Annotated[fields.Selectors | None, WRITTEN] = None
    """Names under `selectors`; who asks must fit one of them"""
    relations: Annotated[fields.Names | None, MATCHER] = None
    """Tables, views and so on, as schema.name or name"""
    functions: Annotated[fields.Names | None, MATCHER] = None
    """Functions, as schema.name or name"""
    settings: Annotated[fields.Texts | None, MATCHER] = None
    """What SET sets"""
    objects: Annotated[fields.Texts | None, MATCHER] = None
    """The name of anything else, as the effect shows it"""
    columns: Annotated[fields.Columns | None, MATCHER] = None
    """Columns returned, written or tested, as column, table.column or schema.table.column"""
    labels: Annotated[fields.LabelPatterns | None, MATCHER] = None
    """Labels of columns that reach the client or are written"""
    tested_labels: Annotated[fields.LabelPatterns | None, MATCHER] = None
    """Labels of columns that only decide: WHERE, JOIN, GROUP BY, ORDER BY"""
    unlabelled: Annotated[Flag | None, WRITTEN] = None
    """true where no label reaches the client or is written"""
    unfiltered: Annotated[Flag | None, WRITTEN] = None
    """true for an UPDATE or DELETE without WHERE"""
    temporary: Annotated[Flag | None, WRITTEN] = None
    """true for the session's own temporary relations, false for everything else"""
    rows_over: Annotated[fields.Rows | None, WRITTEN] = None
    """The relation has more rows than this, by the catalog's estimate"""
    rows_up_to: Annotated[fields.Rows | None, WRITTEN] = None
    """The relation has so many rows at most, by the catalog's estimate"""
    first_use: Annotated[Flag | None, WRITTEN] = None
    """true for a statement of a shape that this agent has never run in this database"""
    in_transaction: Annotated[Flag | None, WRITTEN] = None
    """true inside a transaction block that was begun before"""
    transaction_over: Annotated[fields.Duration | None, WRITTEN] = None
    """The open transaction is older than this, e.g. 5m"""
    times: Annotated[
        tuple[Window, ...] | None,
        BeforeValidator(fields.one_or_many, json_schema_input_type=Window | list[Window]),
    ] = None
    """Times of day and days of the week"""
    risk: Annotated[fields.Risks | None, WRITTEN] = None
    """Tiers of the statement as its effects make it"""


class Masked(_Model):
    """How a masked value reaches the client."""

    null: bool = False
    hash: bool = False
    text: Annotated[StrictStr | None, WRITTEN, Field(max_length=100)] = None
    """What stands instead of every value"""
    first: Annotated[int, Field(strict=True, ge=0, le=20)] = 0
    """So many characters at the beginning stay"""
    last: Annotated[int, Field(strict=True, ge=0, le=20)] = 0
    """So many characters at the end stay"""


class LongMask(_Model):
    """What stands instead of a masked value, or which of its characters stay."""

    text: Annotated[str, Field(max_length=100)] = ""
    """What stands instead of every value"""
    first: Annotated[int, Field(ge=0, le=20)] = 0
    """So many characters at the beginning stay"""
    last: Annotated[int, Field(ge=0, le=20)] = 0
    """So many characters at the end stay"""


Mask = Annotated[
    Masked,
    BeforeValidator(_masked, json_schema_input_type=Literal["null", "hash"] | LongMask | None),
]


class Obligations(_Model):
    """What a statement owes where it is let through."""

    max_rows: Annotated[fields.Rows | None, WRITTEN] = None
    """So many rows are returned at most; then the result ends with an error"""
    max_affected_rows: Annotated[fields.Rows | None, WRITTEN] = None
    """So many rows are changed at most; beyond it the change is rolled back"""
    statement_timeout: Annotated[fields.Duration | None, WRITTEN] = None
    """Postgres cancels the statement after this"""
    read_only: Annotated[Flag | None, WRITTEN] = None
    """Postgres itself refuses to write"""
    mask: Annotated[dict[fields.MaskLabel, Mask] | None, BeforeValidator(fields.filled("mask"))] = None
    """Label → null, hash, {text: …} or {first: …, last: …}"""


class Decide(_Model):
    """When it is decided, if not at once."""

    at_commit: fields.AtCommit
    """At COMMIT, within this time, e.g. 60s"""


class Rule(_Model):
    """`allow`, `hold` or `deny` these effects, `when` …, `why` …"""

    name: fields.Name
    """How verdicts call the rule; unique"""
    allow: Annotated[fields.Effects | None, MATCHER] = None
    """Effects that the rule lets through"""
    hold: Annotated[fields.Effects | None, MATCHER] = None
    """Effects that wait for a person"""
    deny: Annotated[fields.Effects | None, MATCHER] = None
    """Effects that are refused"""
    when: Annotated[When | None, BeforeValidator(_when, json_schema_input_type=Literal["any"] | When)] = None
    """What narrows the rule; leave it out for everyone and everything"""
    condition: Annotated[fields.Expression | None, WRITTEN, Field(alias="if")] = None
    """A condition in CEL, for what `when` cannot say"""
    why: fields.Line
    """One line that the agent, the approver and the auditor read"""
    approval: Annotated[Approval | None, WRITTEN] = None
    """Who decides this hold; what is left out comes from the top level"""
    decide: Annotated[
        Decide | None,
        BeforeValidator(fields.decision, json_schema_input_type=Literal["at_commit"] | Decide),
        WRITTEN,
    ] = None
    """at_commit where writes of a transaction run, and one decision on all of them is asked at COMMIT"""
    obligations: Annotated[Obligations | None, BeforeValidator(fields.filled("obligations"))] = None
    """What the statement owes where it is let through"""
    risk: Annotated[Risk | None, WRITTEN] = None
    """At least so bad"""

    @property
    def action(self) -> Action:
        """The strictest that is written; `between` has made sure that there is one."""
        if self.deny:
            return Action.DENY
        return Action.HOLD if self.hold else Action.ALLOW

    @property
    def effects(self) -> tuple[str, ...]:
        return self.deny or self.hold or self.allow or ()


class Budget(_Model):
    """So many rows of a label for an agent in a sliding window; beyond it statements are held."""

    name: fields.Name
    """How verdicts call the budget; unique among rules and budgets"""
    labels: fields.LabelPatterns
    """Labels of columns that reach the client"""
    rows: Annotated[int, Field(strict=True, ge=1, le=fields.MAX_ROWS)]
    """So many rows in any window"""
    per: fields.Duration
    """How long the window is, e.g. 1h"""
    when: Annotated[Who | None, BeforeValidator(_when, json_schema_input_type=Literal["any"] | Who)] = None
    """Whose rows count; each agent has a budget of its own"""
    why: fields.Line
    """One line that the agent and the approver read when it is used up"""
    approval: Annotated[Approval | None, WRITTEN] = None
    """Who decides what goes beyond it"""


class Shared(_Model):
    """What several policies may have in common; a file that another one includes has no more than this."""

    include: Annotated[
        tuple[StrictStr, ...],
        BeforeValidator(fields.at_least_one, json_schema_input_type=str | list[str]),
    ] = ()
    """Files with labels, approvers and selectors that several policies share"""
    environments: Annotated[fields.Texts | None, WRITTEN] = None
    """The environments that there are; then a rule can name no other"""
    labels: dict[fields.LabelName, fields.Columns] = {}
    """Label → the columns that it stands on"""
    approvers: dict[fields.Person, Approver] = {}
    """E-mail address → groups and Slack account"""
    selectors: dict[fields.SelectorName, Who] = {}
    """Name → agents, owners, teams, databases and environments that rules mean by it"""


class Document(Shared):
    """A whole policy file."""

    version: Literal[1]
    """Always 1"""
    mode: Mode = Mode.ENFORCE
    """enforce, or observe: everything is judged and recorded, and everything runs"""
    default: Literal["hold", "deny"]
    """What becomes of anything that no rule covers"""
    label_comments: Flag = True
    """Whether comments in the database label columns as well"""
    keep: Annotated[Literal["full", "redacted", "digest"] | None, WRITTEN] = None
    """What the log keeps of statements' texts and values; as the settings say, if left out"""
    approval: Approval = Approval()
    """Who decides holds, how many of them, and how long holds wait"""
    budgets: Annotated[tuple[Budget, ...], BeforeValidator(fields.at_least_one)] = ()
    """Rows of labelled data for an agent in a sliding window"""
    rules: Annotated[tuple[Rule, ...], BeforeValidator(fields.at_least_one)]
    """What may be done; their order means nothing"""
