"""What a statement would do: Postgres's own grammar and sqlglot over a catalog snapshot. Pure."""

from firewall.sql.analysis import (
    Analysis,
    Copy,
    CopyFormat,
    CopyOut,
    Effect,
    Facts,
    GrammarError,
    Kind,
    ObjectType,
    Output,
    Source,
    Statement,
    unknown,
)

__all__ = [
    "Analysis",
    "Copy",
    "CopyFormat",
    "CopyOut",
    "Effect",
    "Facts",
    "GrammarError",
    "Kind",
    "ObjectType",
    "Output",
    "Source",
    "Statement",
    "unknown",
]
