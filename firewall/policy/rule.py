"""One rule, compiled, and how much of an effect it covers.

An effect is a product of parts: its labels, its tested labels and its columns. A rule that names some of
them is about those parts only. To *allow* is to cover parts, and every part must be covered by some rule;
to hold or deny, one part is enough.

Where a rule's matcher cannot tell, allow does not match, and hold and deny do:

* An `unknown` effect may be anything on any object. `any` and patterns in an allow rule's effects do not
  include it: only the literal word does, and then without naming objects.
* `*` in an effect stands for every column. An allow rule covers it with `*` only; hold and deny rules match
  it with any column of that relation.
* An effect that names no columns and is no read or lock (DELETE, DROP, …) concerns every column.
* An effect on a schema, a database, a role's belongings or an unnamed object may concern any relation in it.
* What concerns temporary relations among others (a schema, a database) is not temporary.
* What is not known of the moment (an estimate, the age of the transaction) is like that too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from firewall.policy import glob, windows
from firewall.policy.moment import CONTAINERS, SESSION_ONLY, Fact, rows_of
from firewall.policy.obligations import NONE, Obligations
from firewall.policy.verdict import Action
from firewall.sql.analysis import Kind, ObjectType

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping

    from firewall.policy.document import When, Who
    from firewall.policy.expression import Expression
    from firewall.policy.moment import Moment
    from firewall.policy.verdict import Requirement, Risk, Subject
    from firewall.sql.analysis import Effect

# kinds that touch no column unless they name it
COLUMNS_NAMED: Final = SESSION_ONLY | {Kind.READ, Kind.LOCK}
A = TypeVar("A")
B = TypeVar("B")
NOTHING: Final = ""  # the one part of a dimension in which an effect names nothing

Matched = frozenset[str] | None  # the parts of one dimension that a rule covers; None is all of them


@dataclass(frozen=True, slots=True)
class Cover:
    """The parts of an effect that a rule is about; the product of three dimensions."""

    labels: Matched = None
    tested: Matched = None
    columns: Matched = None

    @property
    def whole(self) -> bool:
        return self.labels is None and self.tested is None and self.columns is None


WHOLE: Final = Cover()


def labels_of(effect: Effect) -> tuple[str, ...]:
    return effect.labels or (NOTHING,)


def tested_of(effect: Effect) -> tuple[str, ...]:
    return effect.tested_labels or (NOTHING,)


def columns_of(effect: Effect) -> tuple[str, ...]:
    """Columns returned, written or tested; `*` where the effect concerns all without naming them."""
    named = (*effect.columns, *effect.tested)
    return named or ((NOTHING,) if effect.kind in COLUMNS_NAMED else (glob.EVERY_COLUMN,))


class Objects:
    """A matcher on `schema.name`; `None` patterns is no matcher at all."""

    __slots__ = ("_name", "_schema")

    def __init__(self, patterns: tuple[str, ...]) -> None:
        patterns = _opened(patterns)
        self._name = glob.name_regex(patterns, parts=2)
        self._schema = glob.text_regex(tuple(p.split(".")[0] if "." in p else "*" for p in patterns))

    def every(self, name: str) -> bool:
        return all(map(self._name.fullmatch, glob.keys(name)))

    def some(self, name: str) -> bool:
        return any(map(self._name.fullmatch, glob.keys(name)))

    def inside(self, schema: str) -> bool:
        """May something in this schema match?"""
        return self._schema.fullmatch(schema) is not None


class Columns:
    """A matcher on `schema.table.column`."""

    __slots__ = ("_column", "_whole", "owners")

    def __init__(self, patterns: tuple[str, ...]) -> None:
        patterns = _opened(patterns)
        self._column = glob.name_regex(patterns, parts=3)
        whole = tuple(_table(p) for p in patterns if not p.rpartition(".")[2].strip("*"))
        self._whole = Objects(whole) if whole else None
        self.owners = Objects(tuple(_table(p) for p in patterns))

    def every(self, relation: str, column: str) -> bool:
        """Is this column certainly meant? `*` only by patterns for all columns."""
        if column == glob.EVERY_COLUMN:
            return self._whole is not None and self._whole.every(relation)
        return all(self._column.fullmatch(f"{key}\0{column}") for key in glob.keys(relation))

    def some(self, relation: str, column: str) -> bool:
        """Can this column be meant?"""
        if column == glob.EVERY_COLUMN:
            return self.owners.some(relation)
        return any(self._column.fullmatch(f"{key}\0{column}") for key in glob.keys(relation))


def _table(pattern: str) -> str:
    return pattern.rpartition(".")[0] or "*"


def _opened(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return ("*",) if patterns == (glob.ANY,) else patterns


class Selector:
    """Who asks, compiled: patterns on each of the subject's fields that is named."""

    __slots__ = ("_fields",)

    def __init__(self, who: Who | None) -> None:
        self._fields: tuple[tuple[Callable[[Subject], str], re.Pattern[str]], ...] = tuple(
            (field, glob.text_regex(patterns))
            for key, field in SUBJECT_FIELDS
            if (patterns := getattr(who, key, None)) and patterns != (glob.ANY,)
        )

    def fits(self, subject: Subject) -> bool:
        return all(regex.fullmatch(field(subject)) for field, regex in self._fields)


class Rule:
    """One compiled rule. Immutable by habit: nothing is assigned after construction."""

    __slots__ = (
        "_about_parts",
        "_columns",
        "_first_use",
        "_functions",
        "_in_transaction",
        "_labels",
        "_objects",
        "_relations",
        "_risk",
        "_rows_over",
        "_rows_up_to",
        "_selectors",
        "_settings",
        "_subject",
        "_temporary",
        "_tested",
        "_times",
        "_transaction_over",
        "_unfiltered",
        "_unlabelled",
        "action",
        "at_commit",
        "condition",
        "facts",
        "kinds",
        "momentary",
        "name",
        "names_tested",
        "obligations",
        "requirement",
        "risk",
        "specificity",
        "why",
    )

    def __init__(  # noqa: PLR0913 — one for each part of a rule
        self,
        name: str,
        action: Action,
        kinds: frozenset[Kind],
        when: When | None,
        why: str,
        *,
        requirement: Requirement | None = None,
        risk: Risk | None = None,
        condition: Expression | None = None,
        obligations: Obligations = NONE,
        selectors: Mapping[str, Selector] | None = None,
        at_commit: float | None = None,
    ) -> None:
        self.at_commit = at_commit
        self.name = name
        self.action = action
        self.kinds = kinds
        self.why = why
        self.requirement = requirement
        self.risk = risk
        self.condition = condition
        self.obligations = obligations
        written = when.model_dump(exclude_none=True) if when else {}
        self.specificity = len(written) + (condition is not None)
        self._subject = Selector(when)
        named: tuple[str, ...] | None = written.get("selectors")
        self._selectors = None if named is None else tuple((selectors or {})[name] for name in named)
        self._relations = _maybe(Objects, written.get("relations"))
        self._functions = _maybe(Objects, written.get("functions"))
        self._columns = _maybe(Columns, written.get("columns"))
        self._settings = _maybe(glob.text_regex, _maybe(_opened, written.get("settings")))
        self._objects = _maybe(glob.text_regex, _maybe(_opened, written.get("objects")))
        self._labels = _maybe(glob.label_regex, _maybe(_opened, written.get("labels")))
        self._tested = _maybe(glob.label_regex, _maybe(_opened, written.get("tested_labels")))
        self.names_tested = self._tested is not None
        self._unlabelled: bool | None = written.get("unlabelled")
        self._unfiltered: bool | None = written.get("unfiltered")
        self._temporary: bool | None = written.get("temporary")
        self._about_parts = not written.keys().isdisjoint(PART_KEYS)
        self._rows_over: int | None = written.get("rows_over")
        self._rows_up_to: int | None = written.get("rows_up_to")
        self._first_use: bool | None = written.get("first_use")
        self._in_transaction: bool | None = written.get("in_transaction")
        self._transaction_over: float | None = written.get("transaction_over")
        self._times = _windows(when)
        self._risk: tuple[Risk, ...] | None = written.get("risk")
        looked_at = {fact for key, fact in FACT_KEYS.items() if key in written}
        self.facts = frozenset(looked_at.union(condition.facts if condition else ()))
        # whether `applies` has to be asked at all
        self.momentary = bool(self.facts) or condition is not None

    def concerns(self, subject: Subject) -> bool:
        """Is the rule about this agent, owner, team, database and environment?"""
        if not self._subject.fits(subject):
            return False
        return self._selectors is None or any(selector.fits(subject) for selector in self._selectors)

    def may_touch(self, effect: Effect) -> bool:
        """Is the rule about the effect's kind and object? Depends on kind, type and object alone."""
        if effect.kind not in self.kinds:
            return False
        if effect.kind is Kind.UNKNOWN:
            # INVARIANT: 3. what is not understood may be on any object: enough to stop it, too little to pass
            return self.action is not Action.ALLOW or not self._names_objects
        if self._temporary is not None and self._temporary is not _is_temporary(effect):
            return False
        return (
            self._relation_meant(effect)
            and self._function_meant(effect)
            and (
                self._settings is None
                or (effect.type is ObjectType.SETTING and self._settings.fullmatch(effect.object) is not None)
            )
            and (self._objects is None or self._objects.fullmatch(effect.object) is not None)
        )

    def cover(self, effect: Effect) -> Cover | None:
        """The parts of the effect that the rule is about, given that `may_touch` holds; None without any."""
        if not self._about_parts:
            return WHOLE
        if effect.kind is Kind.UNKNOWN:
            return None if self.action is Action.ALLOW else WHOLE
        if self._unfiltered is not None and self._unfiltered is not effect.unfiltered:
            return None
        if self._unlabelled is not None and self._unlabelled is bool(effect.labels):
            return None
        labels: Matched = None
        tested: Matched = None
        columns: Matched = None
        if self._labels is not None:
            labels = _matched(self._labels, labels_of(effect))
            if labels is not None and not labels:
                return None
        if self._tested is not None:
            tested = _matched(self._tested, tested_of(effect))
            if tested is not None and not tested:
                return None
        if self._columns is not None:
            columns = self._columns_meant(self._columns, effect)
            if columns is not None and not columns:
                return None
        return Cover(labels, tested, columns)

    def applies(self, subject: Subject, effect: Effect, moment: Moment, risk: Risk) -> bool:
        """Is it true of the moment, given that `cover` has found something? Raises ExpressionError."""
        if self.facts and not self._timely(effect, moment):
            return False
        if self._risk is not None and risk not in self._risk:
            return False
        if self.condition is None:
            return True
        if effect.kind is Kind.UNKNOWN and self.condition.of_effect:
            # INVARIANT: 3. whatever the condition says of an effect may be true of this one
            return self.action is not Action.ALLOW
        return self.condition.holds(subject, effect, moment, risk)

    def _timely(self, effect: Effect, moment: Moment) -> bool:
        answers: list[bool | None] = []
        if self._rows_over is not None or self._rows_up_to is not None:
            rows = rows_of(effect, moment)
            if self._rows_over is not None:
                answers.append(None if rows is None else rows > self._rows_over)
            if self._rows_up_to is not None:
                answers.append(None if rows is None else rows <= self._rows_up_to)
        if self._first_use is not None:
            answers.append(None if moment.first_use is None else moment.first_use is self._first_use)
        if self._in_transaction is not None:
            known = moment.in_transaction
            answers.append(None if known is None else known is self._in_transaction)
        if self._transaction_over is not None:
            age = moment.transaction_age
            answers.append(None if age is None else age > self._transaction_over)
        if self._times is not None:
            answers.append(None if moment.now is None else windows.inside(self._times, moment.now))
        # what nobody knows is enough to stop, and too little to pass
        stops = self.action is not Action.ALLOW
        return all(stops if answer is None else answer for answer in answers)

    @property
    def _names_objects(self) -> bool:
        named = (self._relations, self._functions, self._settings, self._objects, self._temporary)
        return any(m is not None for m in named)

    def _relation_meant(self, effect: Effect) -> bool:
        if self._relations is None:
            return True
        if effect.type is ObjectType.RELATION:
            if self.action is Action.ALLOW:
                return self._relations.every(effect.object)
            return self._relations.some(effect.object)
        return self.action is not Action.ALLOW and _may_contain(effect, self._relations)

    def _function_meant(self, effect: Effect) -> bool:
        if self._functions is None:
            return True
        if effect.type is not ObjectType.FUNCTION:
            return False
        if self.action is Action.ALLOW:
            return self._functions.every(effect.object)
        return self._functions.some(effect.object)

    def _columns_meant(self, matcher: Columns, effect: Effect) -> Matched:
        if effect.type is not ObjectType.RELATION:
            stops = self.action is not Action.ALLOW and _may_contain(effect, matcher.owners)
            return None if stops else frozenset()
        names = columns_of(effect)
        meant = matcher.every if self.action is Action.ALLOW else matcher.some
        found = frozenset(c for c in names if c != NOTHING and meant(effect.object, c))
        return None if len(found) == len(set(names)) else found


def _is_temporary(effect: Effect) -> bool:
    """A relation that the session made for itself alone; nothing else can be called so."""
    return effect.type is ObjectType.RELATION and effect.object.startswith("pg_temp.")


def _may_contain(effect: Effect, relations: Objects) -> bool:
    if effect.kind in SESSION_ONLY:
        return False
    if effect.type is ObjectType.SCHEMA:
        return relations.inside(effect.object)
    return effect.type in CONTAINERS


def _matched(regex: re.Pattern[str], names: tuple[str, ...]) -> Matched:
    found = frozenset(n for n in names if n != NOTHING and regex.fullmatch(n))
    return None if len(found) == len(set(names)) else found


def _windows(when: When | None) -> tuple[windows.Window, ...] | None:
    if when is None or when.times is None:
        return None
    found = []
    for written in when.times:
        zone = windows.zone(written.zone)
        assert zone is not None  # it was looked up when the field was checked
        days = frozenset(windows.DAYS.index(day) for day in written.days or windows.DAYS)
        found.append(windows.Window(days, written.begin, written.end, zone))
    return tuple(found)


def _maybe(make: Callable[[A], B], value: A | None) -> B | None:
    return None if value is None else make(value)


SUBJECT_FIELDS: Final[tuple[tuple[str, Callable[[Subject], str]], ...]] = (
    ("agents", lambda s: s.agent),
    ("owners", lambda s: s.owner),
    ("teams", lambda s: s.team),
    ("databases", lambda s: s.database),
    ("environments", lambda s: s.environment),
)
PART_KEYS: Final = ("columns", "labels", "tested_labels", "unlabelled", "unfiltered")
FACT_KEYS: Final = {
    "rows_over": Fact.ROWS,
    "rows_up_to": Fact.ROWS,
    "risk": Fact.ROWS,
    "first_use": Fact.FIRST_USE,
    "in_transaction": Fact.TRANSACTION,
    "transaction_over": Fact.TRANSACTION,
    "times": Fact.CLOCK,
}
