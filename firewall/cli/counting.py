"""A bar on stderr while records are counted, for whoever waits at a terminal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firewall.cli.terminal import Terminal


class Counted(Protocol):
    """Told how many are done, and how many there are in all if that has become known."""

    def __call__(self, done: int, total: int | None = None) -> None: ...


@contextmanager
def counting(terminal: Terminal, word: str, total: int | None = None) -> Iterator[Counted]:
    """The bar goes when it is done, and is not there where nobody would see it."""
    with Progress(
        *(TextColumn(word), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
        console=terminal.err,
        transient=True,
        disable=terminal.as_json or not terminal.err.is_terminal,
    ) as bar:
        task = bar.add_task("", total=total)

        def tell(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total or bar.tasks[task].total)

        yield tell
