"""The database's catalog at one moment, as immutable data; what analyses are made against.

Pure types only: `introspect` fills them, `sql` reads them, `policy` labels them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final

# what a text is cut into to see which names it can mention
WORD: Final = re.compile(r"[^\W\d][\w$]*")


class RelationKind(StrEnum):
    """pg_class.relkind, in words (manual 52.11)."""

    TABLE = "table"
    PARTITIONED = "partitioned table"
    VIEW = "view"
    MATERIALIZED = "materialized view"
    FOREIGN = "foreign table"
    SEQUENCE = "sequence"
    COMPOSITE = "composite type"
    INDEX = "index"


class TypeKind(StrEnum):
    """pg_type.typtype, in words (manual 52.64)."""

    BASE = "base type"
    COMPOSITE = "composite type"
    DOMAIN = "domain"
    ENUM = "enum"
    RANGE = "range"
    MULTIRANGE = "multirange"
    PSEUDO = "pseudo-type"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `type` as format_type prints it; `number` is pg_attribute.attnum."""

    name: str
    type: str
    number: int = 0
    nullable: bool = True
    default: str = ""  # expression text, generated columns included
    comment: str = ""
    generated: bool = False


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger or rule; `events` in lower case (insert, update, delete, truncate)."""

    name: str
    events: tuple[str, ...]
    function: str  # `schema.function`; for a rule, empty
    definition: str = ""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference to this relation from `child`; actions as in SQL: `NO ACTION`, `CASCADE`, …"""

    child: str  # `schema.relation`
    columns: tuple[str, ...]
    on_delete: str
    on_update: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A row-level-security policy. `command` is all, select, insert, update or delete; the rest expressions.

    `check` is empty where `using` serves for both. roles: those that it is about; none is everybody.
    """

    name: str
    command: str
    using: str = ""
    check: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation. `definition` is the query of a view; `children` inherit from it or are partitions.

    checks: what is computed of every row that is written: CHECK constraints and partition keys.
    indexes: CREATE INDEX texts of those that compute something: expressions, predicates, operator classes
        outside pg_catalog. policies: empty unless row-level security is on. statistics: the expressions of
        extended statistics, which ANALYZE computes. server: where a foreign table's rows are.
    """

    schema: str
    name: str
    kind: RelationKind
    columns: tuple[Column, ...]
    oid: int = 0
    owner: str = ""
    definition: str = ""
    children: tuple[str, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    rules: tuple[Trigger, ...] = ()
    referenced_by: tuple[ForeignKey, ...] = ()
    rows: float = -1.0  # pg_class.reltuples: -1 is never analysed
    comment: str = ""
    checks: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    policies: tuple[Policy, ...] = ()
    statistics: tuple[str, ...] = ()
    server: str = ""

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Function:
    """One function, procedure or aggregate. `volatility` is immutable, stable or volatile.

    settings: its SET clauses, name and value as pg_proc.proconfig keeps them.
    takes: the types of its arguments, as format_type prints them; only those that a user made.
    uses: the functions that an aggregate is made of, `schema.function`.
    defaults: what arguments that a call leaves out are given, a list of expressions.
    """

    schema: str
    name: str
    language: str
    volatility: str
    arguments: int  # how many it takes at most; -1 is variadic
    required: int  # how many it takes at least
    security_definer: bool = False
    body: str = ""  # SQL and PL/pgSQL; the C name of an internal one outside pg_catalog
    kind: str = "function"  # function, procedure, aggregate, window
    returns: str = ""
    columns: tuple[str, ...] = ()  # names of OUT and TABLE arguments, which are the result's columns
    settings: tuple[tuple[str, str], ...] = ()
    takes: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    defaults: str = ""

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator outside pg_catalog, and the function behind it."""

    schema: str
    name: str
    function: str


@dataclass(frozen=True, slots=True)
class Cast:
    """A cast that runs a function outside pg_catalog; types as format_type prints them."""

    source: str
    target: str
    function: str


@dataclass(frozen=True, slots=True)
class Type:
    """A type outside pg_catalog that is neither an array nor the row type of a relation.

    of: what a domain or range is made of, as format_type prints it. checks: a domain's CHECK expressions.
    functions: outside pg_catalog, `schema.function`: input and output, a range's canonical form and the like.
    """

    schema: str
    name: str
    kind: TypeKind
    of: str = ""
    checks: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OperatorClass:
    """How an index, ORDER BY or GROUP BY compares values of `type`, where somebody's own functions do it."""

    schema: str
    name: str
    type: str  # as format_type prints it
    functions: tuple[str, ...]  # `schema.function`, support functions and those behind its operators


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """A function that statements which change the catalog set off.

    event: as in pg_event_trigger, e.g. `ddl_command_end`. tags: of the statements that do, as Postgres tags
    their completion; none is all of them.
    """

    name: str
    event: str
    function: str  # `schema.function`
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Membership:
    """`member` has been granted `role`. inherits: it has its rights without SET ROLE."""

    role: str
    member: str
    inherits: bool = True


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that is installed; its relocatable objects are in `schema`."""

    name: str
    version: str
    schema: str


@dataclass(frozen=True, slots=True)
class Server:
    """A foreign server, and the foreign-data wrapper that speaks with it. Its options may be secret."""

    name: str
    wrapper: str


@dataclass(frozen=True, slots=True)
class Own:
    """A relation as one session sees it, which has made or changed it; temporary ones are in `pg_temp`.

    path: where the names in a view's definition are looked up, as the session wrote it; None is anywhere.
    whole: its columns are those and no others.
    """

    relation: Relation
    path: tuple[str, ...] | None = None
    whole: bool = True


@dataclass(frozen=True)
class Snapshot:
    """Everything known of one database. `version` is a digest of the content, equal for equal catalogs.

    pg_catalog's functions are in `functions` with the rest; its relations in `relations` likewise.
    `search_path` is what a fresh session of the firewall's own login has, resolved (`$user` included).
    `closed` are schemas on which that login has no USAGE: Postgres passes over them in any search_path.
    `type_names` are all types that were made after initdb, arrays and row types too: OID, and the name as
    format_type prints it. `secret_settings` are those that pg_settings shows the login with a value,
    `secret_role_settings` those that are set for a role or a database. `own` is what one session sees
    otherwise than everybody; see `with_own`.
    """

    version: str
    database: str
    server_version: int  # as server_version_num, e.g. 180000
    relations: tuple[Relation, ...] = ()
    functions: tuple[Function, ...] = ()
    operators: tuple[Operator, ...] = ()
    roles: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ("pg_catalog", "public")
    role: str = ""
    casts: tuple[Cast, ...] = ()
    types: tuple[Type, ...] = ()
    operator_classes: tuple[OperatorClass, ...] = ()
    closed: tuple[str, ...] = ()
    event_triggers: tuple[EventTrigger, ...] = ()
    type_names: tuple[tuple[int, str], ...] = ()
    secret_settings: tuple[str, ...] = ()
    secret_role_settings: tuple[str, ...] = ()
    own: tuple[Own, ...] = ()
    memberships: tuple[Membership, ...] = ()
    extensions: tuple[Extension, ...] = ()
    servers: tuple[Server, ...] = ()

    def __getstate__(self) -> dict[str, object]:
        """What a worker process is sent: the fields, without the indexes that are made on first use."""
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @cached_property
    def by_name(self) -> dict[str, dict[str, Relation]]:
        """schema → relation → Relation."""
        found: dict[str, dict[str, Relation]] = {}
        for relation in self.relations:
            found.setdefault(relation.schema, {})[relation.name] = relation
        return found

    @cached_property
    def functions_by_name(self) -> dict[str, tuple[Function, ...]]:
        """Bare function name → every candidate in any schema."""
        found: dict[str, list[Function]] = {}
        for function in self.functions:
            found.setdefault(function.name, []).append(function)
        return {name: tuple(candidates) for name, candidates in found.items()}

    @cached_property
    def by_word(self) -> dict[str, tuple[Relation | Function | Type, ...]]:
        """The first word of a name, in lower case → everything called so; what has no word, under none."""
        found: dict[str, list[Relation | Function | Type]] = {}
        named: list[Relation | Function | Type] = [*self.relations, *self.functions, *self.types]
        for thing in named:
            word = WORD.search(thing.name.lower())
            found.setdefault(word[0] if word else "", []).append(thing)
        return {word: tuple(things) for word, things in found.items()}

    @cached_property
    def types_by_name(self) -> dict[str, tuple[Type, ...]]:
        """Bare type name → every type of that name in any schema."""
        found: dict[str, list[Type]] = {}
        for kind in self.types:
            found.setdefault(kind.name, []).append(kind)
        return {name: tuple(candidates) for name, candidates in found.items()}

    @cached_property
    def rights(self) -> frozenset[str]:
        """The roles whose rights the login has without SET ROLE, itself included.

        And the one whose only member is whoever owns the database, which is not written down (manual 21.5).
        """
        granted: dict[str, list[str]] = {}
        for membership in self.memberships:
            if membership.inherits:
                granted.setdefault(membership.member, []).append(membership.role)
        found = {self.role, "pg_database_owner"}
        pending = [self.role]
        while pending:
            new = {role for role in granted.get(pending.pop(), ()) if role not in found}
            found |= new
            pending += new
        return frozenset(found)

    def with_own(self, own: tuple[Own, ...]) -> Snapshot:
        """The catalog as a session sees it that has these relations; what is known of this one is shared."""
        by_name = dict(self.by_name)
        for schema in {each.relation.schema for each in own}:
            by_name[schema] = dict(by_name.get(schema, {}))
        for each in own:
            by_name[each.relation.schema][each.relation.name] = each.relation
        shared = {
            "functions_by_name": self.functions_by_name,
            "types_by_name": self.types_by_name,
            "types_by_oid": self.types_by_oid,
            "run_by_type": self.run_by_type,
            "rights": self.rights,
        }
        own_by_name = {each.relation.qualified: each for each in own}
        made = object.__new__(Snapshot)
        made.__dict__.update(self.__getstate__(), **shared)
        made.__dict__.update(own=own, own_by_name=own_by_name, by_name=by_name, beneath=self)
        return made

    @cached_property
    def beneath(self) -> Snapshot | None:
        """The catalog as everybody sees it, if this is one session's."""
        return None

    @cached_property
    def own_by_name(self) -> dict[str, Own]:
        """`schema.relation` → what the session has made of it."""
        return {each.relation.qualified: each for each in self.own}

    @cached_property
    def types_by_oid(self) -> dict[int, str]:
        """OID → name as format_type prints it, of types made after initdb."""
        return dict(self.type_names)

    @cached_property
    def run_by_type(self) -> dict[str, tuple[str, ...]]:
        """Type, as format_type prints it → functions that casting or comparing its values can run.

        Casts between an own type and a built-in one stand at the own type alone (a dot is in its name), whose
        values they need.
        """
        found: dict[str, dict[str, None]] = {}
        for cast in self.casts:
            sides = (cast.source, cast.target)
            for side in [side for side in sides if "." in side] or sides:
                found.setdefault(side, {})[cast.function] = None
        for of in self.operator_classes:
            found.setdefault(of.type, {}).update(dict.fromkeys(of.functions))
        return {name: tuple(functions) for name, functions in found.items()}

    def relation(self, qualified: str) -> Relation | None:
        """The relation called `schema.name`, or None."""
        schema, _, name = qualified.partition(".")
        return self.by_name.get(schema, {}).get(name)


@dataclass(frozen=True, slots=True)
class Labels:
    """Which labels stand on which columns: `schema.relation` → column → labels, sorted.

    The column `*` has what stands on every column of the relation, on those not known by name too.
    """

    columns: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)

    def of(self, relation: str, columns: tuple[str, ...]) -> tuple[str, ...]:
        """All labels on these columns of the relation; `*` is every column."""
        marked = self.columns.get(relation)
        if not marked:
            return ()
        names = marked.keys() if "*" in columns else (*columns, "*") if columns else ()
        return tuple(sorted({label for name in names for label in marked.get(name, ())}))
