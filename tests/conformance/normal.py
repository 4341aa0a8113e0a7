"""Transcripts made comparable: what no two runs have in common is replaced, and only that."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # temporary schemas are numbered by backend slot; TOAST tables by OID
        (r"\bpg_(toast_)?temp_\d+", r"pg_\1temp_N"),
        (r"\bpg_toast_\d+", "pg_toast_N"),
        (r"\b(PID|pid|process) \d+", r"\1 N"),
        (r"\b(actual time=)[\d.]+", r"\1N"),
        # blocks that were still in the cache
        (r"\b(Buffers: ).*", r"\1N"),
        (r"\b((?:Planning|Execution) Time: |Time: )[\d.]+ ms", r"\1N ms"),
        (r"\b(port \")?(127\.0\.0\.1:)?\d{5}(?=/| failed)", "PORT"),
        (r'(port ")\d+(")', r"\1N\2"),
        # the two clocks in use: ISO and Postgres style, with a fraction or today's year
        (r"\b20[2-9]\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?([+-]\d\d)?", "NOW"),
        (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} \d\d \d\d:\d\d:\d\d\.\d+ 202\d P[SD]T", "NOW"),
    )
)


def normalised(text: str, folder: str = "") -> list[str]:
    """Lines of a transcript. `folder`: the side's own, which shows in the paths of its files."""
    if folder:
        text = text.replace(folder, "FOLDER")
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return [line.rstrip() for line in text.splitlines()]


@dataclass(frozen=True, slots=True)
class Hunk:
    """One place where two transcripts differ: lines `at` to `end` (exclusive) of the first one."""

    at: int
    end: int
    gone: tuple[str, ...]
    come: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        return (*(f"-{line}" for line in self.gone), *(f"+{line}" for line in self.come))

    def overlaps(self, other: Hunk) -> bool:
        return self.at <= max(other.end - 1, other.at) and other.at <= max(self.end - 1, self.at)


def differences(direct: Sequence[str], other: Sequence[str]) -> list[Hunk]:
    """Where `other` differs from `direct`; empty if nowhere."""
    if direct == other:
        return []
    matcher = difflib.SequenceMatcher(None, direct, other, autojunk=False)
    return [
        Hunk(a, b, tuple(direct[a:b]), tuple(other[c:d]))
        for tag, a, b, c, d in matcher.get_opcodes()
        if tag != "equal"
    ]


def steady(found: Sequence[Hunk], noise: Sequence[Hunk]) -> list[Hunk]:
    """`found` without the places where two direct runs differ as well."""
    return [hunk for hunk in found if not any(hunk.overlaps(other) for other in noise)]
