"""What is wrong with a policy that loads: holds that nobody can decide, rules that can never speak.

Every finding has its place in the file. With a catalog, names that it does not have are found too.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from firewall.errors import Problem
from firewall.policy import glob
from firewall.policy.compile import kinds, requirement
from firewall.policy.include import dotted
from firewall.policy.rule import SUBJECT_FIELDS, Columns, Objects
from firewall.policy.source import shown
from firewall.policy.verdict import Action
from firewall.sql.analysis import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firewall.catalog.snapshot import Snapshot
    from firewall.policy.compile import Policy
    from firewall.policy.document import Approval, Rule
    from firewall.policy.fields import FieldPath

Finding = tuple["FieldPath", str]

# kinds that can be without a WHERE, and kinds that can be on a setting
FILTERED: Final = frozenset({Kind.UPDATE, Kind.DELETE, Kind.UNKNOWN})
ON_SETTINGS: Final = frozenset({Kind.SETTING, Kind.UNKNOWN})
# matchers that each want another sort of object, so that no effect has two of them
EXCLUSIVE: Final = (("relations", "columns", "labels", "tested_labels"), ("functions",), ("settings",))
STRICTER: Final = {
    Action.ALLOW: (Action.HOLD, Action.DENY),
    Action.HOLD: (Action.DENY,),
    Action.DENY: (),
}


def check(policy: Policy, snapshot: Snapshot | None = None) -> tuple[Problem, ...]:
    """Every finding, in the file's order; empty when there is nothing to say."""
    findings = [
        *_approval(policy),
        *_matchless(policy),
        *_overridden(policy),
        *_labels(policy),
        *(_absent(policy, snapshot) if snapshot else ()),
    ]
    source = policy.source
    problems = {Problem(source.place(path), dotted(path), message) for path, message in findings}
    return tuple(sorted(problems, key=lambda p: (p.place.line, p.place.column, p.message)))


def _approval(policy: Policy) -> Iterator[Finding]:
    """Holds that nobody can decide."""
    document = policy.document
    shared = document.approval
    if document.default == "hold":
        path: FieldPath = ("approval",) if shared != type(shared)() else ("default",)
        yield from _decidable(policy, path, None, shared)
    for number, rule in enumerate(document.rules):
        if rule.action is Action.HOLD:
            own: FieldPath = ("rules", number, "approval") if rule.approval else ("rules", number, "hold")
            yield from _decidable(policy, own, rule, shared)


def _decidable(policy: Policy, path: FieldPath, rule: Rule | None, shared: Approval) -> Iterator[Finding]:
    needed = requirement(rule.approval if rule else None, shared)
    if not needed.groups:
        yield path, "nobody can decide this hold; write `approval: {groups: […]}` here or at the top level"
        return
    for group in needed.groups:
        if not any(group in groups for groups in policy.people.values()):
            yield (
                path,
                f"nobody is in the group `{group}`; add someone under `approvers`, or name another group",
            )
    members = {name for name, groups in policy.people.items() if not groups.isdisjoint(needed.groups)}
    if 0 < len(members) < needed.quorum:
        yield path, f"{needed.quorum} people must approve, and its groups have only {len(members)}"
    owners = rule.when.owners if rule and rule.when else None
    for owner in owners or ():
        if owner in members and len(members - {owner}) < needed.quorum:
            yield path, f"`{owner}` owns these agents, and without them nobody is left who can approve"


def _matchless(policy: Policy) -> Iterator[Finding]:
    """Rules whose own conditions contradict each other."""
    for number, rule in enumerate(policy.document.rules):
        when = rule.when
        if when is None:
            continue
        here: FieldPath = ("rules", number, "when")
        about = kinds(rule.effects, rule.action)
        written = set(when.model_dump(exclude_none=True))
        sorts = [next(key for key in group if key in written) for group in EXCLUSIVE if written & set(group)]
        if len(sorts) > 1 and not (about == {Kind.UNKNOWN} and rule.action is not Action.ALLOW):
            yield (
                (*here, sorts[1]),
                f"no effect is on `{sorts[0]}` and `{sorts[1]}` at once; make two rules of it",
            )
        if when.unfiltered and not about & FILTERED:
            yield (*here, "unfiltered"), "only update and delete can lack a WHERE, and the rule names neither"
        if when.settings and not about & ON_SETTINGS:
            yield (
                (*here, "settings"),
                "only the effect `setting` is on settings, and the rule does not name it",
            )
        about_objects = written - {key for key, _ in SUBJECT_FIELDS}
        if rule.action is Action.ALLOW and about == {Kind.UNKNOWN} and about_objects:
            found = min(about_objects)
            yield (*here, found), f"nothing is known of an `unknown` effect, so `{found}` never allows one"


def _overridden(policy: Policy) -> Iterator[Finding]:
    """Rules that a stricter one always outdoes, because it is about all of their effects and everyone."""
    rules = policy.document.rules
    always = [(rule, kinds(rule.effects, rule.action), dict(rule.when or ())) for rule in rules]
    for number, (rule, about, when) in enumerate(always):
        for other, others, wider in always:
            narrower = all(value is None or when.get(key) == value for key, value in wider.items())
            if other.action in STRICTER[rule.action] and about <= others and narrower:
                yield (
                    ("rules", number),
                    f"`{rule.name}` changes nothing: `{other.name}` {_says(other.action)} all of it",
                )
                break


def _says(action: Action) -> str:
    return {Action.ALLOW: "allows", Action.HOLD: "holds", Action.DENY: "denies"}[action]


def _labels(policy: Policy) -> Iterator[Finding]:
    """Labels in rules that stand on no column."""
    known = list(policy.document.labels)
    for number, rule in enumerate(policy.document.rules):
        for key in ("labels", "tested_labels"):
            patterns: tuple[str, ...] = getattr(rule.when, key, None) or ()
            for position, pattern in enumerate(patterns):
                regex = glob.label_regex(("*",) if pattern == glob.ANY else (pattern,))
                if any(map(regex.fullmatch, known)):
                    continue
                near = get_close_matches(pattern, [*known, *{k.split(".")[0] for k in known}], n=1)
                meant = f"did you mean `{near[0]}`?" if near else "define it under `labels`"
                yield (
                    ("rules", number, "when", key, position),
                    f"no label is called `{shown(pattern)}`; {meant}",
                )


def _absent(policy: Policy, snapshot: Snapshot) -> Iterator[Finding]:
    """Patterns that nothing in the catalog matches."""
    relations = [relation.qualified for relation in snapshot.relations]
    columns = [
        (relation.qualified, column.name) for relation in snapshot.relations for column in relation.columns
    ]
    functions = [function.qualified for function in snapshot.functions]
    where = f"in database `{snapshot.database}`"
    for number, rule in enumerate(policy.document.rules):
        when = rule.when
        if when is None:
            continue
        for position, pattern in enumerate(when.relations or ()):
            if not any(map(Objects((pattern,)).some, relations)):
                path: FieldPath = ("rules", number, "when", "relations", position)
                yield path, f"no relation {where} matches `{pattern}`{_near(pattern, relations)}"
        for position, pattern in enumerate(when.functions or ()):
            if not any(map(Objects((pattern,)).some, functions)):
                path = ("rules", number, "when", "functions", position)
                yield path, f"no function {where} matches `{pattern}`{_near(pattern, functions)}"
        for position, pattern in enumerate(when.columns or ()):
            matcher = Columns((pattern,))
            if not any(matcher.some(relation, column) for relation, column in columns):
                path = ("rules", number, "when", "columns", position)
                yield path, f"no column {where} matches `{pattern}`{_near(pattern, [c for _, c in columns])}"
    standing = {
        label
        for marked in policy.labels(snapshot).columns.values()
        for labels in marked.values()
        for label in labels
    }
    for label in sorted(policy.document.labels.keys() - standing):
        yield (
            ("labels", label),
            f"no column {where} is labelled `{label}`; correct its patterns, or remove it",
        )


def _near(pattern: str, names: list[str]) -> str:
    near = get_close_matches(pattern, names, n=1)
    return f"; did you mean `{near[0]}`?" if near else "; write it as the catalog has it"
