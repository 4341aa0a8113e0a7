"""What agents have done before: shapes of statements that they have run, rows that they have had of a budget.

Exact for all firewalls that share the store: a budget is looked at and taken from in one transaction, and
while a statement runs the rows that it may still return count as returned. What it did return counts from its
end. Of a firewall that died nobody knows: what was set aside counts as returned, from when it starts again;
if it never does, for a day longer than the window.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, func, insert, select, text, update

from firewall import clock
from firewall.budgets import Taken, Window
from firewall.store import engine, tables

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

_SHAPES = tables.shapes.c
_SPENT = tables.spending.c
# any number, the same for everyone: budgets of a shared store are taken from one after the other
_LOCK = 0x66697266
# no statement is believed to run for longer than this, in seconds
LONGEST = 86_400.0


class Past:
    """The past of one database. origin: whose statements these are, as the firewall's log is called."""

    def __init__(self, database: engine.Database, name: str, origin: str) -> None:
        self._database = database
        self._name = name
        self._origin = origin

    async def seen(self, agent: str, fingerprints: Collection[str]) -> bool:
        """Has the agent run all of these shapes?"""
        mine = and_(_SHAPES.database == self._name, _SHAPES.agent == agent)
        query = select(func.count()).where(mine, _SHAPES.fingerprint.in_(set(fingerprints)))
        found = await self._database.read(lambda connection: connection.execute(query).scalar_one())
        return int(found) == len(set(fingerprints))

    async def used(self, agent: str, fingerprints: Collection[str]) -> None:
        """The agent runs them now."""
        at = clock.stamp(clock.now())

        def work(connection: Connection) -> None:
            statement = engine.upsert(connection, tables.shapes).on_conflict_do_nothing()
            for fingerprint in sorted(set(fingerprints)):
                row = {"database": self._name, "agent": agent, "fingerprint": fingerprint, "at": at}
                connection.execute(statement, row)

        await self._database.transact(work)

    async def spent(self, agent: str, windows: Sequence[Window]) -> Mapping[str, int]:
        """Budget → rows that count in its window now, those of statements that still run left out."""
        now = clock.now()

        def work(connection: Connection) -> dict[str, int]:
            return {w.budget: _sum(connection, self._in(agent, w, now), running=False) for w in windows}

        return await self._database.read(work)

    async def take(self, agent: str, statement: str, windows: Sequence[Window], *, most: int | None) -> Taken:
        """Set aside what is left of every budget, `most` at most, for a statement that is about to run."""
        now = clock.now()

        def work(connection: Connection) -> Taken:
            _one_at_a_time(connection)
            left = {w: w.rows - _sum(connection, self._in(agent, w, now)) for w in windows}
            gone = [window for window, rest in left.items() if rest <= 0]
            if gone:
                ended = {w: _sum(connection, self._in(agent, w, now), running=False) for w in gone}
                busy = all(rows < window.rows for window, rows in ended.items())
                return Taken(0, busy, tuple(window.budget for window in gone))
            rows = min([*left.values(), *([] if most is None else [most])])
            self._note(connection, agent, statement, windows, rows, now)
            return Taken(rows)

        return await self._database.transact(work)

    async def permit(self, agent: str, statement: str, windows: Sequence[Window]) -> None:
        """A person has let the statement run, whatever it returns; while it runs, all of a budget counts."""
        now = clock.now()

        def work(connection: Connection) -> None:
            _one_at_a_time(connection)
            for window in windows:
                self._note(connection, agent, statement, [window], window.rows, now)

        await self._database.transact(work)

    async def settle(self, statement: str, rows: int) -> None:
        """The statement has ended, and has returned so many rows."""
        mine = and_(_SPENT.database == self._name, _SPENT.statement == self._key(statement))
        at = clock.stamp(clock.now())
        # what came to nothing is forgotten: the statement may be asked for anew, and then counts once
        forget = delete(tables.spending).where(mine)
        change = update(tables.spending).where(mine).values(rows=rows, open=False, at=at) if rows else forget

        def work(connection: Connection) -> None:
            connection.execute(change)

        await self._database.transact(work)

    async def adopt(self) -> None:
        """The firewall starts: whatever its statements of an earlier life returned, they have ended."""
        earlier = _SPENT.statement.startswith(self._key(""), autoescape=True)
        mine = and_(_SPENT.database == self._name, earlier, _SPENT.open.is_(True))
        change = update(tables.spending).where(mine).values(open=False, at=clock.stamp(clock.now()))

        def work(connection: Connection) -> None:
            connection.execute(change)

        await self._database.transact(work)

    def _key(self, statement: str) -> str:
        return f"{self._origin} {statement}"

    def _in(self, agent: str, window: Window, now: datetime) -> ColumnElement[bool]:
        since = clock.stamp(now - timedelta(seconds=window.per))
        mine = and_(_SPENT.database == self._name, _SPENT.budget == window.budget, _SPENT.agent == agent)
        # what still runs may have begun before the window, and returns its rows in it
        running = clock.stamp(now - timedelta(seconds=window.per + LONGEST))
        return and_(mine, (_SPENT.at > since) | (_SPENT.open.is_(True) & (_SPENT.at > running)))

    def _note(
        self,
        connection: Connection,
        agent: str,
        statement: str,
        windows: Sequence[Window],
        rows: int,
        now: datetime,
    ) -> None:
        for window in windows:
            past = clock.stamp(now - timedelta(seconds=window.per + LONGEST))
            old = and_(_SPENT.database == self._name, _SPENT.budget == window.budget, _SPENT.agent == agent)
            connection.execute(delete(tables.spending).where(old, _SPENT.at <= past))
            connection.execute(
                insert(tables.spending).values(
                    database=self._name,
                    budget=window.budget,
                    agent=agent,
                    statement=self._key(statement),
                    at=clock.stamp(now),
                    rows=rows,
                    open=True,
                )
            )


def _sum(connection: Connection, which: ColumnElement[bool], *, running: bool = True) -> int:
    counted = which if running else and_(which, _SPENT.open.is_(False))
    return int(
        connection.execute(select(func.coalesce(func.sum(_SPENT.rows), 0)).where(counted)).scalar_one()
    )


def _one_at_a_time(connection: Connection) -> None:
    """SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
