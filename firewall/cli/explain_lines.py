"""Lines of `firewall explain -`: read as they come, judged several at a time, answered in their order.

Whoever writes a line and waits for its answer gets it, so nothing is read ahead of being judged but what is
there already; whoever pipes ten thousand lines keeps every processor busy.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from firewall.cli.exits import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import TextIO

    from firewall.judgement import Judgement

    Answer: TypeAlias = "tuple[Line | None, Judgement | Usage]"

# Lines that are judged, or wait to be printed, at a time.
AT_A_TIME = 32


class Line(BaseModel):
    """One line of stdin. setup: texts that the session has run before; they decide what names mean."""

    model_config = ConfigDict(extra="forbid")

    sql: str
    agent: str | None = None
    setup: list[str] = []


def parsed(line: str, number: int) -> Line:
    """Raises Usage."""
    try:
        # Python's reader takes lone surrogates, which the analysis has a word for
        return Line.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = f"`{'.'.join(map(str, first['loc']))}`: " if first["loc"] else ""
        why = f"{where}{first['msg'].lower()}"
    except (ValueError, RecursionError) as error:
        why = f"invalid json: {str(error).lower()}"
    raise Usage(
        f"line {number} of stdin: {why}",
        hint='write {"sql": "…", "agent": "…", "setup": ["…"]}; agent and setup may be left out',
    )


async def answered(
    stream: TextIO, judge: Callable[[Line], Awaitable[Judgement]]
) -> AsyncIterator[Judgement | Usage]:
    """What is said of each line that is not empty, in order; `Usage` of one that is wrong."""
    if hasattr(stream, "reconfigure"):
        # bytes that are no text cost their line, not all of them
        stream.reconfigure(errors="surrogateescape")
    under_way: asyncio.Queue[asyncio.Task[Judgement | Usage] | None] = asyncio.Queue(AT_A_TIME)

    async def one(line: str, number: int) -> Judgement | Usage:
        try:
            return await judge(parsed(line, number))
        except Usage as wrong:
            return wrong

    async def read() -> None:
        number = 0
        while line := await asyncio.to_thread(stream.readline):
            number += 1
            if line.strip():
                await under_way.put(asyncio.create_task(one(line, number)))
        await under_way.put(None)

    reading = asyncio.create_task(read())
    try:
        while (task := await under_way.get()) is not None:
            yield await task
        await reading
    finally:
        reading.cancel()
