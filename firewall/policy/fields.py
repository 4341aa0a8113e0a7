"""The types of a policy file's fields, each with what is said of a value that does not fit.

Every one of them is checked on its own; what several fields must agree on is in `between`.
"""

from __future__ import annotations

import re
from collections.abc import Callable  # noqa: TC003 — pydantic resolves annotations of this module
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr, WithJsonSchema

from firewall.catalog.labels import LABEL
from firewall.policy import expression, glob, windows
from firewall.policy.source import shown
from firewall.policy.verdict import Risk
from firewall.sql.analysis import Kind

FieldPath = tuple[str | int, ...]  # of a field: keys and list positions

RESERVED_NAMES = frozenset({"default", "error", "nothing"})
LABEL_PATTERN = re.compile(r"[a-z0-9_*?-]+(\.[a-z0-9_*?-]+)*")
EMAIL = re.compile(r"[^@\s`]+@[^@\s`]+")
SLACK_USER = re.compile(r"[UW][A-Z0-9]{2,20}")
SLACK_TEAM = re.compile(r"[TE][A-Z0-9]{2,20}")
# a user or a tenant of Microsoft Entra ID
ENTRA_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# where holds are shown: a Slack channel or group, or a Teams conversation
CHANNEL = re.compile(r"slack:[CG][A-Z0-9]{2,20}|teams:[!-~]{3,200}")
GROUP = re.compile(r"[a-z0-9][a-z0-9_-]*")
DURATION = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")
# a hold older than this approves something nobody remembers asking for
MAX_EXPIRY = 7 * 86_400.0
# a transaction that waits for a person keeps others waiting for its locks
MIN_AT_COMMIT, MAX_AT_COMMIT = 5.0, 600.0
MAX_QUORUM = 20
# runs by one grant; more is what an allow rule is for
MAX_USES = 10_000
MAX_NAME = 80
MAX_WHY = 400
MAX_ROWS = 10**15  # more than Postgres can have in a table of one byte rows

EMPTY = "is empty and would match everything; write `any` if that is meant"


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


def one_or_many(value: Any) -> Any:
    """At least one; one mapping stands for a list of one."""
    if value is None or value in ("", [], {}):
        raise ValueError("is empty; write at least one")
    return [value] if isinstance(value, dict) else value


def filled(key: str) -> Callable[[Any], Any]:
    """A mapping with something in it."""

    def check(value: Any) -> Any:
        if value is None or value == {}:
            raise ValueError(f"`{key}` is empty; write what is owed below it, or leave it out")
        return value

    return check


def not_null(message: str) -> BeforeValidator:
    """A key that is written has a value: `agents:` with nothing behind it must not mean every agent."""

    def check(value: Any) -> Any:
        if value is None:
            raise ValueError(message)
        return value

    return BeforeValidator(check)


MATCHER = not_null(EMPTY)
WRITTEN = not_null("is empty; write a value, or leave the key out")


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


def matching(regex: re.Pattern[str], rule: str) -> AfterValidator:
    """The whole text fits; else it is shown with the rule."""

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


def seconds(value: Any) -> float:
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


def decision(value: Any) -> Any:
    """`at_commit`, or how long that may take."""
    return {"at_commit": "60s"} if value == "at_commit" else value


def held_locks(total: float) -> float:
    """How long a transaction may wait for a decision with all its locks."""
    if not MIN_AT_COMMIT <= total <= MAX_AT_COMMIT:
        raise ValueError("the transaction's locks are held meanwhile; write between `5s` and `10m`")
    return total


def slack(value: Any) -> Any:
    """A user id, `{team, user}`, or a list of either."""
    if value is None or value in ("", [], {}):
        raise ValueError("`slack` is empty; write a user id, e.g. `U012AB3CD`, or leave `slack` out")
    values = value if isinstance(value, list) else [value]
    return [{"user": v} if isinstance(v, str) else v for v in values]


def teams(value: Any) -> Any:
    """An object id, `{tenant, user}`, or a list of either."""
    if value is None or value in ("", [], {}):
        raise ValueError("`teams` is empty; write a user's object id, or leave `teams` out")
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


def _address(name: str) -> str:
    if not EMAIL.fullmatch(name) or name != name.lower():
        raise ValueError(f"`{shown(name)}` does not name a person; write their e-mail address in lower case")
    return name


def _time_of_day(value: Any) -> int:
    """Minutes after midnight."""
    minutes = windows.minutes(value) if isinstance(value, str) else None
    if minutes is None:
        raise ValueError(f"`{shown(value)}` is not a time of day; write hours and minutes, e.g. `09:30`")
    return minutes


def _zone(name: str) -> str:
    if windows.zone(name) is None:
        raise ValueError(f"`{shown(name)}` is not a time zone; write e.g. `Europe/Berlin`, or leave it out")
    return name


def _expression(text: str) -> str:
    if wrong := expression.complaint(text):
        raise ValueError(wrong)
    return text


Texts = Annotated[
    tuple[Annotated[StrictStr, _pattern(1)], ...],
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
    AfterValidator(_alone),
]
Names = Annotated[
    tuple[Annotated[StrictStr, _pattern(2)], ...],
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
    AfterValidator(_alone),
]
Columns = Annotated[
    tuple[Annotated[StrictStr, _pattern(3)], ...],
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
    AfterValidator(_alone),
]
LabelPattern = Annotated[
    StrictStr, matching(LABEL_PATTERN, "is not a label; write e.g. `pii.email` or `pii.*`")
]
LabelPatterns = Annotated[
    tuple[LabelPattern, ...],
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
    AfterValidator(_alone),
]
# what an editor offers: the kinds themselves, and any other text, which may be a pattern of them
_EFFECT_SCHEMA = [{"enum": ["any", *(kind.value for kind in Kind)]}, {"type": "string"}]
Effects = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_kinds)], ...],
    BeforeValidator(_listed),
    AfterValidator(_alone),
    WithJsonSchema(
        {"anyOf": [*_EFFECT_SCHEMA, {"type": "array", "items": {"anyOf": _EFFECT_SCHEMA}, "minItems": 1}]}
    ),
]
LabelName = Annotated[
    StrictStr,
    matching(LABEL, "is not a label's name; write lower-case words joined by dots, e.g. `pii.email`"),
]
MaskLabel = Annotated[
    StrictStr,
    matching(LABEL, "is not a label; write e.g. `pii.email`, `pii` for all below it, or `any`"),
]
Group = Annotated[
    StrictStr, matching(GROUP, "is not a group's name; write lower-case letters, digits, `-` and `_`")
]
SelectorName = Annotated[
    StrictStr, matching(GROUP, "is not a selector's name; write lower-case letters, digits, `-` and `_`")
]
Groups = Annotated[tuple[Group, ...], BeforeValidator(at_least_one, json_schema_input_type=str | list[str])]
Selectors = Annotated[
    tuple[SelectorName, ...], BeforeValidator(at_least_one, json_schema_input_type=str | list[str])
]
Risks = Annotated[tuple[Risk, ...], BeforeValidator(at_least_one, json_schema_input_type=Risk | list[Risk])]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Days = Annotated[tuple[Day, ...], BeforeValidator(at_least_one, json_schema_input_type=Day | list[Day])]
TimeOfDay = Annotated[int, BeforeValidator(_time_of_day, json_schema_input_type=str)]
Zone = Annotated[StrictStr, AfterValidator(_zone)]
Rows = Annotated[StrictInt, Field(ge=0, le=MAX_ROWS)]
Quorum = Annotated[StrictInt, Field(ge=1, le=MAX_QUORUM)]
Duration = Annotated[float, BeforeValidator(seconds, json_schema_input_type=str)]
AtCommit = Annotated[float, BeforeValidator(seconds, json_schema_input_type=str), AfterValidator(held_locks)]
Line = Annotated[StrictStr, _line(MAX_WHY)]
Name = Annotated[StrictStr, _line(MAX_NAME), AfterValidator(_free_name)]
Person = Annotated[StrictStr, AfterValidator(_address)]
SlackUser = Annotated[StrictStr, matching(SLACK_USER, "is not a Slack user id; it looks like `U012AB3CD`")]
SlackTeam = Annotated[
    StrictStr, matching(SLACK_TEAM, "is not a Slack workspace id; it looks like `T012AB3CD`")
]
EntraId = Annotated[
    StrictStr,
    matching(ENTRA_ID, "is not an id of Microsoft Entra; write 32 lower-case hex digits in five groups"),
]
Channels = Annotated[
    tuple[
        Annotated[
            StrictStr,
            matching(CHANNEL, "is no channel; write e.g. `slack:C012AB3CD` or `teams:19:…`"),
        ],
        ...,
    ],
    BeforeValidator(at_least_one, json_schema_input_type=str | list[str]),
]
Flag = Annotated[bool, Field(strict=True)]
Expression = Annotated[StrictStr, AfterValidator(_expression)]
