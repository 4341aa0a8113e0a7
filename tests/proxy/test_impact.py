"""What an impact says of a judgement and a catalog, and when the planner must not be asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from firewall import policy, sql
from firewall.catalog.snapshot import Function, Labels, Own, Snapshot
from firewall.judgement import Judgement
from firewall.proxy.impact import labelled, sets_off, takes, unplannable
from firewall.sql.analyse import analyse
from tests.sql.shop import SHOP

if TYPE_CHECKING:
    from collections.abc import Iterable

POLICY = policy.parse(
    "version: 1\ndefault: hold\nrules:\n  - {name: r, allow: any, why: w}\n", Path("policy.yaml")
)
SUBJECT = policy.Subject("agent", "owner", "shop")
FACTS = sql.Facts(database="shop", role="app")


def _function(name: str, body: str, volatility: str = "immutable", language: str = "plpgsql") -> Function:
    return Function("public", name, language, volatility, 0, 0, body=body, returns="bigint")


CODE = (
    _function("reads_only", "BEGIN RETURN (SELECT count(*) FROM orders); END"),
    _function("writes", "BEGIN DELETE FROM products; RETURN 1; END"),
    _function("sets", "BEGIN SET work_mem = '1GB'; RETURN 1; END"),
    _function("dynamic", "BEGIN EXECUTE 'DELETE FROM ' || 'products'; RETURN 1; END"),
    _function("foreign_code", "whatever", language="plpython3u"),
)
CATALOG = replace(SHOP, functions=(*SHOP.functions, *CODE))


def judged(text: str, facts: sql.Facts = FACTS, snapshot: Snapshot = CATALOG, **more: object) -> Judgement:
    analysis = analyse(text, snapshot, facts)
    verdict = POLICY.evaluate(SUBJECT, analysis.effects)
    return replace(Judgement(text, SUBJECT, analysis, analysis.effects, verdict, "v", facts), **more)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM customers WHERE lower(email) = 'x'",
        "DELETE FROM order_items WHERE order_id = 1",
        # its trigger runs code that cannot be followed, but not while it is planned
        "INSERT INTO payments (id) VALUES (1)",
        "INSERT INTO inbox (id) VALUES (1)",
        "SELECT reads_only()",
        "SELECT set_config('work_mem', '64kB', true)",
        "SELECT nextval('orders_id_seq')",
        "CREATE TABLE copied AS SELECT id FROM orders",
        "DECLARE c CURSOR FOR SELECT id FROM orders",
        "MERGE INTO order_items o USING products p ON o.product_id = p.id WHEN MATCHED THEN DELETE",
    ],
)
def test_the_planner_may_be_asked(text: str) -> None:
    assert unplannable(judged(text)) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELECT 1; SELECT 2", "several statements"),
        ("SELEKT", "could not be read"),
        ("", "could not be read"),
        ("TRUNCATE orders", "not planned"),
        ("EXPLAIN ANALYZE DELETE FROM orders", "not planned"),
        ("COPY orders TO STDOUT", "not planned"),
        ("EXECUTE p", "not planned"),
        ("DO $$ BEGIN DELETE FROM orders; END $$", "not planned"),
        ("CALL p()", "not planned"),
        ("SELECT writes()", "run code"),
        ("SELECT sets()", "run code"),
        ("SELECT dynamic()", "run code"),
        ("SELECT foreign_code()", "run code"),
        ("SELECT * FROM orders WHERE id = dynamic()", "run code"),
        ("INSERT INTO payments (id) VALUES (dynamic())", "run code"),
        ("SELECT nobody_knows(1)", "run code"),
        ("SELECT pg_read_file('/etc/passwd')", "run code"),
        ("SELECT query_to_xml('DELETE FROM orders', true, true, '')", "run code"),
    ],
)
def test_the_planner_must_not_be_asked(text: str, why: str) -> None:
    assert why in unplannable(judged(text))


def test_nor_of_what_its_session_alone_can_see() -> None:
    text = "SELECT * FROM orders"
    own = Own(next(r for r in SHOP.relations if r.name == "orders"))
    hidden = "nobody else can see"
    assert hidden in unplannable(judged(text, in_doubt=True))
    assert hidden in unplannable(judged(text, replace(FACTS, temporary=frozenset({"orders"}))))
    assert hidden in unplannable(judged(text, replace(FACTS, altered=frozenset({"orders"}))))
    assert hidden in unplannable(judged(text, replace(FACTS, own=(own,))))
    assert unplannable(judged("SELECT * FROM products", replace(FACTS, own=(own,)))) == ""
    known = "known to its session alone"
    assert known in unplannable(judged("SELECT 1", replace(FACTS, search_path=None)))
    assert known in unplannable(judged("SELECT 1", replace(FACTS, role="")))


def test_what_it_sets_off_is_told_with_what_that_sets_off() -> None:
    found = _all(sets_off(judged("DELETE FROM customers").effects, CATALOG))
    assert found == [
        "delete cascade in public.orders (customer_id)",
        "trigger audit on public.orders, which runs public.audit_row",
        "delete set null in public.order_items (order_id)",
    ]
    assert _all(sets_off(judged("INSERT INTO inbox (id) VALUES (1)").effects, CATALOG)) == [
        "rule redirect on public.inbox"
    ]
    assert _all(sets_off(judged("UPDATE products SET price = 1").effects, CATALOG)) == []
    assert _all(sets_off(judged("SELECT * FROM orders").effects, CATALOG)) == []


def test_the_strongest_locks_come_first() -> None:
    update = "UPDATE products SET price = 0 WHERE id IN (SELECT product_id FROM order_items)"
    assert _all(takes(judged(update).effects)) == [
        "row exclusive on public.products",
        "access share on public.order_items",
    ]
    assert _all(takes(judged("TRUNCATE products").effects)) == ["access exclusive on public.products"]
    assert _all(takes(judged("SELECT * FROM products FOR UPDATE").effects)) == [
        "row share or stronger on public.products"
    ]
    assert _all(takes(judged("SELECT 1").effects)) == []


def test_labelled_columns_say_what_is_done_with_them() -> None:
    labels = Labels({"public.customers": {"email": ("pii.email",), "phone": ("pii.phone", "secret")}})

    def found(text: str) -> list[str]:
        return _all(labelled(judged(text).effects, labels))

    assert found("SELECT email FROM customers WHERE phone = '1' AND email > ''") == [
        "public.customers.email (pii.email)",
        "public.customers.phone (pii.phone, secret), only to decide",
    ]
    assert found("UPDATE customers SET email = ''") == ["public.customers.email (pii.email), to write it"]
    assert len(found("SELECT * FROM customers")) == 2
    assert found("SELECT id FROM customers") == []


def _all(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))
