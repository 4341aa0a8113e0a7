"""Where statements are analysed: worker processes that may die.

Both parsers can be killed or kept busy by hostile input, so a worker has a deadline and a memory limit. One
that dies or overruns costs one statement (`unknown`, with the reason), never a session. The event loop never
parses.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import resource
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pebble import ProcessExpired, ProcessPool

from firewall import sql
from firewall.sql.analyse import analyse

if TYPE_CHECKING:
    from firewall.catalog import Snapshot

# A statement that takes longer is hostile or beyond review; the p99 to reach is 10 ms.
DEADLINE_SECONDS = 5.0
# Enough for both parsers, a catalog of thousands of tables, and a tree of a megabyte of SQL.
MEMORY_BYTES = 2 * 1024**3
# Texts beyond this are not parsed at all.
MAX_TEXT_BYTES = 1024 * 1024
WARM_UP = "SELECT 1"

_snapshots: dict[str, Snapshot] = {}  # in a worker: the catalogs that it has read, newest last
_KEPT = 4


class Analysts:
    """A warm pool. `analyse` never raises for what is in a text."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._folder = tempfile.TemporaryDirectory(prefix="query-firewall-")
        self._pool = ProcessPool(
            max_workers=workers,
            context=multiprocessing.get_context("spawn"),
            initializer=_start,
            max_tasks=100_000,
        )

    def publish(self, snapshot: Snapshot) -> None:
        """Make a catalog known to the workers; texts are analysed against published catalogs only."""
        path = self._path(snapshot.version)
        if not path.exists():
            scratch = path.with_suffix(".new")
            scratch.write_bytes(pickle.dumps(snapshot, protocol=pickle.HIGHEST_PROTOCOL))
            scratch.rename(path)

    async def warm(self, snapshot: Snapshot) -> None:
        """Start every worker and let it read the catalog."""
        self.publish(snapshot)
        await asyncio.gather(
            *(self.analyse(WARM_UP, snapshot.version, sql.Facts()) for _ in range(self._workers * 2))
        )

    async def analyse(self, text: str, version: str, facts: sql.Facts) -> sql.Analysis:
        """What `text` would do against the published catalog of that version."""
        if len(text.encode(errors="surrogatepass")) > MAX_TEXT_BYTES:
            return sql.unknown(f"the text is longer than {MAX_TEXT_BYTES >> 20} MiB", text, facts)
        future = self._pool.schedule(
            _analyse, args=(str(self._path(version)), version, text, facts), timeout=DEADLINE_SECONDS
        )
        # INVARIANT: 3. what is not understood is refused or held: every failure here is `unknown`
        try:
            return await asyncio.wrap_future(future)
        except TimeoutError:
            why = f"its analysis took longer than {DEADLINE_SECONDS:g} s"
        except ProcessExpired:
            why = "its analysis crashed"
        except MemoryError:
            why = "its analysis needed too much memory"
        return sql.unknown(why, text, facts)

    def close(self) -> None:
        """End the workers."""
        self._pool.stop()  # type: ignore[no-untyped-call]  # pebble annotates only some of its methods
        self._pool.join()
        self._folder.cleanup()

    def _path(self, version: str) -> Path:
        return Path(self._folder.name) / f"{version}.pickle"


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and ends its workers
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _analyse(path: str, version: str, text: str, facts: sql.Facts) -> sql.Analysis:
    """Runs in a worker."""
    snapshot = _snapshots.get(version)
    if snapshot is None:
        # our own file in our own private folder
        snapshot = pickle.loads(Path(path).read_bytes())  # noqa: S301
        _snapshots[version] = snapshot
        while len(_snapshots) > _KEPT:
            del _snapshots[next(iter(_snapshots))]
    return analyse(text, snapshot, facts)
