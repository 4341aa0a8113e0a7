"""Every evasion on a real server: it does what it claims, and `production.yaml` does not let it through."""

from __future__ import annotations

import re

import psycopg
import pytest

from firewall.policy import Action, Subject
from tests.sql.harm import happens
from tests.sql.judge import Judge
from tests.sql.shop import FIXTURES, cases

CASES = cases("evasions", "expect")
ALLOWED = 6  # to be thought over before it grows
WORLD = FIXTURES / "evasions" / "world" / "world.sql"


@pytest.fixture(scope="module")
def world(postgres):
    """The DSN of a database in which the evasions work."""
    name = "evasions_world"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(postgres.dsn(name), autocommit=True) as furnisher:
            furnisher.execute(WORLD.read_text())
        yield postgres.dsn(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def judge(world):
    return Judge(world, Subject(agent="shopper", owner="ola@example.com", database="world"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_does_what_it_claims(world, case):
    kind, _, name = case.heading.partition(" ")
    assert not happens(world, kind, name, case.sql + "\n")


# what does harm only by what `plain` has not
SET_OFF = (
    r"\bpair\b|paired|declared_later"
    r"|^SELECT id INTO TEMP t|^CREATE TEMP (TABLE|VIEW) \w AS SELECT id"
    r"|^CREATE TEMP TABLE t \(a int\); DROP TABLE t$"
)


@pytest.fixture(scope="module")
def plain(postgres, world):
    """A judge of the same database without what any statement may set off, or any that makes something."""
    name = "evasions_plain"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE evasions_world")
        with psycopg.connect(postgres.dsn(name), autocommit=True) as furnisher:
            furnisher.execute("DROP EVENT TRIGGER noticing; DROP EVENT TRIGGER noticing_drops")
            furnisher.execute("DROP TYPE pair CASCADE; DROP TABLE paired")
        yield Judge(postgres.dsn(name), Subject(agent="shopper", owner="ola@example.com", database="world"))
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


# INVARIANT: 3. What is not understood, or understood to do harm, is never passed.
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_seen_and_stopped(judge, case):
    judgement = judge(case.sql)
    assert judgement.analysis.error is None
    kind, _, name = case.heading.partition(" ")
    found = {(effect.kind.value, effect.object) for effect in judgement.effects}
    assert (kind, name) in found or (not name and kind in {each for each, _ in found}), found
    if "-- allowed: " in case.sql:
        assert judgement.verdict.action is Action.ALLOW, judgement.effects
    else:
        assert judgement.verdict.action in {Action.HOLD, Action.DENY}, judgement.effects


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_stopped_for_what_it_does_itself(plain, case):
    if not re.search(SET_OFF, case.sql):
        action = plain(case.sql).verdict.action
        assert (action is Action.ALLOW) == ("-- allowed: " in case.sql)


def test_few_claims_are_refusals_and_few_are_let_through():
    refused = [case for case in CASES if "-- claim: fails" in case.sql]
    assert len(refused) < len(CASES) / 5
    assert len([case for case in CASES if "-- allowed: " in case.sql]) <= ALLOWED
