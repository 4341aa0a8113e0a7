"""`firewall audit bypass`: what the database has run for guarded roles, unknown to the firewall."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import asyncpg
import typer

from firewall import audit, clock, config, ids
from firewall.cli import house
from firewall.cli.audit import app
from firewall.cli.command import As, command
from firewall.cli.exits import Exit, NotThere, Usage
from firewall.cli.terminal import brief
from firewall.errors import CatalogError
from firewall.evidence import bypass
from firewall.store.exporting import Wanted

if TYPE_CHECKING:
    from firewall.cli.terminal import Terminal
    from firewall.store import Store

BRIEF = 100
# more are told by their number alone
MAX_PAST = 1000
# between a release in the log and what the database writes of it
SLACK = timedelta(minutes=1)
_KINDS = ("hold", "release", "runs", "outcome")

Database = Annotated[
    str | None,
    typer.Argument(metavar="DATABASE", help="may be left out if there is one", show_default=False),
]
Roles = Annotated[
    list[str] | None,
    typer.Option("--role", help="guarded besides the firewall's login; may be repeated", show_default=False),
]
Csvlog = Annotated[
    Path | None,
    typer.Option("--pgaudit", metavar="FILE", help="a csvlog with pgaudit's records", show_default=False),
]


@command(app, "bypass")
async def watch(
    terminal: Terminal,
    database: Database = None,
    role: Roles = None,
    pgaudit: Csvlog = None,
    by: As = None,
) -> Exit:
    """Compare what the database has run with the log, and name what did not come through the firewall.

    Counts since the last time, by pg_stat_statements; or of a file that pgaudit has written. Run it often.
    """
    name, place = _database(terminal, database)
    roles = sorted({place.user, *(role or ())})
    who = house.issuer(terminal, by)
    async with house.store_to_write(terminal, create=False) as store:
        if pgaudit is None:
            found = await _statistics(store, name, place, roles, who)
        else:
            found = await _file(store, name, place, roles, who, pgaudit)
    if found is None:
        terminal.note(
            "this was the first look at the database's counters: what it runs is counted from now on"
        )
        if terminal.as_json:
            terminal.document({"database": name, "first": True, "past": []})
        return Exit.DONE
    _tell(terminal, found)
    return Exit.NO if found.past or found.lost else Exit.DONE


async def _statistics(
    store: Store, name: str, place: config.Database, roles: list[str], who: str
) -> audit.Watch | None:
    now, ran, reset = await _counted(name, place, roles)
    last, before = await store.watched(name).last()
    counters = {(role, query): calls for role, query, _, calls in ran}
    if not last:
        await store.watched(name).keep(now, counters, [])
        return None
    lost = ""
    if reset > last:
        lost, before = f"pg_stat_statements was reset at {reset}: what was counted before is not known", {}
    news = [
        bypass.Ran(role, sql, calls - old if (old := before.get((role, query), 0)) <= calls else calls)
        for role, query, sql, calls in ran
    ]
    through = await _through(
        store, Wanted(since=datetime.fromisoformat(last).astimezone(UTC), database=name, kinds=_KINDS)
    )
    statements, past = bypass.compare(news, through)
    record = _record(who, name, "pg_stat_statements", roles, last, now, statements, past, lost)
    await store.watched(name).keep(now, counters, [record])
    return record


async def _file(
    store: Store, name: str, place: config.Database, roles: list[str], who: str, path: Path
) -> audit.Watch:
    ran: list[bypass.Ran] = []
    times: list[datetime] = []
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            for at, one in bypass.pgaudit(lines, place.database, roles):
                times.append(at)
                ran.append(one)
    except bypass.BypassError as error:
        raise Usage(f"`{path}`: {error}", hint="give a csvlog file (log_destination = csvlog)") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Usage(f"`{path}` cannot be read ({reason})") from None
    now = clock.now()
    since, until = min(times, default=now), max(times, default=now)
    # what was released before the first line of the file ran in it, too
    early = since - SLACK
    through = await _through(store, Wanted(since=early, until=until + SLACK, database=name, kinds=_KINDS))
    statements, past = bypass.compare(ran, through)
    record = _record(
        who, name, "pgaudit", roles, clock.stamp(since), clock.stamp(until), statements, past, ""
    )
    await store.append([record])
    return record


async def _counted(
    name: str, place: config.Database, roles: list[str]
) -> tuple[str, list[tuple[str, str, str, int]], str]:
    """Until when; role, query id, text and calls of each; and when the counting began."""
    # seconds that not every command has to wait
    from firewall.app import connected  # noqa: PLC0415

    async with connected(name, place, config.password(name, place)) as connection:
        schema = await connection.fetchval(bypass.WHERE)
        if schema is None:
            raise CatalogError(
                f"`{name}` has no pg_stat_statements",
                hint="set shared_preload_libraries = 'pg_stat_statements', restart it, and as a superuser "
                f"run CREATE EXTENSION pg_stat_statements; in `{place.database}`; or use --pgaudit",
            )
        quoted = '"' + str(schema).replace('"', '""') + '"'
        try:
            now = clock.stamp(clock.now())
            found = await connection.fetch(bypass.STATISTICS.format(schema=quoted), roles)
            reset = await connection.fetchrow(bypass.RESET.format(schema=quoted))
        except asyncpg.PostgresError as error:
            raise CatalogError(
                f"pg_stat_statements of `{name}` cannot be read: {error}",
                hint="it needs shared_preload_libraries = 'pg_stat_statements', and Postgres 14 or newer",
            ) from None
    ran = [(row["role"], row["id"] or "", row["query"] or "", row["calls"]) for row in found]
    if any(sql == bypass.HIDDEN for _, _, sql, _ in ran):
        raise CatalogError(
            f"the login `{place.user}` may not see the statements of other roles",
            hint=f'run GRANT pg_read_all_stats TO "{place.user}"; as a superuser',
        )
    return now, ran, clock.stamp(reset["stats_reset"]) if reset else ""


async def _through(store: Store, wanted: Wanted) -> dict[str, int]:
    sizes = {origin: size for origin, (size, _) in (await store.exporting.heads()).items()}
    through = bypass.Through.empty()
    async for page in store.exporting.pages(wanted, sizes):
        for one in page:
            through.add(one)
    return dict(through.counts)


def _record(  # noqa: PLR0913, PLR0917 — one for each field
    who: str,
    name: str,
    source: str,
    roles: list[str],
    since: str,
    until: str,
    statements: int,
    past: list[audit.Past],
    lost: str,
) -> audit.Watch:
    return audit.Watch(
        id=ids.record_id(),
        at=clock.stamp(clock.now()),
        by=who,
        database=name,
        source=source,
        roles=roles,
        since=since,
        until=until,
        statements=statements,
        past=past[:MAX_PAST],
        lost=lost,
    )


def _tell(terminal: Terminal, found: audit.Watch) -> None:
    if terminal.as_json:
        terminal.document(found.model_dump(mode="json"))
        return
    span = f"{found.since[:19]} to {found.until[:19]} (UTC)"
    if found.lost:
        terminal.say(f"{found.database}: {found.lost}", style="red")
    if not found.past:
        terminal.say(f"{found.database}: {found.statements} kinds of statements, {span}: all came through")
        return
    terminal.say(
        f"{found.database}: {len(found.past)} of {found.statements} kinds of statements, {span}, did not"
    )
    terminal.say("come through the firewall, or not as often as they were run:")
    rows = [(str(p.calls), str(p.through), p.role, brief(p.sql, BRIEF)) for p in found.past]
    terminal.table(("run", "let through", "role", "statement"), rows)


def _database(terminal: Terminal, given: str | None) -> tuple[str, config.Database]:
    known = terminal.settings.databases
    if given is None and len(known) == 1:
        given = next(iter(known))
    if given is None:
        raise Usage("there are several databases", hint=f"name one: {', '.join(sorted(known))}")
    if given not in known:
        raise NotThere(
            f"the settings have no database `{given}`", hint=f"there is {', '.join(sorted(known))}"
        )
    return given, known[given]
