"""What an open transaction has written ahead of a decision (`decide: at_commit`), until it has ended.

A statement may run ahead where everything that it does is undone by ROLLBACK and seen by nobody before
COMMIT, in a transaction block that is open for certain. From then on nothing goes by a standing release in
that session, and no text that could commit passes without the decision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from firewall.approval import Ran
from firewall.approval import Standing as Stands
from firewall.catalog.snapshot import RelationKind
from firewall.policy import Action, Risk, obligations
from firewall.policy.evaluate import UNDONE, together
from firewall.proxy import telling, text
from firewall.session import Refusal
from firewall.sql import Kind, ObjectType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firewall.catalog import Snapshot
    from firewall.judgement import Judgement
    from firewall.policy import Moment
    from firewall.proxy.standing import Standing
    from firewall.session import Act, Done
    from firewall.sql import Effect

# What a person can be asked to read at once; as of a batch. More is decided before it runs.
MAX_WRITES: Final = 1000
MAX_EXECUTIONS: Final = 10_000
MAX_BYTES: Final = 16 * 1024 * 1024
# A batch's tags are added up beyond so many.
MAX_TAGS: Final = 3

_NODES: Final = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
# Of others than these (sequences, foreign tables) something stays when a transaction is rolled back.
_TABLES: Final = frozenset({RelationKind.TABLE, RelationKind.PARTITIONED, RelationKind.VIEW})
_RISKS: Final = tuple(Risk)


@dataclass(slots=True, eq=False)
class Write:
    """One statement that has run ahead. digest: of what was let run. done: once Postgres has answered.

    since: how many savepoints had been set. partly: it has failed behind another savepoint than those that
    it began behind, so that some of it may stand when that one is gone back to.
    """

    ticket: int
    judgement: Judgement
    acts: tuple[Act, ...]
    digest: str
    since: int
    done: Done | None = None
    undone: bool = False
    partly: bool = False

    @property
    def stands(self) -> Stands:
        if self.done is not None and self.done.sqlstate and not self.partly:
            return Stands.FAILED
        return Stands.UNDONE if self.undone else Stands.COUNTS

    @property
    def outcome(self) -> str:
        """Postgres's word, with the rows that it has changed in all where they were counted."""
        done = self.done
        if done is None:
            return "its result has not been read to its end"
        told = telling.outcome_line(done)
        if not done.sqlstate and len(done.tags) > MAX_TAGS:
            told = f"{len(done.tags):,} runs, {telling.rows_of(done.tags):,} rows"
        counted = done.changed is not None and not done.sqlstate
        return f"{told}, {done.changed:,} rows changed with all that it set off" if counted else told


class Deferred:
    """The writes of one session's open transaction, in order."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._writes: list[Write] = []
        self._by_ticket: dict[int, Write] = {}
        # savepoints that were set since the first of them, with how many writes there were then
        self._savepoints: list[tuple[str, int]] = []
        self._lost_count = False
        self._set = 0  # savepoints, those that may have been among them
        self._size = 0
        self._executions = 0

    @property
    def open(self) -> bool:
        """Something has run ahead in the transaction that is open."""
        return bool(self._writes)

    @property
    def counting(self) -> list[Write]:
        """Those that COMMIT would make permanent."""
        return [write for write in self._writes if write.stands is Stands.COUNTS]

    def has(self, ticket: int) -> bool:
        return ticket in self._by_ticket

    # --- what may run ahead

    def may(self, judgement: Judgement, acts: Sequence[Act], moment: Moment, snapshot: Snapshot) -> bool:
        """It may be decided at COMMIT, here and now."""
        requirement = judgement.verdict.requirement
        if requirement is None or requirement.at_commit is None or moment.in_transaction is not True:
            return False
        return (
            # where the catalog has moved on, it is judged anew when it is decided
            judgement.catalog == snapshot.version
            and len(self._writes) < MAX_WRITES
            and self._executions + len(acts) <= MAX_EXECUTIONS
            and self._size + _size(acts) <= MAX_BYTES
            and undoable(judgement, snapshot)
        )

    def add(self, ticket: int, judgement: Judgement, acts: Sequence[Act], digest: str) -> None:
        """It is about to be sent, and its release is durable."""
        write = Write(ticket, judgement, tuple(acts), digest, self._set)
        self._writes.append(write)
        self._by_ticket[ticket] = write
        self._size += _size(acts)
        self._executions += len(acts)
        # INVARIANT: 6. no COMMIT goes by a release that was given before
        self._standing.suspended = True

    # --- what comes of it

    def heard(self, done: Done) -> None:
        """Postgres has answered something."""
        if not self._writes:
            return
        if (write := self._by_ticket.get(done.ticket)) is not None:
            write.done = done
            write.partly = write.since != self._set
            return
        judgement: Judgement = done.judgement  # type: ignore[assignment]  # it is what `Clear` carried
        steps = [statement for statement in judgement.analysis.statements if statement.step]
        self._set += sum(statement.step == "savepoint" for statement in steps)
        if steps and done.sqlstate and len(judgement.analysis.statements) > 1:
            self._lost_count = True  # how far it came, nobody knows
        if not steps or done.sqlstate or not done.released:
            return
        whole = len(judgement.analysis.statements) == 1
        if whole and steps[0].step in {"commit", "rollback"}:
            self.over()
            return
        for statement in steps:
            self._step(statement.step, statement.savepoint)

    def over(self) -> None:
        """The transaction has ended."""
        if not self._writes:
            return
        self._writes, self._by_ticket, self._savepoints = [], {}, []
        self._lost_count, self._set, self._size, self._executions = False, 0, 0, 0
        self._standing.suspended = False

    def _step(self, step: str, name: str) -> None:
        at = next((n for n, (of, _) in reversed(list(enumerate(self._savepoints))) if of == name), None)
        if step == "savepoint":
            self._savepoints.append((name, len(self._writes)))
        elif step == "release" and at is not None:
            del self._savepoints[at:]
        elif step == "rollback_to" and not self._lost_count:
            # one that is not known was set before the first write
            first = 0 if at is None else self._savepoints[at][1]
            for write in self._writes[first:]:
                write.undone = True
            del self._savepoints[0 if at is None else at + 1 :]

    # --- what ends it

    def commits(self, judgement: Judgement) -> bool:
        """It is a COMMIT, and nothing else."""
        statements = judgement.analysis.statements
        return self.open and len(statements) == 1 and statements[0].step == "commit"

    def obstacle(self, judgement: Judgement) -> Refusal | None:
        """Why it cannot pass while writes wait: it may commit them unseen."""
        if not self.open or self.commits(judgement):
            return None
        analysis = judgement.analysis
        if analysis.error is not None or any(each.node == "unknown" for each in analysis.statements):
            return _not_now("what nobody understands")
        if any(each.step in {"commit", "prepare", "unknown"} for each in analysis.statements):
            return _not_now("PREPARE TRANSACTION, and COMMIT beside other statements,")
        return None

    def decided(self, judgement: Judgement) -> Judgement:
        """The judgement of a COMMIT, with all that is asked of what it would make permanent."""
        writes = [write.judgement for write in self.counting]
        verdicts = [each.verdict for each in writes]
        needed = [each.requirement for each in (*verdicts, judgement.verdict) if each.requirement is not None]
        limits = [each.at_commit for each in needed if each.at_commit is not None]
        requirement = replace(
            together(needed), expires=min(limits), wait=None, outlives=False, grants=None, at_commit=None
        )
        reasons = [
            reason
            for each in (*verdicts, judgement.verdict)
            for reason in each.reasons
            if reason.action is Action.HOLD
        ]
        verdict = replace(
            judgement.verdict,
            action=Action.HOLD,
            risk=max((each.risk for each in (*verdicts, judgement.verdict)), key=_RISKS.index),
            reasons=tuple(dict.fromkeys(reasons)),
            requirement=requirement,
            enforced=True,
            obligations=obligations.NONE,
            facts=frozenset(),
            budgets=(),
        )
        effects = dict.fromkeys(effect for each in (*writes, judgement) for effect in each.effects)
        return replace(judgement, verdict=verdict, effects=tuple(effects))

    def digests(self) -> Iterator[tuple[str, str]]:
        """Of each write, with what came of it: what is approved is bound to both."""
        for write in self._writes:
            yield write.digest, f"{write.stands}: {write.outcome}"

    def ran(self, session: str) -> Iterator[Ran]:
        """For people."""
        for write in self._writes:
            yield Ran(
                statement=f"{session}.{write.ticket}",
                sql=text.printable(write.judgement.sql),
                outcome=text.printable(write.outcome),
                standing=write.stands,
                parameters=tuple(value for act in write.acts for value in text.values(act)),
                executions=len(write.acts),
                effects=telling.effects(write.judgement),
            )


def undoable(judgement: Judgement, snapshot: Snapshot) -> bool:
    """All of it is known, all of it is undone by ROLLBACK, and nobody sees any of it before COMMIT."""
    # INVARIANT: 3. what is not understood does not run ahead of a decision
    analysis = judgement.analysis
    if len(analysis.statements) != 1 or analysis.statements[0].node not in _NODES:
        return False
    if analysis.opaque or analysis.volatile or judgement.in_doubt or judgement.native:
        return False
    return all(effect.kind is Kind.READ or _on_table(effect, snapshot) for effect in judgement.effects)


def _on_table(effect: Effect, snapshot: Snapshot) -> bool:
    if effect.kind not in UNDONE or effect.type is not ObjectType.RELATION:
        return False
    return effect.object.startswith("pg_temp.") or _all_tables(effect.object, snapshot, set())


def _all_tables(name: str, snapshot: Snapshot, seen: set[str]) -> bool:
    """It is one, and so are its partitions and children."""
    relation = snapshot.relation(name)
    if name in seen:
        return True
    if relation is None or relation.kind not in _TABLES:
        return False
    seen.add(name)
    return all(_all_tables(child, snapshot, seen) for child in relation.children)


def _size(acts: Sequence[Act]) -> int:
    return sum(len(act.sql) + sum(len(value or b"") for value in act.parameters) for act in acts)


def ahead(judgement: Judgement) -> tuple[str, str, str]:
    """Message, detail and hint of the notice with the first statement that runs ahead."""
    needed = judgement.verdict.requirement
    assert needed is not None  # it is held
    return (
        f"query-firewall: this runs now, and waits for approval by {' or '.join(needed.groups)} at COMMIT",
        "\n".join(telling.reasons(judgement, deciding=True)[:5]),
        "COMMIT soon, locks are held; nobody else sees it before, and ROLLBACK asks nobody",
    )


def _not_now(what: str) -> Refusal:
    """It could commit what has run ahead of its decision."""
    return Refusal(
        "0A000",
        f"query-firewall: {what} cannot be sent while writes of the transaction wait for their decision",
        hint="send COMMIT or ROLLBACK by itself first",
    )
