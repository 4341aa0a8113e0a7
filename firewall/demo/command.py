"""`firewall demo`: sets up, plays the story, verifies the log, cleans up."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from firewall.demo import stage, story
from firewall.demo.teller import Teller
from firewall.errors import FirewallError

USUAL_PORTS = (6432, 8432)


def demo(*, unattended: bool, directory: Path | None) -> None:
    """Play the main job. `directory` keeps the state; without it everything is gone in the end."""
    folder = directory.absolute() if directory else Path(tempfile.mkdtemp(prefix="query-firewall-demo-"))
    try:
        uvloop.run(_run(folder, unattended=unattended))
    finally:
        if directory is None:
            _remove(folder)


async def _run(folder: Path, *, unattended: bool) -> None:
    tell = Teller()
    async with AsyncExitStack() as stack:
        ports = (0, 0) if unattended else _usual_ports()
        built = await stage.set_up(stack, folder, tell.step, ports=ports)
        tell.ready(built, unattended=unattended)
        stopped = _stop_signal()
        playing = asyncio.create_task(story.play(built, tell, unattended=unattended))
        await asyncio.wait([playing, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            playing.cancel()
            await asyncio.wait([playing])
            return
        playing.result()
        report = await built.app.store.verify([built.app.key.public])
        tell.verified(report)
        if not report.sound:
            raise FirewallError("the log does not verify")
        if not unattended:
            tell.stays()
            await stopped


def _stop_signal() -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stopped


def _usual_ports() -> tuple[int, int]:
    """The ports of a real installation where they are free, any other where not."""

    def free(port: int) -> int:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return 0
        return port

    agents, people = USUAL_PORTS
    return free(agents), free(people)


def _remove(folder: Path) -> None:
    data = folder / "postgres" / "data"
    if data.is_symlink():
        shutil.rmtree(data.resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
