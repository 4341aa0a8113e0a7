"""Figures of a period, counted record by record. Memory grows with days, names and decisions only."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from firewall import audit

if TYPE_CHECKING:
    from collections.abc import Mapping

# of each kind of exception; the number counts all
MAX_LISTED = 200
# a log may have other kinds than this version writes
WATCH = "watch"
OBSERVE = "observe mode"
STARTED = "start of the firewall"

Days = defaultdict[str, Counter[str]]


@dataclass(frozen=True, slots=True)
class Notable:
    """One exception: when, who or what, what happened, and the record that says so."""

    at: str
    who: str
    what: str
    record: str


@dataclass(slots=True)
class Listed:
    """Exceptions of one kind: the first `MAX_LISTED`, and how many there are."""

    total: int = 0
    listed: list[Notable] = field(default_factory=list)

    def add(self, record: audit.Record, who: str, what: str) -> None:
        self.total += 1
        if len(self.listed) < MAX_LISTED:
            self.listed.append(Notable(record.at, who, what, record.id))


@dataclass(frozen=True, slots=True)
class Decided:
    """A hold that people decided: on which day, and after how many seconds."""

    day: str
    approved: bool
    seconds: float


def _days() -> Days:
    return defaultdict(Counter)


@dataclass(slots=True)
class Figures:
    """Told each record of the period in the order of its log (`add`); counts are by name, days are UTC."""

    kinds: Counter[str] = field(default_factory=Counter)
    first: str = ""
    last: str = ""
    statements: Days = field(default_factory=_days)  # day → verdict
    agents: Counter[str] = field(default_factory=Counter)
    denied_by: Counter[str] = field(default_factory=Counter)
    held_by: Counter[str] = field(default_factory=Counter)
    not_enforced: Counter[tuple[str, str]] = field(default_factory=Counter)  # rule, verdict
    risks: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    opaque: int = 0
    releases: Counter[str] = field(default_factory=Counter)  # by leave, without names
    masked: int = 0
    runs: int = 0
    rows: int = 0
    failed: int = 0
    decisions: Days = field(default_factory=_days)  # day → state
    decided: list[Decided] = field(default_factory=list)
    people: defaultdict[str, Counter[str]] = field(default_factory=_days)
    uncounted: Counter[str] = field(default_factory=Counter)  # votes, by person
    sessions: Counter[str] = field(default_factory=Counter)
    grants: Counter[str] = field(default_factory=Counter)
    credentials: Counter[str] = field(default_factory=Counter)
    sign_ins: Counter[bool] = field(default_factory=Counter)
    failing: Counter[str] = field(default_factory=Counter)  # sign-ins, by person
    labelled: int = 0
    published: int = 0
    starts: int = 0  # a policy came into force and changed nothing
    policies: Listed = field(default_factory=Listed)
    policies_refused: Listed = field(default_factory=Listed)
    break_glass: Listed = field(default_factory=Listed)
    faults: Listed = field(default_factory=Listed)
    unpublished: Listed = field(default_factory=Listed)
    bypasses: Listed = field(default_factory=Listed)
    erasures: Listed = field(default_factory=Listed)
    erased: int = 0
    silence: float = 0.0
    silent_from: str = ""
    opened: dict[str, str] = field(default_factory=dict)
    _undated: list[audit.Decision] = field(default_factory=list)
    _before: dict[str, str] = field(default_factory=dict)  # by origin
    _revisions: dict[str, str] = field(default_factory=dict)  # by database

    @property
    def total(self) -> int:
        """How many records there are."""
        return self.kinds.total()

    def verdict(self, name: str) -> int:
        """How many statements were judged so."""
        return sum(day[name] for day in self.statements.values())

    def state(self, name: str) -> int:
        """How many holds ended so."""
        return sum(day[name] for day in self.decisions.values())

    @property
    def observed(self) -> int:
        """Statements that a rule would have held or denied, and observe mode let through."""
        return self.releases[OBSERVE]

    @property
    def undated(self) -> set[str]:
        """Holds decided in the period that were opened before it: `date` them."""
        return {decision.hold for decision in self._undated}

    def date(self, opened: Mapping[str, str]) -> None:
        """Say when the `undated` holds were opened; one that nobody knows has no time to decision."""
        late, self._undated = self._undated, []
        for decision in late:
            if decision.hold in opened:
                self._time(decision, opened[decision.hold])

    def foreign(self, kind: str) -> None:
        """Count a record of a kind that this version does not know."""
        self.kinds[kind] += 1

    def add(self, record: audit.Record, origin: str) -> None:
        """Count one record."""
        self.kinds[record.kind] += 1
        self._seen(record.at, origin)
        day = record.at[:10]
        match record:
            case audit.Judgement():
                self._judged(record, day)
            case audit.HoldOpened():
                self.opened[record.hold] = record.at
            case audit.Vote():
                self._voted(record)
            case audit.Decision():
                self.decisions[day][record.state] += 1
                if record.state in {"approved", "rejected"}:
                    opened = self.opened.get(record.hold)
                    if opened is None:
                        self._undated.append(record)
                    else:
                        self._time(record, opened)
            case audit.BreakGlass():
                self.people[record.person]["break_glass"] += 1
                asked = f"{record.quorum} of {', '.join(record.groups)}" if record.groups else "others"
                what = f"approved hold {record.hold} of {record.agent} alone, which {asked} were to decide"
                self.break_glass.add(record, record.person, f"{what}: {record.reason or 'no reason given'}")
            case audit.Release():
                self.releases[OBSERVE if record.leave == OBSERVE else record.leave.split(" ", 1)[0]] += 1
                self.masked += bool(record.masked)
            case audit.Outcome():
                self.rows += record.rows
                self.failed += bool(record.sqlstate)
            case audit.Runs():
                self.runs += len(record.released)
                self.rows += sum(end["rows"] for end in record.ended)
                self.failed += sum(bool(end["sqlstate"]) for end in record.ended)
            case audit.Session():
                self.sessions[record.event] += 1
            case audit.Grant():
                self.grants[record.event] += 1
            case audit.Credential():
                self.credentials[record.event] += 1
            case audit.SignIn():
                self.sign_ins[record.succeeded] += 1
                if not record.succeeded:
                    self.failing[record.person] += 1
            case audit.Label():
                self.labelled += len(record.labels)
            case _:
                self._operated(record)

    def _operated(self, record: audit.Record) -> None:
        match record:
            case audit.Policy(refused=""):
                before = record.before or self._revisions.get(record.database, "")
                self._revisions[record.database] = record.revision
                if before and before != record.revision:
                    self.policies.add(record, record.by or STARTED, _policy(record, before))
                else:
                    self.starts += 1
            case audit.Policy():
                self.policies_refused.add(record, record.by or STARTED, record.refused)
            case audit.Fault():
                self.faults.add(record, record.where, record.error)
            case audit.Watch():
                if record.past:
                    kinds = f"{len(record.past)} of {record.statements} kinds of statements"
                    self.bypasses.add(
                        record, record.database, f"{kinds} in {record.source} did not come through"
                    )
                if record.lost:
                    self.bypasses.add(
                        record, record.database, f"part of the window is not known: {record.lost}"
                    )
            case audit.Erasure():
                self.erased += record.records
                self.erasures.add(record, record.by, f"values of {record.records} records: {record.why}")
            case audit.Published():
                self.published += any(not place.failed for place in record.places)
                for place in record.places:
                    if place.failed:
                        self.unpublished.add(record, place.place, place.failed)
            case _:
                pass  # refusals and waits are seen in what they belong to

    def _seen(self, at: str, origin: str) -> None:
        self.first = min(self.first or at, at)
        self.last = max(self.last, at)
        before = self._before.get(origin)
        # writers of one log may be out of step by a little
        if before is not None and at > before:
            quiet = _seconds(before, at)
            if quiet > self.silence:
                self.silence, self.silent_from = quiet, before
        self._before[origin] = max(before or at, at)

    def _judged(self, record: audit.Judgement, day: str) -> None:
        if not record.hold:  # or it is a statement that was counted, judged anew
            self.statements[day][record.verdict] += 1
            self.agents[record.agent] += 1
            self.risks[record.risk] += 1
            self.labels.update(record.labels)
            self.opaque += bool(record.opaque)
        if record.verdict == "allow":
            return
        if not record.enforced:
            self.not_enforced[record.rule, record.verdict] += 1
        elif record.verdict == "deny":
            self.denied_by[record.rule] += 1
        else:
            self.held_by[record.rule] += 1

    def _voted(self, record: audit.Vote) -> None:
        if record.counted:
            self.people[record.person]["approved" if record.approve else "rejected"] += 1
        else:
            self.uncounted[record.person] += 1

    def _time(self, record: audit.Decision, opened: str) -> None:
        seconds = max(_seconds(opened, record.at), 0.0)
        self.decided.append(Decided(record.at[:10], record.state == "approved", seconds))


def percentile(values: list[float], share: float) -> float:
    """The smallest of the values that `share` of them do not exceed (nearest rank). There is one at least."""
    rank = -(-len(values) * round(share * 100) // 100)
    return sorted(values)[max(rank, 1) - 1]


def _seconds(before: str, after: str) -> float:
    return (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()


def _policy(record: audit.Policy, before: str) -> str:
    what = f"{record.database}: {before[:12]} became {record.revision[:12]}, {record.mode}"
    return f"{what}: {'; '.join(record.changes)}" if record.changes else what
