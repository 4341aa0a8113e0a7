"""What Postgres's planner makes of a statement, and which locks a session holds. Nothing is ever executed.

Asked over a connection of its own, in a READ ONLY transaction that is never committed: the text goes as one
Parse behind `EXPLAIN (FORMAT JSON)`, so that it is one statement or an error, with the very values and types
that the agent bound. Every way in which this can fail is an answer in words.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from firewall import wire
from firewall.approval import Change, Estimate
from firewall.errors import FirewallError
from firewall.proxy import upstream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from firewall import config
    from firewall.proxy.link import Link
    from firewall.session import Act

# Planning takes milliseconds; what takes longer would keep an approver waiting for a number.
PLANNER_SECONDS: Final = 1.0
LOCK_SECONDS: Final = 0.2
# Beside that, connecting and everything else; a hold is opened this late at worst.
WHOLE_SECONDS: Final = 2.0
# Connections of one database at a time, which agents could use as well.
MAX_CONNECTIONS: Final = 4
# A plan of a thousand joins has about half of this.
MAX_ANSWER: Final = 4 * 1024 * 1024
MAX_LOCKS: Final = 20
# Plans nest as deep as queries do; what is deeper is not added up.
MAX_DEPTH: Final = 200

_LATE: Final = f"the database did not answer in {WHOLE_SECONDS:g} s"
_WORDS: Final = {
    "57014": f"the planner did not answer in {PLANNER_SECONDS:g} s",
    "55P03": "another transaction has locked what the planner must look at",
    "42501": "the firewall's login may not look at what it touches",
    "25006": "planning it would write",
}
_SETTINGS: Final = {"application_name": "query-firewall impact", "client_encoding": "UTF8"}
# texts mean here what they mean in sessions, which pin these
_LEXING: Final = "SET LOCAL standard_conforming_strings = on; SET LOCAL backslash_quote = safe_encoding;"
# pg_locks' names (manual 13.3.1), strongest first
_MODES: Final = {
    "AccessExclusiveLock": "access exclusive",
    "ExclusiveLock": "exclusive",
    "ShareRowExclusiveLock": "share row exclusive",
    "ShareLock": "share",
    "ShareUpdateExclusiveLock": "share update exclusive",
    "RowExclusiveLock": "row exclusive",
    "RowShareLock": "row share",
    "AccessShareLock": "access share",
}
_STRENGTH: Final = {mode: place for place, mode in enumerate(_MODES)}
PLAN: Final = "EXPLAIN (FORMAT JSON)\n"
# no name may mean something else because of what the login's own search_path is
HELD: Final = """SET search_path = pg_catalog;
SELECT l.mode, n.nspname, c.relname
  FROM pg_locks l
  JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
  JOIN pg_class c ON c.oid = l.relation AND c.relkind NOT IN ('i', 'I', 't')
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE l.pid = {pid} AND l.granted AND n.nspname NOT IN ('pg_catalog', 'information_schema')
 ORDER BY n.nspname, c.relname"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the database said: an estimate and locks, or why there is none of either."""

    estimate: Estimate | None = None
    unestimated: str = ""
    holding: tuple[str, ...] = ()
    unseen: str = ""


class _Unanswered(Exception):
    """Why not, in words for people."""


class Planner:
    """Asks the planner of one database."""

    def __init__(self, database: config.Database, password: SecretStr) -> None:
        self._database = database
        self._password = password
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)

    async def ask(self, pid: int, act: Act | None, why_not: str, *, role: str, path: Sequence[str]) -> Answer:
        """About the run `act`, and the locks that the backend `pid` holds. Never raises, never takes long.

        act: None where the planner must not be asked, and `why_not` says why.
        """
        found = Answer(unestimated=why_not if act is None else _LATE, unseen=_LATE)
        try:
            async with asyncio.timeout(WHOLE_SECONDS), self._free:
                back = await upstream.connect(self._database, self._password, _SETTINGS)
                try:
                    holding, unseen = await _held(back.link, pid)
                    found = Answer(None, found.unestimated, holding, unseen)
                    if act is not None:
                        estimate, why = await _estimate(back.link, act, role, path, self._database.user)
                        found = Answer(estimate, why, holding, unseen)
                finally:
                    back.link.write(wire.Terminate().encode())
                    back.link.close()
        except (TimeoutError, FirewallError) as error:
            why = _LATE if isinstance(error, TimeoutError) else _printable(error)
            if found.unseen == _LATE:
                found = Answer(None, why if act is not None else why_not, unseen=why)
            else:
                found = Answer(None, why if act is not None else why_not, found.holding, found.unseen)
        return found


def read(plan: str) -> Estimate:
    """EXPLAIN's JSON. Rows that are written are those that the nodes below a ModifyTable return."""
    rows, cost, changes = 0, 0.0, list[Change]()
    for query in json.loads(plan):
        # a rule can make a statement out of several queries, and of utility commands, or none at all
        top = query.get("Plan") if isinstance(query, dict) else None
        if top is not None:
            rows += int(top.get("Plan Rows", 0))
            cost += float(top.get("Total Cost", 0.0))
            _changes(top, changes, 0)
    return Estimate(rows, cost, tuple(changes))


def _changes(node: dict[str, Any], changes: list[Change], depth: int) -> None:
    below: list[dict[str, Any]] = node.get("Plans", [])
    if node.get("Node Type") == "ModifyTable":
        fed = [each for each in below if each.get("Parent Relationship") in {"Outer", "Member"}]
        rows = sum(int(each.get("Plan Rows", 0)) for each in fed)
        verb = str(node.get("Operation", "change")).lower()
        changes.append(Change(verb, str(node.get("Relation Name", "a relation")), rows))
    if depth < MAX_DEPTH:
        for each in below:
            _changes(each, changes, depth + 1)


async def _held(link: Link, pid: int) -> tuple[tuple[str, ...], str]:
    """The locks of a backend on relations, the strongest first, or why they are not known."""
    link.write(wire.Query(HELD.format(pid=int(pid))).encode())
    try:
        rows = [tuple(map(_text, values)) for values in await _rows(link)]
    except _Unanswered as error:
        return (), str(error)
    rows.sort(key=lambda row: _STRENGTH.get(row[0], 0))
    found = [f"{_MODES.get(mode, mode)} on {schema}.{name}" for mode, schema, name in rows]
    more = len(found) - MAX_LOCKS
    return (*found[:MAX_LOCKS], *([f"{more:,} locks more"] if more > 0 else [])), ""


async def _estimate(
    link: Link, act: Act, role: str, path: Sequence[str], login: str
) -> tuple[Estimate | None, str]:
    become = f"SET LOCAL ROLE {_quoted(role)};" if role and role != login else ""
    begin = (
        f"BEGIN READ ONLY;{_LEXING}"
        f"SET LOCAL statement_timeout = {int(PLANNER_SECONDS * 1000)};"
        f"SET LOCAL lock_timeout = {int(LOCK_SECONDS * 1000)};"
        f"{become}SET LOCAL search_path = {', '.join(map(_quoted, path)) or repr('')}"
    )
    # INVARIANT: 1. the agent's text is never sent but behind EXPLAIN, without ANALYZE, as a Parse: of one
    # statement, which Postgres plans and does not run
    asked = (
        wire.Parse("", f"{PLAN}{act.sql}", act.types),
        wire.Bind("", "", act.formats, act.parameters),
        wire.Execute(""),
        wire.Sync(),
    )
    try:
        link.write(wire.Query(begin).encode())
        await _rows(link)  # outside that transaction nothing is planned
        link.write(b"".join(message.encode() for message in asked))
        rows = await _rows(link)
        return read(b"".join(value or b"" for row in rows for value in row).decode()), ""
    except _Unanswered as error:
        return None, str(error)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None, "the planner's answer cannot be read"


async def _rows(link: Link) -> list[tuple[bytes | None, ...]]:
    """What ReadyForQuery ends, rows alone. Raises _Unanswered with the first error."""
    framer = wire.Framer(MAX_ANSWER)
    found: list[tuple[bytes | None, ...]] = []
    why, size = "", 0
    while data := await link.read():
        size += len(data)
        if size > MAX_ANSWER:
            link.abort()
            raise _Unanswered("the planner's answer is too long")
        for frame in framer.feed(data):
            match wire.decode_backend(frame):
                case wire.DataRow(values):
                    found.append(values)
                case wire.ErrorResponse() as error:
                    # not the message: a function may have put data into it
                    why = why or _WORDS.get(
                        error.sqlstate, f"the planner refused it, SQLSTATE {error.sqlstate}"
                    )
                case wire.ReadyForQuery():
                    if why:
                        raise _Unanswered(why)
                    return found
                case _:
                    pass
    raise _Unanswered("the database closed the connection")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="backslashreplace")


def _printable(error: FirewallError) -> str:
    return error.message.replace("\0", "\u2400")
