"""What a report is made of, besides its figures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from firewall.audit.note import Checkpoint
from firewall.report.facts import Fact, facts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from firewall.report.figures import Figures
    from firewall.report.frameworks import Framework


@dataclass(frozen=True, slots=True)
class Head:
    """The signed head up to which a log was read, and the note as it was signed."""

    origin: str
    size: int
    root: str
    note: str

    @classmethod
    def parse(cls, note: str) -> Self:
        """What a note says of itself; its signature is looked at where the log is verified.

        Raises NoteError for what is no checkpoint.
        """
        text, _, _ = note.partition("\n\n")
        parsed = Checkpoint.parse(f"{text}\n")
        return cls(parsed.origin, parsed.size, parsed.root.hex(), note)


class Proof(StrEnum):
    """Does the log verify?"""

    SOUND = "verified"
    UNSOUND = "not sound"
    SKIPPED = "not verified"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that HTML, PDF and JSON show. The period has its start and not its end.

    findings: what verification found, for people; `checked` is how many records it looked at.
    published: how many checkpoints from elsewhere it was compared with.
    """

    framework: Framework
    since: datetime
    until: datetime
    made: datetime
    version: str
    heads: tuple[Head, ...]
    proof: Proof
    findings: tuple[str, ...]
    checked: int
    figures: Figures
    published: int = 0

    @property
    def facts(self) -> Mapping[str, Fact]:
        """The figures by name, each with what it is called."""
        return facts(self.figures)
