"""Gathers what an approver is shown beside a statement: from its judgement, the catalog and the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firewall.approval import Impact
from firewall.proxy.planner import Answer
from firewall.proxy.text import printable
from firewall.sql import Kind, ObjectType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firewall.approval import Earlier
    from firewall.catalog import Snapshot
    from firewall.catalog.snapshot import Labels
    from firewall.judgement import Judgement
    from firewall.policy import Moment
    from firewall.proxy.guarded import Guarded
    from firewall.session import Act
    from firewall.sql import Effect

# Lines of each sort that a person would read.
MAX_LINES: Final = 20
# What EXPLAIN takes and plans (manual, EXPLAIN). Not EXECUTE: what it executes is the session's own.
_PLANNED: Final = frozenset(
    {
        *("select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"),
        *("declare_cursor_stmt", "create_table_as_stmt"),
    }
)
# The planner computes what is constant, functions that call themselves immutable or stable among it, so they
# may do no more than read. These are the statement itself, though not named in the text.
_OWN: Final = ("view ", "parent ", "rule ", "foreign key ")
_NEVER: Final = frozenset({Kind.EXECUTE, Kind.CODE, Kind.SERVER_IO, Kind.UNKNOWN, Kind.ROLE, Kind.PRIVILEGE})
# Triggers run when rows are written, which the planner does not do.
_AT_RUN_TIME: Final = ("trigger ", "event trigger ")

_WRITES: Final = {
    Kind.INSERT: "insert",
    Kind.COPY_IN: "insert",
    Kind.UPDATE: "update",
    Kind.DELETE: "delete",
    Kind.TRUNCATE: "truncate",
}
# Which lock a kind of effect takes on its relation (manual 13.3.1); of several forms the strongest.
_LOCKS: Final = {
    Kind.READ: "access share",
    Kind.COPY_OUT: "access share",
    Kind.LOCK: "row share or stronger",
    Kind.INSERT: "row exclusive",
    Kind.COPY_IN: "row exclusive",
    Kind.UPDATE: "row exclusive",
    Kind.DELETE: "row exclusive",
    Kind.MAINTENANCE: "up to access exclusive",
    Kind.ALTER: "up to access exclusive",
    Kind.TRUNCATE: "access exclusive",
    Kind.DROP: "access exclusive",
}
_WEIGHT: Final = {lock: place for place, lock in enumerate(dict.fromkeys(_LOCKS.values()))}


async def gather(
    guarded: Guarded,
    judgement: Judgement,
    acts: Sequence[Act],
    *,
    pid: int,
    moment: Moment,
    earlier: Sequence[Earlier],
) -> Impact:
    """Of a statement that is about to be held. Takes no longer than `planner.WHOLE_SECONDS`."""
    why_not = unplannable(judgement)
    path = judgement.search_path
    if guarded.planner is None:
        answer = Answer(unestimated="nobody is there to ask", unseen="nobody is there to ask")
    else:
        act = acts[0] if acts and path is not None and not why_not else None
        answer = await guarded.planner.ask(pid, act, why_not, role=judgement.role, path=path or ())
    snapshot = guarded.gate.snapshot
    return Impact(
        estimate=answer.estimate,
        unestimated=printable(answer.unestimated),
        runs=len(acts),
        writes=any(effect.kind in _WRITES for effect in judgement.effects if _relation(effect)),
        ceiling=judgement.verdict.obligations.max_affected_rows,
        labelled=_some(labelled(judgement.effects, guarded.gate.labelling.labels)),
        sets_off=_some(sets_off(judgement.effects, snapshot)),
        takes=_some(takes(judgement.effects)),
        holding=tuple(map(printable, answer.holding)),
        unseen=printable(answer.unseen),
        transaction=moment.transaction_age if moment.in_transaction else None,
        earlier=tuple(earlier),
    )


def unplannable(judgement: Judgement) -> str:
    """Why the planner must not be asked, or would say something about something else; empty if it may."""
    statements = judgement.analysis.statements
    if len(statements) != 1:
        return "it is several statements at once" if statements else "it could not be read"
    if statements[0].node not in _PLANNED:
        return "statements of its kind are not planned"
    if judgement.search_path is None or not judgement.role:
        return "what its names mean is known to its session alone"
    own = judgement.analysis.after
    mine = own.doubtful.union(each.relation.name for each in own.own)
    if judgement.in_doubt or any(_touches(effect, mine) for effect in judgement.effects):
        return "its session has changed what it touches, and nobody else can see that yet"
    dubious = next((effect for effect in judgement.effects if not _safe_to_plan(effect)), None)
    if dubious is not None:
        return f"planning it could run code that is not known to be harmless ({dubious})"
    if statements[0].opaque and not any(e.via.startswith(_AT_RUN_TIME) for e in judgement.effects):
        return "it could not be understood"
    return ""


def labelled(effects: Sequence[Effect], labels: Labels) -> Iterator[str]:
    """Columns with labels, and what is done with them; those that only decide last."""
    found: dict[str, str] = {}
    relations = [effect for effect in effects if _relation(effect)]
    for effect in relations:
        for column in _labelled(effect.object, effect.columns, labels):
            found.setdefault(column, ", to write it" if effect.kind in _WRITES else "")
    for effect in relations:
        for column in _labelled(effect.object, effect.tested, labels):
            found.setdefault(column, ", only to decide")
    yield from (f"{column}{how}" for column, how in found.items())


def _labelled(relation: str, columns: tuple[str, ...], labels: Labels) -> Iterator[str]:
    names = labels.columns.get(relation, {}) if "*" in columns else columns
    for name in names:
        if of := labels.of(relation, (name,)):
            yield f"{relation}.{name} ({', '.join(of)})"


def sets_off(effects: Sequence[Effect], snapshot: Snapshot) -> Iterator[str]:
    """Triggers, rules and cascades, those of what they write among them."""
    for effect in effects:
        event = _WRITES.get(effect.kind)
        relation = snapshot.relation(effect.object) if _relation(effect) and event else None
        if relation is None:
            continue
        for trigger in relation.triggers:
            if event in trigger.events:
                yield f"trigger {trigger.name} on {relation.qualified}, which runs {trigger.function}"
        for rule in relation.rules:
            if event in rule.events:
                yield f"rule {rule.name} on {relation.qualified}"
        for key in relation.referenced_by:
            action = {"delete": key.on_delete, "update": key.on_update}.get(event or "", "")
            if action in {"CASCADE", "SET NULL", "SET DEFAULT"}:
                yield f"{event} {action.lower()} in {key.child} ({', '.join(key.columns)})"


def takes(effects: Sequence[Effect]) -> Iterator[str]:
    """The strongest lock on each relation, the strongest of all first."""
    strongest: dict[str, str] = {}
    for effect in effects:
        lock = _LOCKS.get(effect.kind) if _relation(effect) else None
        if lock is not None and _WEIGHT[lock] >= _WEIGHT.get(strongest.get(effect.object, ""), -1):
            strongest[effect.object] = lock
    for name, lock in sorted(strongest.items(), key=lambda item: (-_WEIGHT[item[1]], item[0])):
        yield f"{lock} on {name}"


def _safe_to_plan(effect: Effect) -> bool:
    if effect.via.startswith(_AT_RUN_TIME):
        return True
    if effect.kind in _NEVER:
        return False
    return not effect.via or effect.via.startswith(_OWN) or effect.kind is Kind.READ


def _touches(effect: Effect, names: frozenset[str]) -> bool:
    schema, _, name = effect.object.rpartition(".")
    # what it makes itself is not what it touches
    return effect.kind is not Kind.CREATE and (
        schema == "pg_temp" or not names.isdisjoint({name, effect.object})
    )


def _relation(effect: Effect) -> bool:
    return effect.type is ObjectType.RELATION


def _some(lines: Iterator[str]) -> tuple[str, ...]:
    found = [printable(line) for line in dict.fromkeys(lines)]
    more = len(found) - MAX_LINES
    return (*found[:MAX_LINES], *([f"{more:,} more"] if more > 0 else []))
