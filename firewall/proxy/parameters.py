"""What a client may set in its startup packet, before any statement could be judged.

Harmless settings pass through to Postgres untouched; the search path is followed; the rest is refused,
because a setting can change what statements mean, or run code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.wire.startup import EXTENSION

if TYPE_CHECKING:
    from firewall.wire import StartupMessage

# Settings that change how results look or how long things may take, and nothing else (manual, chapter 19).
HARMLESS = frozenset(
    {
        *("application_name", "bytea_output", "client_encoding", "client_min_messages", "datestyle"),
        *("deadlock_timeout", "default_transaction_deferrable", "default_transaction_isolation"),
        *("default_transaction_read_only", "enable_seqscan", "extra_float_digits", "geqo"),
        *("idle_in_transaction_session_timeout", "idle_session_timeout", "intervalstyle", "jit"),
        *("lc_messages", "lc_monetary", "lc_numeric", "lc_time", "lock_timeout", "search_path"),
        *("statement_timeout", "tcp_keepalives_idle", "tcp_user_timeout", "timezone", "work_mem"),
        *("xmloption", "default_statistics_target", "plan_cache_mode", "transaction_timeout"),
    }
)
# Settings that move the lexer's corners; saying that they stay where they are moves nothing (manual 19.13.1).
AS_THEY_ARE = {
    "standard_conforming_strings": frozenset({"on", "true", "yes", "1"}),
    "escape_string_warning": frozenset({"on", "off", "true", "false", "yes", "no", "1", "0"}),
    "backslash_quote": frozenset({"safe_encoding"}),
}
# Said of the connection, not settings.
CONNECTION = frozenset({"user", "database", "replication", "options"})
# Schemas that are another one in each session.
SPECIAL = frozenset({"$user", "pg_temp"})
# NAMEDATALEN of Postgres, less one: longer names are cut.
LONGEST_NAME = 63
_FALSE = frozenset({"", "off", "false", "no", "0"})


def for_upstream(startup: StartupMessage) -> dict[str, str]:
    """The settings to pass on, the last of a name winning as in Postgres. Raises ProtocolViolation."""
    if not startup.get("user"):
        raise ProtocolViolation("no user name in the startup packet", sqlstate="28000")
    replication = (startup.get("replication") or "").lower()
    if replication not in _FALSE:
        raise ProtocolViolation(
            f"`replication={replication}` asks for a replication connection, which cannot be judged",
            sqlstate="0A000",
            hint="connect without `replication`",
        )
    found: dict[str, str] = {}
    pairs = [(k, v) for k, v in startup.parameters if k not in CONNECTION and not k.startswith(EXTENSION)]
    options = startup.get("options")
    for name, value in [*(wire.parse_options(options) if options else ()), *pairs]:
        lowered = name.lower()
        if lowered not in HARMLESS and value.lower() not in AS_THEY_ARE.get(lowered, ()):
            raise ProtocolViolation(
                f"the startup parameter `{name}` may not be set through query-firewall",
                sqlstate="42501",
                hint="leave it out, or SET it in a statement, where policy decides",
            )
        found[lowered] = value
    return found


def search_path(value: str) -> tuple[str, ...] | None:
    """The schemas in a search_path setting, or None if they cannot be read off (manual 19.11.1)."""
    schemas: list[str] = []
    for part in value.split(","):
        name = part.strip()
        if name.startswith('"') and name.endswith('"') and len(name) > 2 and '"' not in name[1:-1]:
            schemas.append(name[1:-1])
        elif name.isidentifier() and name.isascii():
            schemas.append(name.lower())
        else:
            return None
    if any(len(name.encode()) > LONGEST_NAME or name in SPECIAL for name in schemas):
        return None
    if "pg_catalog" not in schemas:
        schemas.insert(0, "pg_catalog")
    return tuple(schemas)
