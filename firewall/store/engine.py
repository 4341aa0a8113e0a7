"""From a store's URL to transactions that are durable when they return, and from what drivers raise to one
`StoreError` that a person understands and that shows no secret.

A transaction is a plain function of a SQLAlchemy connection. On Postgres it runs in a greenlet over asyncpg;
on SQLite as a whole in a thread: one hop for each statement (aiosqlite) made a commit four times as dear.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import asyncpg
from sqlalchemy import create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from firewall.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

# how long one writer waits for another before it says that the store is busy
BUSY_SECONDS = 10
# no statement of the store is meant to take longer; a server that hangs must not hang the firewall
STATEMENT_SECONDS = 30
# execution option of the engine that writes: SQLite then takes the write lock at BEGIN, not half-way through
WRITES = "firewall_writes"
# threads that read a SQLite store beside the one that writes
READERS = 4

T = TypeVar("T")

_SCHEMES = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}
_MODE_PRIVATE = 0o600


class Database(Protocol):
    """`where` names the store for people: never a user, password or parameter of the URL."""

    @property
    def where(self) -> str: ...
    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a writing transaction: durable when it returns, undone if it raises. One at a time."""
        ...

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do `work`, which only reads, on one snapshot."""
        ...

    async def scrub(self) -> None:
        """Let go of what was overwritten, as far as the database can be asked to."""
        ...

    async def close(self) -> None: ...


class Sqlite:
    """A file; its only process-wide writer is one thread."""

    def __init__(self, where: str, engine: Engine) -> None:
        self.where = where
        self._engine = engine
        self._writing = engine.execution_options(**{WRITES: True})
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._readers = ThreadPoolExecutor(READERS, "store-reader")

    async def transact(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._run, self._writing, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._run, self._engine, work)

    async def scrub(self) -> None:
        def work() -> None:
            with speaking(self.where), closing(self._engine.raw_connection()) as connection:
                # what was committed is still in the write-ahead log until that is begun anew
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

        await asyncio.get_running_loop().run_in_executor(self._writer, work)

    def _run(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        with speaking(self.where), engine.begin() as connection:
            return work(connection)

    async def close(self) -> None:
        for pool in (self._writer, self._readers):
            await asyncio.to_thread(pool.shutdown)
        self._engine.dispose()


class Postgres:
    """A server, which several firewalls may share."""

    def __init__(self, where: str, engine: AsyncEngine) -> None:
        self.where = where
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    async def transact(self, work: Callable[[Connection], T]) -> T:
        with speaking(self.where):
            async with self._engine.begin() as connection:
                return await connection.run_sync(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        with speaking(self.where):
            async with self._reading.begin() as connection:
                return await connection.run_sync(work)

    async def scrub(self) -> None:
        """VACUUM, which Postgres runs by itself, does."""

    async def close(self) -> None:
        await self._engine.dispose()


def connect(url: str, *, create: bool) -> Database:
    """An engine for `sqlite:///path` or `postgresql://…` (any DSN that asyncpg takes). Nothing is opened yet,
    but the file of a new SQLite store is made, readable by its owner only.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise _bad_url() from None
    match _SCHEMES.get(parsed.drivername):
        case "sqlite":
            return _sqlite(parsed, create=create)
        case "postgresql":
            return _postgres(url, parsed)
        case _:
            raise _bad_url()


@contextmanager
def speaking(where: str) -> Iterator[None]:
    """Turn what a driver raises into a `StoreError`."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        raise _say(cause, where) from error


def _bad_url() -> StoreError:
    return StoreError(
        "this is not the URL of a store",
        hint="write `sqlite:///path/to/file` or `postgresql://user:password@host/database`",
    )


def _sqlite(url: URL, *, create: bool) -> Database:
    if not url.database or url.database == ":memory:":
        raise StoreError("a store in memory would lose the log", hint="write `sqlite:///path/to/file`")
    path = Path(url.database)
    where = f"sqlite:///{path}"
    if create:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, _MODE_PRIVATE))
        except OSError as error:
            raise StoreError(
                f"the store `{where}` cannot be opened: {(error.strerror or 'i/o error').lower()}",
                hint="name a file in a directory that exists and can be written",
            ) from None
    elif not path.is_file():
        raise StoreError(f"there is no store `{where}`", hint="start the firewall once to make it")
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite", query={}),
        hide_parameters=True,
        connect_args={"timeout": BUSY_SECONDS},
    )
    event.listen(engine, "connect", _sqlite_connected)
    event.listen(engine, "begin", _sqlite_begin)
    return Sqlite(where, engine)


def _sqlite_connected(connection: Any, _: object) -> None:
    # the driver must not begin and commit by itself: see _sqlite_begin
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode=WAL")
    # INVARIANT: 5. a commit has reached the disk when it returns (SQLite, "PRAGMA synchronous")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres(url: str, parsed: URL) -> Database:
    where = f"postgresql://{parsed.host or 'localhost'}:{parsed.port or 5432}/{parsed.database or ''}"
    _, _, rest = url.partition("://")
    dsn = f"postgresql://{rest}"

    async def creator() -> asyncpg.Connection:
        # asyncpg reads the DSN itself: sslmode, socket directories and password files work as libpq's do
        connection: asyncpg.Connection = await asyncpg.connect(
            dsn,
            timeout=BUSY_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            server_settings={
                "application_name": "query-firewall store",
                # INVARIANT: 5. durable whatever the server's default (manual 19.5.1)
                "synchronous_commit": "on",
                "lock_timeout": f"{BUSY_SECONDS}s",
                "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS}s",
            },
        )
        return connection

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=creator, hide_parameters=True, pool_pre_ping=True
    )
    return Postgres(where, engine)


# what SQLite says, and what to do about it (sqlite.org/rescode.html)
_SQLITE: tuple[tuple[str, str, str], ...] = (
    ("database or disk is full", "the disk is full", "make room; writing goes on by itself"),
    ("disk i/o error", "the disk cannot be read or written", "look at the disk and its quota"),
    ("readonly", "the file or its directory cannot be written", "give the firewall's user write access"),
    ("unable to open", "the file cannot be opened", "look at its directory and its permissions"),
    ("not a database", "the file is not a SQLite database", "name another file, or restore it from a backup"),
    ("malformed", "the file is damaged", "restore it from a backup, then run `firewall audit verify`"),
    ("locked", "another process keeps it locked", "end that process; writing goes on by itself"),
)


def _say(error: BaseException, where: str) -> StoreError:
    said = str(error).lower()
    for pattern, message, hint in _SQLITE:
        if pattern in said and not isinstance(error, OSError):
            return StoreError(f"the store `{where}` failed: {message}", hint=hint)
    state = getattr(error, "sqlstate", None)
    if state is None and isinstance(error, OSError):
        reason = (error.strerror or type(error).__name__).lower()
        return StoreError(
            f"the store `{where}` cannot be reached: {reason}", hint="start it, or correct its URL"
        )
    # Postgres's own first line; its DETAIL may hold values
    line = said.partition(">: ")[2] or said
    line = line.partition("\n")[0].rstrip(".")
    code = f" ({state})" if state else ""
    return StoreError(f"the store `{where}` failed: {line or type(error).__name__}{code}")


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT with a conflict clause, which both databases have and SQL has not."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
