"""A policy of a few rules, and who asks: what tests of rules begin with."""

from __future__ import annotations

from pathlib import Path

from firewall import policy
from firewall.policy import Moment, Subject
from firewall.sql.analysis import Effect, Kind

HEAD = """
version: 1
default: hold
approvers:
  dba@example.com: {groups: [dba]}
approval: {groups: [dba], quorum: 1, expires: 10m}
"""
SUBJECT = Subject(agent="reporter", owner="owner@example.com", database="shop", environment="prod", team="bi")


def written(*rules: str, more: str = "") -> policy.Policy:
    lines = "".join(f"  - {{name: r{number}, why: because, {rule}}}\n" for number, rule in enumerate(rules))
    return policy.parse(f"{HEAD}rules:\n{lines}{more}", Path("p.yaml"))


def judge(
    *rules: str, effects: tuple[Effect, ...], moment: Moment | None = None, more: str = ""
) -> policy.Verdict:
    return written(*rules, more=more).evaluate(SUBJECT, effects, moment or Moment())


def read(*columns: str, labels: tuple[str, ...] = (), relation: str = "public.orders") -> Effect:
    return Effect(Kind.READ, relation, columns=columns, labels=labels)
