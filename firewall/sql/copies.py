"""What a statement writes that was read somewhere: into which columns, and from which.

Where the lineage is known each column has its own sources; where it is not, all that is read goes into all
that is written. What triggers, rules and functions write may be made of anything that the statement reads,
and of any column of the rows that it changes. Values that the client sends, and files, have no source.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from firewall.sql import grammar
from firewall.sql.analysis import Copy, Kind, ObjectType, Source
from firewall.sql.columns import own_read
from firewall.sql.names import of_range_var

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from firewall.catalog.snapshot import Snapshot
    from firewall.sql.analysis import Effect, Facts
    from firewall.sql.grammar import Parsed
    from firewall.sql.lineage import Lineage
    from firewall.sql.walk import Walk

EVERY: Final = "*"
TEMPORARY: Final = "pg_temp"
_INTO_ROWS: Final = frozenset({Kind.INSERT, Kind.UPDATE, Kind.COPY_IN})
_OF_ROWS: Final = _INTO_ROWS | {Kind.DELETE, Kind.TRUNCATE}
_WRITING: Final = frozenset({"InsertStmt", "UpdateStmt", "MergeStmt", "CopyStmt"})
_Sources = frozenset[Source]


def of(
    walk: Walk, statement: Parsed, effects: tuple[Effect, ...], traced: Lineage | None, facts: Facts
) -> tuple[Copy, ...]:
    """Every column that the statement writes, with the columns that it may be made of."""
    found = _Copies(walk.snapshot, facts)
    if statement.kind == "AlterTableStmt":
        _retyped(found, statement.tree, effects)
    made = any(e.kind is Kind.CREATE and _is_relation(e) for e in effects)
    made = made and any(map(_creates, _trees(walk, statement)))
    targets = [effect for effect in effects if _receives(effect, made=made)]
    lost = [e for e in effects if e.kind is Kind.UNKNOWN and _is_relation(e)]
    if lost:
        named = {name for tree in _trees(walk, statement) for name in _written(tree)}
        lost = [e for e in lost if e.via or e.object in named]
    if not targets and not lost:
        return found.all()
    reads = frozenset(_reads(effects, found))
    bodies = frozenset(_reads((e for e in effects if not own_read(e.via)), found))
    changed = {e.object for e in effects if e.kind in _OF_ROWS and not e.via and _is_relation(e)}
    for effect in targets:
        if not effect.via and traced is not None:
            _precise(found, effect, traced, bodies)
        elif not effect.via or effect.via.startswith(("view ", "foreign key ")):
            written = {Source(e.object, c) for e in targets if not e.via for c in e.columns if c != EVERY}
            key = frozenset(written) if effect.via.startswith("foreign key ") else frozenset[Source]()
            found.put(effect, reads | key)
        elif not effect.via.startswith("parent "):  # those labels spread by themselves
            found.put(effect, reads | {Source(relation, EVERY) for relation in changed})
    for effect in lost:
        for relation in found.meanings(effect.object):
            found.add(relation, EVERY, reads)
    return found.all()


class _Copies:
    """What is gathered: relation → column → sources."""

    def __init__(self, snapshot: Snapshot, facts: Facts) -> None:
        self._snapshot = snapshot
        self._facts = facts
        self._found: defaultdict[tuple[str, str], set[Source]] = defaultdict(set)

    def put(self, effect: Effect, sources: _Sources) -> None:
        """Into every column that the effect writes."""
        for relation in self.places(effect):
            for column in self._columns(relation, effect.columns):
                self.add(relation, column, sources)

    def add(self, relation: str, column: str, sources: Iterable[Source]) -> None:
        self._found[relation, column or EVERY].update(sources)

    def all(self) -> tuple[Copy, ...]:
        return tuple(
            Copy(relation, column, tuple(sorted(rest, key=lambda s: (s.relation, s.column))))
            for (relation, column), sources in self._found.items()
            if (rest := sources - {Source(relation, column)})
        )

    def _columns(self, relation: str, columns: tuple[str, ...]) -> tuple[str, ...]:
        if columns and EVERY not in columns:
            return columns
        known = self._snapshot.relation(relation)
        return tuple(column.name for column in known.columns) if known and known.columns else (EVERY,)

    def places(self, effect: Effect) -> tuple[str, ...]:
        """Where the effect's relation may be: a new one is made in the first schema of the path that exists,
        and a schema without relations is not in the catalog.
        """
        if effect.kind is not Kind.CREATE:
            return (effect.object,)
        schema, _, name = effect.object.partition(".")
        path = self._path()
        if schema not in path:
            return (effect.object,)
        found = [effect.object] if self._facts.search_path is not None else [f"{s}.{name}" for s in path]
        for candidate in path[path.index(schema) :]:
            found.append(f"{candidate}.{name}")
            if candidate in self._snapshot.by_name and candidate not in self._snapshot.closed:
                break
        return tuple(dict.fromkeys(found))

    def meanings(self, name: str) -> tuple[str, ...]:
        """Everything that a name can mean that may be the session's own."""
        schema, dot, relation = name.partition(".")
        if dot:
            return (f"{TEMPORARY}.{relation}" if schema.startswith(TEMPORARY) else name,)
        return (f"{TEMPORARY}.{name}", *(f"{schema}.{name}" for schema in self._path()))

    def _path(self) -> tuple[str, ...]:
        path = self._facts.search_path
        if path is None:
            path = tuple(self._snapshot.by_name)
        return tuple(schema for schema in path if schema not in {"pg_catalog", "information_schema"})


def _is_relation(effect: Effect) -> bool:
    return effect.type is ObjectType.RELATION


def _receives(effect: Effect, *, made: bool) -> bool:
    """Whether data goes into the effect's relation. A view is no copy; its definition says what it shows."""
    if not _is_relation(effect):
        return False
    return effect.kind in _INTO_ROWS or (effect.kind is Kind.CREATE and (made or not own_read(effect.via)))


def _trees(walk: Walk, statement: Parsed) -> list[dict[str, Any]]:
    """The statement, and the prepared one that it executes."""
    parts = [statement] if walk.executed is None else [statement, walk.executed]
    return [{part.kind: part.tree} for part in parts]


def _creates(node: Any) -> bool:
    """Whether a relation is made of a query anywhere in the tree; a materialised view counts for none."""
    if isinstance(node, list):
        return any(map(_creates, node))
    if not isinstance(node, dict):
        return False
    if node.get("CreateTableAsStmt", {}).get("objtype", "OBJECT_MATVIEW") != "OBJECT_MATVIEW":
        return True
    return "intoClause" in node or any(map(_creates, node.values()))


def _written(node: Any) -> Iterator[str]:
    """The names of relations that the text writes to, as they stand there."""
    if isinstance(node, list):
        for item in node:
            yield from _written(item)
    elif isinstance(node, dict):
        for kind, inside in node.items():
            if kind in _WRITING and isinstance(inside, dict) and "relation" in inside:
                yield str(of_range_var(inside["relation"]))
            yield from _written(inside)


def _reads(effects: Iterable[Effect], found: _Copies) -> Iterator[Source]:
    for effect in effects:
        if not _is_relation(effect):
            continue
        if effect.kind is Kind.READ and not effect.via.startswith("policy "):
            yield from (Source(effect.object, column) for column in effect.columns)
        elif effect.kind is Kind.UNKNOWN:
            yield from (Source(relation, EVERY) for relation in found.meanings(effect.object))


def _precise(found: _Copies, effect: Effect, traced: Lineage, bodies: _Sources) -> None:
    """As the lineage says, and with what the functions and triggers read that are run."""
    if effect.kind is Kind.CREATE:
        for relation in found.places(effect):
            for output in traced.outputs:
                found.add(relation, output.name, bodies.union(output.sources))
        return
    for column, sources in traced.written.get(effect.object, {}).items():
        found.add(effect.object, column, bodies.union(Source(*pair) for pair in sources))
    if bodies:
        found.put(effect, bodies)


def _retyped(found: _Copies, tree: Mapping[str, Any], effects: tuple[Effect, ...]) -> None:
    """ALTER COLUMN … TYPE … USING computes the column anew from the row."""
    for item in tree.get("cmds", ()):
        command = item.get("AlterTableCmd", {})
        using = command.get("def", {}).get("ColumnDef", {}).get("raw_default")
        if command.get("subtype") != "AT_AlterColumnType" or not using:
            continue
        names = frozenset(_names(using))
        for effect in effects:
            if effect.kind is Kind.ALTER and _is_relation(effect) and not effect.via:
                sources = (Source(effect.object, name) for name in names)
                found.add(effect.object, command.get("name", EVERY), sources)


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _names(item)
    elif isinstance(node, dict):
        for kind, inside in node.items():
            if kind == "ColumnRef":
                yield from (part or EVERY for part in grammar.strings(inside.get("fields")))
            else:
                yield from _names(inside)
