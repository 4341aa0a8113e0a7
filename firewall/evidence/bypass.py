"""Who came past the firewall? The database's own count of statements, compared with what the log let through.

Statements are told apart by libpg_query's fingerprint, which is the same whatever their constants. Of each
the log must have let through as many as the database has run. What the firewall runs for itself is known, and
left out: it reads the catalog alone, and asks the planner of what is held. So are BEGIN, COMMIT and the like,
which touch nothing.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import postgast
from asyncpg import introspection

from firewall import audit
from firewall.catalog import introspect_mark, introspect_sql
from firewall.proxy import planner
from firewall.session import bounds
from firewall.sql import grammar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from firewall.store.exporting import Exported

MAX_SHOWN = 2000
# manual F.32: of the guarded roles, as they were sent, and as of one moment
STATISTICS = """
SELECT pg_catalog.pg_get_userbyid(s.userid)::pg_catalog.text AS role, s.queryid::pg_catalog.text AS id,
       s.query, s.calls
FROM {schema}.pg_stat_statements AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
WHERE d.datname = pg_catalog.current_database() AND s.toplevel
  AND pg_catalog.pg_get_userbyid(s.userid)::pg_catalog.text = ANY ($1::pg_catalog.text[])
"""
RESET = "SELECT i.stats_reset, i.dealloc FROM {schema}.pg_stat_statements_info AS i"
WHERE = """
SELECT n.nspname::pg_catalog.text AS schema FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'
"""
# before the fingerprints of statements that the planner was asked of
PLANNED = "planned "
HIDDEN = "<insufficient privilege>"
# of csvlog (manual 20.8.4), and of pgaudit's own message
_TIME, _USER, _DATABASE, _MESSAGE, _APPLICATION = 0, 1, 2, 13, 22
_AUDIT = "AUDIT: SESSION,"
_STATEMENT = 7


class BypassError(ValueError):
    """What the database says cannot be read."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A role has run a statement so many times."""

    role: str
    sql: str
    calls: int


@dataclass(slots=True)
class Through:
    """What the log let through, by fingerprint. Fed with the records of the window, oldest first."""

    counts: Counter[str]
    _released: set[tuple[str, int]]

    @classmethod
    def empty(cls) -> Through:
        return cls(Counter(), set())

    def add(self, one: Exported) -> None:
        """Releases count, and what was released before the window and has ended in it. Failures do not: the
        database does not count them either.
        """
        judged, record = one.judgement, one.record
        if judged is None:
            return
        # of a text that is erased or was never kept, the record has the fingerprint of its first statement
        parts = fingerprints(judged.sql) or list(filter(None, [judged.fingerprint]))
        match record:
            case audit.HoldOpened():
                # the planner was asked what it would come to
                self._count([f"{PLANNED}{part}" for part in parts], 1)
            case audit.Release(standing=False):
                self._released.add((record.statement, 0))
                self._count(parts, _times(judged.sql, record.parameters))
            case audit.Outcome():
                if (record.statement, 0) not in self._released and not record.sqlstate:
                    self._count(parts, 1)
                elif record.sqlstate and len(parts) == 1 and self.counts[parts[0]]:
                    self.counts[parts[0]] -= 1
            case audit.Runs():
                for run in record.released:
                    self._released.add((record.statement, run["number"]))
                    self._count(parts, 1)
                for end in record.ended:
                    known = (record.statement, end["number"]) in self._released
                    self._count(parts, (0 if known else 1) - (1 if end["sqlstate"] else 0))
            case _:
                pass

    def _count(self, parts: Iterable[str], times: int) -> None:
        for part in parts:
            self.counts[part] = max(0, self.counts[part] + times)


def compare(ran: Iterable[Ran], through: Mapping[str, int]) -> tuple[int, list[audit.Past]]:
    """How many kinds of statements were looked at, and those that were run more often than let through."""
    calls: dict[str, Counter[str]] = {}
    texts: dict[str, str] = {}
    for one in ran:
        # a text that the grammar does not know is a kind of its own
        parts = fingerprints(one.sql) or [one.sql[:MAX_SHOWN]]
        for part in parts:
            if one.calls > 0 and part not in own() and not _nothing(one.sql):
                calls.setdefault(part, Counter())[one.role] += one.calls
                texts.setdefault(part, one.sql)
    found: list[audit.Past] = []
    for part, roles in calls.items():
        let = through.get(part, 0) + _planned(texts[part], through)
        if roles.total() > let and not (let and _prepares(texts[part])):
            past = audit.Past(
                role=", ".join(sorted(roles)),
                fingerprint=part if len(part) == 16 else "",
                sql=constantless(texts[part])[:MAX_SHOWN],
                calls=roles.total(),
                through=let,
            )
            found.append(past)
    return len(calls), sorted(found, key=lambda past: (past.through > 0, -past.calls, past.sql))


def pgaudit(lines: Iterable[str], database: str, roles: Collection[str]) -> Iterator[tuple[datetime, Ran]]:
    """What pgaudit has written into a csvlog file of session logging. Raises BypassError."""
    try:
        for number, row in enumerate(csv.reader(lines), 1):
            if len(row) <= _APPLICATION:
                raise BypassError(f"line {number} is not of a csvlog: it has {len(row)} columns")
            message = row[_MESSAGE]
            if row[_DATABASE] != database or row[_USER] not in roles or not message.startswith(_AUDIT):
                continue
            fields = next(csv.reader([message.removeprefix("AUDIT: ")]))
            if len(fields) > _STATEMENT and fields[_STATEMENT] != "<previously logged>":
                yield _moment(row[_TIME], number), Ran(row[_USER], fields[_STATEMENT], 1)
    except (csv.Error, StopIteration) as error:
        raise BypassError(f"not a csvlog: {error}") from None


def _moment(text: str, number: int) -> datetime:
    at, _, zone = text.rpartition(" ")
    if zone not in {"UTC", "GMT"}:
        raise BypassError(f"line {number} is in the zone `{zone[:20]}`; set log_timezone to UTC")
    try:
        return datetime.fromisoformat(at).replace(tzinfo=UTC)
    except ValueError:
        raise BypassError(f"line {number} does not begin with a time") from None


def fingerprints(sql: str) -> list[str]:
    """One for each statement in the text; none if the grammar rejects it."""
    parsed = grammar.parse(sql)
    if not isinstance(parsed, tuple):
        return []
    return [found for one in parsed if (found := grammar.fingerprint(one.sql))]


def constantless(sql: str) -> str:
    """The text without its constants: utility statements are counted as they were sent, passwords and all."""
    try:
        return postgast.normalize(sql)
    except (postgast.PgQueryError, ValueError):
        # INVARIANT: 10. what cannot be read may hold a secret
        return "(a text that the grammar does not accept)"


@cache
def own() -> frozenset[str]:
    """What the firewall runs for itself, over connections of its own or beside an agent's statement."""
    constants = [value for name, value in vars(introspect_sql).items() if name.isupper()]
    texts = [value for value in constants if isinstance(value, str)]
    texts += [make(version * 10_000) for version in range(10, 30) for make in _BY_VERSION]
    texts += [introspect_mark.MARKS, bounds.COUNT, bounds.READ_ONLY, planner.HELD.format(pid=1), WHERE]
    texts += [query.format(schema=schema) for query in (STATISTICS, RESET) for schema in ("public", "s")]
    texts += [introspection.INTRO_LOOKUP_TYPES, *_DRIVER]
    return frozenset(found for text in texts for found in fingerprints(text))


# what asyncpg says around that query of its own
_DRIVER = (
    "SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new",
    "SELECT set_config('jit', $1, false)",
)
_BY_VERSION = (introspect_sql.functions, introspect_sql.statistics)


def _nothing(sql: str) -> bool:
    """BEGIN, COMMIT, SET LOCAL and the like; and what only names a statement that is counted itself."""
    parsed = grammar.parse(sql)
    return isinstance(parsed, tuple) and bool(parsed) and all(map(_idle, parsed))


def _idle(one: grammar.Parsed) -> bool:
    # a role or setting of one transaction: what is done under it is counted itself
    local = one.kind == "VariableSetStmt" and bool(one.tree.get("is_local"))
    return local or one.kind in {"TransactionStmt", "DeallocateStmt", "ExecuteStmt"}


def _planned(sql: str, through: Mapping[str, int]) -> int:
    """How often the planner was asked of this very statement for holds, if it is such a question."""
    if not sql.startswith(planner.PLAN):
        return 0
    return sum(through.get(f"{PLANNED}{part}", 0) for part in fingerprints(sql.removeprefix(planner.PLAN)))


def _prepares(sql: str) -> bool:
    """Each EXECUTE counts as the PREPARE that it goes back to."""
    parsed = grammar.parse(sql)
    return isinstance(parsed, tuple) and any(one.kind == "PrepareStmt" for one in parsed)


def _times(sql: str, parameters: Collection[str | None]) -> int:
    """How often a release runs its text: a batch has its parameters one after the other."""
    if not parameters:
        return 1
    each = sql.count("$") and max((int(number) for number in _numbers(sql)), default=0)
    return max(1, len(parameters) // each) if each else 1


def _numbers(sql: str) -> Iterator[str]:
    for part in sql.split("$")[1:]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if digits and len(digits) < 6:
            yield digits
