"""From effects to a verdict. Pure, deterministic, and independent of the rules' order.

For each effect: a matching deny decides; else a matching hold; else every part of it must be covered by
allow rules. A part that no hold and no allow rule covers gets the policy's default, which may be a deny
where the rest is held. The statement's verdict is its strictest effect's.

What depends on subject and effect alone is remembered, so that of an effect seen before only the moment has
to be looked at, and of an object seen before only the few rules that are about it. The memory is bounded, and
only ever a memory: it holds nothing that could not be worked out again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Final

from firewall.policy import moment as moments
from firewall.policy import obligations
from firewall.policy import risk as risks
from firewall.policy.expression import ExpressionError
from firewall.policy.glob import MAX_NAME
from firewall.policy.moment import Fact
from firewall.policy.rule import columns_of, labels_of, tested_of
from firewall.policy.verdict import Action, Escalation, Reason, Requirement, Risk, Terms, Verdict
from firewall.sql.analysis import Kind

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from firewall.policy.moment import Moment
    from firewall.policy.rule import Cover, Matched, Rule, Selector
    from firewall.policy.verdict import Subject
    from firewall.sql.analysis import Effect, ObjectType

    Candidates = tuple[tuple[Rule, ...], frozenset[Fact]]
    # a rule that matches an effect but for the moment, the part that it is about, and what it says
    Matching = tuple[Rule, Cover, Reason]

# entries of each memory; an entry is a key of a few words and a tuple of references, and an effect's reasons
MAX_REMEMBERED: Final = 8_192
# effects with more columns than these come once
MAX_COLUMNS: Final = 64
SEVERITY: Final = {Action.ALLOW: 0, Action.HOLD: 1, Action.DENY: 2}

UNCOVERED: Final = {
    Action.HOLD: "no rule allows this, and the policy holds what no rule allows",
    Action.DENY: "no rule allows this, and the policy denies what no rule allows",
}


# kinds whose labels are those of columns that reach the client
OUTWARD: Final = frozenset({Kind.READ, Kind.COPY_OUT, Kind.UNKNOWN})
NO_FACTS: Final[frozenset[Fact]] = frozenset()
# what ROLLBACK undoes, and nobody else sees before COMMIT
UNDONE: Final = frozenset({Kind.INSERT, Kind.UPDATE, Kind.DELETE})


@dataclass(frozen=True, slots=True, eq=False)
class Budget:
    """So many rows with these labels in any `per` seconds, for each agent that the selector fits."""

    name: str
    labels: re.Pattern[str]
    rows: int
    per: float
    who: Selector
    why: str
    requirement: Requirement

    def concerns(self, effect: Effect) -> bool:
        return effect.kind in OUTWARD and any(map(self.labels.fullmatch, effect.labels))


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What is said of one effect. momentary: of some of it only the moment tells whether it is said."""

    matching: tuple[Matching, ...]
    facts: frozenset[Fact]
    momentary: bool
    # where no rule covers it
    uncovered: Reason
    # without the moment: the action, and whether a part of it is left to the default
    judged: tuple[Action, bool]


@dataclass(frozen=True, slots=True, eq=False)
class _About:
    """What concerns one subject: rules, budgets, and what is remembered of kinds, objects and effects."""

    rules: tuple[Rule, ...]
    budgets: tuple[Budget, ...]
    kinds: dict[Kind, tuple[Rule, ...]] = field(default_factory=dict)
    objects: dict[tuple[Kind, ObjectType, str], Candidates] = field(default_factory=dict)
    effects: dict[Effect, _Known] = field(default_factory=dict)


class Judge:
    """Rules in their canonical order (most specific first, then by name), and what they say together."""

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        default: Action,
        approval: Requirement,
        revision: str,
        enforced: bool,
        budgets: Sequence[Budget] = (),
    ) -> None:
        self._rules = tuple(sorted(rules, key=lambda rule: (-rule.specificity, rule.name)))
        self._default = default
        self._approval = approval
        self._revision = revision
        self._enforced = enforced
        self._budgets = tuple(sorted(budgets, key=lambda budget: budget.name))
        self._of_subject: dict[Subject, _About] = {}
        # of all subjects together
        self._remembered = 0
        self._requirements: dict[tuple[Requirement, ...], Requirement] = {}

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self._rules

    def evaluate(
        self, subject: Subject, effects: Sequence[Effect], moment: Moment = moments.UNKNOWN
    ) -> Verdict:
        """May this subject do all of this? Never raises: what goes wrong while judging is a deny."""
        try:
            return self._evaluate(subject, effects, moment)
        except ExpressionError as error:
            why = f"{error}, which denies"
        except Exception as error:  # noqa: BLE001 — INVARIANT: 4. an error while judging is a deny
            why = f"the policy could not be evaluated ({type(error).__name__}), which denies; report this"
        reason = Reason("error", Action.DENY, "the statement", why)
        return Verdict(
            Action.DENY,
            Risk.CRITICAL,
            (reason,),
            self._revision,
            enforced=self._enforced,
            # at another moment there may be no error
            facts=frozenset(Fact),
        )

    def _evaluate(self, subject: Subject, effects: Sequence[Effect], moment: Moment) -> Verdict:
        if not effects:
            reason = Reason(
                "nothing", Action.ALLOW, "nothing", "the statement touches no data and no settings"
            )
            return Verdict(Action.ALLOW, Risk.LOW, (reason,), self._revision, enforced=self._enforced)
        about = self._about(subject)
        action = Action.ALLOW
        risk = risks.tier(effects, (), moment)
        facts = NO_FACTS
        # a mapping as an ordered set: the same view read twice gives its reasons once
        reasons: dict[Reason, None] = {}
        matched: dict[Rule, None] = {}
        by_default = False
        waits: list[float | None] = []
        for effect in dict.fromkeys(effects):
            known = about.effects.get(effect) or self._known(about, effect)
            facts |= known.facts
            matching: Sequence[Matching] = known.matching
            mine, uncovered = known.judged
            if known.momentary:
                matching = [
                    each
                    for each in matching
                    if not each[0].momentary or _applies(each[0], subject, effect, moment, risk)
                ]
                mine, uncovered = self._judge(effect, matching)
            for rule, _, reason in matching:
                matched[rule] = None
                reasons[reason] = None
            if uncovered:
                by_default = True
                reasons[known.uncovered] = None
            if SEVERITY[mine] > SEVERITY[action]:
                action = mine
            if mine is Action.HOLD:
                waits.append(None if uncovered else _at_commit(effect, matching))
        budgets = [budget for budget in about.budgets if any(map(budget.concerns, effects))]
        spent = [b for b in budgets if moment.spent.get(b.name, b.rows) >= b.rows]
        if spent:
            action = max(action, Action.HOLD, key=SEVERITY.__getitem__)
            reasons.update((_used_up(budget, effects), None) for budget in spent)
        needed = [budget.requirement for budget in spent]
        waits += [None for _ in spent]
        owed = obligations.NONE
        if action is not Action.DENY:
            owing = [rule.obligations for rule in matched if rule.obligations is not obligations.NONE]
            owed = obligations.together(owing).concerning(effects) if owing else obligations.NONE
        return Verdict(
            action,
            risks.at_least(risk, (rule.risk for rule in matched if rule.risk)),
            tuple(reasons),
            self._revision,
            requirement=self._requirement(matched, needed, waits, by_default=by_default)
            if action is Action.HOLD
            else None,
            enforced=self._enforced,
            obligations=owed,
            facts=facts | {Fact.SPENT} if budgets else facts,
            budgets=tuple(budget.name for budget in budgets),
        )

    def _judge(self, effect: Effect, matching: Sequence[Matching]) -> tuple[Action, bool]:
        """One effect's action, and whether a part of it is left to the default."""
        action = Action.ALLOW
        for rule, _, _ in matching:
            # INVARIANT: 4. a matching deny beats everything
            if rule.action is Action.DENY:
                return Action.DENY, False
            if rule.action is Action.HOLD:
                action = Action.HOLD
        # INVARIANT: 4. nothing covers by default
        if covered(effect, [cover for _, cover, _ in matching]):
            return action, False
        return max(action, self._default, key=SEVERITY.__getitem__), True

    def _known(self, about: _About, effect: Effect) -> _Known:
        """What is said of an effect that is not remembered."""
        candidates, facts = self._candidates(about, effect)
        text = str(effect)
        matching = tuple(
            (rule, cover, Reason(rule.name, rule.action, text, rule.why, _concerned(rule, effect, cover)))
            for rule in candidates
            if (cover := rule.cover(effect)) is not None
        )
        found = _Known(
            matching,
            facts,
            any(rule.momentary for rule, _, _ in matching),
            Reason("default", self._default, text, UNCOVERED[self._default], effect.labels),
            self._judge(effect, matching),
        )
        if len(effect.object) <= MAX_NAME and len(effect.columns) + len(effect.tested) <= MAX_COLUMNS:
            self._remember()
            about.effects[effect] = found
        return found

    def _candidates(self, about: _About, effect: Effect) -> Candidates:
        """The rules about this kind and object, and what of the moment they look at."""
        key = (effect.kind, effect.type, effect.object)
        known = about.objects.get(key)
        if known is not None:
            return known
        of_kind = about.kinds.get(effect.kind)
        if of_kind is None:
            of_kind = about.kinds[effect.kind] = tuple(r for r in about.rules if effect.kind in r.kinds)
        rules = tuple(rule for rule in of_kind if rule.may_touch(effect))
        found = (rules, NO_FACTS.union(*(rule.facts for rule in rules)))
        if len(effect.object) <= MAX_NAME:
            self._remember()
            about.objects[key] = found
        return found

    def _about(self, subject: Subject) -> _About:
        known = self._of_subject.get(subject)
        if known is not None:
            return known
        found = _About(
            tuple(rule for rule in self._rules if rule.concerns(subject)),
            tuple(budget for budget in self._budgets if budget.who.fits(subject)),
        )
        if len(self._of_subject) >= MAX_REMEMBERED:
            self._forget()
        self._of_subject[subject] = found
        return found

    def _remember(self) -> None:
        """One thing more."""
        if self._remembered >= MAX_REMEMBERED:
            self._forget()
        self._remembered += 1

    def _forget(self) -> None:
        self._of_subject.clear()
        self._remembered = 0

    def _requirement(
        self,
        matched: dict[Rule, None],
        needed: list[Requirement],
        waits: Sequence[float | None],
        *,
        by_default: bool,
    ) -> Requirement:
        needed += [rule.requirement for rule in matched if rule.requirement is not None]
        if by_default or not needed:
            needed.append(self._approval)
        # few of a policy's rules ever match together
        key = tuple(dict.fromkeys(needed))
        known = self._requirements.get(key)
        if known is None:
            if len(self._requirements) >= MAX_REMEMBERED:
                self._requirements.clear()
            known = self._requirements[key] = together(key)
        at_commit = _least(waits)
        return known if at_commit is None else replace(known, at_commit=at_commit)


def together(needed: Sequence[Requirement]) -> Requirement:
    """One requirement that is no weaker than any of these: the shortest wait, the largest quorum, and the
    groups that may decide all of them.

    Where no group may, each of them has its part, so that no team decides what two teams were to decide. A
    hold that nobody may approve stays one. Whatever goes beyond one run of one statement that somebody waits
    for has to be let by all of them.
    """
    if len(needed) == 1:
        return replace(needed[0], groups=tuple(sorted(needed[0].groups)))
    sets = [frozenset(each.groups) for each in needed]
    common = frozenset.intersection(*sets)
    parts: tuple[tuple[tuple[str, ...], int], ...] = ()
    quorum = max(each.quorum for each in needed)
    if not common and all(sets):
        largest: dict[frozenset[str], int] = {}
        for groups, each in zip(sets, needed, strict=True):
            largest[groups] = max(each.quorum, largest.get(groups, 0))
        common = frozenset.union(*sets)
        quorum = sum(largest.values())
        parts = tuple(sorted((tuple(sorted(groups)), of) for groups, of in largest.items()))
    waits = [each.wait for each in needed if each.wait is not None]
    grants = [each.grants for each in needed if each.grants is not None]
    glass = frozenset.intersection(*(frozenset(each.break_glass) for each in needed))
    return Requirement(
        tuple(sorted(common)),
        quorum,
        min(each.expires for each in needed),
        tuple(sorted({channel for each in needed for channel in each.channels})),
        min((each.remind for each in needed if each.remind), default=0.0),
        _escalated(needed, frozenset.intersection(*sets)),
        wait=min(waits) if waits else None,
        outlives=all(each.outlives for each in needed),
        use_within=min(each.use_within for each in needed),
        grants=reduce(Terms.least, grants) if len(grants) == len(needed) else None,
        break_glass=tuple(sorted(glass)),
        parts=parts,
    )


def _escalated(needed: Sequence[Requirement], common: frozenset[str]) -> Escalation | None:
    """When the last of them is escalated; and then, too, only those decide who may decide all of them."""
    found = [each.escalation for each in needed if each.escalation]
    if not found:
        return None
    later = [
        frozenset((*each.groups, *(each.escalation.groups if each.escalation else ()))) for each in needed
    ]
    # where no group may decide all, quorums were added up, and no group comes to that
    more = frozenset.intersection(*later) - common if common else frozenset()
    channels = {channel for each in found for channel in each.channels}
    return Escalation(max(each.after for each in found), tuple(sorted(more)), tuple(sorted(channels)))


def covered(effect: Effect, covers: Sequence[Cover]) -> bool:
    """Is every part of the effect in one of the covers?

    Each part gets the set of covers that include it, as bits; a combination of a label, a tested label and a
    column is covered if their sets meet. Parts with equal sets are one, so this stays small.
    """
    if any(cover.whole for cover in covers):
        return True
    if not covers:
        return False
    labels = _members(labels_of(effect), [cover.labels for cover in covers])
    tested = _members(tested_of(effect), [cover.tested for cover in covers])
    columns = _members(columns_of(effect), [cover.columns for cover in covers])
    return all(a & b & c for a in labels for b in tested for c in columns)


def _at_commit(effect: Effect, matching: Sequence[Matching]) -> float | None:
    """How long a decision at COMMIT may take where every rule that holds this effect leaves it until then."""
    if effect.kind not in UNDONE:
        return None
    return _least([rule.at_commit for rule, _, _ in matching if rule.action is Action.HOLD])


def _least(waits: Sequence[float | None]) -> float | None:
    """The shortest; None if one of them cannot wait at all, or there is none."""
    found = [each for each in waits if each is not None]
    return min(found) if found and len(found) == len(waits) else None


def _applies(rule: Rule, subject: Subject, effect: Effect, moment: Moment, risk: Risk) -> bool:
    try:
        return rule.applies(subject, effect, moment, risk)
    except ExpressionError as error:
        raise ExpressionError(f"the condition of rule `{rule.name}` failed: {error}") from None


def _used_up(budget: Budget, effects: Sequence[Effect]) -> Reason:
    """The same words for every amount: what an approver saw is then still what is decided."""
    mine = [effect for effect in effects if budget.concerns(effect)]
    labels = {label for effect in mine for label in effect.labels if budget.labels.fullmatch(label)}
    text = ", ".join(dict.fromkeys(map(str, mine)))
    why = f"{budget.why} (the budget of {budget.rows} rows is used up, or not known)"
    return Reason(budget.name, Action.HOLD, text, why, tuple(sorted(labels)))


def _members(parts: tuple[str, ...], matched: list[Matched]) -> set[int]:
    return {
        sum(1 << bit for bit, found in enumerate(matched) if found is None or part in found) for part in parts
    }


def _concerned(rule: Rule, effect: Effect, cover: Cover) -> tuple[str, ...]:
    """The labels that the rule is about, of those that the effect has."""
    found = set(effect.labels if cover.labels is None else cover.labels)
    if rule.names_tested:
        found.update(effect.tested_labels if cover.tested is None else cover.tested)
    return tuple(sorted(found))
