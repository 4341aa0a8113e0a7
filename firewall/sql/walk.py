"""One walk over one statement's tree: what has been found so far, and the step from node to node.

What a node means is said by the handlers of `rows` and the modules beside it; a node without one
is walked through, so that nothing inside it is overlooked. Every view and function body is entered once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from firewall.sql.analysis import Effect, Facts, Kind, ObjectType
from firewall.sql.grammar import CONCRETE
from firewall.sql.names import find_relations
from firewall.sql.reviewed import ROLE_SETTINGS_COLUMNS, SECRET_COLUMNS, SECRET_RELATIONS, SETTINGS_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from firewall.catalog.snapshot import Relation, Snapshot
    from firewall.sql.grammar import Parsed
    from firewall.sql.names import Name, Scope

    Handler = Callable[["Walk", dict[str, Any], Scope], None]

MAX_NODES = 200_000  # of one statement with everything that it sets off: about a second
MAX_BODIES = 32  # views and functions inside each other; Postgres itself rarely survives more
_NOTHING: Mapping[str, str] = {}


@dataclass(slots=True)
class Reads:
    """What is read of one relation: columns that can reach the client, and columns that only decide."""

    columns: set[str] = field(default_factory=set)
    tested: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Walk:
    """What one statement was found to do; filled while its tree is walked.

    before: the session's facts as the statement finds them. after: once it has run, worst case.
    entered: bodies (views, functions, triggers) that were walked already.
    sql: the text of the statement itself. executed: the prepared statement that EXECUTE runs.
    exports: all that is read leaves through COPY. planned: nothing is read, by EXPLAIN without ANALYZE.
    alone: it is the text's only statement.
    """

    snapshot: Snapshot
    handlers: Mapping[str, Handler]
    after: Facts
    sql: str = ""
    reads: dict[tuple[str, str], Reads] = field(default_factory=dict)
    effects: dict[Effect, None] = field(default_factory=dict)
    missing: dict[str, None] = field(default_factory=dict)
    entered: set[str] = field(default_factory=set)
    executed: Parsed | None = None
    exports: bool = False
    planned: bool = False
    alone: bool = False
    before: Facts = field(init=False)
    opaque: str = ""
    volatile: bool = False
    nodes: int = 0

    def __post_init__(self) -> None:
        self.before = self.after

    def visit(self, kind: str, node: dict[str, Any], scope: Scope) -> None:
        """Say what the node does, or walk through it."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise TooLarge
        handler = self.handlers.get(kind)
        if handler is not None:
            handler(self, node, scope)
        else:
            self.children(kind, node, scope)

    def children(
        self, kind: str, node: dict[str, Any], scope: Scope, *, without: frozenset[str] = frozenset()
    ) -> None:
        """Walk through the node's fields, save some."""
        concrete = CONCRETE.get(kind, _NOTHING)
        for name, value in node.items():
            if value.__class__ is dict:
                if name not in without:
                    self.value(value, scope, concrete.get(name, ""))
            elif value.__class__ is list and name not in without:
                for item in value:
                    self.value(item, scope, concrete.get(name, ""))

    def value(self, value: Any, scope: Scope, concrete: str = "") -> None:
        """Walk into one field's value: a node in its wrapping, or a message of the given type."""
        if value.__class__ is not dict:
            return
        if concrete:
            self.visit(concrete, value, scope)
            return
        for kind, node in value.items():
            if node.__class__ is dict:
                self.visit(kind, node, scope)

    def values(self, items: Any, scope: Scope) -> None:
        """Walk into a list of nodes."""
        for item in items or ():
            self.value(item, scope)

    # what was found

    def effect(
        self, kind: Kind, name: str, scope: Scope, of: ObjectType = ObjectType.RELATION, **more: Any
    ) -> None:
        """Note an effect, once."""
        self.effects[Effect(kind, name, of, via=scope.via, **more)] = None

    def unknown(self, reason: str, name: str, scope: Scope, of: ObjectType = ObjectType.STATEMENT) -> None:
        """Note something that is not understood; the first reason is kept for people."""
        self.opaque = self.opaque or reason
        self.effect(Kind.UNKNOWN, name, scope, of)

    def lose_names(self) -> None:
        """Something ran that can have changed any setting: names and rights are no longer known."""
        self.after = Facts(
            database=self.after.database,
            search_path=None,
            temporary=self.after.temporary,
            lexing_safe=self.after.lexing_safe,
            prepared=self.after.prepared,
            altered=self.after.altered,
            own=tuple(replace(own, whole=False) for own in self.after.own),
        )

    def relations(self, name: Name, scope: Scope) -> tuple[Relation, ...]:
        """What the name can mean; what is not in the catalog is noted as missing and unknown."""
        found = find_relations(name, scope, self.snapshot)
        if found.temporary:
            self.unknown(
                f"`{name}` may be a name that this session made", str(name), scope, ObjectType.RELATION
            )
        elif not found.relations:
            self.missing[str(name)] = None
            self.unknown(
                f"there is no relation `{name}` in the catalog", str(name), scope, ObjectType.RELATION
            )
        return found.relations

    def read(self, relation: Relation, scope: Scope, columns: tuple[str, ...] = ("*",)) -> None:
        """Note that the relation is read, and that these columns can reach the client."""
        # a TOAST table holds the long values of whatever column of whatever table
        secret = Kind.PRIVILEGE if relation.schema == "pg_toast" else SECRET_RELATIONS.get(relation.name)
        if secret is not None and relation.name not in SECRET_COLUMNS:
            self.effect(secret, relation.qualified, scope)
        self.reads.setdefault((relation.qualified, scope.via), Reads()).columns.update(columns)

    def enter(self, body: str) -> bool:
        """Whether this body is walked for the first time."""
        if body in self.entered:
            return False
        self.entered.add(body)
        return True

    def collected(self) -> tuple[Effect, ...]:
        """Everything found: reads first, then the rest in the order of the text."""
        found: list[Effect] = []
        for (name, via), reads in self.reads.items():
            if self.planned:
                reads = Reads(tested=reads.columns | reads.tested)  # noqa: PLW2901 - only for these lines
            secret = SECRET_COLUMNS.get(name.rpartition(".")[2])
            if secret is not None and not {"*", secret}.isdisjoint(reads.columns | reads.tested):
                found.append(Effect(SECRET_RELATIONS[name.rpartition(".")[2]], name, via=via))
            if self._shows_settings(name, reads):
                found.append(Effect(Kind.SERVER_IO, name, via=via))
            columns = _named(reads.columns)
            tested = () if columns == ("*",) else _named(reads.tested - reads.columns)
            found.append(Effect(Kind.READ, name, columns=columns, tested=tested, via=via))
            if self.exports and columns:
                found.append(Effect(Kind.COPY_OUT, name, columns=columns, via=via))
        return (*found, *self.effects)

    def _shows_settings(self, name: str, reads: Reads) -> bool:
        """Whether values of secret settings are among what is read."""
        columns: frozenset[str] = frozenset()
        if self.snapshot.secret_settings:
            columns = SETTINGS_COLUMNS.get(name, columns)
        if self.snapshot.secret_role_settings:
            columns = ROLE_SETTINGS_COLUMNS.get(name, columns)
        return bool(columns) and not (columns | {"*"}).isdisjoint(reads.columns | reads.tested)


def _named(columns: set[str]) -> tuple[str, ...]:
    return ("*",) if "*" in columns else tuple(sorted(columns))


class TooLarge(Exception):
    """The statement sets off more than is analysed."""
