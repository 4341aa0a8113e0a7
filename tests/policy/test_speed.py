"""A verdict from a ready analysis takes as long with two hundred rules as with eight.

How long that is depends on the machine and on what it does beside it, so the two are compared in one run.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from firewall import policy
from firewall.sql.analysis import Effect, Kind

MANY, FEW = 200, 8
# what more rules may cost, at most
FACTOR = 2.0
# the fastest of so many runs: what the machine does beside it is not the policy's
RUNS = 2000


def ruled(number_of_rules: int) -> policy.Policy:
    """Rules about one table each, some about labels, agents and columns, and the general ones."""
    rules = [
        {
            "name": f"table {number}",
            ("allow", "hold", "deny")[number % 3]: ["read", "update", "delete"],
            "when": {
                "relations": f"public.t{number}",
                **({"labels": "pii.*"} if number % 5 == 0 else {}),
                **({"agents": f"agent-{number}*"} if number % 7 == 0 else {}),
                **({"columns": ["id", "email", f"c{number}"]} if number % 4 == 0 else {}),
            },
            "why": "because",
        }
        for number in range(number_of_rules - 3)
    ]
    rules += [
        {"name": "reads", "allow": "read", "when": {"unlabelled": True}, "why": "w"},
        {"name": "labelled", "hold": "read", "when": {"labels": "any"}, "why": "w"},
        {"name": "session", "allow": ["transaction", "setting"], "why": "w"},
    ]
    data = {"version": 1, "default": "hold", "approval": {"groups": ["dba"]}, "rules": rules}
    return policy.parse(json.dumps(data), Path("p.yaml"))


def quickest(by: policy.Policy) -> float:
    """Seconds of the processor, of effects that were seen before."""
    subject = policy.Subject("agent-70", "o@example.com", "shop", "production", "bi")
    effects = (
        Effect(Kind.READ, "public.t3", columns=("id", "name"), tested=("status",)),
        Effect(Kind.READ, "public.t4", columns=("id",), labels=("pii.email",)),
    )
    best = float("inf")
    for _ in range(RUNS):
        began = time.thread_time()
        verdict = by.evaluate(subject, effects)
        best = min(best, time.thread_time() - began)
        assert verdict.reasons
    return best


def test_many_rules_cost_no_more_than_few():
    many, few = quickest(ruled(MANY)), quickest(ruled(FEW))
    assert many < FACTOR * few, f"{many * 1e6:.1f} µs, and {few * 1e6:.1f} µs with few rules"
