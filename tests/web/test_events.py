"""Live updates, over a real server and real connections."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import uvicorn

from firewall.web import events
from firewall.web.session import SESSION_COOKIE
from tests.web.sample import hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from tests.web.sample import Sample


@pytest.fixture
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The application on a loopback port of the system's choice."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        app.state.streams.close()
        server.should_exit = True
        await running


@asynccontextmanager
async def tab(
    app: FastAPI, url: str, person: str = "dana@example.com"
) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, str]]]]:
    """A stream as a browser has it: event names with their data."""
    cookies = {SESSION_COOKIE: app.state.seal.write(app.state.seal.open(person))}
    async with (
        httpx.AsyncClient(base_url=url, cookies=cookies, timeout=20) as client,
        client.stream("GET", "/events") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield read(answer)


async def read(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, str]]]:
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def test_every_tab_hears_of_every_change(app: FastAPI, sample: Sample, served: str) -> None:
    async with tab(app, served) as one, tab(app, served, "omar@example.com") as other:
        assert (await anext(one))[0] == (await anext(other))[0] == "hello"
        await sample.desk.open(made := hold())
        for stream in (one, other):
            assert await anext(stream) == ("hold", {"id": made.id, "state": "pending"})
        await sample.desk.vote(made.id, "dana@example.com", approve=True, reason="", channel="slack")
        for stream in (one, other):
            assert await anext(stream) == ("hold", {"id": made.id, "state": "approved"})


async def test_the_stream_beats(app: FastAPI, served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "BEAT_SECONDS", 0.01)
    async with tab(app, served) as stream:
        assert [(await anext(stream))[0] for _ in range(3)] == ["hello", "beat", "beat"]


async def test_the_stream_ends_with_the_session(
    app: FastAPI, sample: Sample, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BEAT_SECONDS", 0.01)
    async with tab(app, served) as stream:
        assert (await anext(stream))[0] == "hello"
        del sample.tokens["token-dana"]
        await sample.desk.open(hold())
        assert [name async for name, _ in stream if name != "beat"] == ["bye"]


async def test_closing_ends_every_stream_and_starts_no_more(app: FastAPI, served: str) -> None:
    async with tab(app, served) as stream:
        assert (await anext(stream))[0] == "hello"
        app.state.streams.close()
        assert [name async for name, _ in stream] == ["bye"]
    cookies = {SESSION_COOKIE: app.state.seal.write(app.state.seal.open("dana@example.com"))}
    async with httpx.AsyncClient(base_url=served, cookies=cookies) as client:
        assert (await client.get("/events")).status_code == 503


async def test_a_tab_that_goes_leaves_nothing_behind(
    app: FastAPI, sample: Sample, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BEAT_SECONDS", 0.01)
    async with tab(app, served) as stream:
        await anext(stream)
        assert len(app.state.streams.changes) == 1
    async with asyncio.timeout(10):
        while app.state.streams.changes:
            await asyncio.sleep(0)
    assert not sample.desk._listeners


async def test_streams_are_bounded(app: FastAPI, served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_STREAMS", 1)
    async with tab(app, served) as stream:
        await anext(stream)
        cookies = {SESSION_COOKIE: app.state.seal.write(app.state.seal.open("dana@example.com"))}
        async with httpx.AsyncClient(base_url=served, cookies=cookies) as client:
            assert (await client.get("/events")).status_code == 503


def test_a_slow_reader_costs_a_bounded_memory() -> None:
    changes = events.Changes()
    for _ in range(events.MAX_CHANGED * 5):
        changes.note(hold())
        assert len(changes.states) <= events.MAX_CHANGED
    assert changes.take()[""] == "all"
    changes.note(made := hold())
    changes.note(made)
    assert changes.take() == {made.id: "pending"}
