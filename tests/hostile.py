"""Stand-ins for an analysis that goes wrong, run by the analysis workers."""

from __future__ import annotations

import os
import signal
from typing import Never

from firewall import workers


def dies(*_: object) -> None:
    """As a parser does that overruns its stack."""
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(*_: object) -> None:
    while True:
        signal.pause()


def hogs(*_: object) -> int:
    """More than a worker may have."""
    return len(bytearray(2 * workers.MEMORY_BYTES))


def fails(*_: object) -> Never:
    raise LookupError("a bug")
