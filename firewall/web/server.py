"""Serves the console by uvicorn inside a running event loop, on a socket bound beforehand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import uvicorn

from firewall.errors import FirewallError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

STOP_SECONDS = 3
_READY_POLL = 0.01


class _Quiet(uvicorn.Server):
    """Signals belong to the app that embeds it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """One console on one port; `port` is the one in use, also when 0 was asked for."""

    def __init__(self, console: FastAPI, host: str, port: int) -> None:
        self._console = console
        self._socket = _bound(host, port)
        self.port = int(self._socket.getsockname()[1])
        self._uvicorn = _Quiet(
            uvicorn.Config(
                console,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when requests are answered."""
        self._task = asyncio.create_task(self._uvicorn.serve(sockets=[self._socket]))
        while not self._uvicorn.started:
            if self._task.done():
                self._task.result()
                raise FirewallError("the console stopped while it started")
            await asyncio.sleep(_READY_POLL)

    async def close(self) -> None:
        """End live streams, then the server."""
        self._console.state.streams.close()
        self._uvicorn.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise FirewallError(
            f"the console cannot listen on `{host}:{port}`: {error.strerror or error}",
            hint="choose another `web.port` in the settings file",
        ) from None
    return bound
