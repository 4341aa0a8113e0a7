"""A store of each kind, records to put in, and the key of its log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from firewall import audit, ids
from firewall.approval import Hold, State
from firewall.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ORIGIN = "log.test"
KEY = audit.SigningKey(ORIGIN, bytes(range(32)))
# what takes a store back to schema 0007
BEFORE_GRANTS = (
    "DROP TABLE links",
    "DROP TABLE watched",
    "DROP TABLE grants",
    "DROP INDEX holds_by_agent",
    "DROP INDEX holds_by_digest",
    *(f"ALTER TABLE holds DROP COLUMN {name}" for name in ("digest", "awaited", "agent", "database")),
)
START = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Kit:
    """Makes records and holds whose times go up by a second each."""

    made: int = 0

    def at(self) -> datetime:
        self.made += 1
        return START + timedelta(seconds=self.made)

    def judgement(self, **fields: object) -> audit.Judgement:
        defaults = {
            "id": ids.record_id(),
            "at": f"{self.at():%Y-%m-%dT%H:%M:%S.%fZ}",
            "session": "s-1",
            "statement": f"q-{self.made}",
            "agent": "bot",
            "owner": "ann",
            "database": "shop",
            "environment": "production",
            "role": "reader",
            "sql": "SELECT name FROM customers",
            "verdict": "allow",
            "enforced": True,
            "risk": "low",
            "rule": "reads",
            "reasons": ["reads of unlabelled data flow"],
            "effects": [audit.Effect(kind="read", object="public.customers", columns=["name"])],
            "relations": ["public.customers"],
            "revision": "1",
            "catalog": "c",
        }
        return audit.Judgement.model_validate({**defaults, **fields})

    def outcome(self, statement: str, **fields: object) -> audit.Outcome:
        defaults = {
            "id": ids.record_id(),
            "at": f"{self.at():%Y-%m-%dT%H:%M:%S.%fZ}",
            "statement": statement,
            "agent": "bot",
            "tag": "SELECT 3",
            "rows": 3,
            "bytes": 70,
            "micros": 900,
        }
        return audit.Outcome.model_validate({**defaults, **fields})

    def credential(self, **fields: object) -> audit.Credential:
        defaults = {
            "id": ids.record_id(),
            "at": f"{self.at():%Y-%m-%dT%H:%M:%S.%fZ}",
            "event": "issued",
            "subject": "agent",
            "name": "bot",
            "owner": "ann",
            "by": "ann",
        }
        return audit.Credential.model_validate({**defaults, **fields})

    def hold(self, **fields: object) -> Hold:
        opened = self.at()
        defaults = {
            "id": ids.hold_id(),
            "digest": "ab" * 32,
            "state": State.PENDING,
            "opened_at": opened,
            "expires_at": opened + timedelta(minutes=15),
            "session": "s-1",
            "statement": f"q-{self.made}",
            "agent": "bot",
            "owner": "ann",
            "database": "shop",
            "environment": "production",
            "role": "reader",
            "sql": "DELETE FROM orders WHERE id = $1 -- \x00 “”",
            "parameters": ("7", None),
            "rule": "writes",
            "reasons": ("writes are held",),
            "effects": ("delete public.orders",),
            "labels": (),
            "risk": "high",
            "groups": ("dba",),
            "quorum": 2,
            "requesters": frozenset({"ann", "bot"}),
            "revision": "1",
        }
        return Hold(**{**defaults, **fields})


@pytest.fixture
def kit() -> Kit:
    return Kit()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store can be made: the same tests hold for both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    database = request.getfixturevalue("database")
    return request.getfixturevalue("postgres").dsn(database)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    opened = await Store.open(url, origin=ORIGIN, key=KEY)
    async with opened:
        yield opened
