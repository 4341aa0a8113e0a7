"""Columns that hold rows: of composite types, and of other relations, whose row types are types as well."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firewall.catalog.snapshot import Snapshot

_PART: Final = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_PRINTED: Final = re.compile(rf"({_PART})\.({_PART})(?:\[\])*")


def holders(snapshot: Snapshot) -> Iterator[tuple[str, tuple[str, str]]]:
    """Every relation whose rows, or arrays of them, some column holds, and that column."""
    domains = {(kind.schema, kind.name): kind.of for kind in snapshot.types if kind.of}
    for relation in snapshot.relations:
        for column in relation.columns:
            if "." in column.type:
                row = _row(column.type, domains)
                if row is not None and snapshot.relation(row) is not None:
                    yield row, (relation.qualified, column.name)


def _row(printed: str, domains: dict[tuple[str, str], str]) -> str | None:
    """The `schema.relation` that a type stands for, as format_type prints it; domains are looked through."""
    for _ in range(len(domains) + 1):
        found = _PRINTED.fullmatch(printed)
        if found is None:
            return None
        schema, name = map(_bare, found.groups())
        if (schema, name) not in domains:
            return f"{schema}.{name}"
        printed = domains[schema, name]
    return None


def _bare(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part
