"""What a server answers over HTTP, whole or not at all.

aiohttp's `content.read(n)` returns what has arrived so far: of an answer in several parts, the beginning.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp


async def whole(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The answer's body, to its end. Raises ValueError if it is longer than `most` bytes."""
    try:
        await answer.content.readexactly(most + 1)
    except asyncio.IncompleteReadError as ended:
        return ended.partial
    raise ValueError(f"the answer is longer than {most} bytes")
