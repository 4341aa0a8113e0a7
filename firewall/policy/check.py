"""What is wrong with a policy that loads: holds that nobody can decide, rules that can never speak.

Every finding has its place in the file. With a catalog, names that it does not have are found too.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from firewall.errors import Problem
from firewall.policy import glob
from firewall.policy.compile import kinds, requirement
from firewall.policy.evaluate import UNDONE
from firewall.policy.include import dotted
from firewall.policy.rule import PART_KEYS, Columns, Objects
from firewall.policy.source import shown
from firewall.policy.verdict import Action
from firewall.sql.analysis import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firewall.catalog.snapshot import Snapshot
    from firewall.policy.compile import Policy
    from firewall.policy.document import Approval, Budget, Rule
    from firewall.policy.fields import FieldPath

Finding = tuple["FieldPath", str]

# kinds that can be without a WHERE, and kinds that can be on a setting
FILTERED: Final = frozenset({Kind.UPDATE, Kind.DELETE, Kind.UNKNOWN})
# kinds that change rows, that can do nothing but write, and that can return rows
CHANGING: Final = frozenset(
    {Kind.INSERT, Kind.UPDATE, Kind.DELETE, Kind.COPY_IN, Kind.EXECUTE, Kind.CODE, Kind.UNKNOWN}
)
WRITING: Final = frozenset(
    {
        *(Kind.INSERT, Kind.UPDATE, Kind.DELETE, Kind.COPY_IN, Kind.TRUNCATE, Kind.CREATE, Kind.ALTER),
        *(Kind.DROP, Kind.ROLE, Kind.PRIVILEGE),
    }
)
RETURNING: Final = frozenset({Kind.READ, Kind.COPY_OUT, Kind.EXECUTE, Kind.CODE, Kind.UNKNOWN})
ON_SETTINGS: Final = frozenset({Kind.SETTING, Kind.UNKNOWN})
# matchers that each want another sort of object, so that no effect has two of them
EXCLUSIVE: Final = (("relations", "columns", "labels", "tested_labels"), ("functions",), ("settings",))
ABOUT_OBJECTS: Final = {"relations", "functions", "settings", "objects", "temporary", *PART_KEYS}
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
        *_owed(policy),
        *_deferred(policy),
        *_unused(policy),
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
    for number, budget in enumerate(document.budgets):
        yield from _decidable(policy, ("budgets", number, "name"), budget, shared)
    for number, rule in enumerate(document.rules):
        if rule.action is Action.HOLD:
            own: FieldPath = ("rules", number, "approval") if rule.approval else ("rules", number, "hold")
            yield from _decidable(policy, own, rule, shared)


def _decidable(
    policy: Policy, path: FieldPath, rule: Rule | Budget | None, shared: Approval
) -> Iterator[Finding]:
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
    for group in needed.break_glass:
        if not any(group in groups for groups in policy.people.values()):
            yield path, f"`{group}` may break the glass, and nobody is in that group; add someone"
    if needed.wait is not None and needed.wait >= needed.expires:
        yield path, "the hold expires before the agent has waited; make `wait` shorter than `expires`"
    for group in needed.escalation.groups if needed.escalation else ():
        if not any(group in groups for groups in policy.people.values()):
            yield path, f"the hold is escalated to `{group}`, and nobody is in that group; add someone"
    members = {name for name, groups in policy.people.items() if not groups.isdisjoint(needed.groups)}
    if 0 < len(members) < needed.quorum:
        yield path, f"{needed.quorum} people must approve, and its groups have only {len(members)}"
    owners = rule.when.owners if rule and rule.when else None
    meant = glob.text_regex(owners) if owners and owners != (glob.ANY,) else None
    for owner in sorted(members):
        if meant and meant.fullmatch(owner) and len(members - {owner}) < needed.quorum:
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
        about_objects = written & ABOUT_OBJECTS
        if rule.action is Action.ALLOW and about == {Kind.UNKNOWN} and about_objects:
            found = min(about_objects)
            yield (*here, found), f"nothing is known of an `unknown` effect, so `{found}` never allows one"


def _overridden(policy: Policy) -> Iterator[Finding]:
    """Rules that a stricter one always outdoes, because it is about all of their effects and everyone."""
    rules = policy.document.rules
    always = [
        (rule, kinds(rule.effects, rule.action), {**dict(rule.when or ()), "if": rule.condition})
        for rule in rules
    ]
    for number, (rule, about, when) in enumerate(always):
        for other, others, wider in always:
            narrower = all(_within(when.get(key), value) for key, value in wider.items())
            # what is held all the same may owe more, or be worse, by this rule
            more = other.action is Action.HOLD and (rule.obligations or rule.risk)
            if more:
                continue
            if other.action in STRICTER[rule.action] and about <= others and narrower:
                yield (
                    ("rules", number),
                    f"`{rule.name}` changes nothing: `{other.name}` {_says(other.action)} all of it",
                )
                break


def _within(mine: object, wider: object) -> bool:
    """Is whatever this matcher says said by the wider one too?"""
    if wider is None or mine == wider:
        return True
    return isinstance(mine, tuple) and isinstance(wider, tuple) and set(mine) <= set(wider)


def _says(action: Action) -> str:
    return {Action.ALLOW: "allows", Action.HOLD: "holds", Action.DENY: "denies"}[action]


def _labels(policy: Policy) -> Iterator[Finding]:
    """Labels in rules that stand on no column."""
    for number, budget in enumerate(policy.document.budgets):
        for position, pattern in enumerate(budget.labels):
            yield from _known_label(policy, pattern, ("budgets", number, "labels", position))
    for number, rule in enumerate(policy.document.rules):
        for key in ("labels", "tested_labels"):
            patterns: tuple[str, ...] = getattr(rule.when, key, None) or ()
            for position, pattern in enumerate(patterns):
                yield from _known_label(policy, pattern, ("rules", number, "when", key, position))


def _owed(policy: Policy) -> Iterator[Finding]:
    """Obligations that nothing of their rule can owe, and masks of labels that nobody has."""
    for number, rule in enumerate(policy.document.rules):
        owed, about = rule.obligations, kinds(rule.effects, rule.action)
        if owed is None:
            continue
        here: FieldPath = ("rules", number, "obligations")
        if owed.max_affected_rows is not None and not about & CHANGING:
            yield (*here, "max_affected_rows"), "the rule names no effect that changes rows"
        if owed.read_only and about <= WRITING:
            yield (*here, "read_only"), "everything that the rule names writes, and Postgres would refuse it"
        if owed.max_rows is not None and not about & RETURNING:
            yield (*here, "max_rows"), "the rule names no effect that returns rows"
        for label in owed.mask or ():
            yield from _known_label(policy, label, (*here, "mask", label))


def _deferred(policy: Policy) -> Iterator[Finding]:
    """Decisions at COMMIT on what cannot wait for it, or may change any number of rows until then."""
    for number, rule in enumerate(policy.document.rules):
        if rule.decide is None:
            continue
        here: FieldPath = ("rules", number, "decide")
        if not kinds(rule.effects, rule.action) & UNDONE:
            yield (
                here,
                "only `insert`, `update` and `delete` wait for COMMIT, and the rule names none of them",
            )
        elif rule.obligations is None or rule.obligations.max_affected_rows is None:
            yield (
                here,
                "it runs before anyone decides; say how much of it, `obligations: {max_affected_rows: …}`",
            )


def _unused(policy: Policy) -> Iterator[Finding]:
    """Selectors that no rule and no budget names."""
    used = {name for rule in policy.document.rules if rule.when for name in rule.when.selectors or ()}
    for name in sorted(policy.document.selectors.keys() - used):
        yield ("selectors", name), f"no rule names the selector `{name}`; remove it, or name it in a rule"


def _known_label(policy: Policy, pattern: str, path: FieldPath) -> Iterator[Finding]:
    known = list(policy.document.labels)
    regex = glob.label_regex(("*",) if pattern == glob.ANY else (pattern,))
    if any(map(regex.fullmatch, known)):
        return
    near = get_close_matches(pattern, [*known, *{k.split(".")[0] for k in known}], n=1)
    meant = f"did you mean `{near[0]}`?" if near else "define it under `labels`"
    yield path, f"no label is called `{shown(pattern)}`; {meant}"


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
