"""A verdict from a ready analysis is quick, however many rules there are (issue: under 50 µs with 200)."""

from __future__ import annotations

import json
import time
from pathlib import Path

from firewall import policy
from firewall.sql.analysis import Effect, Kind

RULES = 200
LIMIT = 50e-6
# the fastest of so many runs: what the machine does beside it is not the policy's
RUNS = 2000


def large() -> policy.Policy:
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
        for number in range(RULES - 3)
    ]
    rules += [
        {"name": "reads", "allow": "read", "when": {"unlabelled": True}, "why": "w"},
        {"name": "labelled", "hold": "read", "when": {"labels": "any"}, "why": "w"},
        {"name": "session", "allow": ["transaction", "setting"], "why": "w"},
    ]
    data = {"version": 1, "default": "hold", "approval": {"groups": ["dba"]}, "rules": rules}
    return policy.parse(json.dumps(data), Path("p.yaml"))


def test_a_verdict_takes_less_than_fifty_microseconds_with_two_hundred_rules():
    loaded = large()
    subject = policy.Subject("agent-70", "o@example.com", "shop", "production", "bi")
    effects = (
        Effect(Kind.READ, "public.t3", columns=("id", "name"), tested=("status",)),
        Effect(Kind.READ, "public.t4", columns=("id",), labels=("pii.email",)),
    )
    best = LIMIT * 100
    for _ in range(RUNS):
        began = time.perf_counter()
        verdict = loaded.evaluate(subject, effects)
        best = min(best, time.perf_counter() - began)
    assert verdict.reasons
    assert best < LIMIT, f"{best * 1e6:.1f} µs"
