"""A batch is one statement bound many times before a Sync (executemany): one decision for all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewall import wire
from firewall.session.commands import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

# Beyond these nobody can review the parameters; COPY is made for more.
MAX_EXECUTIONS = 10_000
MAX_BYTES = 16 * 1024 * 1024

TOO_LARGE = Refusal(
    "54000",
    f"a batch that needs approval may have {MAX_EXECUTIONS} executions and {MAX_BYTES >> 20} MiB at most",
    hint="use COPY, or smaller batches",
)


@dataclass(frozen=True, slots=True)
class Batch:
    """The Binds of one statement at the head of the queue. complete: something else follows them."""

    binds: tuple[wire.Bind, ...]
    complete: bool
    too_large: bool


def look_ahead(queue: Iterable[wire.Frame], statement: str) -> Batch:
    """All Binds of `statement` up to the first message that belongs to something else."""
    binds: list[wire.Bind] = []
    size = 0
    complete = False
    for frame in queue:
        size += len(frame.raw)
        if frame.code in b"DE":
            continue
        if frame.code != ord("B"):
            complete = True
            break
        bind = wire.Bind.decode(frame.body)
        if bind.statement != statement:
            complete = True
            break
        binds.append(bind)
    return Batch(tuple(binds), complete, len(binds) > MAX_EXECUTIONS or size > MAX_BYTES)
