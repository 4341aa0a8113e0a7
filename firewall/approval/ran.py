"""What has run in a transaction ahead of the decision on its COMMIT. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING

from firewall.approval import encoding

if TYPE_CHECKING:
    from collections.abc import Iterable


class Standing(StrEnum):
    """What COMMIT would make of a statement that has run."""

    COUNTS = "counts"
    UNDONE = "undone"  # by ROLLBACK TO a savepoint
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Ran:
    """One statement, in the order in which they ran.

    statement: its id in the log. parameters: bound values as text, one execution after the other.
    outcome: Postgres's word on it. effects: one line each, for people.
    """

    statement: str
    sql: str
    outcome: str
    standing: Standing = Standing.COUNTS
    parameters: tuple[str | None, ...] = ()
    executions: int = 1
    effects: tuple[str, ...] = ()

    @property
    def runs(self) -> tuple[tuple[str | None, ...], ...]:
        """The bound values of each execution."""
        each = len(self.parameters) // max(self.executions, 1)
        return tuple(self.parameters[n * each : (n + 1) * each] for n in range(self.executions))

    @property
    def line(self) -> str:
        """What came of it and what that was, in one line."""
        undone = "undone by ROLLBACK TO: " if self.standing is Standing.UNDONE else ""
        return f"{undone}{self.outcome}: {', '.join(self.effects)}"


def transaction(digests: Iterable[tuple[str, str]], commit: str) -> str:
    """Hex SHA-256 of what a COMMIT makes permanent: the digest of each statement in order, with what came of
    it, and that of the COMMIT itself.
    """
    hashed = sha256(b"query-firewall/transaction/1\n")
    for digest, outcome in digests:
        hashed.update(encoding.text(digest) + encoding.text(outcome))
    hashed.update(b"C" + encoding.text(commit))
    return hashed.hexdigest()
