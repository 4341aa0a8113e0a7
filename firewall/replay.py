"""The recorded past under another policy: what would be decided differently.

Statements are analysed anew, against the catalog and labels as they are now, in sessions as the log tells
them: what was released decides what names and prepared statements mean to what follows. The clock, what an
agent has run before and what it has had of budgets are those of the time; estimates are today's, and of
transactions nothing is known.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from firewall import policy
from firewall.audit.sealed import withheld
from firewall.sql import Facts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from firewall.gate import Gate
    from firewall.judgement import Judgement
    from firewall.policy import Verdict

# records that are looked at ahead, so that the workers have something to do
AHEAD: Final = 256
_LOOKED_AT: Final = frozenset({"judgement", "release", "outcome", "runs", "session"})


@dataclass(frozen=True, slots=True)
class Rejudged:
    """One judgement of the log and today's. same_policy: it was made by this very policy."""

    statement: str
    at: str
    agent: str
    sql: str
    before: str
    before_rule: str
    after: str
    after_rule: str
    why: str
    same_policy: bool

    @property
    def differs(self) -> bool:
        return self.before != self.after


@dataclass(slots=True)
class Summary:
    """How many judgements there were, and what became of them."""

    judged: int = 0
    same_policy: int = 0
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)

    def add(self, one: Rejudged) -> None:
        self.judged += 1
        if one.differs:
            self.changes[one.before, one.after] += 1
            self.rules[one.after_rule] += 1
            self.same_policy += one.same_policy

    @property
    def changed(self) -> int:
        return self.changes.total()


@dataclass(slots=True)
class _Session:
    facts: Facts
    prepared: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Pending:
    judgement: Judgement
    budgets: tuple[str, ...]


class Replay:
    """The log of one database. teams: agent → team, which records do not have."""

    def __init__(self, gate: Gate, database: str, teams: Mapping[str, str], since: str = "") -> None:
        self._gate = gate
        self._database = database
        self._teams = teams
        self._since = since
        self._sessions: dict[str, _Session] = {}
        self._pending: dict[str, _Pending] = {}
        self._shapes: set[tuple[str, str]] = set()
        self._spent: defaultdict[tuple[str, str], deque[tuple[datetime, int]]] = defaultdict(deque)
        # statements whose text was erased, or never kept
        self.withheld = 0
        self._budgets = {budget.name: budget for budget in gate.policy.document.budgets}

    async def run(
        self, records: AsyncIterator[bytes], advance: Callable[[int], None] = lambda _: None
    ) -> AsyncIterator[Rejudged]:
        """Every judgement of the database, in the log's order. advance: told how many records were read."""
        lot: list[dict[str, Any]] = []
        read = 0
        async for raw in records:
            read += 1
            record: dict[str, Any] = json.loads(raw)
            if record["kind"] == "judgement" and withheld(record):
                self.withheld += record["database"] == self._database
            elif record["kind"] in _LOOKED_AT:
                lot.append(record)
            if len(lot) >= AHEAD:
                async for one in self._lot(lot):
                    yield one
                advance(read)
                lot, read = [], 0
        async for one in self._lot(lot):
            yield one
        advance(read)

    async def _lot(self, lot: Sequence[dict[str, Any]]) -> AsyncIterator[Rejudged]:
        mine = [r for r in lot if r["kind"] == "judgement" and r["database"] == self._database]
        # most sessions never change what names mean: then this is what is asked for again below
        await asyncio.gather(*(self._judge(record) for record in mine))
        for record in lot:
            match record["kind"]:
                case "judgement" if record["database"] == self._database:
                    one = await self._rejudge(record)
                    if record["at"] >= self._since:
                        yield one
                case "release":
                    self._released(record)
                case "outcome":
                    self._had(record["statement"], record["at"], record["rows"])
                    self._pending.pop(record["statement"], None)
                case "runs":
                    for end in record["ended"]:
                        self._had(record["statement"], end["at"], end["rows"])
                case "session" if record["event"] == "closed":
                    self._sessions.pop(record["session"], None)
                    self._forget(record["session"])
                case _:
                    pass

    def _session(self, record: dict[str, Any]) -> _Session:
        known = self._sessions.get(record["session"])
        if known is None:
            path = self._gate.snapshot.search_path
            known = _Session(Facts(database=self._database, role=record["role"], search_path=path))
            self._sessions[record["session"]] = known
        return known

    async def _judge(self, record: dict[str, Any]) -> Judgement:
        agent = record["agent"]
        subject = policy.Subject(
            agent=agent,
            owner=record["owner"],
            database=self._database,
            environment=record["environment"],
            team=self._teams.get(agent, ""),
        )
        session = self._session(record)
        facts = replace(session.facts, role=record["role"])
        return await self._gate.judge(subject, record["sql"], facts, prepared=session.prepared)

    async def _rejudge(self, record: dict[str, Any]) -> Rejudged:
        judgement = await self._judge(record)
        verdict = self._verdict(judgement, datetime.fromisoformat(record["at"]))
        self._pending[record["statement"]] = _Pending(judgement, verdict.budgets)
        return Rejudged(
            statement=record["statement"],
            at=record["at"],
            agent=record["agent"],
            sql=record["sql"],
            before=record["verdict"],
            before_rule=record["rule"],
            after=verdict.action.value,
            after_rule=verdict.rule,
            why=verdict.why,
            same_policy=record["revision"] == verdict.revision,
        )

    def _verdict(self, judgement: Judgement, at: datetime) -> Verdict:
        if not judgement.verdict.facts:
            return judgement.verdict
        agent = judgement.subject.agent
        shapes = {statement.fingerprint for statement in judgement.analysis.statements}
        new = any((agent, shape) not in self._shapes for shape in shapes)
        moment = replace(
            self._gate.at(),
            now=at,
            first_use=new if shapes and all(shapes) else None,
            spent={name: self._rows(agent, name, at) for name in self._budgets},
        )
        return self._gate.policy.evaluate(judgement.subject, judgement.effects, moment)

    def _rows(self, agent: str, budget: str, at: datetime) -> int:
        had = self._spent[agent, budget]
        since = at - timedelta(seconds=self._budgets[budget].per)
        while had and had[0][0] <= since:
            had.popleft()
        return sum(rows for _, rows in had)

    def _released(self, record: dict[str, Any]) -> None:
        pending = self._pending.get(record["statement"])
        if pending is None:
            return
        agent, analysis = record["agent"], pending.judgement.analysis
        self._shapes.update((agent, statement.fingerprint) for statement in analysis.statements)
        session = self._sessions.get(record["session"])
        if session is not None:
            after = pending.judgement.after
            session.facts = replace(after, prepared=())
            session.prepared |= dict(after.prepared)

    def _had(self, statement: str, at: str, rows: int) -> None:
        pending = self._pending.get(statement)
        for budget in pending.budgets if pending and rows else ():
            agent = pending.judgement.subject.agent if pending else ""
            self._spent[agent, budget].append((datetime.fromisoformat(at), rows))

    def _forget(self, session: str) -> None:
        """Statements of a session are named by it; what is still pending of one that ended never runs."""
        gone = [statement for statement in self._pending if statement.rpartition(".")[0] == session]
        for statement in gone:
            del self._pending[statement]
