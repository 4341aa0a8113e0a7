"""What is written that was read: column by column where that is known, everything where it is not."""

from __future__ import annotations

import pytest

from firewall.catalog.snapshot import Relation, RelationKind, Snapshot
from firewall.sql.analyse import analyse
from firewall.sql.analysis import Facts
from tests.sql.shop import SHOP


def copies(sql: str, snapshot: Snapshot = SHOP, facts: Facts | None = None) -> dict[str, str]:
    """`relation.column` → its sources; `schema` is left out where it is public."""
    analysis = analyse(sql, snapshot, facts or Facts())
    assert analysis.error is None
    return {
        f"{copy.relation}.{copy.column}".removeprefix("public."): ", ".join(
            f"{source.relation}.{source.column}".removeprefix("public.") for source in copy.sources
        )
        for statement in analysis.statements
        for copy in statement.copies
    }


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        # new relations
        (
            "CREATE TABLE c AS SELECT id, card_number AS n FROM payments",
            {"c.id": "payments.id", "c.n": "payments.card_number"},
        ),
        (
            "CREATE TABLE c (a, b) AS SELECT email, id FROM customers",
            {"c.a": "customers.email", "c.b": "customers.id"},
        ),
        ("CREATE TABLE x.c AS SELECT email FROM customers", {"x.c.email": "customers.email"}),
        ("CREATE TEMP TABLE t AS SELECT email FROM customers", {"pg_temp.t.email": "customers.email"}),
        ("CREATE TABLE pg_temp.t AS SELECT email FROM customers", {"pg_temp.t.email": "customers.email"}),
        # Postgres makes up a name: it may be any
        ("CREATE TABLE c AS SELECT upper(email) FROM customers", {"c.*": "customers.email"}),
        (
            "SELECT card_number INTO c FROM payments UNION SELECT email FROM customers",
            {"c.card_number": "customers.email, payments.card_number"},
        ),
        (
            "CREATE TABLE c AS TABLE staff_of_staff",
            {"c.name": "employees.name, staff.name, staff_of_staff.name"},
        ),
        ("CREATE TABLE c AS SELECT id FROM customers WHERE email = 'x'", {"c.id": "customers.id"}),
        # views are no copies: their definition says what they show
        ("CREATE VIEW v AS SELECT email FROM customers", {}),
        ("CREATE MATERIALIZED VIEW v AS SELECT email FROM customers", {}),
        # rows into relations that are there
        (
            "INSERT INTO audit_log SELECT id, card_number FROM payments",
            {"audit_log.at": "payments.id", "audit_log.what": "payments.card_number"},
        ),
        (
            "INSERT INTO audit_log (what) SELECT card_number FROM payments RETURNING what",
            {"audit_log.what": "payments.card_number"},
        ),
        ("INSERT INTO audit_log VALUES (1, 'x')", {}),
        (
            """INSERT INTO products (id, name) SELECT id, name FROM customers
               ON CONFLICT (id) DO UPDATE SET name = excluded.name""",
            {"products.id": "customers.id", "products.name": "customers.name"},
        ),
        (
            "UPDATE products p SET name = c.email FROM customers c WHERE c.id = p.id",
            {"products.name": "customers.email"},
        ),
        ("UPDATE products SET name = upper(name)", {}),
        ("UPDATE products SET name = price", {"products.name": "products.price"}),
        (
            """MERGE INTO products p USING customers c ON c.id = p.id
               WHEN MATCHED THEN UPDATE SET name = c.email
               WHEN NOT MATCHED THEN INSERT (id, name) VALUES (c.id, c.phone)""",
            {"products.name": "customers.email, customers.phone", "products.id": "customers.id"},
        ),
        (
            """WITH w AS (INSERT INTO audit_log(what) SELECT email FROM customers RETURNING what)
               SELECT * FROM w""",
            {"audit_log.what": "customers.email"},
        ),
        (
            "EXPLAIN ANALYZE INSERT INTO audit_log(what) SELECT email FROM customers",
            {"audit_log.what": "customers.email"},
        ),
        ("EXPLAIN INSERT INTO audit_log(what) SELECT email FROM customers", {}),
        ("COPY audit_log FROM STDIN", {}),
        ("SELECT email FROM customers", {}),
        (
            "ALTER TABLE customers ALTER COLUMN name TYPE text USING name || email",
            {"customers.name": "customers.email"},
        ),
        ("ALTER TABLE customers ALTER COLUMN name TYPE varchar", {}),
        # what functions read
        (
            "INSERT INTO audit_log(what) SELECT customer_email(1)",
            {"audit_log.what": "archive.customers.*, customers.*"},
        ),
        (
            "CREATE TABLE c AS SELECT customer_email(id) FROM orders",
            {"c.*": "archive.customers.*, customers.*, orders.id"},
        ),
        # what triggers and foreign keys write
        (
            "UPDATE orders SET id = 7",
            {
                "audit_log.at": "orders.*",
                "audit_log.what": "orders.*",
                "order_items.order_id": "orders.id",
            },
        ),
        (
            "DELETE FROM orders",
            {"audit_log.at": "orders.*", "audit_log.what": "orders.*"},
        ),
        # what may be the session's own
        (
            "INSERT INTO tmp SELECT email FROM customers",
            {"pg_temp.tmp.*": "customers.*, tmp.*", "tmp.*": "pg_temp.tmp.*, customers.*"},
        ),
        ("CREATE TABLE c AS SELECT * FROM tmp", {"c.*": "pg_temp.tmp.*, tmp.*"}),
        ("SELECT * FROM tmp", {}),
        ("DELETE FROM nowhere", {}),
    ],
)
def test_a_statement_copies(sql, expected):
    assert copies(sql, facts=Facts(temporary=frozenset({"tmp"}))) == expected


def test_a_new_table_may_be_in_any_schema_that_may_be_the_first():
    path = ("pg_catalog", "nope", "archive", "public")
    sql = "CREATE TABLE c AS SELECT salary FROM employees"
    found = copies(sql, facts=Facts(search_path=path))
    assert found.keys() == {"nope.c.salary", "archive.c.salary"}
    everywhere = copies(sql, facts=Facts(search_path=None))
    assert everywhere.keys() >= {"archive.c.*", "c.*"}


def test_what_prepared_statements_copy():
    facts = Facts(prepared=(("p", "INSERT INTO audit_log (what) SELECT email FROM customers"),))
    assert copies("EXECUTE p", facts=facts) == {"audit_log.what": "customers.email"}
    facts = Facts(prepared=(("p", "SELECT email FROM customers"),))
    assert copies("CREATE TABLE c AS EXECUTE p", facts=facts) == {"c.*": "customers.*"}


def test_every_column_of_a_relation_that_is_known_is_named():
    wide = Snapshot(
        "v",
        "d",
        180000,
        (*SHOP.relations, Relation("public", "empty", RelationKind.TABLE, ())),
        SHOP.functions,
    )
    sql = "INSERT INTO products SELECT * FROM customers c, tmp"
    found = copies(sql, wide, Facts(temporary=frozenset({"tmp"})))
    assert {name for name in found if name.startswith("products")} == {
        "products.id",
        "products.name",
        "products.price",
    }
    assert "empty.*" in copies(
        "INSERT INTO empty SELECT * FROM tmp", wide, Facts(temporary=frozenset({"tmp"}))
    )
