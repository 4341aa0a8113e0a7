"""What is attached to a relation and runs when it is read or written, though no statement names it.

Defaults, generated columns, CHECK constraints, partition keys, indexes, row-level-security policies, and the
conditions of triggers.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from firewall.sql import grammar, lineage
from firewall.sql.analysis import Facts, Kind
from firewall.sql.functions import expression, run, touch_row

if TYPE_CHECKING:
    from firewall.catalog.snapshot import Policy, Relation, Trigger
    from firewall.sql.names import Scope
    from firewall.sql.walk import Walk

_SEQUENCE = re.compile(r"nextval\('[^']*'::regclass\)")
_COMMANDS: Final = {
    Kind.INSERT: "insert",
    Kind.COPY_IN: "insert",
    Kind.UPDATE: "update",
    Kind.DELETE: "delete",
}
_MAX_LOOKED_AT = 1024


def on_read(walk: Walk, relation: Relation, scope: Scope) -> None:
    """Types and policies; and, of constraints and indexes, what the planner computes before it reads."""
    touch_row(walk, relation, scope)
    for policy in relation.policies:
        if policy.command in {"all", "select"}:
            _policy(walk, relation, policy, policy.using, scope)
    computed = relation.checks or relation.indexes or relation.statistics
    if not computed or not walk.enter(f"planning {relation.qualified}"):
        return
    within = _within(scope, f"check on {relation.qualified}")
    for text in (*relation.checks, *relation.statistics):
        parsed = grammar.kept(f"SELECT {text}")
        for one in parsed if isinstance(parsed, tuple) else ():
            _constants(walk, one.tree.get("targetList"), within)
    for index in relation.indexes:
        _index(walk, index, _within(scope, f"index on {relation.qualified}"), planned=True)


def on_write(walk: Walk, relation: Relation, kind: Kind, scope: Scope) -> None:
    """All that is computed of a row when it is written, and what decides whether it may be."""
    command = _COMMANDS.get(kind)
    if command is None:
        return
    touch_row(walk, relation, scope)
    for policy in relation.policies:
        if policy.command in {"all", "select", command}:
            _policy(walk, relation, policy, policy.using, scope)
            _policy(walk, relation, policy, policy.check, scope)
    if kind is Kind.DELETE:
        return
    within = _within(scope, f"default of {relation.qualified}")
    for column in relation.columns:
        # a column's own sequence is part of the insert
        if column.default and not _SEQUENCE.fullmatch(column.default):
            expression(walk, column.default, within)
    rebuild(walk, relation, scope)


def rebuild(walk: Walk, relation: Relation, scope: Scope) -> None:
    """What is computed when rows are written, checked again or indexed again."""
    for check in relation.checks:
        expression(walk, check, _within(scope, f"check on {relation.qualified}"))
    for index in relation.indexes:
        _index(walk, index, _within(scope, f"index on {relation.qualified}"), planned=False)


def analyzed(walk: Walk, relation: Relation, scope: Scope) -> None:
    """What is computed of the rows that ANALYZE looks at."""
    for text in relation.statistics:
        expression(walk, text, _within(scope, f"statistics on {relation.qualified}"))
    rebuild(walk, relation, scope)


def trigger(walk: Walk, relation: Relation, what: Trigger, scope: Scope) -> None:
    """A trigger's function, and its WHEN."""
    within = replace(
        scope, via=f"trigger {what.name} on {relation.qualified}", depth=scope.depth + 1, printed=False
    )
    if re.search(r"\bWHEN\b", what.definition):
        parsed = grammar.kept(what.definition)
        if isinstance(parsed, tuple) and len(parsed) == 1 and parsed[0].kind == "CreateTrigStmt":
            walk.value(parsed[0].tree.get("whenClause"), replace(within, path=None, printed=True))
        else:
            walk.unknown(f"the {within.via} cannot be read", within.via, within)
    run(walk, what.function, within)


def _within(scope: Scope, via: str) -> Scope:
    return replace(
        scope, path=None, every=False, ctes=frozenset(), via=via, printed=True, depth=scope.depth + 1
    )


def _index(walk: Walk, definition: str, scope: Scope, *, planned: bool) -> None:
    parsed = grammar.kept(definition)
    if not isinstance(parsed, tuple) or len(parsed) != 1 or parsed[0].kind != "IndexStmt":
        walk.unknown(f"the {scope.via} cannot be read", scope.via, scope)
        return
    tree = parsed[0].tree
    elements = [item["IndexElem"] for item in tree.get("indexParams", ())]
    for element in elements:
        name = grammar.strings(element.get("opclass"))
        for of in walk.snapshot.operator_classes:
            if name and of.name == name[-1]:
                for function in of.functions:
                    run(walk, function, scope, by_type=True)
    for part in (*(element.get("expr") for element in elements), tree.get("whereClause")):
        if planned:
            _constants(walk, part, scope)
        else:
            walk.value(part, scope)


def _constants(walk: Walk, node: Any, scope: Scope) -> None:
    """Walk the parts of an expression that look at no column: the planner may compute them ahead of time."""
    if isinstance(node, list):
        for part in node:
            _constants(walk, part, scope)
    elif isinstance(node, dict):
        if _looks_at_columns(node):
            _constants(walk, [part for key, part in node.items() if key != "ColumnRef"], scope)
        else:
            walk.value(node, scope)


def _looks_at_columns(node: Any) -> bool:
    if isinstance(node, list):
        return any(_looks_at_columns(part) for part in node)
    return isinstance(node, dict) and (
        "ColumnRef" in node or any(_looks_at_columns(part) for part in node.values())
    )


def _policy(walk: Walk, relation: Relation, policy: Policy, text: str, scope: Scope) -> None:
    """What a policy reads, it looks at; what it calls, runs for every row of those whom it is about."""
    certain = walk.before.role and walk.before.role == walk.snapshot.role and not scope.via
    if policy.roles and certain and walk.snapshot.rights.isdisjoint(policy.roles):
        return
    via = f"policy {policy.name} on {relation.qualified}"
    if not text or not walk.enter(f"{via} {text}"):
        return
    expression(walk, text, replace(scope, via=via, depth=scope.depth + 1))
    for (name, behind), reads in walk.reads.items():
        if behind == via or behind.startswith(f"{via}, "):
            reads.tested |= _looked_at(walk, relation, text, name)
            reads.columns.clear()


_known: dict[tuple[str, str, str], dict[str, set[str]] | None] = {}


def _looked_at(walk: Walk, relation: Relation, text: str, name: str) -> set[str]:
    """The columns of `name` that the policy's expression looks at; `*` where that cannot be told."""
    key = (walk.snapshot.version, relation.qualified, text)
    if key not in _known:
        schema, bare = (part.replace('"', '""') for part in (relation.schema, relation.name))
        query = f'SELECT {text} FROM "{schema}"."{bare}"'  # noqa: S608 — it is only read, by us
        traced = lineage.trace(query, walk.snapshot, Facts(search_path=("pg_catalog",)))
        found: dict[str, set[str]] = {}
        for of, column in (traced.reaches | traced.tested) if traced else ():
            found.setdefault(of, set()).add(column)
        _known[key] = found if traced else None
        while len(_known) > _MAX_LOOKED_AT:
            del _known[next(iter(_known))]
    known = _known[key]
    return known.get(name, {"*"}) if known is not None else {"*"}
