"""A made log of three days, counted."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from firewall import audit
from firewall.report import FRAMEWORKS, Figures, Head, Proof, Report

ROOT = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
NOTE = f"log.test\n21\n{ROOT}\n\n— log.test AAAA\n"
_JUDGED = {
    "agent": "bot",
    "owner": "ann",
    "database": "shop",
    "environment": "production",
    "role": "app",
    "sql": "SELECT secret_literal",
    "enforced": True,
    "risk": "low",
    "reasons": [],
    "effects": [],
    "relations": [],
    "revision": "1",
    "catalog": "c",
}


def made_log() -> list[audit.Record]:
    """In the order of the log; h-OLD was opened before it begins."""
    number = count(1)

    def record(kind: str, at: str, **fields: Any) -> audit.Record:
        given = {"kind": kind, "id": f"r-{next(number)}", "at": f"2030-01-{at}:00.000000Z", **fields}
        return audit.ADAPTER.validate_python(given)

    def judged(at: str, verdict: str, rule: str, **fields: Any) -> audit.Record:
        return record("judgement", at, **(_JUDGED | {"verdict": verdict, "rule": rule} | fields))

    def hold(at: str, name: str) -> audit.Record:
        fields = {"digest": "d", "rule": "writes", "risk": "high", "parameters": [], "groups": ["dba"]}
        more = {"quorum": 1, "requesters": [], "expires": "2030-01-09T00:00:00Z", "agent": "bot"}
        return record("hold", at, hold=name, **fields, **more)

    def vote(at: str, name: str, person: str, *, approve: bool, counted: bool = True) -> audit.Record:
        fields = {"person": person, "approve": approve, "reason": "", "channel": "cli", "counted": counted}
        return record("vote", at, hold=name, **fields)

    def decision(at: str, name: str, state: str) -> audit.Record:
        return record("decision", at, hold=name, state=state, by=[], digest="d")

    def policy(at: str, revision: str, **fields: Any) -> audit.Record:
        given = {"database": "shop", "revision": revision, "path": "p.yaml", "mode": "enforce"}
        return record("policy", at, **given, **fields)

    return [
        policy("01T00:00", "one"),
        judged("01T00:01", "allow", "reads", labels=["email"]),
        judged("01T00:02", "deny", "no <drops>"),
        judged("01T00:03", "hold", "writes"),
        hold("01T00:04", "h-1"),
        vote("01T00:05", "h-1", "bot-owner", approve=True, counted=False),
        vote("01T00:06", "h-1", "dba", approve=True),
        decision("01T00:06", "h-1", "approved"),
        record("release", "01T00:06", agent="bot", digest="d", leave="hold h-1", masked=["email: hash"]),
        record("outcome", "01T00:07", agent="bot", tag="DELETE 2", rows=2, bytes=9, micros=5),
        vote("02T10:00", "h-OLD", "dba", approve=False),
        decision("02T10:00", "h-OLD", "rejected"),
        hold("02T10:01", "h-2"),
        decision("02T10:30", "h-2", "expired"),
        judged("02T11:00", "deny", "no <drops>", enforced=False),
        record("release", "02T11:00", agent="bot", digest="d", leave="observe mode"),
        record(
            "break_glass",
            "03T01:00",
            hold="h-3",
            person="eve",
            reason="<b>outage</b>\u202e",
            channel="cli",
            agent="bot",
            digest="d",
            groups=["dba"],
            quorum=2,
        ),
        policy("03T02:00", "two", by="ann", before="one", changes=["rule `x` is new"]),
        policy("03T02:01", "two", by="ann", refused="does not parse"),
        record("fault", "03T03:00", where="relay", error="OSError"),
        record("erasure", "03T04:00", by="ann", why="request 7", spans=[{"first": 1, "last": 2}], records=2),
    ]


@pytest.fixture
def figures() -> Figures:
    found = Figures()
    for record in made_log():
        found.add(record, "log.test")
    return found


@pytest.fixture(params=sorted(FRAMEWORKS))
def report(request: pytest.FixtureRequest, figures: Figures) -> Report:
    figures.date({"h-OLD": "2030-01-02T09:00:00.000000Z"})
    return Report(
        framework=FRAMEWORKS[request.param],
        since=datetime(2030, 1, 1, tzinfo=UTC),
        until=datetime(2030, 1, 4, tzinfo=UTC),
        made=datetime(2030, 1, 5, tzinfo=UTC),
        version="1",
        heads=(Head.parse(NOTE),),
        proof=Proof.SOUND,
        findings=(),
        checked=21,
        figures=figures,
    )
