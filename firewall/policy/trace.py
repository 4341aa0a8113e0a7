"""Why each rule speaks on a statement or does not, matcher by matcher.

Worked out beside the verdict and not on its way: every matcher is made a rule of its own and asked alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewall.policy import moment as moments
from firewall.policy import risk as risks
from firewall.policy.document import When
from firewall.policy.expression import Expression, ExpressionError
from firewall.policy.rule import Rule, Selector
from firewall.sql.analysis import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from firewall.policy.compile import Policy
    from firewall.policy.moment import Moment
    from firewall.policy.verdict import Action, Risk, Subject
    from firewall.sql.analysis import Effect

EVERY_KIND = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Word:
    """What one rule says of one effect.

    missed: what of the rule is not true, as keys of the file; empty if it matches. partly: it matches, and is
    about some of the effect's columns or labels only.
    """

    rule: str
    action: Action
    effect: str
    missed: tuple[str, ...] = ()
    partly: bool = False

    @property
    def matches(self) -> bool:
        return not self.missed


def trace(
    policy: Policy, subject: Subject, effects: Sequence[Effect], moment: Moment = moments.UNKNOWN
) -> tuple[Word, ...]:
    """Every rule on every effect, in the file's order."""
    risk = risks.tier(effects, (), moment)
    compiled = {rule.name: rule for rule in policy.rules}
    selectors = {name: Selector(who) for name, who in policy.document.selectors.items()}
    words = []
    for written in policy.document.rules:
        rule = compiled[written.name]
        alone = dict(_alone(rule, written.when, selectors))
        for effect in dict.fromkeys(effects):
            missed = tuple(_missed(rule, alone, subject, effect, moment, risk))
            cover = rule.cover(effect)
            partly = not missed and cover is not None and not cover.whole
            words.append(Word(rule.name, rule.action, str(effect), missed, partly))
    return tuple(words)


def _alone(rule: Rule, when: When | None, selectors: Mapping[str, Selector]) -> Iterator[tuple[str, Rule]]:
    """Each matcher as a rule that has no other."""
    for key in type(when).model_fields if when else ():
        if (value := getattr(when, key)) is not None:
            only = When.model_construct(**{key: value})
            yield key, Rule(rule.name, rule.action, EVERY_KIND, only, rule.why, selectors=selectors)
    if rule.condition is not None:
        condition = Expression(rule.condition.text)
        yield "if", Rule(rule.name, rule.action, EVERY_KIND, None, rule.why, condition=condition)


def _missed(
    rule: Rule,
    alone: Mapping[str, Rule],
    subject: Subject,
    effect: Effect,
    moment: Moment,
    risk: Risk,
) -> Iterator[str]:
    if effect.kind not in rule.kinds:
        yield rule.action.value
    for key, only in alone.items():
        try:
            true = (
                only.concerns(subject)
                and only.may_touch(effect)
                and only.cover(effect) is not None
                and only.applies(subject, effect, moment, risk)
            )
        except ExpressionError as error:
            yield f"{key}, which failed: {error}"
        else:
            if not true:
                yield key
