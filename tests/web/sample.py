"""A house with a real store and a real desk, and holds and records to put into it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from firewall import audit, clock, credentials, ids, policy
from firewall.approval import Hold, Person, State
from firewall.desk import Desk
from firewall.explaining import Explained, explain
from firewall.gate import Gate
from firewall.web import (
    EVERY,
    CheckpointPlace,
    Database,
    House,
    Kept,
    Reached,
    Role,
    Status,
    Workers,
)
from tests.test_gate import Analysts, Catalog

if TYPE_CHECKING:
    from firewall.store import Store

ROOT = Path(__file__).resolve().parents[2]
ORIGIN = "log.test"
POLICY = policy.load(ROOT / "policies" / "production.yaml")
KEY = audit.SigningKey(ORIGIN, bytes(range(32)))
COOKIE_KEY = bytes(range(64, 96))
PEOPLE = {
    "dana@example.com": Person("dana@example.com", frozenset({"dba"})),
    "omar@example.com": Person("omar@example.com", frozenset({"dba", "security"})),
    "lena@example.com": Person("lena@example.com", frozenset({"dba"})),
    "sam@example.com": Person("sam@example.com", frozenset({"finance"})),
}
# vera may look: she has a token, and the policy names her in no group
TOKENS = {f"token-{name.partition('@')[0]}": name for name in (*PEOPLE, "vera@example.com")}


@dataclass
class Sample:
    """The house and what is needed to move it. Taking a token out of `tokens` revokes it."""

    store: Store
    tokens: dict[str, str] = field(default_factory=lambda: dict(TOKENS))
    roles: dict[str, frozenset[Role]] = field(default_factory=dict)
    unread: str = ""
    unreached: str = ""
    unpublished: str = ""
    named: set[str] = field(default_factory=lambda: set(PEOPLE))
    desk: Desk = field(init=False)
    house: House = field(init=False)
    _gate: Gate | None = None

    def __post_init__(self) -> None:
        self.desk = Desk(self.store, lambda name, _: PEOPLE.get(name))
        self.house = House(
            desk=self.desk,
            person_by_token=self._person_by_token,
            is_person=self._is_person,
            whose_link=lambda secret: self.store.links.take(credentials.token_hash(secret), clock.now()),
            is_named=lambda person: person in self.named,
            is_approver=PEOPLE.__contains__,
            roles=lambda person: self.roles.get(person, EVERY),
            search=self.store.page,
            statement=self.store.statement_records,
            views=self.store.views,
            summaries=self.store.summaries,
            agents=self.store.agents,
            policies=lambda: {"shop": POLICY},
            prove=self.store.prove,
            explain=self._explain,
            log_key=str(KEY.public),
            verify_log=self._verify,
            status=self._status,
            record=self._record,
            cookie_key=COOKIE_KEY,
        )

    async def records(self, kind: str = "") -> list[audit.Record]:
        """The log, oldest first."""
        found = [audit.decode(row.bytes, row.private) async for row in self.store.records()]
        return [record for record in found if kind in {"", record.kind}]

    async def _person_by_token(self, token: str) -> str | None:
        return self.tokens.get(token)

    async def _is_person(self, person: str) -> bool:
        return person in self.tokens.values()

    async def _explain(self, agent: str, database: str, text: str) -> Explained | None:
        if database != "shop":
            return None
        if self._gate is None:
            analysts, catalog = Analysts(), Catalog()
            self._gate = Gate(POLICY, analysts, catalog.read)  # type: ignore[arg-type]  # all it uses
            await self._gate.refresh()
        subject = policy.Subject(agent, "lena@example.com", database, "production")
        return await explain(self._gate, subject, text)

    async def _verify(self) -> audit.Report:
        return await self.store.verify([KEY.public])

    async def _status(self) -> Status:
        pending = len(await self.store.holds([State.PENDING]))
        now = clock.now()
        databases = (
            Database(
                "shop",
                "production",
                "b41f0c2e77d1",
                "enforce",
                catalog="91c2a07be5d4",
                relations=214,
                read_at=now - timedelta(seconds=12),
            ),
            Database("warehouse", "staging", "0ce1d8a90f33", "observe", read_at=now, unread=self.unread),
        )
        return Status(
            databases,
            sessions=7,
            pending=pending,
            oldest=now - timedelta(minutes=9),
            version="0.1.0",
            began=now - timedelta(days=3),
            log=Kept("sqlite:///var/lib/firewall.db", await self.store.weight(), 1204, "full", 90),
            places=(
                CheckpointPlace("/mnt/worm/checkpoints", 1200, clock.stamp(now - timedelta(minutes=2))),
                CheckpointPlace("s3://audit/firewall", 1100, clock.stamp(now), self.unpublished),
            ),
            channels=(Reached("slack", "", 0), Reached("webhook pager", self.unreached, 3)),
            workers=Workers(4, 4, 1, 2),
        )

    async def _record(self, record: audit.Record) -> None:
        await self.store.append([record])


def hold(sql: str = "DELETE FROM orders", **fields: object) -> Hold:
    """A pending hold that dana and omar may decide; lena owns the agent."""
    now = clock.now()
    defaults: dict[str, object] = {
        "id": ids.hold_id(),
        "digest": hashlib.sha256(sql.encode()).hexdigest(),
        "state": State.PENDING,
        "opened_at": now,
        "expires_at": now + timedelta(minutes=15),
        "session": ids.session_id(),
        "statement": f"q-{ids.session_id()[2:]}",
        "agent": "billing-agent",
        "owner": "lena@example.com",
        "database": "shop",
        "environment": "production",
        "role": "agent_rw",
        "sql": sql,
        "parameters": (),
        "rule": "writes-without-where",
        "reasons": ("a write without WHERE touches every row: delete public.orders",),
        "effects": ("delete public.orders",),
        "labels": (),
        "risk": "high",
        "groups": ("dba",),
        "quorum": 1,
        "requesters": frozenset({"lena@example.com"}),
        "revision": "b41f0c2e77d1",
    }
    return Hold(**(defaults | fields))  # type: ignore[arg-type] — the defaults are of the fields' types


def judgement(sql: str, **fields: object) -> audit.Judgement:
    """An allowed read of customers."""
    defaults: dict[str, object] = {
        "id": ids.record_id(),
        "at": clock.stamp(clock.now()),
        "session": ids.session_id(),
        "statement": f"q-{ids.session_id()[2:]}",
        "agent": "support-agent",
        "owner": "lena@example.com",
        "database": "shop",
        "environment": "production",
        "role": "agent_ro",
        "sql": sql,
        "verdict": "allow",
        "enforced": True,
        "risk": "low",
        "rule": "reads",
        "reasons": ["reads of unlabelled data flow: read public.customers"],
        "effects": [audit.Effect(kind="read", object="public.customers", columns=["id", "name"])],
        "relations": ["public.customers"],
        "revision": "b41f0c2e77d1",
        "catalog": "91c2",
    }
    return audit.Judgement.model_validate(defaults | fields)
