"""A policy in force: the document compiled once, asked often, never changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from firewall.policy import glob, obligations
from firewall.policy import moment as moments
from firewall.policy.document import Document, Mode
from firewall.policy.evaluate import Budget, Judge
from firewall.policy.expression import Expression
from firewall.policy.labels import Labeller
from firewall.policy.obligations import Form, Mask, Obligations
from firewall.policy.rule import Rule, Selector
from firewall.policy.verdict import Action, Escalation, Requirement, Terms
from firewall.sql.analysis import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from firewall.catalog.labels import Mark
    from firewall.catalog.snapshot import Labels, Snapshot
    from firewall.policy import document
    from firewall.policy.labels import Ways
    from firewall.policy.moment import Moment
    from firewall.policy.source import Source
    from firewall.policy.verdict import Subject, Verdict
    from firewall.sql.analysis import Effect

T = TypeVar("T")
DEFAULT_QUORUM: Final = 1
DEFAULT_EXPIRES: Final = 900.0  # seconds; as long as an agent's developer is likely to wait


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who may decide. `name` is their e-mail address in lower case.

    slack, teams: (workspace or tenant, user) pairs; an empty first is the firewall's own workspace or tenant.
    """

    name: str
    groups: frozenset[str]
    slack: tuple[tuple[str, str], ...] = ()
    teams: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """An immutable policy. `revision` is the hex SHA-256 of its content: equal for files that differ in
    comments, layout or the order of rules only.
    """

    revision: str
    mode: Mode
    people: Mapping[str, frozenset[str]]
    document: Document
    source: Source = field(repr=False)
    _approvers: Mapping[str, Approver] = field(repr=False)
    _judge: Judge = field(repr=False)
    _labeller: Labeller = field(repr=False)

    def evaluate(
        self, subject: Subject, effects: Sequence[Effect], moment: Moment = moments.UNKNOWN
    ) -> Verdict:
        """May this subject do all of this, at this moment? Effects carry their labels already. Never raises.

        `verdict.facts` says what of the moment it depends on: one with none of them is true at any other.
        """
        return self._judge.evaluate(subject, effects, moment)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The compiled rules in their canonical order."""
        return self._judge.rules

    def labels(self, snapshot: Snapshot, marks: Iterable[Mark] = (), ways: Ways | None = None) -> Labels:
        """The labels of every column in the catalog, by patterns, marks and what data flows through.

        Marks that come from comments count unless the policy says that comments do not.
        """
        counted = marks if self.document.label_comments else (m for m in marks if not m.commented)
        return self._labeller.label(snapshot, counted, ways)

    def labels_of(self, relation: str, column: str) -> tuple[str, ...]:
        """The labels of a column that need not be in a catalog, by its name alone."""
        return self._labeller.of(relation, column)

    def person(self, name: str) -> Approver | None:
        """The approver of exactly this name, or None for a stranger.

        Exactly: two spellings of one address must not pass for two people when votes are counted.
        """
        return self._approvers.get(name)

    def by_slack(self, team: str, user: str) -> str | None:
        """The name of the approver with exactly this Slack account, or None for a stranger.

        An empty team finds what policy writes without one; only the channel knows which workspace is its own.
        """
        return next((a.name for a in self._approvers.values() if (team, user) in a.slack), None)

    def by_teams(self, tenant: str, user: str) -> str | None:
        """The same for a Microsoft Teams account."""
        return next((a.name for a in self._approvers.values() if (tenant, user) in a.teams), None)

    def accounts(self, groups: Iterable[str], platform: str) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        """Who is in these groups, by name, with their accounts on `slack` or `teams`."""
        wanted = frozenset(groups)
        found = [a for a in self._approvers.values() if a.groups & wanted]
        return sorted((a.name, a.slack if platform == "slack" else a.teams) for a in found)


def build(document: Document, source: Source) -> Policy:
    """Compile a valid document."""
    revision = digest(document)
    selectors = {name: Selector(who) for name, who in document.selectors.items()}
    judge = Judge(
        [_rule(rule, document.approval, selectors) for rule in document.rules],
        default=Action(document.default),
        approval=requirement(None, document.approval),
        revision=revision,
        enforced=document.mode is Mode.ENFORCE,
        budgets=[_budget(budget, document.approval) for budget in document.budgets],
    )
    approvers = {
        name: Approver(
            name,
            frozenset(person.groups),
            tuple((a.team, a.user) for a in person.slack),
            tuple((a.tenant or "", a.user) for a in person.teams or ()),
        )
        for name, person in document.approvers.items()
    }
    return Policy(
        revision=revision,
        mode=document.mode,
        people=MappingProxyType({name: person.groups for name, person in approvers.items()}),
        document=document,
        source=source,
        _approvers=MappingProxyType(approvers),
        _judge=judge,
        _labeller=Labeller(document.labels),
    )


def digest(document: Document) -> str:
    """Hex SHA-256 of the content, rules by name: their order means nothing, nor in which file they stand."""
    content = document.model_dump(mode="json", exclude_none=True, exclude={"include"})
    content["rules"].sort(key=lambda rule: rule["name"])
    content["budgets"].sort(key=lambda budget: budget["name"])
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def kinds(patterns: Sequence[str], action: Action) -> frozenset[Kind]:
    """The effect kinds that a rule names. Nobody allows `unknown` without writing the word."""
    found = {kind for kind in Kind if any(p == glob.ANY or fnmatchcase(kind, p) for p in patterns)}
    if action is Action.ALLOW and Kind.UNKNOWN.value not in patterns:
        # INVARIANT: 3. what is not understood is refused or held; never passed by a pattern
        found.discard(Kind.UNKNOWN)
    return frozenset(found)


def requirement(own: document.Approval | None, shared: document.Approval) -> Requirement:
    """A rule's own approval, completed from the policy's, completed from the defaults."""
    layers = [layer for layer in (own, shared) if layer is not None]

    def first(key: str, default: T) -> T:
        return next((value for layer in layers if (value := getattr(layer, key)) is not None), default)

    written: document.Grants | None = first("grants", None)
    return Requirement(
        first("groups", ()),
        first("quorum", DEFAULT_QUORUM),
        first("expires", DEFAULT_EXPIRES),
        first("channels", ()),
        first("remind", 0.0),
        _escalation(first("escalate", None)),
        wait=first("wait", None),
        outlives=first("outlives_connection", False),
        use_within=first("use_within", DEFAULT_EXPIRES),
        grants=Terms(written.seconds, written.uses, written.rows) if written else None,
        break_glass=first("break_glass", ()),
    )


def _escalation(written: document.Escalation | None) -> Escalation | None:
    if written is None:
        return None
    return Escalation(written.after, written.groups or (), written.channels or ())


def owed(written: document.Obligations | None) -> Obligations:
    """A rule's obligations, in the terms of verdicts."""
    if written is None:
        return obligations.NONE
    return Obligations(
        max_rows=written.max_rows,
        max_affected_rows=written.max_affected_rows,
        statement_timeout=written.statement_timeout,
        read_only=bool(written.read_only),
        masks=tuple(_mask(label, mask) for label, mask in sorted((written.mask or {}).items())),
    )


def _mask(label: str, mask: document.Masked) -> Mask:
    if mask.null:
        return Mask(label, Form.NULL)
    if mask.hash:
        return Mask(label, Form.HASH)
    if mask.text is not None:
        return Mask(label, Form.TEXT, text=mask.text)
    return Mask(label, Form.PARTIAL, first=mask.first, last=mask.last)


def _budget(budget: document.Budget, shared: document.Approval) -> Budget:
    labels = ("*",) if budget.labels == (glob.ANY,) else budget.labels
    return Budget(
        budget.name,
        glob.label_regex(labels),
        budget.rows,
        budget.per,
        Selector(budget.when),
        budget.why,
        requirement(budget.approval, shared),
    )


def _rule(rule: document.Rule, shared: document.Approval, selectors: Mapping[str, Selector]) -> Rule:
    return Rule(
        rule.name,
        rule.action,
        kinds(rule.effects, rule.action),
        rule.when,
        rule.why,
        requirement=requirement(rule.approval, shared) if rule.action is Action.HOLD else None,
        risk=rule.risk,
        condition=Expression(rule.condition) if rule.condition else None,
        obligations=owed(rule.obligations),
        selectors=selectors,
        at_commit=rule.decide.at_commit if rule.decide else None,
    )
