"""Runs a program on one side and returns what it printed, both streams in one."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ran:
    """code: the exit status; None if it was ended for taking too long. text: stdout and stderr."""

    code: int | None
    text: str


async def run(
    arguments: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    timeout: float,
    stdin: Path | None = None,
    folder: Path | None = None,
) -> Ran:
    """Run to the end, or end it after `timeout` seconds."""
    with stdin.open("rb") if stdin else open(os.devnull, "rb") as source:  # noqa: PTH123 — a device
        process = await asyncio.create_subprocess_exec(
            *map(str, arguments),
            stdin=source,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    assert process.stdout is not None
    reading = asyncio.ensure_future(process.stdout.read())
    try:
        async with asyncio.timeout(timeout):
            out = await asyncio.shield(reading)
            await process.wait()
    except TimeoutError:
        _end(process)
        out = await reading
        await process.wait()
        return Ran(None, out.decode(errors="replace"))
    except BaseException:
        _end(process)
        await process.wait()
        raise
    return Ran(process.returncode, out.decode(errors="replace"))


def _end(process: asyncio.subprocess.Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)  # its own group: start_new_session
    except ProcessLookupError:
        return
