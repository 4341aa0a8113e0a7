"""What the fields of a policy file must agree on, looked up in the raw data.

The data need not be valid otherwise, so that all problems of a file are found at once.
"""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from firewall.policy.source import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firewall.policy.fields import FieldPath

    Finding = tuple[FieldPath, str]


def contradictions(data: Any) -> Iterator[Finding]:
    """What is wrong between fields, as (path, message)."""
    if not isinstance(data, dict):
        return
    yield from _names(data)
    yield from _of_approval(data, ())
    for sort in ("rules", "budgets"):
        listed = data.get(sort)
        for number, entry in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(entry, dict):
                yield from _of_approval(entry, (sort, number))
                if sort == "rules":
                    yield from _of_rule(entry, (sort, number))
    yield from between_approvers(data)


def between_approvers(data: Any) -> Iterator[Finding]:
    """One Slack or Teams user is one person: a click must not count for two."""
    approvers = data.get("approvers") if isinstance(data, dict) else None
    if not isinstance(approvers, dict):
        return
    owners: Counter[str] = Counter()
    for name, person in approvers.items():
        for platform in ("slack", "teams"):
            given = person.get(platform) if isinstance(person, dict) else None
            accounts = given if isinstance(given, list) else [given]
            users = {a.get("user") if isinstance(a, dict) else a for a in accounts}
            for user in sorted(u for u in users if isinstance(u, str)):
                owners[user] += 1
                if owners[user] == 2:
                    yield (
                        ("approvers", name, platform),
                        f"`{shown(user)}` is another approver's {platform.capitalize()} user already",
                    )


def _names(data: dict[str, Any]) -> Iterator[Finding]:
    seen: dict[str, FieldPath] = {}
    for sort in ("rules", "budgets"):
        listed = data.get(sort)
        for number, entry in enumerate(listed if isinstance(listed, list) else ()):
            name = entry.get("name") if isinstance(entry, dict) else None
            here: FieldPath = (sort, number, "name")
            if isinstance(name, str) and seen.setdefault(name.strip(), here) != here:
                what = "two rules" if sort == "rules" else "a rule or another budget already"
                yield here, f"`{shown(name)}` names {what}; give each a name of its own"


def _of_approval(entry: dict[str, Any], here: FieldPath) -> Iterator[Finding]:
    approval = entry.get("approval")
    escalate = approval.get("escalate") if isinstance(approval, dict) else None
    if isinstance(escalate, dict) and not {"groups", "channels"} & escalate.keys():
        yield (*here, "approval", "escalate"), "nobody else is asked; write `groups`, `channels` or both"


def _of_rule(rule: dict[str, Any], here: FieldPath) -> Iterator[Finding]:
    actions = [key for key in ("allow", "hold", "deny") if key in rule]
    if not actions:
        yield here, "the rule says neither `allow`, `hold` nor `deny`; write one, with the effects it is for"
    if len(actions) > 1:
        yield (*here, actions[1]), f"the rule says `{actions[0]}` already; a rule has one action"
    if "approval" in rule and actions and actions != ["hold"]:
        yield (*here, "approval"), "only a `hold` is approved; write `hold`, or leave `approval` out"
    if "decide" in rule and actions and actions != ["hold"]:
        yield (*here, "decide"), "only a `hold` is decided; write `hold`, or leave `decide` out"
    if "obligations" in rule and actions == ["deny"]:
        yield (
            (*here, "obligations"),
            "what is denied owes nothing; write `allow` or `hold`, or leave `obligations` out",
        )
    when = rule.get("when")
    if isinstance(when, dict):
        yield from _of_when(when, (*here, "when"))


def _of_when(when: dict[str, Any], here: FieldPath) -> Iterator[Finding]:
    if "labels" in when and when.get("unlabelled") is not None:
        yield (*here, "unlabelled"), "`labels` and `unlabelled` contradict; write one of them"
    if "transaction_over" in when and when.get("in_transaction") is False:
        yield (
            (*here, "in_transaction"),
            "no transaction that is not open has an age; leave `in_transaction` or `transaction_over` out",
        )
    over, up_to = when.get("rows_over"), when.get("rows_up_to")
    if isinstance(over, int) and isinstance(up_to, int) and up_to <= over:
        yield (
            (*here, "rows_up_to"),
            f"nothing has more than {over} rows and at most {up_to}; make `rows_up_to` the larger one",
        )
    times = when.get("times")
    for number, window in enumerate(times if isinstance(times, list) else [times]):
        if (
            isinstance(window, dict)
            and window.get("from") is not None
            and window.get("from") == window.get("to")
        ):
            path = (*here, "times", number) if isinstance(times, list) else (*here, "times")
            yield (
                (*path, "to"),
                "it ends when it begins; write `from: 00:00, to: 24:00` for the whole day",
            )


def unknown_names(
    data: Any, selectors: frozenset[str], environments: tuple[str, ...] | None
) -> Iterator[Finding]:
    """Selectors and environments that rules and budgets name, and nobody has defined.

    Selectors are named one by one: a pattern would change its meaning with every selector that is added.
    """
    for sort in ("rules", "budgets"):
        listed = data.get(sort) if isinstance(data, dict) else None
        for number, entry in enumerate(listed if isinstance(listed, list) else ()):
            when = entry.get("when") if isinstance(entry, dict) else None
            if isinstance(when, dict):
                here: FieldPath = (sort, number, "when")
                yield from _unknown(when, here, "selectors", tuple(sorted(selectors)), "under `selectors`")
                if environments is not None and when.get("environments") != "any":
                    plain = [e for e in environments if not {"*", "?"} & set(e)]
                    if len(plain) == len(environments):
                        yield from _unknown(when, here, "environments", environments, "under `environments`")


def _unknown(
    when: dict[str, Any], here: FieldPath, key: str, known: tuple[str, ...], where: str
) -> Iterator[Finding]:
    named = when.get(key)
    several = isinstance(named, list)
    for number, name in enumerate(named if isinstance(named, list) else [named]):
        if isinstance(name, str) and name and name not in known and not {"*", "?"} & set(name):
            near = get_close_matches(name, known, n=1)
            meant = f"did you mean `{near[0]}`?" if near else f"define it {where}"
            path = (*here, key, number) if several else (*here, key)
            yield path, f"nothing {where} is called `{shown(name)}`; {meant}"
