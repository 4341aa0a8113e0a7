"""What the database is: its relations, columns and functions at one moment, and their labels."""

from firewall.catalog.snapshot import (
    Cast,
    Column,
    ForeignKey,
    Function,
    Labels,
    Operator,
    OperatorClass,
    Policy,
    Relation,
    RelationKind,
    Snapshot,
    Trigger,
    Type,
    TypeKind,
)

__all__ = [
    "Cast",
    "Column",
    "ForeignKey",
    "Function",
    "Labels",
    "Operator",
    "OperatorClass",
    "Policy",
    "Relation",
    "RelationKind",
    "Snapshot",
    "Trigger",
    "Type",
    "TypeKind",
]
