"""Names as Postgres resolves them: folded identifiers, FROM items, scopes, columns and whole rows.

Rules from the manual (4.1.1, 4.2.1, 7.2.1) and, where it is silent, from parse_relation.c: a bare name is
a column of the nearest query that has one, and only if no query has one is it the row of a relation.
Where two readings remain, both count; where none does, `Doubt` is raised and the trace is given up.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Sources: TypeAlias = frozenset[tuple[str, str]]  # (`schema.relation`, column)
NOTHING: Sources = frozenset()

# manual 5.6
SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})

NAME_BYTES = 63  # NAMEDATALEN - 1: Postgres cuts longer identifiers silently

_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Doubt(Exception):
    """The thread is lost: whoever asked must take the worst case."""


def fold(name: str, *, quoted: bool) -> str:
    """An identifier as Postgres keeps it: ASCII letters folded unless quoted, cut to 63 bytes."""
    kept = name if quoted else name.translate(_FOLD)
    raw = kept.encode()
    return kept if len(raw) <= NAME_BYTES else raw[:NAME_BYTES].decode(errors="ignore")


def union(parts: Iterable[Sources]) -> Sources:
    """All of them together."""
    return NOTHING.union(*parts)


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a FROM item or of a result; no name when Postgres would make one up.

    stored: it is a column of a relation, not something that was computed from some. typed: its values are
    that column's, of the type that they have there.
    """

    name: str
    sources: Sources
    stored: bool = False
    typed: bool = False


def renamed(fields: tuple[Field, ...], columns: Sequence[str]) -> tuple[Field, ...]:
    """The first columns under the names that an alias gives them."""
    if len(columns) > len(fields):
        raise Doubt
    named = tuple(replace(field, name=name) for name, field in zip(columns, fields, strict=False))
    return named + fields[len(columns) :]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query yields: its columns, and what decided which rows there are."""

    fields: tuple[Field, ...]
    conditions: Sources = NOTHING

    @property
    def sources(self) -> Sources:
        """What can be learnt from the values."""
        return union(field.sources for field in self.fields)


@dataclass(frozen=True, slots=True)
class Range:
    """One FROM item as names see it.

    relation: `schema.relation` of a base relation or view; schema: set only while it has no alias.
    open: it has columns that are not known by name; `extra` is what feeds those.
    """

    alias: str
    fields: tuple[Field, ...]
    relation: str = ""
    schema: str = ""
    open: bool = False
    extra: Sources = NOTHING

    @property
    def whole(self) -> Sources:
        """What a reference to the entire row reads."""
        return union(field.sources for field in self.fields) | self.extra

    @property
    def loose(self) -> bool:
        """There may be a column of any name here."""
        return self.open or any(not field.name for field in self.fields)

    @property
    def unnamed(self) -> Sources:
        """What feeds the columns whose names are not known."""
        return self.extra | union(field.sources for field in self.fields if not field.name)


@dataclass(frozen=True, slots=True)
class Item:
    """A joined FROM item: `fields` is what bare names and `*` see, `ranges` what qualified names see."""

    fields: tuple[Field, ...]
    ranges: tuple[Range, ...]

    @classmethod
    def of(cls, source: Range) -> Item:
        return cls(source.fields, (source,))

    def one(self, name: str) -> Field:
        """The only column of this name (USING and NATURAL)."""
        found = [field for field in self.fields if field.name == name]
        if len(found) != 1 or any(source.loose for source in self.ranges):
            raise Doubt
        return found[0]


class Scope:
    """The FROM items that one query's expressions see, the query around it, and the WITH names in force."""

    __slots__ = ("ctes", "items", "parent")

    def __init__(
        self, items: tuple[Item, ...], parent: Scope | None, ctes: Mapping[str, Rows | None]
    ) -> None:
        self.items = items
        self.parent = parent
        self.ctes = ctes

    @property
    def ranges(self) -> Iterator[Range]:
        return (source for item in self.items for source in item.ranges)

    def column(self, name: str) -> Sources:
        """What a bare name reads."""
        possible = NOTHING
        doubtful = False
        for scope in self._outwards():
            found = [f for item in scope.items for f in item.fields if f.name == name]
            if name in SYSTEM_COLUMNS and not found:
                found = [Field(name, frozenset({(r.relation, name)})) for r in scope.ranges if r.relation]
            if len(found) > 1:
                raise Doubt
            if found:
                return possible | found[0].sources
            for source in scope.ranges:
                if source.loose:
                    doubtful = True
                    possible |= source.unnamed
        for scope in self._outwards():
            row = [source for source in scope.ranges if source.alias == name]
            if len(row) > 1:
                raise Doubt
            if row:
                return possible | row[0].whole
        if doubtful:
            return possible
        raise Doubt

    def qualified(self, table: str, name: str, schema: str = "") -> Sources:
        """What `table.name` or `schema.table.name` reads."""
        source = self.range(table, schema)
        found = [field for field in source.fields if field.name == name]
        if len(found) > 1:
            raise Doubt
        if found:
            return found[0].sources
        if source.loose:
            return source.unnamed
        if name in SYSTEM_COLUMNS and source.relation:
            return frozenset({(source.relation, name)})
        raise Doubt  # a function in attribute notation (manual 4.2.6), or an error

    def place(self, table: str, name: str, schema: str = "") -> tuple[object, Field | None]:
        """Where a column stands: the same for two columns only if they are of one row of one relation."""
        for source in [self.range(table, schema)] if table else self._having(name):
            field = next((field for field in source.fields if field.name == name), None)
            return (id(source), "" if source.relation else name), field
        return name, None

    def _having(self, name: str) -> Iterator[Range]:
        for scope in self._outwards():
            yield from (r for r in scope.ranges if r.loose or any(f.name == name for f in r.fields))
            yield from (r for r in scope.ranges if name in SYSTEM_COLUMNS and r.relation)
        for scope in self._outwards():
            yield from (r for r in scope.ranges if r.alias == name)

    def range(self, table: str, schema: str = "") -> Range:
        """The FROM item that a qualifier means."""
        for scope in self._outwards():
            found = [r for r in scope.ranges if r.alias == table and (not schema or r.schema == schema)]
            if len(found) > 1:
                raise Doubt
            if found:
                return found[0]
        raise Doubt

    def _outwards(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent
