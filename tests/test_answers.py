"""Answers in several parts are read to their end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from firewall import publishing
from firewall.answers import whole
from firewall.publishing import PublishError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PARTS = [b"the first part, ", b"the second, ", b"and the last"]


@asynccontextmanager
async def served(*parts: bytes, cut: bool = False) -> AsyncIterator[str]:
    """The URL of an answer whose parts arrive one by one; `cut` ends it before it is whole."""

    async def answer(request: web.Request) -> web.StreamResponse:
        found = web.StreamResponse()
        found.enable_chunked_encoding()
        await found.prepare(request)
        for part in parts:
            await found.write(part)
            for _ in range(50):  # whoever reads has read all of it
                await asyncio.sleep(0)
        if cut:
            assert request.transport is not None
            request.transport.close()
        return found

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_an_answer_is_read_to_its_end() -> None:
    text = b"".join(PARTS)
    async with served(*PARTS) as url, aiohttp.ClientSession() as http:
        async with http.get(url) as answer:
            assert await whole(answer, len(text)) == text
        async with http.get(url) as answer:
            with pytest.raises(ValueError, match=f"longer than {len(text) - 1} bytes"):
                await whole(answer, len(text) - 1)


async def test_an_answer_that_breaks_off_is_none() -> None:
    async with served(*PARTS, cut=True) as url, aiohttp.ClientSession() as http, http.get(url) as answer:
        with pytest.raises(aiohttp.ClientError):
            await whole(answer, 1000)


async def test_every_published_checkpoint_is_seen() -> None:
    """What `audit verify --against` compares with must not be the beginning of a list."""
    notes = [f"log.test\n{size}\nAAAA\n\n— log.test AAAA\n" for size in range(3)]
    async with served(*(f"{note}\n".encode() for note in notes)) as url:
        assert len(await publishing.read(url)) == 3
    async with served(notes[0].encode(), cut=True) as url:
        with pytest.raises(PublishError, match="cannot be read"):
            await publishing.read(url)
