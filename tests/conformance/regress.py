"""Postgres's own regression SQL through psql, file by file, each in a fresh database.

Files that others build on run once, directly, on both sides, and become the template; every file then starts
from a copy, so that any of them can run alone. What two direct runs disagree about is no difference.
"""

from __future__ import annotations

import asyncio
import os
import tarfile
import time
from typing import TYPE_CHECKING

import psycopg

from tests.conformance import accepted, data, normal, transcript
from tests.conformance.pair import Pair, Side, program
from tests.conformance.result import Result

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

SUITE = "regress"
DATABASE = "regression"
# the longest take a quarter of a minute on a machine that does nothing else
TIMEOUT = 600.0
# what the files take for granted, in the order of the suite's own schedule
BASE = (
    *("test_setup", "create_function_c", "create_misc", "create_operator", "create_procedure", "create_type"),
    *("create_schema", "create_index", "create_aggregate", "create_function_sql", "create_cast"),
)
# these would see their own objects in the template
_FROM_SETUP = frozenset(BASE[1:])
# as pg_regress sets a database up (src/test/regress/pg_regress.c, create_database)
_SETTINGS = tuple(
    f"ALTER DATABASE {DATABASE} SET {name} TO '{value}'"
    for name, value in (
        *(("lc_messages", "C"), ("lc_monetary", "C"), ("lc_numeric", "C"), ("lc_time", "C")),
        *(("bytea_output", "hex"), ("timezone_abbreviations", "Default")),
    )
)


class Regress:
    """The suite, unpacked in `folder`."""

    def __init__(self, pair: Pair, folder: Path, *, psql: Path | None = None, suite: str = SUITE) -> None:
        self._pair = pair
        self._suite = suite
        self._sql = folder / "regress"
        self._shared = folder
        self._psql = psql or program("psql")

    @property
    def names(self) -> list[str]:
        """Every file there is, those first that others build on."""
        found = {path.stem for path in self._sql.glob("*.sql")}
        return [name for name in BASE if name in found] + sorted(found - set(BASE))

    async def prepare(self, base: Sequence[str] = BASE) -> None:
        """Make both templates on both sides; `base` may be fewer files, if that is enough."""
        data.write(self._shared / "data")
        for side in self._pair.sides:
            for name in ("results", "data", "expected"):
                (self._files(side) / name).mkdir(parents=True, exist_ok=True)
                (self._files(side) / name).chmod(0o777)
        await self._pair.fresh(DATABASE, setup=_SETTINGS)
        for name in base:
            await asyncio.gather(*(self._run(side.past, name) for side in self._pair.sides))
            if name == "test_setup":
                await self._keep("regress_setup")
        await self._keep("regress_base")

    async def compare(self, names: Sequence[str]) -> AsyncIterator[Result]:
        """One result a file, as they come."""
        for name in names:
            yield await self._compare(name)

    async def _compare(self, name: str) -> Result:
        started = time.monotonic()
        await self._fresh(name)
        ran, other = await asyncio.gather(*(self._run(side, name) for side in self._pair.sides))
        words = (_word(ran), _word(other))
        seconds = time.monotonic() - started
        if ran.code is None or other.code is None:
            # both sides ended at some line: nothing to compare, and the file is named
            return Result(self._suite, name, "timeout", *words, seconds=seconds)
        direct, through = self._lines(self._pair.direct, ran), self._lines(self._pair.firewall, other)
        found = normal.differences(direct, through)
        weighed = accepted.weigh(found, "regress", name)
        if weighed.unexplained:
            await self._fresh(name)
            again = await self._run(self._pair.direct, name)
            noise = normal.differences(direct, self._lines(self._pair.direct, again))
            weighed = accepted.weigh(normal.steady(found, noise), "regress", name)
        word = "differs" if weighed.unexplained else "accepted" if weighed.reasons else "same"
        found_words = (weighed.unexplained, weighed.reasons, weighed.stale)
        return Result(self._suite, name, word, *words, *found_words, seconds)

    async def _fresh(self, name: str) -> None:
        template = (
            "template0"
            if name == "test_setup"
            else "regress_setup"
            if name in _FROM_SETUP
            else "regress_base"
        )
        self._pair.forget_roles()
        await self._pair.fresh(DATABASE, template=template, setup=_SETTINGS)

    async def _keep(self, template: str) -> None:
        """A copy of the database as it stands, on both sides."""
        for cluster in self._pair.clusters:
            with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
                admin.execute(f"DROP DATABASE IF EXISTS {template}")
                admin.execute(f"CREATE DATABASE {template} TEMPLATE {DATABASE}")

    async def _run(self, side: Side, name: str) -> transcript.Ran:
        # as pg_regress runs psql: -a -q from standard input, and its environment
        environment = {
            **side.environment(DATABASE),
            "PGTZ": "America/Los_Angeles",
            "PGDATESTYLE": "Postgres, MDY",
            "PGOPTIONS": "-c intervalstyle=postgres_verbose",
            "PGAPPNAME": f"pg_regress/{name}",
            "PG_ABS_SRCDIR": str(self._shared),
            "PG_ABS_BUILDDIR": str(self._files(side)),
            "PG_LIBDIR": "/nonexistent",
            "PG_DLSUFFIX": ".so",
            "PAGER": "cat",
        }
        arguments = [
            *(self._psql, "-X", "-a", "-q", "-d", DATABASE),
            *("-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"),
        ]
        return await transcript.run(
            arguments, environment, timeout=TIMEOUT, stdin=self._sql / f"{name}.sql", folder=side.folder
        )

    def _lines(self, side: Side, ran: transcript.Ran) -> list[str]:
        return normal.normalised(ran.text, str(self._files(side)))

    def _files(self, side: Side) -> Path:
        # paths of one length on both sides: psql aligns columns by it
        return self._shared / f"files-{side.folder.name}"


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the suite where the server can read it too."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    for path in (folder, *folder.parents):
        # the server may run as another user; only what is ours to open is opened
        if path.owner() == "root" and os.geteuid() == 0 and path.parts[:2] == ("/", "tmp"):
            path.chmod(path.stat().st_mode | 0o011)


def _word(ran: transcript.Ran) -> str:
    if ran.code is None:
        return f"ended after {TIMEOUT:.0f} s"
    errors = sum("ERROR:" in line for line in ran.text.splitlines())
    lines = ran.text.count("\n")
    return f"{lines} lines, {errors} errors" + (f", exit {ran.code}" if ran.code else "")
