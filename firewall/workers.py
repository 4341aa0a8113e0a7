"""Where statements are analysed: worker processes that may die.

Both parsers can be killed or kept busy by hostile input, so a worker has a deadline and a memory limit. One
that dies or overruns costs one statement (`unknown`, with the reason), never a session. The event loop never
parses.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from firewall import sql
from firewall.crew import Crew, CrewError, FailedError
from firewall.published import Published, Reader
from firewall.sql.analyse import analyse

if TYPE_CHECKING:
    from firewall.catalog import Snapshot

# A statement that takes longer is hostile or beyond review; the p99 to reach is 10 ms.
DEADLINE_SECONDS = 5.0
# Enough for both parsers, a catalog of thousands of tables, and a tree of a megabyte of SQL.
MEMORY_BYTES = 2 * 1024**3
# Texts beyond this are not parsed at all.
MAX_TEXT_BYTES = 1024 * 1024
# 1,500 operators in a row are a tree that deep, and each level takes several calls. What goes deeper is
# `unknown` by the limit, or costs the worker.
MAX_CALLS = 10_000
WARM_UP = "SELECT 1"

_reader = Reader()  # in a worker: the catalogs that it has read


class Analysts:
    """A warm pool. `analyse` never raises for what is in a text."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        # texts that are analysed or wait for it now, and texts that had no answer since the start
        self.busy = self.lost = 0
        self._folder = tempfile.TemporaryDirectory(prefix="query-firewall-")
        self._published = Published(Path(self._folder.name))
        self._crew = Crew(workers, _start)

    def publish(self, snapshot: Snapshot) -> None:
        """Make a catalog known to the workers; texts are analysed against published catalogs only.

        Takes long for a large one; any thread may do it.
        """
        self._published.add(snapshot)

    async def warm(self, snapshot: Snapshot) -> None:
        """Start every worker and let it read the catalog."""
        self.publish(snapshot)
        await asyncio.gather(
            *(self.analyse(WARM_UP, snapshot.version, sql.Facts()) for _ in range(self.workers * 2))
        )

    async def analyse(self, text: str, version: str, facts: sql.Facts) -> sql.Analysis:
        """What `text` would do against the published catalog of that version."""
        if len(text.encode(errors="surrogatepass")) > MAX_TEXT_BYTES:
            return sql.unknown(f"the text is longer than {MAX_TEXT_BYTES >> 20} MiB", text, facts)
        path = str(self._published.path(version))
        self.busy += 1
        # INVARIANT: 3. what is not understood is refused or held: every failure here is `unknown`
        try:
            found: sql.Analysis = await self._crew.call(
                _analyse, path, version, text, facts, seconds=DEADLINE_SECONDS
            )
        except TimeoutError:
            why = f"its analysis took longer than {DEADLINE_SECONDS:g} s"
        except CrewError:
            why = "its analysis crashed"
        except FailedError as error:
            why = f"its analysis failed ({error.kind})"
            if error.kind == "MemoryError":
                why = "its analysis needed too much memory"
        except Exception as error:  # noqa: BLE001 — a bug here may cost a hold, never a passage or a session
            why = f"its analysis failed ({type(error).__name__})"
        else:
            return found
        finally:
            self.busy -= 1
        self.lost += 1
        return sql.unknown(why, text, facts)

    @property
    def pids(self) -> list[int]:
        """Of the worker processes."""
        return self._crew.pids

    def close(self) -> None:
        """End the workers."""
        self._crew.close()
        self._folder.cleanup()


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and ends its workers
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(MAX_CALLS)
    # INVARIANT: 10. sqlglot's warnings quote the statement, which may hold anything
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


def _analyse(path: str, version: str, text: str, facts: sql.Facts) -> sql.Analysis:
    """Runs in a worker."""
    return analyse(text, _reader.read(Path(path), version), facts)
