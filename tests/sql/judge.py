"""A gate over a real database, with `production.yaml`, whose analyses run in this process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from firewall.catalog.introspect import introspect
from firewall.gate import Gate
from firewall.policy.load import load
from firewall.sql.analyse import analyse
from firewall.sql.analysis import Facts

if TYPE_CHECKING:
    from firewall.catalog.snapshot import Snapshot
    from firewall.judgement import Judgement
    from firewall.policy import Subject
    from firewall.sql.analysis import Analysis

PRODUCTION = Path(__file__).parents[2] / "policies" / "production.yaml"


class Here:
    """Analyses without worker processes: the same function, in this one."""

    def __init__(self) -> None:
        self.snapshots: dict[str, Snapshot] = {}

    def publish(self, snapshot: Snapshot) -> None:
        self.snapshots[snapshot.version] = snapshot

    async def analyse(self, text: str, version: str, facts: Facts) -> Analysis:
        return analyse(text, self.snapshots[version], facts)


class Judge:
    """Judges texts as the firewall would whose login is that of the DSN."""

    def __init__(self, dsn: str, subject: Subject) -> None:
        async def read() -> Snapshot:
            connection = await asyncpg.connect(dsn)
            try:
                return await introspect(connection)
            finally:
                await connection.close()

        self.gate = Gate(load(PRODUCTION), Here(), read)
        self.subject = subject
        self.snapshot = asyncio.run(self.gate.refresh())
        self.facts = Facts(
            database=self.snapshot.database, role=self.snapshot.role, search_path=self.snapshot.search_path
        )

    def __call__(self, sql: str, facts: Facts | None = None) -> Judgement:
        return asyncio.run(self.gate.judge(self.subject, sql, facts or self.facts))
