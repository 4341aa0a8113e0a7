"""The recorded past under another policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from firewall import gate as gates
from firewall import policy, replay

from .test_gate import Analysts, Catalog, looking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def judged(
    number: int, sql: str, *, session: str = "s", verdict: str = "allow", **more: Any
) -> dict[str, Any]:
    return {
        "kind": "judgement",
        "id": f"r{number}",
        "at": f"2026-03-02T{9 + number // 60:02}:{number % 60:02}:00.000000Z",
        "session": session,
        "statement": f"{session}.{number}",
        "agent": "shopper",
        "owner": "ola@example.com",
        "database": "shop",
        "environment": "production",
        "role": "app",
        "sql": sql,
        "verdict": verdict,
        "rule": "old",
        "revision": "old",
        **more,
    }


def then(record: dict[str, Any], kind: str, **more: Any) -> dict[str, Any]:
    return {**{key: record[key] for key in ("at", "session", "statement", "agent")}, "kind": kind, **more}


def ran(record: dict[str, Any], rows: int = 1) -> list[dict[str, Any]]:
    return [record, then(record, "release"), then(record, "outcome", rows=rows)]


async def rejudged(rules: policy.Policy, records: list[dict[str, Any]], **more: Any) -> list[replay.Rejudged]:
    analysts = Analysts()
    gate = gates.Gate(rules, analysts, Catalog().read)  # type: ignore[arg-type]  # all it uses
    await gate.refresh()

    async def log() -> AsyncIterator[bytes]:
        for record in records:
            yield json.dumps(record).encode()

    past = replay.Replay(gate, "shop", {"shopper": "bi"}, **more)
    return [one async for one in past.run(log())]


READ = "SELECT id FROM orders"


async def test_what_differs_is_told_with_both_verdicts():
    rules = looking("{name: no products, deny: read, when: {relations: products}, why: w}")
    records = [*ran(judged(1, READ)), *ran(judged(2, "SELECT name FROM products"))]
    same, other = await rejudged(rules, records)
    assert not same.differs
    assert (other.before, other.after, other.after_rule) == ("allow", "deny", "no products")
    summary = replay.Summary()
    for one in (same, other):
        summary.add(one)
    assert (summary.judged, summary.changed, summary.same_policy) == (2, 1, 0)
    assert summary.changes == {("allow", "deny"): 1}
    assert summary.rules == {"no products": 1}


async def test_what_this_policy_has_said_itself_is_known():
    rules = looking()
    (one,) = await rejudged(rules, [judged(1, READ, verdict="hold", revision=rules.revision)])
    assert one.differs
    assert one.same_policy


async def test_other_databases_and_what_came_before_are_left_out():
    records = [judged(1, READ), judged(2, READ, database="other"), judged(3, READ)]
    found = await rejudged(looking(), records, since="2026-03-02T09:02:00.000000Z")
    assert [one.statement for one in found] == ["s.3"]


async def test_the_clock_and_the_team_are_those_of_the_time():
    night = "{name: late, deny: read, when: {times: {from: 10:00, to: 24:00}, teams: bi}, why: w}"
    found = await rejudged(looking(night), [judged(59, READ), judged(60, READ)])
    assert [one.after for one in found] == ["allow", "deny"]


async def test_a_shape_is_new_until_it_was_released():
    rules = looking("{name: new, hold: read, when: {first_use: true}, why: w}")
    records = [
        judged(1, READ),
        *ran(judged(2, READ)),
        judged(3, "SELECT id FROM orders --x"),
        judged(4, "SELECT 1"),
    ]
    found = await rejudged(rules, records)
    assert [one.after for one in found] == ["hold", "hold", "allow", "allow"]


async def test_budgets_are_counted_by_what_was_returned():
    rules = policy.parse(
        "version: 1\ndefault: deny\napprovers: {a@example.com: {groups: [dba]}}\napproval: {groups: [dba]}\n"
        "labels: {pii: orders.id}\n"
        "budgets: [{name: b, labels: pii, rows: 10, per: 1h, why: w}]\n"
        "rules: [{name: reads, allow: read, why: w}]\n",
        Path("p.yaml"),
    )
    standing = judged(3, READ)
    end = {"number": 1, "at": standing["at"], "rows": 5}
    records = [
        *ran(judged(1, READ), rows=5),
        judged(2, READ),
        standing,
        then(standing, "release"),
        then(standing, "runs", ended=[end]),
        judged(4, READ),
        judged(62, READ),
    ]
    found = await rejudged(rules, records)
    assert [one.after for one in found] == ["allow", "allow", "allow", "hold", "allow"]


async def test_what_a_session_has_done_decides_what_names_mean():
    rules = looking(
        "{name: session, allow: [session, setting], why: w}",
        "{name: no products, deny: read, when: {relations: products}, why: w}",
    )
    prepare = judged(1, "PREPARE p AS SELECT name FROM products")
    records = [*ran(prepare), judged(2, "EXECUTE p"), judged(1, "EXECUTE p", session="t")]
    prepared, executed, elsewhere = await rejudged(rules, records)
    assert executed.after_rule == "no products"
    # in another session nobody knows what that is
    assert elsewhere.after_rule != "no products"
    assert prepared.after in {"allow", "deny"}
    closed = then(judged(9, ""), "session", event="closed")
    *_, forgotten = await rejudged(rules, [*records, closed, judged(10, "EXECUTE p")])
    assert forgotten.after_rule != "no products"


@pytest.mark.parametrize("count", [0, 1, replay.AHEAD, 2 * replay.AHEAD + 1])
async def test_all_of_a_long_log_is_read_in_order(count):
    found = await rejudged(looking(), [judged(n, READ) for n in range(count)])
    assert [one.statement for one in found] == [f"s.{n}" for n in range(count)]
