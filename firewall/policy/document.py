"""The policy file as written: its keys, their types, and what each may hold.

A rule reads as a sentence: *hold* update, delete *when* relations are `public.orders`, *why* … .
This is a trust boundary: unknown keys are errors, and a matcher that is empty is an error, because it would
match everything; who means that writes `any`. What several fields must agree on is in `contradictions`,
which looks at the raw data, so that all problems of a file are found at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator  # noqa: TC003 — pydantic resolves annotations of this module
from difflib import get_close_matches
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr

from firewall.catalog.labels import LABEL
from firewall.policy import glob
from firewall.policy.source import shown
from firewall.policy.verdict import Action, Risk
from firewall.sql.analysis import Kind

FieldPath = tuple[str | int, ...]  # of a field: keys and list positions

RESERVED_NAMES = frozenset({"default", "error", "nothing"})
LABEL_PATTERN = re.compile(r"[a-z0-9_*?-]+(\.[a-z0-9_*?-]+)*")
EMAIL = re.compile(r"[^@\s`]+@[^@\s`]+")
SLACK_USER = re.compile(r"[UW][A-Z0-9]{2,20}")
SLACK_TEAM = re.compile(r"[TE][A-Z0-9]{2,20}")
GROUP = re.compile(r"[a-z0-9][a-z0-9_-]*")
DURATION = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")
# a hold older than this approves something nobody remembers asking for
MAX_EXPIRY = 7 * 86_400.0
MAX_QUORUM = 20
MAX_NAME = 80
MAX_WHY = 400

EMPTY = "is empty and would match everything; write `any` if that is meant"


class Mode(StrEnum):
    """`observe` judges and records, and relays everything."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


def _listed(value: Any) -> Any:
    """One text stands for a list of one."""
    if value is None or value in ("", [], {}):
        raise ValueError(EMPTY)
    return [value] if isinstance(value, (str, int)) else value


def at_least_one(value: Any) -> Any:
    """At least one; one text stands for a list of one."""
    if value is None or value in ("", [], {}):
        raise ValueError("is empty; write at least one")
    return [value] if isinstance(value, (str, int)) else value


def _not_null(message: str) -> BeforeValidator:
    """A key that is written has a value: `agents:` with nothing behind it must not mean every agent."""

    def check(value: Any) -> Any:
        if value is None:
            raise ValueError(message)
        return value

    return BeforeValidator(check)


MATCHER = _not_null(EMPTY)
WRITTEN = _not_null("is empty; write a value, or leave the key out")


def _alone(values: tuple[str, ...]) -> tuple[str, ...]:
    if glob.ANY in values and len(values) > 1:
        raise ValueError("`any` stands alone; write `any`, or the list without it")
    return values


def _pattern(parts: int) -> AfterValidator:
    def check(pattern: str) -> str:
        if not pattern:
            raise ValueError(EMPTY)
        if wrong := glob.complaint(pattern, parts=parts):
            raise ValueError(wrong)
        return pattern

    return AfterValidator(check)


def _matching(regex: re.Pattern[str], rule: str) -> AfterValidator:
    def check(text: str) -> str:
        if not regex.fullmatch(text):
            raise ValueError(f"`{shown(text)}` {rule}")
        return text

    return AfterValidator(check)


def _kinds(pattern: str) -> str:
    """An effect kind, a pattern over kinds, or `any`."""
    known = [kind.value for kind in Kind]
    if pattern == glob.ANY or any(fnmatchcase(kind, pattern) for kind in known):
        return pattern
    near = get_close_matches(pattern, known, n=1)
    meant = f"did you mean `{near[0]}`?" if near else f"write `any` or some of {', '.join(known)}"
    raise ValueError(f"`{shown(pattern)}` is not an effect; {meant}")


def _seconds(value: Any) -> float:
    """`90s`, `15m`, `1h30m`, `1d` in seconds."""
    match = DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError(
            f"`{shown(value)}` is not a duration; write a number and a unit, e.g. `90s`, `15m`, `1h30m`"
        )
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    if not 1 <= total <= MAX_EXPIRY:
        raise ValueError(f"`{shown(value)}` is out of range; write between `1s` and `7d`")
    return total


def _when(value: Any) -> Any:
    if value is None or value == {}:
        raise ValueError("`when` is empty; write `when: any` if the rule is for everyone and everything")
    return None if value == glob.ANY else value


def _slack(value: Any) -> Any:
    """A user id, `{team, user}`, or a list of either."""
    if value is None or value in ("", [], {}):
        raise ValueError("`slack` is empty; write a user id, e.g. `U012AB3CD`, or leave `slack` out")
    values = value if isinstance(value, list) else [value]
    return [{"user": v} if isinstance(v, str) else v for v in values]


def _line(limit: int) -> AfterValidator:
    def check(text: str) -> str:
        text = text.strip()
        if not text or len(text) > limit or not text.isprintable():
            raise ValueError(f"must be one line of 1 to {limit} printable characters")
        return text

    return AfterValidator(check)


def _free_name(name: str) -> str:
    if name in RESERVED_NAMES or "`" in name:
        raise ValueError(
            f"`{shown(name)}` cannot name a rule; choose another name, without backticks and none of "
            f"{', '.join(sorted(RESERVED_NAMES))}, which verdicts use themselves"
        )
    return name


Texts = Annotated[
    tuple[Annotated[StrictStr, _pattern(1)], ...], BeforeValidator(_listed), AfterValidator(_alone)
]
Names = Annotated[
    tuple[Annotated[StrictStr, _pattern(2)], ...], BeforeValidator(_listed), AfterValidator(_alone)
]
Columns = Annotated[
    tuple[Annotated[StrictStr, _pattern(3)], ...], BeforeValidator(_listed), AfterValidator(_alone)
]
LabelPatterns = Annotated[
    tuple[
        Annotated[StrictStr, _matching(LABEL_PATTERN, "is not a label; write e.g. `pii.email` or `pii.*`")],
        ...,
    ],
    BeforeValidator(_listed),
    AfterValidator(_alone),
]
Effects = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_kinds)], ...],
    BeforeValidator(_listed),
    AfterValidator(_alone),
]
LabelName = Annotated[
    StrictStr,
    _matching(LABEL, "is not a label's name; write lower-case words joined by dots, e.g. `pii.email`"),
]
Group = Annotated[
    StrictStr, _matching(GROUP, "is not a group's name; write lower-case letters, digits, `-` and `_`")
]
Groups = Annotated[tuple[Group, ...], BeforeValidator(at_least_one)]
Quorum = Annotated[StrictInt, Field(ge=1, le=MAX_QUORUM)]
Duration = Annotated[float, BeforeValidator(_seconds)]
Line = Annotated[StrictStr, _line(MAX_WHY)]
Name = Annotated[StrictStr, _line(MAX_NAME), AfterValidator(_free_name)]
Flag = Annotated[bool, Field(strict=True)]


def _address(name: str) -> str:
    if not EMAIL.fullmatch(name) or name != name.lower():
        raise ValueError(f"`{shown(name)}` does not name a person; write their e-mail address in lower case")
    return name


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SlackAccount(_Model):
    """A Slack user; without `team` the id counts in whatever workspace the firewall's app is installed."""

    user: Annotated[StrictStr, _matching(SLACK_USER, "is not a Slack user id; it looks like `U012AB3CD`")]
    team: Annotated[
        StrictStr, _matching(SLACK_TEAM, "is not a Slack workspace id; it looks like `T012AB3CD`")
    ] = ""


class Approver(_Model):
    """A person who may decide, by groups; the e-mail address is the key."""

    groups: Groups
    slack: Annotated[tuple[SlackAccount, ...], BeforeValidator(_slack)] = ()


class Approval(_Model):
    """Who decides a hold and how long it waits; what a rule leaves out comes from the top level."""

    groups: Annotated[Groups | None, WRITTEN] = None
    quorum: Annotated[Quorum | None, WRITTEN] = None
    expires: Annotated[Duration | None, WRITTEN] = None


class When(_Model):
    """What narrows a rule. All of them must match; each is a list of which one must."""

    agents: Annotated[Texts | None, MATCHER] = None
    owners: Annotated[Texts | None, MATCHER] = None
    teams: Annotated[Texts | None, MATCHER] = None
    databases: Annotated[Texts | None, MATCHER] = None
    environments: Annotated[Texts | None, MATCHER] = None
    relations: Annotated[Names | None, MATCHER] = None
    functions: Annotated[Names | None, MATCHER] = None
    settings: Annotated[Texts | None, MATCHER] = None
    objects: Annotated[Texts | None, MATCHER] = None
    columns: Annotated[Columns | None, MATCHER] = None
    labels: Annotated[LabelPatterns | None, MATCHER] = None
    tested_labels: Annotated[LabelPatterns | None, MATCHER] = None
    unlabelled: Annotated[Flag | None, WRITTEN] = None
    unfiltered: Annotated[Flag | None, WRITTEN] = None


class Rule(_Model):
    """`allow`, `hold` or `deny` these effects, `when` …, `why` …"""

    name: Name
    allow: Annotated[Effects | None, MATCHER] = None
    hold: Annotated[Effects | None, MATCHER] = None
    deny: Annotated[Effects | None, MATCHER] = None
    when: Annotated[When | None, BeforeValidator(_when)] = None
    why: Line
    approval: Annotated[Approval | None, WRITTEN] = None
    risk: Annotated[Risk | None, WRITTEN] = None

    @property
    def action(self) -> Action:
        """The strictest that is written; `contradictions` has made sure that there is one."""
        if self.deny:
            return Action.DENY
        return Action.HOLD if self.hold else Action.ALLOW

    @property
    def effects(self) -> tuple[str, ...]:
        return self.deny or self.hold or self.allow or ()


class Document(_Model):
    """A whole policy file."""

    version: Literal[1]
    mode: Mode = Mode.ENFORCE
    default: Literal["hold", "deny"]
    labels: dict[LabelName, Columns] = {}
    label_comments: Flag = True
    approvers: dict[Annotated[StrictStr, AfterValidator(_address)], Approver] = {}
    approval: Approval = Approval()
    rules: Annotated[tuple[Rule, ...], BeforeValidator(at_least_one)]


def contradictions(data: Any) -> Iterator[tuple[FieldPath, str]]:
    """What is wrong between fields, as (path, message), in data that need not be valid otherwise."""
    if not isinstance(data, dict):
        return
    rules = data.get("rules")
    if isinstance(rules, list):
        yield from _between_rules(rules)
    approvers = data.get("approvers")
    if isinstance(approvers, dict):
        yield from _between_approvers(approvers)


def _between_rules(rules: list[Any]) -> Iterator[tuple[FieldPath, str]]:
    seen: dict[str, int] = {}
    for number, rule in enumerate(rules):
        if not isinstance(rule, dict):
            continue
        here: FieldPath = ("rules", number)
        name = rule.get("name")
        if isinstance(name, str) and seen.setdefault(name.strip(), number) != number:
            yield (*here, "name"), f"`{shown(name)}` names two rules; give each a name of its own"
        actions = [key for key in ("allow", "hold", "deny") if key in rule]
        if not actions:
            yield (
                here,
                "the rule says neither `allow`, `hold` nor `deny`; write one, with the effects it is for",
            )
        if len(actions) > 1:
            yield (*here, actions[1]), f"the rule says `{actions[0]}` already; a rule has one action"
        if "approval" in rule and actions and actions != ["hold"]:
            yield (*here, "approval"), "only a `hold` is approved; write `hold`, or leave `approval` out"
        when = rule.get("when")
        if isinstance(when, dict) and "labels" in when and when.get("unlabelled") is not None:
            yield (*here, "when", "unlabelled"), "`labels` and `unlabelled` contradict; write one of them"


def _between_approvers(approvers: dict[Any, Any]) -> Iterator[tuple[FieldPath, str]]:
    """One Slack user is one person: a click must not count for two."""
    owners: Counter[str] = Counter()
    for name, person in approvers.items():
        slack = person.get("slack") if isinstance(person, dict) else None
        accounts = slack if isinstance(slack, list) else [slack]
        users = {a.get("user") if isinstance(a, dict) else a for a in accounts}
        for user in sorted(u for u in users if isinstance(u, str)):
            owners[user] += 1
            if owners[user] == 2:
                yield (
                    ("approvers", name, "slack"),
                    f"`{shown(user)}` is another approver's Slack user already",
                )
