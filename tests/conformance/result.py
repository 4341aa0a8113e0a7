"""What one comparison came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Word = Literal["same", "accepted", "differs", "timeout", "skipped"]


@dataclass(frozen=True, slots=True)
class Result:
    """name: of the suite or file. direct and firewall: what each side came to, in a few words.

    unexplained: differences that nothing accepts, ready to print. accepted: reasons of those that are.
    stale: accepted differences that did not show.
    """

    suite: str
    name: str
    word: Word
    direct: str = ""
    firewall: str = ""
    unexplained: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    stale: tuple[str, ...] = field(default=())
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.word in {"same", "accepted", "skipped"}


def skipped(suite: str, name: str, why: str) -> Result:
    """Not run on this machine, and why."""
    return Result(suite, name, "skipped", direct=why)
