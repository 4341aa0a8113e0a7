"""What production.yaml says to harmless texts, on the real catalog of the demo shop: they flow."""

from __future__ import annotations

import psycopg
import pytest

from firewall.policy import Action, Subject
from tests.sql.judge import Judge
from tests.sql.shop import FIXTURES, cases

# types of the database's own, as introspection by drivers meets them
TYPES = """
CREATE TYPE mood AS ENUM ('well', 'ill');
CREATE DOMAIN posint AS int CHECK (value > 0);
CREATE TABLE moods (id posint PRIMARY KEY, m mood, r int4range);
"""
BENIGN = [*cases("benign/shop", "query"), *(c for c in cases("benign", "query") if "introspection" in c.name)]
LABELLED = [
    ("SELECT email FROM customers", "pii.email"),
    ("SELECT * FROM customers", "pii.phone"),
    ("SELECT customer FROM order_totals", "pii.name"),
    ("SELECT card_number FROM payments", "pci.pan"),
    ("SELECT max(salary) FROM employees", "hr.salary"),
    ("DECLARE c CURSOR FOR SELECT salary FROM employees", "hr.salary"),
    ("PREPARE p AS SELECT salary FROM employees; EXECUTE p", "hr.salary"),
    ("EXPLAIN ANALYZE SELECT 1; SELECT c FROM customers c", "pii.email"),
]


@pytest.fixture(scope="module")
def judge(postgres):
    name = "judged_shop"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(postgres.dsn(name), autocommit=True) as furnisher:
            furnisher.execute((FIXTURES / "demo" / "shop.sql").read_text())
            furnisher.execute(TYPES)
        yield Judge(postgres.dsn(name), Subject(agent="shopper", owner="ola@example.com", database="shop"))
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("case", BENIGN, ids=lambda case: case.name)
def test_a_benign_text_flows(judge, case):
    judgement = judge(case.sql)
    assert judgement.analysis.error is None
    assert not judgement.analysis.missing
    assert not judgement.analysis.opaque
    assert judgement.verdict.action is Action.ALLOW, (judgement.verdict.why, judgement.effects)


def test_the_corpus_is_there():
    assert len(BENIGN) > 400


@pytest.mark.parametrize(("sql", "label"), LABELLED)
def test_the_same_kind_of_text_waits_where_labelled_data_would_come_back(judge, sql, label):
    judgement = judge(sql)
    assert judgement.verdict.action is Action.HOLD
    assert label in judgement.labels
