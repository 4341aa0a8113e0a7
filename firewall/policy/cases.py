"""Cases beside a policy: what it must say to which effects, as a file that people can read and a test runs.

    cases:
      - name: a count of orders flows
        as: {agent: reporter, environment: production}
        effects:
          - {effect: read, on: public.orders, columns: [id], tested: [status]}
        verdict: allow
        rule: unlabelled reads flow

Labels are those that the policy's own patterns put on the columns, and those that a case adds. What a case
does not say of its moment is not known, except that no budget is used up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr

from firewall.policy.fields import at_least_one
from firewall.policy.load import refused, text_of, validate
from firewall.policy.moment import Moment
from firewall.policy.source import read, shown
from firewall.policy.verdict import Action, Risk, Subject
from firewall.sql.analysis import Effect, Kind, ObjectType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from firewall.policy.compile import Policy
    from firewall.policy.verdict import Verdict

# what an effect of this kind is on, where a case does not say; otherwise a relation
USUAL_TYPE: Final = {
    Kind.TRANSACTION: ObjectType.STATEMENT,
    Kind.SETTING: ObjectType.SETTING,
    Kind.SESSION: ObjectType.STATEMENT,
    Kind.NOTIFY: ObjectType.CHANNEL,
    Kind.EXECUTE: ObjectType.FUNCTION,
    Kind.CODE: ObjectType.STATEMENT,
    Kind.SERVER_IO: ObjectType.STATEMENT,
    Kind.ROLE: ObjectType.ROLE,
    Kind.UNKNOWN: ObjectType.STATEMENT,
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Asker(_Model):
    """Who asks; what is left out is nobody in particular."""

    agent: StrictStr = "agent"
    owner: StrictStr = "owner@example.com"
    database: StrictStr = "database"
    environment: StrictStr = ""
    team: StrictStr = ""


class CaseEffect(_Model):
    """One effect as an analysis would find it."""

    effect: Kind
    on: StrictStr = "statement"
    type: ObjectType | None = None
    columns: tuple[StrictStr, ...] = ()
    tested: tuple[StrictStr, ...] = ()
    unfiltered: bool = False
    labels: tuple[StrictStr, ...] = ()
    tested_labels: tuple[StrictStr, ...] = ()


def _moment(value: Any) -> Any:
    """`2026-03-02 09:30` or with seconds and zone, in ISO 8601; UTC if no zone is written."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError(f"`{shown(value)}` is not a time; write e.g. `2026-03-02 09:30` (UTC)")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Now(_Model):
    """What is known of the moment. rows: relation → estimate. spent: budget → rows."""

    at: Annotated[datetime | None, BeforeValidator(_moment)] = None
    rows: dict[StrictStr, StrictInt] = {}
    first_use: bool | None = None
    in_transaction: bool | None = None
    transaction_age: float | None = None
    spent: dict[StrictStr, StrictInt] = {}


class Case(_Model):
    """What the policy must say to these effects; what is left out of the expectation is not compared."""

    name: StrictStr
    asker: Annotated[Asker, Field(alias="as")] = Asker()
    moment: Now = Now()
    effects: tuple[CaseEffect, ...]
    verdict: Action
    rule: StrictStr
    risk: Risk | None = None
    groups: tuple[StrictStr, ...] | None = None
    quorum: StrictInt | None = None
    obligations: StrictStr | None = None


class Cases(_Model):
    """A whole file of cases."""

    cases: Annotated[tuple[Case, ...], BeforeValidator(at_least_one)]


@dataclass(frozen=True, slots=True)
class Result:
    """A case, the verdict it got, and where that differs from what was expected; empty when it does not."""

    case: Case
    verdict: Verdict
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Rules and budgets by name that no case made speak, and those that spoke in every case.

    hits: how many cases made each of them speak.
    """

    never_hit: tuple[str, ...]
    never_missed: tuple[str, ...]
    hits: Mapping[str, int] = field(default_factory=dict, compare=False)


def load(path: Path) -> tuple[Case, ...]:
    """The cases in a file. Raises `ConfigurationError` with every problem found."""
    source = read(text_of(path), path)
    if source.problems:
        raise refused(source.problems)
    return validate(Cases, source).cases


def run(policy: Policy, cases: Sequence[Case]) -> tuple[Result, ...]:
    """Judge every case."""
    return tuple(_run(policy, case) for case in cases)


def coverage(policy: Policy, results: Sequence[Result]) -> Coverage:
    """Which rules the cases leave untried, one way or the other."""
    spoke = [{reason.rule for reason in result.verdict.reasons} for result in results]
    names = [rule.name for rule in policy.document.rules]
    names += [budget.name for budget in policy.document.budgets]
    hits = {name: sum(name in rules for rules in spoke) for name in names}
    return Coverage(
        never_hit=tuple(name for name, hit in hits.items() if not hit),
        never_missed=tuple(name for name, hit in hits.items() if hit == len(results)),
        hits=hits,
    )


def effects_of(policy: Policy, case: Case) -> tuple[Effect, ...]:
    """The case's effects, labelled."""
    return tuple(_effect(policy, effect) for effect in case.effects)


def moment_of(policy: Policy, case: Case) -> Moment:
    """What the case says of its moment."""
    now = case.moment
    return Moment(
        now=now.at,
        rows={relation: float(rows) for relation, rows in now.rows.items()},
        first_use=now.first_use,
        in_transaction=now.in_transaction,
        transaction_age=now.transaction_age,
        spent={**{budget.name: 0 for budget in policy.document.budgets}, **now.spent},
    )


def _run(policy: Policy, case: Case) -> Result:
    subject = Subject(**case.asker.model_dump())
    verdict = policy.evaluate(subject, effects_of(policy, case), moment_of(policy, case))
    required = verdict.requirement
    compared: list[tuple[str, object, object]] = [
        ("verdict", case.verdict.value, verdict.action.value),
        ("rule", case.rule, verdict.rule),
        ("risk", case.risk and case.risk.value, verdict.risk.value),
        ("groups", _joined(case.groups), _joined(required.groups if required else ())),
        ("quorum", case.quorum, required.quorum if required else 0),
        ("obligations", case.obligations, str(verdict.obligations)),
    ]
    differences = tuple(
        f"{what} is `{given}`, and `{wanted}` was expected"
        for what, wanted, given in compared
        if wanted is not None and wanted != given
    )
    return Result(case, verdict, differences)


def _joined(groups: tuple[str, ...] | None) -> str | None:
    return None if groups is None else ", ".join(groups)


def _effect(policy: Policy, effect: CaseEffect) -> Effect:
    def labels(columns: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
        found = {label for column in columns for label in policy.labels_of(effect.on, column)}
        return tuple(sorted(found.union(more)))

    return Effect(
        effect.effect,
        effect.on,
        effect.type or USUAL_TYPE.get(effect.effect, ObjectType.RELATION),
        columns=effect.columns,
        tested=effect.tested,
        unfiltered=effect.unfiltered,
        labels=labels(effect.columns, effect.labels),
        tested_labels=labels(effect.tested, effect.tested_labels),
    )
