"""Errors that reach people.

Style: lower case, no period, the user's own words in backticks; then the rule, then the next step.
Denial, opacity and expiry are values, not exceptions; these are for protocol violations, configuration,
I/O and bugs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class FirewallError(Exception):
    """What went wrong, in one line for a person; `hint` is what to do next, if anything."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file something stands. `line` and `column` count from 1; 0 means the whole file."""

    file: Path
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file: the place, the field's dotted path, and what to write instead."""

    place: Place
    field: str
    message: str

    def __str__(self) -> str:
        field = f"`{self.field}`: " if self.field else ""
        return f"{self.place}: {field}{self.message}"


class ConfigurationError(FirewallError):
    """A settings or policy file that cannot be loaded; every problem found, not only the first."""

    def __init__(self, problems: tuple[Problem, ...], *, hint: str = "") -> None:
        super().__init__("\n".join(str(problem) for problem in problems), hint=hint)
        self.problems = problems


class ProtocolViolation(FirewallError):
    """A peer broke the wire protocol; the session ends with this SQLSTATE (manual, appendix A)."""

    def __init__(self, message: str, *, sqlstate: str = "08P01", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sqlstate = sqlstate


class StoreError(FirewallError):
    """The store cannot be read or written; nothing may pass until it can."""


class CatalogError(FirewallError):
    """The database's catalog could not be read; `hint` names the missing privilege if that is why."""
