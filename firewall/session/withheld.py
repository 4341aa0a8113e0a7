"""What Postgres says of a statement under masks, in words that quote no value.

Casts quote the value that they stopped at, constraints the key, RAISE whatever it likes. What is left is the
SQLSTATE, which drivers go by, and what the manual calls it.
"""

from __future__ import annotations

from typing import Final

from firewall import wire

# fields that never quote a value (manual 53.8): severity and SQLSTATE
HARMLESS: Final = frozenset("SVC")
WHY: Final = "query-firewall withholds what Postgres says of it, since it may quote masked values"
HINT: Final = "do without casts, and conditions that may fail, on masked columns"
# manual, appendix A
CONDITIONS: Final = {
    "21000": "cardinality violation: a subquery gave more than one row",
    "22001": "string data is too long for its type",
    "22003": "numeric value out of range",
    "22007": "invalid datetime format",
    "22008": "datetime field overflow",
    "22012": "division by zero",
    "22023": "invalid parameter value",
    "22P02": "invalid text representation of a value of its type",
    "23502": "not-null constraint violated",
    "23503": "foreign key constraint violated",
    "23505": "unique constraint violated",
    "23514": "check constraint violated",
    "25006": "read-only transaction",
    "25P02": "current transaction is aborted, commands ignored until end of transaction block",
    "40001": "could not serialize access",
    "40P01": "deadlock detected",
    "42501": "permission denied",
    "53100": "disk full",
    "53200": "out of memory",
    "54000": "program limit exceeded",
    "55P03": "lock not available",
    "57014": "canceling statement due to user request or timeout",
    "57P01": "terminating connection due to administrator command",
    "P0001": "raised by a function",
}


def message(sqlstate: str) -> str:
    """In place of what Postgres says."""
    return CONDITIONS.get(sqlstate, f"the statement failed with SQLSTATE {sqlstate}")


def error(told: wire.ErrorResponse) -> wire.ErrorResponse:
    """An error of a statement under masks."""
    return wire.ErrorResponse((*_kept(told.fields), ("M", message(told.sqlstate)), ("D", WHY), ("H", HINT)))


def notice(told: wire.NoticeResponse) -> wire.NoticeResponse:
    """The same of a notice."""
    return wire.NoticeResponse((*_kept(told.fields), ("M", WHY)))


def _kept(fields: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((code, text) for code, text in fields if code in HARMLESS)
