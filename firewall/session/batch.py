"""A batch is one statement bound many times before a Sync (executemany): one decision for all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session.commands import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firewall.session.line import Line

# Beyond these nobody can review the parameters; COPY is made for more.
MAX_EXECUTIONS = 10_000
MAX_BYTES = 16 * 1024 * 1024

TOO_LARGE = Refusal(
    "54000",
    f"a batch that needs approval may have {MAX_EXECUTIONS} executions and {MAX_BYTES >> 20} MiB at most",
    hint="use COPY, or smaller batches",
)


class Batch:
    """The Binds of one statement at the head of the line, as far as they have come; `first` is the head.

    complete: something else follows them. A message that is malformed is something else, with its own
    turn.
    """

    def __init__(self, first: wire.Bind, line: Line) -> None:
        frames = iter(line)
        self._statement = first.statement
        self._size = len(next(frames).raw)
        self.binds: list[wire.Bind] = [first]
        self.complete = False
        self.add(frames)

    @property
    def too_large(self) -> bool:
        return len(self.binds) > MAX_EXECUTIONS or self._size > MAX_BYTES

    def add(self, frames: Iterable[wire.Frame]) -> None:
        """Look at frames that have come behind the ones before."""
        for frame in frames:
            if self.complete or self.too_large:
                return
            if frame.code in b"DE":
                self._size += len(frame.raw)
            elif frame.code == ord("B") and (bind := self._of_this(frame)) is not None:
                self._size += len(frame.raw)
                self.binds.append(bind)
            else:
                self.complete = True

    def _of_this(self, frame: wire.Frame) -> wire.Bind | None:
        try:
            bind = wire.Bind.decode(frame.body)
        except ProtocolViolation:
            return None
        return bind if bind.statement == self._statement else None
