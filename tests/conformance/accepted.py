"""Differences that are meant: small files that say what differs and why.

regress/NAME.accepted and drivers/NAME.accepted hold hunks of `-direct` and `+firewall` lines, set apart by
empty lines; a last line `…` says that all further differences of that transcript follow from this one.
suites/NAME.accepted holds one test a line. Every hunk and test stands below its reason, a paragraph of `#`;
what has none is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.normal import Hunk

FOLDER = Path(__file__).resolve().parents[2] / "fixtures/conformance"
FOLLOWS = "…"


@dataclass(frozen=True, slots=True)
class Weighed:
    """unexplained: hunks that nothing accepts. reasons: of those accepted. stale: accepted, and not there."""

    unexplained: tuple[str, ...]
    reasons: tuple[str, ...]
    stale: tuple[str, ...]


def weigh(found: Sequence[Hunk], kind: str, name: str, folder: Path = FOLDER) -> Weighed:
    """What the file of accepted differences says of these, which are in the order of the transcript."""
    known = {tuple(lines): reason for lines, reason in paragraphs(folder / kind / f"{name}.accepted")}
    seen: list[tuple[str, ...]] = []
    unexplained: list[str] = []
    for hunk in found:
        if (first := (*hunk.lines, FOLLOWS)) in known:
            seen.append(first)
            break
        if hunk.lines in known:
            seen.append(hunk.lines)
        else:
            unexplained.append("\n".join(hunk.lines))
    reasons = tuple(dict.fromkeys(known[lines] for lines in seen))
    stale = tuple("\n".join(lines) for lines in known if lines not in seen)
    return Weighed(tuple(unexplained), reasons, stale)


def failures(suite: str, folder: Path = FOLDER) -> dict[str, str]:
    """Accepted failures of a suite's tests, each with its reason."""
    return {
        test: reason
        for lines, reason in paragraphs(folder / "suites" / f"{suite}.accepted")
        for test in lines
    }


def paragraphs(path: Path) -> list[tuple[list[str], str]]:
    """Every block of lines with its reason; empty if there is no such file. Raises ValueError."""
    found: list[tuple[list[str], str]] = []
    reason = ""
    for paragraph in path.read_text().split("\n\n") if path.exists() else ():
        lines = [line for line in paragraph.splitlines() if line]
        comment = [line[1:].strip() for line in lines if line.startswith("#")]
        block = [line for line in lines if not line.startswith("#")]
        reason = " ".join(comment) or reason
        if block and not reason:
            raise ValueError(f"`{path}` accepts `{block[0]}` without a reason; write it above, after `#`")
        if block:
            found.append((block, reason))
    return found
