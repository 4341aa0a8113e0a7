"""What a statement would do, as data.

A statement is a list of effects on named objects. `Kind` has the order of severity of design section 5.
Labels are not known here: `columns` and `tested` name base columns, and the gate attaches labels to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firewall.catalog.snapshot import Own


class Kind(StrEnum):
    """What is done to an object, from least to most severe in each group."""

    TRANSACTION = "transaction"
    SETTING = "setting"
    SESSION = "session"
    NOTIFY = "notify"

    READ = "read"

    INSERT = "insert"
    UPDATE = "update"
    LOCK = "lock"
    MAINTENANCE = "maintenance"

    DELETE = "delete"
    COPY_IN = "copy_in"
    CREATE = "create"
    ALTER = "alter"
    EXECUTE = "execute"

    TRUNCATE = "truncate"
    DROP = "drop"
    COPY_OUT = "copy_out"
    ROLE = "role"
    PRIVILEGE = "privilege"
    CODE = "code"
    SERVER_IO = "server_io"
    UNKNOWN = "unknown"

    # Enum's own is a call in Python, and kinds are looked up several times a verdict
    __hash__ = str.__hash__


class ObjectType(StrEnum):
    """What sort of thing an effect's object is; an object's name is unique within its type."""

    RELATION = "relation"  # name is `schema.relation`
    FUNCTION = "function"  # name is `schema.function`
    ROLE = "role"
    SETTING = "setting"
    SCHEMA = "schema"
    DATABASE = "database"
    FILE = "file"
    PROGRAM = "program"
    CHANNEL = "channel"
    TYPE = "type"
    EXTENSION = "extension"
    STATEMENT = "statement"  # nothing smaller can be named; name is the grammar's node, e.g. `do_stmt`

    __hash__ = str.__hash__  # as above


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing a statement would do to one object.

    columns: for reads, the object's columns whose values can reach the client; for writes, the columns
        written. tested: columns that only decide (WHERE, JOIN, GROUP, ORDER, HAVING, …).
        Names are bare column names of `object`; `*` stands for every column, also unknown ones.
    via: what sets it off when it is not named in the text itself, e.g. `view public.v`.
    unfiltered: an UPDATE or DELETE without WHERE.
    labels, tested_labels: filled by the gate from the policy; empty as analysed.
    """

    kind: Kind
    object: str
    type: ObjectType = ObjectType.RELATION
    columns: tuple[str, ...] = ()
    tested: tuple[str, ...] = ()
    via: str = ""
    unfiltered: bool = False
    labels: tuple[str, ...] = ()
    tested_labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        """For people: `delete public.orders (no WHERE)`."""
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        where = " without WHERE" if self.unfiltered else ""
        via = f" via {self.via}" if self.via else ""
        return f"{self.kind} {self.object}{columns}{where}{via}"


@dataclass(frozen=True, slots=True)
class Source:
    """One base column that feeds an output column."""

    relation: str  # `schema.relation`
    column: str


@dataclass(frozen=True, slots=True)
class Output:
    """One column of the result and the base columns that feed it. whole: it shows a base column as it is."""

    name: str
    sources: tuple[Source, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """A column that a statement writes, and what is put into it.

    relation: `schema.relation`, also of one that it creates; `pg_temp.name` of a temporary one. It may be
    one of several that a name can mean. column: `*` stands for every column, as it does in `sources`.
    """

    relation: str
    column: str
    sources: tuple[Source, ...]


class CopyFormat(StrEnum):
    """How COPY writes rows (manual, COPY)."""

    TEXT = "text"
    CSV = "csv"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class CopyOut:
    """What COPY … TO STDOUT sends. Every sign is one ASCII character.

    query: a query with the same columns in the same order, to be asked what they are. null: what stands for
    NULL. encoding: Postgres's name for that of the data, empty for the client's.
    """

    query: str
    format: CopyFormat = CopyFormat.TEXT
    header: bool = False
    delimiter: str = "\t"
    null: str = "\\N"
    quote: str = '"'
    escape: str = '"'
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a text.

    sql: its own slice of the text. node: the grammar's name for it, e.g. `select_stmt`.
    opaque: why it could not be understood, in words for people; empty if it was.
    output: the columns of its result, or of what its cursor or its COPY returns; None when it has none, or
        when only the worst case is known.
    fingerprint: libpg_query's, 16 hex digits; the same for texts that differ in literals only.
    copies: what it writes that was read somewhere, worst case.
    followed: what it does to names is in `Analysis.after`.
    cursor: the name that it declares, or fetches from.
    copy_out: what it sends by COPY; None if it sends nothing so, or cannot be read back for certain.
    step: what it does to its transaction, in the grammar's words (`commit`, `rollback_to`, …).
    savepoint: which one it sets, releases or goes back to.
    """

    sql: str
    node: str
    effects: tuple[Effect, ...]
    output: tuple[Output, ...] | None = None
    opaque: str = ""
    fingerprint: str = ""
    copies: tuple[Copy, ...] = ()
    followed: bool = False
    cursor: str = ""
    copy_out: CopyOut | None = None
    step: str = ""
    savepoint: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the session has done to the meaning of its own names; an input of every analysis.

    search_path: the schemas that unqualified names are looked up in, in order, `pg_catalog` first unless
        it is named; None when it cannot be known, and then every schema is possible.
    temporary: names that the session may have created in its temporary schema, where that could not be
        followed. altered: the same of lasting names, as long as the transaction lasts; `f()` is a function.
    own: what it has made and is followed, lasting relations as long as the transaction lasts.
    lexing_safe: standard_conforming_strings is on and the client encoding is one in which no byte of a
        multi-byte character is ASCII; when false nothing can be understood.
    prepared: SQL texts of prepared statements by name, both PREPARE's and the protocol's.
    role: the role whose rights count; empty when a SET ROLE could not be followed.
    parameters: OIDs of the types that the text's own parameters were given, pg_catalog's left out; of this
        text only, so never in `Analysis.after`.
    """

    database: str = ""
    role: str = ""
    search_path: tuple[str, ...] | None = ("pg_catalog", "public")
    temporary: frozenset[str] = frozenset()
    lexing_safe: bool = True
    prepared: tuple[tuple[str, str], ...] = ()
    parameters: tuple[int, ...] = ()
    altered: frozenset[str] = frozenset()
    own: tuple[Own, ...] = ()

    @property
    def doubtful(self) -> frozenset[str]:
        """Names that need not mean what the catalog says."""
        return self.temporary | self.altered

    def committed(self) -> Facts:
        """What is left of these facts when no transaction is open that has changed the catalog."""
        lasting = [each for each in self.own if each.relation.schema != "pg_temp"]
        if not lasting and not self.altered:
            return self
        return replace(self, altered=frozenset(), own=tuple(each for each in self.own if each not in lasting))


@dataclass(frozen=True, slots=True)
class GrammarError:
    """What Postgres's grammar says of a text that it rejects; `position` counts characters from 1."""

    message: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a whole text would do.

    error: the grammar rejects the text; then there are no statements, and Postgres should say so itself.
    missing: relations and functions that the catalog does not have (misspelt, or newer than it).
    after: the session's facts once the text has run, worst case; equal to the input when unchanged.
    volatile: the result depends on more than text, facts and catalog (e.g. on prepared statements), so
        that it must not be kept.
    """

    statements: tuple[Statement, ...] = ()
    error: GrammarError | None = None
    missing: tuple[str, ...] = ()
    after: Facts = field(default_factory=Facts)
    volatile: bool = False

    @property
    def effects(self) -> tuple[Effect, ...]:
        """All effects of all statements, in order."""
        return tuple(effect for statement in self.statements for effect in statement.effects)

    @property
    def opaque(self) -> str:
        """The first reason why something was not understood; empty when everything was."""
        return next((s.opaque for s in self.statements if s.opaque), "")


def unknown(reason: str, sql: str, facts: Facts) -> Analysis:
    """An analysis that says only that nothing is known, and why."""
    effect = Effect(Kind.UNKNOWN, "statement", ObjectType.STATEMENT)
    statement = Statement(sql=sql, node="unknown", effects=(effect,), opaque=reason)
    return Analysis(statements=(statement,), after=facts, volatile=True)
