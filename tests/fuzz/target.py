"""The list of targets, and the inputs that are kept for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz import frames, logins, sessions, texts

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = Path(__file__).parents[2] / "fixtures" / "fuzz"


@dataclass(frozen=True, slots=True)
class Target:
    """One entrance for hostile bytes.

    longest: of an input, in bytes. seconds: what one input may take; more counts as a hang.
    megabytes: what the process may come to hold.
    """

    name: str
    run: Callable[[bytes], None]
    longest: int = 4096
    seconds: int = 2
    megabytes: int = 512

    @property
    def folder(self) -> Path:
        return KEPT / self.name

    def kept(self) -> list[Path]:
        """Seeds and finds."""
        return sorted(path for path in self.folder.glob("*") if path.is_file())


TARGETS = {
    target.name: target
    for target in (
        Target("frontend", frames.frontend),
        Target("backend", frames.backend),
        Target("startup", frames.starting, longest=12_000),
        Target("options", frames.options, longest=512),
        Target("scram", frames.scram, longest=1024),
        Target("login", logins.run),
        Target("session", sessions.run, longest=8192),
        Target("sql", texts.sql, longest=1024, seconds=10, megabytes=1024),
        Target("policy", texts.policies, seconds=5),
        Target("log", texts.log),
        Target("visible", texts.visible),
    )
}
