"""What the database is: its relations, columns and functions at one moment, and their labels."""

from firewall.catalog.snapshot import (
    Cast,
    Column,
    ForeignKey,
    Function,
    Labels,
    Operator,
    Relation,
    RelationKind,
    Snapshot,
    Trigger,
)

__all__ = [
    "Cast",
    "Column",
    "ForeignKey",
    "Function",
    "Labels",
    "Operator",
    "Relation",
    "RelationKind",
    "Snapshot",
    "Trigger",
]
