"""Differences that are meant: small files that say what differs and why.

regress/NAME.accepted and drivers/NAME.accepted: hunks of `-direct` and `+firewall` lines, each after a `#` paragraph with its reason;
`suites/NAME.accepted`: one test a line, after its reason likewise. A file without a reason is an error.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "fixtures/conformance"


def hunks(name: str, folder: Path = FOLDER, kind: str = "regress") -> dict[tuple[str, ...], str]:
    """Accepted hunks of a regression file or a driver's program, each with its reason."""
    return dict(_paragraphs(folder / kind / f"{name}.accepted"))


def tests(suite: str, folder: Path = FOLDER) -> dict[str, str]:
    """Accepted failures of a suite, each with its reason."""
    found = _paragraphs(folder / "suites" / f"{suite}.accepted")
    return {test: reason for lines, reason in found for test in lines}


def _paragraphs(path: Path) -> list[tuple[tuple[str, ...], str]]:
    """Every block of lines with the comment that stands above it (and above those before it)."""
    if not path.exists():
        return []
    found: list[tuple[tuple[str, ...], str]] = []
    reason: list[str] = []
    block: list[str] = []
    in_comment = False
    for line in [*path.read_text().splitlines(), ""]:
        comment = line.startswith("#")
        if (comment or not line) and block:
            found.append((tuple(block), " ".join(reason)))
            block = []
        if comment:
            reason = [*reason, line[1:].strip()] if in_comment else [line[1:].strip()]
        elif line:
            if not reason:
                raise ValueError(f"`{path}` accepts `{line}` without a reason; write it above, after `#`")
            block.append(line)
        in_comment = comment
    return found
