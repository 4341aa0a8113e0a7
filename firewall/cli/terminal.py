"""What every command is given: the settings it was pointed at, and how to speak.

Data goes to stdout, remarks and errors to stderr. On a terminal there are colours and tables; elsewhere plain
lines; with --json one JSON document, or one line of JSON for each record. Whatever came from outside passes
`visible.line` or is JSON in ASCII: nothing that is printed can move the cursor or reorder a line.
"""

from __future__ import annotations

import json
import re
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from firewall import config
from firewall.channels import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

UNBOUNDED = 100_000  # columns
# white space that a list may fold; any other space is a character to be shown
_FOLDED = re.compile(r"[ \t\n]+")
# columns that people copy from
WHOLE = frozenset({"hold", "id", "agent", "person"})
STYLES = {
    **dict.fromkeys(("allow", "approved", "consumed", "low", "enabled"), "green"),
    **dict.fromkeys(("hold", "pending", "medium"), "yellow"),
    **dict.fromkeys(("deny", "rejected", "disabled", "high", "critical"), "red"),
    **dict.fromkeys(("expired", "withdrawn", "lapsed"), "dim"),
}


def brief(text: str, limit: int) -> str:
    """One line for a list: white space folded, cut with an ellipsis. Never what a decision is made on."""
    folded = _FOLDED.sub(" ", text[: limit * 8]).strip(" ")
    return folded if len(folded) <= limit and len(text) <= limit * 8 else f"{folded[:limit]}…"


class Terminal:
    """One run of one command."""

    def __init__(self, path: Path, *, as_json: bool = False) -> None:
        self.path = path
        self.as_json = as_json
        # a file or a program gets lines as long as they are
        width = None if sys.stdout.isatty() else UNBOUNDED
        self.out = Console(markup=False, highlight=False, emoji=False, soft_wrap=True, width=width)
        self.err = Console(markup=False, highlight=False, emoji=False, soft_wrap=True, stderr=True)

    @cached_property
    def settings(self) -> config.Settings:
        """The settings file, read when first asked for. Raises ConfigurationError."""
        return config.load(self.path)

    def say(self, text: str = "", style: str = "") -> None:
        """One line or more on stdout; nothing with --json."""
        self.ready(visible.visible(text), style)

    def ready(self, shown: str, style: str = "") -> None:
        """`say` for what is `visible` text already."""
        if not self.as_json:
            self.out.print(Text(shown, style=style))

    def note(self, text: str, style: str = "dim") -> None:
        """A remark beside the data."""
        self.err.print(Text(visible.visible(text), style=style))

    def document(self, content: Mapping[str, Any] | Sequence[Any]) -> None:
        """One JSON document on one line, which whoever waits for it gets at once."""
        # past rich, which has nothing to add to a line of ASCII and takes longer than the judging
        print(json.dumps(content, default=str), file=self.out.file, flush=True)

    def records(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """One line of JSON for each."""
        for row in rows:
            self.document(row)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Text in columns: a drawn table on a terminal, padded columns elsewhere. Nothing is cut here."""
        shown = [[visible.line(cell) for cell in row] for row in rows]
        if self.out.is_terminal:
            table = Table(box=None, pad_edge=False, header_style="bold")
            for heading in headings:
                table.add_column(heading, overflow="fold", no_wrap=heading in WHOLE)
            for row in shown:
                table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
            self.out.print(table, soft_wrap=False)
            return
        lines = [list(headings), *shown]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.out.print(Text("  ".join(cells).rstrip()))

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """`name  value` lines, empty values left out."""
        told = [(name, visible.line(value)) for name, value in pairs if value]
        width = max((len(name) for name, _ in told), default=0)
        for name, value in told:
            line = Text(f"{name.ljust(width)}  ", style="dim")
            self.out.print(line.append(value, style=STYLES.get(value, "default")))
