"""Checkpoints as they are published: signed notes one after the other, an empty line behind each."""

from __future__ import annotations

from firewall.audit.keys import SIGNATURE


def joined(note: str) -> str:
    """The note as it is added to others."""
    return f"{note}\n"


def notes(text: str) -> list[str]:
    """The notes in a text of any number of them.

    A note is a text without empty lines, an empty line and signature lines (tlog-checkpoint, signed-note).
    What is neither, such as the torn end of a file, is given as it is: whoever opens it says what is wrong.
    """
    found: list[str] = []
    head = ""
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = block.strip("\n")
        if not lines:
            continue
        if head and all(line.startswith(SIGNATURE) for line in lines.split("\n")):
            found.append(f"{head}\n\n{lines}\n")
            head = ""
            continue
        if head:
            found.append(f"{head}\n")
        head = lines
    return [*found, f"{head}\n"] if head else found
