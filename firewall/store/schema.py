"""Which schema a store has, and bringing it to this code's. Alembic is loaded only when there is work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from firewall.errors import StoreError
from firewall.store import tables

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

# the newest module under migrations/versions; a test holds the two together
HEAD = "0010"
MIGRATIONS = Path(__file__).parent / "migrations"
# any number, the same for everyone: only one process migrates a shared store at a time
_MIGRATION_LOCK = 0x66697265


def version(connection: Connection) -> str:
    """The schema version of the store, empty for an empty database; StoreError for a foreign one."""
    names = set(inspect(connection).get_table_names())
    if "alembic_version" in names:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return str(found or "")
    if names & set(tables.metadata.tables):
        raise StoreError(
            "this database has tables with the store's names, but is not a store",
            hint="give the store a database of its own",
        )
    return ""


def check(connection: Connection, where: str) -> None:
    """Refuse to work on a schema that this code does not know."""
    found = version(connection)
    if found == HEAD:
        return
    if not found:
        raise StoreError(f"there is no store in `{where}`", hint="start the firewall once to make it")
    if not _known(found):
        raise StoreError(
            f"the store `{where}` has schema version `{found}`, which is newer than this firewall's `{HEAD}`",
            hint="upgrade the firewall",
        )
    raise StoreError(
        f"the store `{where}` has schema version `{found}`, this firewall needs `{HEAD}`",
        hint="start the firewall once to upgrade it",
    )


def migrate(connection: Connection, where: str, *, create: bool) -> None:
    """Bring the store to `HEAD` inside the caller's transaction; an existing store is used in any case."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    found = version(connection)
    if found == HEAD:
        return
    if (not found and not create) or (found and not _known(found)):
        check(connection, where)
    from alembic import command  # noqa: PLC0415 — slow to load and seldom needed

    configuration = _configuration()
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, HEAD)


def _configuration() -> Config:
    from alembic.config import Config  # noqa: PLC0415 — as in `migrate`

    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return configuration


def _known(found: str) -> bool:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 — as in `migrate`

    return found in {
        script.revision for script in ScriptDirectory.from_config(_configuration()).walk_revisions()
    }
