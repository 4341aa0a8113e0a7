"""What the log comes to: a session from end to end, agents by day, rules by how often they decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from firewall import clock
from firewall.store import rows, tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Row, Select

    from firewall import audit
    from firewall.store import engine

_R = tables.records.c
# of one session; one that does more is read in the query log
MAX_RECORDS = 2_000


@dataclass(frozen=True, slots=True)
class Day:
    """Judgements of one agent on one UTC day."""

    agent: str
    day: str
    verdict: str
    count: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """How often a rule gave the verdict, in all databases, and when last."""

    rule: str
    count: int
    last: str


class Summaries:
    """Asked of the columns that search uses; the records themselves are read for a session only."""

    def __init__(self, database: engine.Database) -> None:
        self._database = database

    async def session(self, session: str) -> list[audit.Record]:
        """Its records, oldest first, the first `MAX_RECORDS` of them."""
        query = select(_R.id, _R.bytes, _R.private).where(_R.session == session).order_by(_R.at, _R.id)
        return [rows.record(row) for row in await self._all(query.limit(MAX_RECORDS))] if session else []

    async def days(self, since: datetime, agent: str | None = None) -> list[Day]:
        """By agent, day and verdict, oldest first."""
        day = func.substr(_R.at, 1, 10).label("day")
        query = select(_R.agent, day, _R.verdict, func.count().label("number"))
        query = query.where(_R.verdict != "", _R.at >= clock.stamp(since))
        query = query.where(_R.kind == "judgement" if agent is None else _R.agent == agent)
        found = await self._all(query.group_by(_R.agent, day, _R.verdict).order_by(day, _R.agent, _R.verdict))
        return [Day(row.agent, row.day, row.verdict, row.number) for row in found]

    async def rules(self) -> list[Spoken]:
        """Of every judgement in the log, the rule that gave its verdict."""
        query = select(_R.rule, func.count().label("number"), func.max(_R.at).label("last"))
        found = await self._all(query.where(_R.verdict != "").group_by(_R.rule).order_by(_R.rule))
        return [Spoken(row.rule, row.number, row.last) for row in found]

    async def _all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        return await self._database.read(lambda connection: connection.execute(query).all())
