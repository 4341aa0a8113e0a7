"""Drivers whose tests cannot be had: a program of ours for each; what it prints on both sides is compared."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conformance import accepted, normal, transcript
from tests.conformance.cache import Cache, Missing
from tests.conformance.result import Result, skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.conformance.pair import Pair

SUITE = "driver"
DATABASE = "drivers"
# half a minute on a machine that does nothing else
TIMEOUT = 600.0
_HERE = Path(__file__).parent / "programs"
_JAVAC_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Program:
    """How to start it, and what to add to the environment."""

    command: tuple[str | Path, ...]
    environment: Mapping[str, str]


async def compare(pair: Pair, name: str, cache: Cache, folder: Path) -> Result:
    """One driver's program on both sides at once. `folder` is for scratch."""
    started = time.monotonic()
    try:
        program = await _PROGRAMS[name](cache, folder)
    except Missing as missing:
        return skipped(SUITE, name, str(missing))
    await pair.fresh(DATABASE)
    ran = await asyncio.gather(
        *(
            transcript.run(
                program.command,
                {**side.environment(DATABASE), **program.environment},
                timeout=TIMEOUT,
                folder=folder,
            )
            for side in pair.sides
        )
    )
    words = [f"exit {r.code}, {r.text.count(chr(10))} lines" for r in ran]
    if any(r.code is None for r in ran):
        # both sides ended at some line: nothing to compare
        ended = (
            f"ended after {TIMEOUT:.0f} s" if r.code is None else said
            for r, said in zip(ran, words, strict=True)
        )
        return Result(SUITE, name, "timeout", *ended, seconds=time.monotonic() - started)
    direct, through = (normal.normalised(r.text) for r in ran)
    weighed = accepted.weigh(normal.differences(direct, through), "drivers", name)
    problems = weighed.unexplained
    if ran[0].code != 0:
        # it must do its work directly, or its transcript says nothing
        problems += (f"fails directly:\n{ran[0].text[-2000:]}",)
    word = "differs" if problems else "accepted" if weighed.reasons else "same"
    seconds = time.monotonic() - started
    return Result(SUITE, name, word, *words, problems, weighed.reasons, weighed.stale, seconds)


async def _psycopg3(cache: Cache, _: Path) -> Program:
    python = await asyncio.to_thread(cache.python, "psycopg3", ("psycopg[binary]==3.3.9",))
    return Program((python, _HERE / "psycopg3.py"), {})


async def _node(cache: Cache, _: Path) -> Program:
    home = await asyncio.to_thread(cache.node, ("pg@8.23.1", "pg-cursor@2", "pg-copy-streams@7.0.0"))
    return Program(
        ("node", _HERE / "matrix.js"), {"NODE_PATH": str(home / "node_modules"), "NODE_NO_WARNINGS": "1"}
    )


async def _jdbc(cache: Cache, folder: Path) -> Program:
    jar = await asyncio.to_thread(cache.jdbc)
    command = ["javac", "-encoding", "UTF-8", "-cp", jar, "-d", folder, _HERE / "Matrix.java"]
    made = await transcript.run(command, {"PATH": "/usr/bin:/bin"}, timeout=_JAVAC_SECONDS)
    if made.code != 0:
        raise Missing(f"javac did not accept the program: {made.text[-500:]}")
    return Program(("java", "-Dfile.encoding=UTF-8", "-cp", f"{jar}:{folder}", "Matrix"), {})


_PROGRAMS: Mapping[str, Callable[..., object]] = {"psycopg3": _psycopg3, "node": _node, "jdbc": _jdbc}
NAMES = tuple(_PROGRAMS)
