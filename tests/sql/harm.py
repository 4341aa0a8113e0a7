"""Whether a text does what is said of it: run on a real server, in a transaction that is rolled back.

The heading of an evasion (`-- expect: KIND OBJECT`) says what must be seen to happen; notes after it say how,
where the kind alone does not:

    -- as: ROLE          it runs as this role instead of as a superuser
    -- data: ROW        what is sent where it copies from STDIN
    -- then: SQL         runs afterwards in the same transaction, e.g. the FETCH that a cursor is for
    -- claim: result     the harm is what comes back: at least one value
    -- claim: fails CODE the server refuses it, with this SQLSTATE; what it would do cannot be shown here
    -- claim: SELECT …   true once it has run
    -- allowed: WHY      `production.yaml` lets it through knowingly; what it does must be seen all the same
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import psycopg
from psycopg.pq import ExecStatus

NOTE = re.compile(r"^-- (allowed|as|data|then|claim): (.*)\n", re.MULTILINE)
COPY_ROW = b"1\n"
CATALOG_WRITES = """
SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_sys_tables
"""
SCANS = """
SELECT coalesce(sum(pg_stat_get_xact_numscans(c.oid)), 0) FROM pg_class AS c
WHERE c.oid = to_regclass(%(name)s)
   OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = to_regclass(%(name)s))
"""
CALLS = """
SELECT coalesce(sum(pg_stat_get_xact_function_calls(p.oid)), 0)
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE %(name)s IN ('', n.nspname || '.' || p.proname)
"""
LOCKS = """
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()
   AND (locktype = 'advisory' OR (relation = to_regclass(%(name)s) AND mode <> 'AccessShareLock'))
"""
SECRETS = """
SELECT sum(seq_scan + coalesce(idx_scan, 0)) FROM pg_stat_xact_sys_tables
WHERE relname IN ('pg_authid', 'pg_statistic')
"""
WHO = "SELECT current_user || session_user || current_setting('role')"


@dataclass
class Ran:
    """What came of a text: values as text, the SQLSTATE of its error, channels notified."""

    values: list[str] = field(default_factory=list)
    error: str = ""


def run(connection: psycopg.Connection, sql: str, copied: bytes = COPY_ROW) -> Ran:
    """Run a whole text by the simple protocol, COPY included."""
    ran = Ran()
    pg = connection.pgconn
    pg.send_query(sql.encode())
    while (result := pg.get_result()) is not None:
        match result.status:
            case ExecStatus.COPY_IN:
                pg.put_copy_data(copied)
                pg.put_copy_end()
            case ExecStatus.COPY_OUT:
                while (line := pg.get_copy_data(0))[0] > 0:
                    ran.values.append(bytes(line[1]).decode())
            case ExecStatus.FATAL_ERROR:
                ran.error = (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
            case _:
                for row in range(result.ntuples):
                    found = (result.get_value(row, column) for column in range(result.nfields))
                    ran.values += [value.decode() for value in found if value is not None]
    return ran


def one(connection, sql, **arguments):
    return connection.execute(sql, arguments or None).fetchone()[0]


def relation(connection, name):
    """A fingerprint of all that a relation holds, and how many rows; (None, 0) if there is none."""
    if one(connection, "SELECT to_regclass(%(name)s)", name=name) is None:
        return None, 0
    if one(connection, "SELECT relkind = 'S' FROM pg_class WHERE oid = to_regclass(%(name)s)", name=name):
        return one(connection, f"SELECT last_value::text || is_called FROM {name}"), 1
    return (
        one(
            connection,
            f"SELECT coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM {name} AS t",
        ),
        one(connection, f"SELECT count(*) FROM {name}"),
    )


def measure(connection, kind, name):
    """Something that is another thing after an effect of this kind."""
    match kind:
        case "delete" | "update" | "insert" | "copy_in" | "truncate":
            return relation(connection, name or "public.audit_log")
        case "read" | "copy_out":
            return one(connection, SCANS, name=name)
        case "lock":
            return one(connection, LOCKS, name=name)
        case "execute":
            return one(connection, CALLS, name=name)
        case "setting":
            return one(connection, "SELECT current_setting(%(name)s)", name=name or "search_path")
        case "role":
            return one(connection, WHO), one(connection, CATALOG_WRITES)
        case "privilege":
            return one(connection, SECRETS), one(connection, CATALOG_WRITES)
        case "create" | "drop" | "alter" | "code" | "server_io":
            return one(connection, CATALOG_WRITES), relation(connection, "public.customers")
        case _:
            return None


def happens(dsn: str, kind: str, name: str, text: str) -> str:
    """Empty if the text does what is said of it; else what was seen instead, in words."""
    notes = dict(NOTE.findall(text))
    sql = NOTE.sub("", text)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET track_functions = 'all'; SET statement_timeout = '20s'")
        if kind == "notify":
            connection.execute("LISTEN channel")
            ran = run(connection, sql)
            return "" if connection.pgconn.notifies() else f"no notification: {ran}"
        return _seen(connection, kind, name, sql, notes)


def _seen(connection, kind, name, sql, notes):
    """In a transaction that is rolled back."""
    connection.execute("BEGIN")
    try:
        connection.execute(f"SET LOCAL ROLE {notes['as']}" if "as" in notes else "SET LOCAL ROLE none")
        claim = notes.get("claim", "")
        before = measure(connection, kind, name) if not claim else None
        if claim == "fails 57014":
            connection.execute("SET LOCAL statement_timeout = 200")
        ran = run(connection, sql, notes.get("data", "1").replace("\\t", "\t").encode() + b"\n")
        if claim.startswith("fails"):
            return "" if ran.error == claim.split()[1] else f"{ran}"
        if not ran.error and "then" in notes:
            ran = run(connection, notes["then"])
        if ran.error:
            return f"{ran}"
        if claim == "result":
            return "" if any(ran.values) else "nothing came back"
        if claim:
            return "" if one(connection, claim) else "the claim is not true"
        after = measure(connection, kind, name)
        return "" if after != before else f"{kind} {name}: {before} before and after"
    finally:
        connection.execute("ROLLBACK")
