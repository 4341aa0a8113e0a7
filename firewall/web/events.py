"""Live updates: which holds changed, as server-sent events. Never what they contain; pages ask for that.

One stream per visible tab. A slow reader costs a bounded set of hold names: changes of one hold between two
writes are one event, and too many different ones become `all`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from firewall import clock
from firewall.errors import StoreError
from firewall.web.problems import Trouble
from firewall.web.who import TheHouse, Visitor, get_seal, still

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from firewall.approval import Hold
    from firewall.desk import Desk

# shorter than any proxy's idle limit, and how late a page learns what another process did
BEAT_SECONDS = 15.0
# what a browser waits before it tries again, in ms
RETRY_MS = 3000
MAX_STREAMS = 200
MAX_CHANGED = 200

router = APIRouter(include_in_schema=False)


@dataclass(slots=True)
class Streams:
    """The open streams, so that they are bounded and a shutdown can end them; `close` is for `app.py`."""

    changes: set[Changes] = field(default_factory=set)
    closed: bool = False

    def close(self) -> None:
        """End every stream now and start no more: a server that waits for its connections can stop."""
        self.closed = True
        for changes in self.changes:
            changes.wake.set()


@dataclass(slots=True, eq=False)
class Changes:
    """What changed since the last write."""

    states: dict[str, str] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, hold: Hold) -> None:
        if len(self.states) >= MAX_CHANGED:
            self.states = {"": "all"}
        self.states[hold.id] = hold.state.value
        self.wake.set()

    def take(self) -> dict[str, str]:
        states, self.states = self.states, {}
        self.wake.clear()
        return states


@router.get("/events")
async def events(request: Request, house: TheHouse, visit: Visitor) -> StreamingResponse:
    """`hello` at once, `hold` for each change, `beat` in between, `bye` when the session is over."""
    streams: Streams = request.app.state.streams
    if len(streams.changes) >= MAX_STREAMS or streams.closed:
        raise Trouble(HTTPStatus.SERVICE_UNAVAILABLE, "too many live pages are open; this one will poll")

    async def admitted() -> bool:
        return get_seal(request).stands(visit) and await still(house, visit)

    content = stream(house.desk, streams, admitted)
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(content, media_type="text/event-stream", headers=headers)


async def stream(desk: Desk, streams: Streams, admitted: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
    """The events of one tab, until it goes, its session ends or the server closes."""
    changes = Changes()
    unlisten = desk.listen(changes.note)
    streams.changes.add(changes)
    try:
        yield f"retry: {RETRY_MS}\n" + _event("hello")
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changes.wake.wait(), BEAT_SECONDS)
            if streams.closed or not await _still(admitted):
                yield _event("bye")
                return
            changed = changes.take()
            yield "".join(_event("hold", id=hold, state=state) for hold, state in changed.items()) or _event(
                "beat", at=clock.stamp(clock.now())
            )
    finally:
        unlisten()
        streams.changes.discard(changes)


async def _still(admitted: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await admitted()
    except StoreError:
        return False


def _event(name: str, **data: str) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
