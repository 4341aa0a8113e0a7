"""`firewall serve`: the firewall itself, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import typer
import uvloop

from firewall.cli import house, logs
from firewall.cli.command import command

if TYPE_CHECKING:
    from firewall.app import App
    from firewall.cli.terminal import Terminal

SWITCH_SECONDS = 0.0005

app = typer.Typer()


@command(app, "serve")
def serve(terminal: Terminal) -> None:
    """Stand between agents and databases until SIGTERM or Ctrl-C; then say goodbye and stop.

    A second signal stops at once. SIGHUP reads the policies again.
    """
    logs.configure(logging.INFO)
    # the thread that writes the log gives way sooner than after Python's 5 ms: somebody waits for every relay
    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(terminal))


async def _serve(terminal: Terminal) -> None:
    from firewall.app import App  # noqa: PLC0415 — seconds that only this command has to wait

    stop = _stop_signal()
    firewall = await App.open(terminal.settings)
    starting = asyncio.create_task(firewall.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        # it takes back what it has begun
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    try:
        starting.result()
        _announce(terminal, firewall)
        reloads = _reload_on_hangup(firewall)
        await stopping
        await asyncio.gather(*reloads, return_exceptions=True)
        terminal.note("stopping: agents are told, what they did is recorded")
    finally:
        stopping.cancel()
        await firewall.close()


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second has its usual effect."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)

    def told() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, told)
    return stop


def _reload_on_hangup(firewall: App) -> set[asyncio.Task[str]]:
    """SIGHUP puts the policies in force as they are now; the reloads that have not ended."""
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[str]] = set()

    def told() -> None:
        task = loop.create_task(firewall.reload("SIGHUP"))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, told)
    return reloads


def _announce(terminal: Terminal, firewall: App) -> None:
    settings = terminal.settings
    dsns = {
        name: house.dsn(settings, name, "AGENT", "TOKEN", port=firewall.port) for name in settings.databases
    }
    if terminal.as_json:
        terminal.document(
            {
                "version": version("query-firewall"),
                "host": settings.listen.host,
                "port": firewall.port,
                "dsns": dsns,
                "url": firewall.url,
                "store": firewall.store.where,
                "origin": settings.origin,
            }
        )
        return
    terminal.say(f"query-firewall {version('query-firewall')}", style="bold")
    terminal.facts(
        [
            *((f"agents connect to {name}", dsn) for name, dsn in dsns.items()),
            ("people decide at", firewall.url),
            ("the log is in", f"{firewall.store.where} as `{settings.origin}`"),
        ]
    )
