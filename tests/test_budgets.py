"""What is set aside of budgets before a statement runs, and who may go beyond them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from firewall import budgets as rooms
from firewall import policy
from firewall.budgets import Budgets, Taken, Window
from firewall.gate import Gate
from firewall.policy import Action, Moment
from tests.sql.shop import SHOP
from tests.test_gate import AGENT, FACTS, Analysts, Catalog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

READ = "SELECT email FROM customers"
POLICY = """
version: 1
default: deny
labels: {pii.email: customers.email}
approvers: {dba@example.com: {groups: [dba]}}
approval: {groups: [dba]}
budgets:
  - {name: hour, labels: pii, rows: 10, per: 1h, why: enough}
  - {name: day, labels: pii, rows: 50, per: 1d, why: enough}
rules:
  - {name: reads, allow: read, why: counted, obligations: {max_rows: 100}}
"""


@dataclass
class Ledger:
    """What is left, with nobody else about; `runs` statements of others end one at a time."""

    left: dict[str, int]
    runs: int = 0
    taken: dict[str, int] = field(default_factory=dict)
    permitted: list[str] = field(default_factory=list)

    async def spent(self, agent: str, windows: Sequence[Window]) -> Mapping[str, int]:
        return {w.budget: w.rows - self.left[w.budget] for w in windows}

    async def take(self, agent: str, statement: str, windows: Sequence[Window], *, most: int | None) -> Taken:
        gone = tuple(w.budget for w in windows if not self.left[w.budget])
        if gone or self.runs:
            self.runs -= self.runs > 0
            return Taken(0, not gone, gone or tuple(w.budget for w in windows))
        rows = min([self.left[w.budget] for w in windows] + ([] if most is None else [most]))
        self.taken[statement] = rows
        return Taken(rows)

    async def permit(self, agent: str, statement: str, windows: Sequence[Window]) -> None:
        self.permitted += [w.budget for w in windows]

    async def settle(self, statement: str, rows: int) -> None:
        self.taken[statement] = rows

    async def seen(self, agent: str, fingerprints: object) -> bool:
        return True

    async def used(self, agent: str, fingerprints: object) -> None: ...


async def gated(ledger: Ledger | None, rules: str = POLICY) -> Gate:
    gate = Gate(policy.parse(rules, Path("p.yaml")), Analysts(), Catalog(SHOP).read, past=ledger)  # type: ignore[arg-type]  # all it uses
    await gate.refresh()
    return gate


async def test_the_least_of_all_is_set_aside() -> None:
    ledger = Ledger({"hour": 7, "day": 50})
    gate = await gated(ledger)
    judgement = await gate.now(await gate.judge(AGENT, READ, FACTS), Moment())
    assert judgement.verdict.action is Action.ALLOW
    assert await gate.take(judgement, "s.1", Moment()) == (judgement, Taken(7))
    ledger.left = {"hour": 7, "day": 3}
    assert (await gate.take(judgement, "s.2", Moment()))[1] == Taken(3)


async def test_what_is_used_up_between_judging_and_taking_is_held() -> None:
    ledger = Ledger({"hour": 1, "day": 50})
    gate = await gated(ledger)
    judgement = await gate.now(await gate.judge(AGENT, READ, FACTS), Moment())
    ledger.left["hour"] = 0
    held, taken = await gate.take(judgement, "s.1", Moment())
    assert taken == Taken(0, gone=("hour",))
    assert (held.verdict.action, held.verdict.rule) == (Action.HOLD, "hour")
    # and is likely to be held from now on
    found = gate.remembered(AGENT, READ, FACTS, lexing_safe=True)
    assert found is not None
    assert found.verdict.action is Action.HOLD


async def test_it_waits_for_what_runs_and_is_held_if_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger({"hour": 10, "day": 50}, runs=3)
    gate = await gated(ledger)
    judgement = await gate.now(await gate.judge(AGENT, READ, FACTS), Moment())
    assert (await gate.take(judgement, "s.1", Moment()))[1] == Taken(10)
    ledger.runs = 1_000
    monkeypatch.setattr(rooms, "PATIENCE", 0.0)
    held, taken = await gate.take(judgement, "s.2", Moment())
    assert taken is not None
    assert taken.busy
    assert held.verdict.action is Action.HOLD


async def test_an_approval_is_beyond_what_was_used_up_and_nothing_else() -> None:
    ledger = Ledger({"hour": 0, "day": 50})
    gate = await gated(ledger)
    held = await gate.now(await gate.judge(AGENT, READ, FACTS), Moment())
    assert held.verdict.action is Action.HOLD
    assert (await gate.take(held, "s.1", Moment()))[1] == Taken(50)
    assert ledger.permitted == ["hour"]
    ledger.left["day"] = 0
    again, taken = await gate.take(held, "s.2", Moment())
    assert taken == Taken(0, gone=("day",))
    assert {reason.rule for reason in again.verdict.reasons} >= {"hour", "day"}
    assert ledger.permitted == ["hour"]
    ledger.left["hour"] = 0
    both = await gate.now(held, Moment())
    assert (await gate.take(both, "s.3", Moment()))[1] is None
    assert ledger.permitted == ["hour", "hour", "day"]


async def test_observing_permits_everything() -> None:
    ledger = Ledger({"hour": 0, "day": 50})
    gate = await gated(ledger, POLICY.replace("default: deny", "default: deny\nmode: observe"))
    judgement = await gate.now(await gate.judge(AGENT, READ, FACTS), Moment())
    assert (await gate.take(judgement, "s.1", Moment()))[1] is None
    assert ledger.permitted == ["hour", "day"]


async def test_where_nobody_counts_budgets_are_used_up() -> None:
    gate = await gated(None)
    judgement = await gate.now(await gate.judge(AGENT, READ, FACTS), Moment())
    assert judgement.verdict.action is Action.HOLD


async def test_what_was_answered_counts_before_anything_is_asked() -> None:
    """A client sends the next statement as soon as it has its answer."""
    ledger = Ledger({"hour": 10, "day": 50})
    budgets = Budgets(ledger)
    go, settled = asyncio.Event(), []

    async def settle(statement: str, rows: int) -> None:
        await go.wait()
        settled.append(statement)

    ledger.settle = settle  # type: ignore[method-assign]  # slower
    rules = policy.parse(POLICY, Path("p.yaml"))
    ending = asyncio.ensure_future(budgets.settle("s.1", 3))
    await asyncio.sleep(0)
    asking = asyncio.ensure_future(budgets.spent(rules, "bot", ["hour"]))
    go.set()
    await asking
    assert settled == ["s.1"]
    await ending


async def test_a_budget_never_lets_more_through() -> None:
    """Whatever is known of what was had."""
    without = await gated(None, POLICY[: POLICY.index("budgets:")] + POLICY[POLICY.index("rules:") :])
    base = (await without.judge(AGENT, READ, FACTS)).verdict.action
    assert base is Action.ALLOW
    for left in ({"hour": 0, "day": 0}, {"hour": 1, "day": 0}, {"hour": 10, "day": 50}):
        ledger = Ledger(dict(left))
        gate = await gated(ledger)
        judgement = await gate.now(await gate.judge(AGENT, READ, FACTS), Moment())
        if judgement.verdict.action is Action.ALLOW:
            judgement, taken = await gate.take(judgement, "s.1", Moment())
            assert taken is not None
            assert taken.rows <= min(left.values())
        assert (judgement.verdict.action is Action.ALLOW) is (min(left.values()) > 0)
