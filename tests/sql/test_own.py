"""What a session makes: known from its own statements, and never taken for more certain than it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firewall.sql.analyse import analyse
from firewall.sql.analysis import Facts, Kind
from tests.sql.shop import SHOP, compact


def session(*texts: str) -> list[str]:
    """The effects of the last text, when the session has run the others in one transaction."""
    facts = Facts()
    for text in texts:
        found = analyse(text, SHOP, facts)
        facts = found.after
    return [compact(effect) for effect in found.effects]


def unknown(*texts: str) -> bool:
    return any(line.startswith("unknown ") for line in session(*texts))


@pytest.mark.parametrize(
    ("made", "text", "effects"),
    [
        (
            "CREATE TEMP TABLE t AS SELECT id, email AS e FROM customers",
            "SELECT e FROM t WHERE id = 1",
            ["read pg_temp.t (e) testing (id)"],
        ),
        ("CREATE TEMP TABLE t (a int, b text)", "SELECT * FROM t", ["read pg_temp.t (a, b)"]),
        ("CREATE TEMP TABLE t (a serial PRIMARY KEY)", "SELECT a FROM pg_temp.t", ["read pg_temp.t (a)"]),
        ("SELECT id INTO TEMP t FROM products", "TABLE t", ["read pg_temp.t (id)"]),
        ("CREATE TEMP TABLE t (LIKE products)", "SELECT price FROM t", ["read pg_temp.t (price)"]),
        ("CREATE TEMP TABLE t (a int)", "INSERT INTO t VALUES (1)", ["insert pg_temp.t (*)"]),
        (
            "CREATE TEMP TABLE t AS SELECT count(*), status FROM orders GROUP BY 2",
            "SELECT count FROM t",
            ["read pg_temp.t (count)"],
        ),
        (
            "CREATE TEMP VIEW v AS SELECT name AS n FROM employees WHERE salary > 3",
            "SELECT n FROM v",
            ["read pg_temp.v (n)", "read public.employees (name) testing (salary) via view pg_temp.v"],
        ),
        ("CREATE TABLE fresh (a int)", "SELECT a FROM fresh", ["read public.fresh (a)"]),
        (
            "CREATE TABLE archive.fresh AS TABLE products",
            "SELECT id FROM archive.fresh",
            ["read archive.fresh (id)"],
        ),
        (
            "CREATE VIEW w AS SELECT id FROM products",
            "SELECT id FROM w",
            [
                "read public.w (id)",
                "read public.products (id) via view public.w",
            ],
        ),
        ("ALTER TABLE stamped ADD COLUMN note text", "SELECT note FROM stamped", ["read public.stamped (*)"]),
        (
            "ALTER TABLE stamped ALTER COLUMN id SET NOT NULL",
            "SELECT id FROM stamped",
            ["read public.stamped (id)"],
        ),
        ("CREATE INDEX ON stamped (id)", "SELECT id FROM stamped", ["read public.stamped (id)"]),
        ("COMMENT ON TABLE stamped IS 'x'", "SELECT id FROM stamped", ["read public.stamped (id)"]),
    ],
)
def test_what_is_made_is_known(made, text, effects):
    assert session(made, text) == effects
    assert session(made, "SELECT 1", text) == effects
    assert all(s.followed for s in analyse(made, SHOP, Facts()).statements)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        ("CREATE TEMP TABLE t AS SELECT opaque(1) AS a", "SELECT a FROM t"),
        ("CREATE TEMP TABLE t (a int DEFAULT opaque(1))", "SELECT a FROM t"),
        ("CREATE TEMP TABLE t (a int CHECK (public.wipe_log() = a))", "INSERT INTO t VALUES (1)"),
        ("CREATE TEMP TABLE t (a int); ALTER TABLE t RENAME a TO b", "SELECT b FROM t"),
        ("CREATE TEMP TABLE t (a int); ALTER TABLE t RENAME TO products", "SELECT * FROM products"),
        ("CREATE TEMP TABLE t (a int) INHERITS (products)", "SELECT * FROM t"),
        ("CREATE TABLE products_1 PARTITION OF events FOR VALUES IN (1)", "SELECT * FROM products_1"),
        ("ALTER TABLE customers RENAME email TO x", "SELECT x FROM customers"),
        ("ALTER TABLE customers DROP COLUMN phone", "SELECT name FROM customers"),
        ("CREATE OR REPLACE VIEW staff AS SELECT salary AS name FROM employees", "SELECT name FROM staff"),
        ("DROP TABLE products CASCADE", "SELECT * FROM products"),
        ("CREATE TABLE fresh (a int REFERENCES products ON DELETE CASCADE)", "SELECT * FROM fresh"),
        ("DO $$ BEGIN END $$; CREATE TABLE fresh (a int)", "SELECT * FROM fresh"),
        ("CREATE TEMP VIEW t AS SELECT 1 AS a; CREATE TEMP TABLE t (b int)", "SELECT * FROM t"),
        ("CREATE TABLE IF NOT EXISTS customers (a int)", "SELECT * FROM customers"),
    ],
)
def test_what_is_not_followed_stays_in_doubt(made, text):
    assert unknown(made, text)


def test_a_name_means_the_catalogs_relation_as_well():
    """The statement that made it may have failed."""
    assert session(
        "CREATE TEMP TABLE products AS SELECT salary AS x FROM employees", "SELECT * FROM products"
    ) == [
        "read pg_temp.products (*)",
        "read public.products (*)",
    ]


def test_what_is_dropped_may_be_there_still():
    assert session("DROP TABLE products", "SELECT name FROM products") == ["read public.products (name)"]
    facts = replace(Facts(), search_path=("pg_catalog", "archive", "public"))
    after = analyse("DROP TABLE customers", SHOP, facts).after
    found = {effect.object for effect in analyse("SELECT name FROM customers", SHOP, after).effects}
    assert found == {"archive.customers", "public.customers"}


def test_two_tables_of_one_name_are_read_whole():
    made = "CREATE TEMP TABLE t AS SELECT 1 AS a", "DROP TABLE t", "CREATE TEMP TABLE t AS SELECT 1 AS b"
    assert session(*made, "SELECT b FROM t") == ["read pg_temp.t (*)"]
    same = "CREATE TEMP TABLE t (a int)", "DROP TABLE t", "CREATE TEMP TABLE t (a int)"
    assert session(*same, "SELECT a FROM t") == ["read pg_temp.t (a)"]


def test_what_was_undone_is_not_certain():
    """Without the column, a bare name in a subquery is the outer query's."""
    made = "CREATE TEMP TABLE t (id int, email text)", "ROLLBACK"
    text = "SELECT (SELECT email FROM t LIMIT 1) FROM customers"
    assert "read public.customers (*)" in session(*made, text)


def test_a_view_over_temporary_relations_is_temporary():
    made = "CREATE TEMP TABLE t (a int)", "CREATE VIEW products AS SELECT salary FROM employees, t"
    assert "read public.employees (salary) via view pg_temp.products" in session(
        *made, "SELECT * FROM pg_temp.products"
    )
    assert "read public.products (*)" in session(*made, "SELECT * FROM products")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("DROP TABLE products", "drop"),
        ("TRUNCATE products", "truncate"),
        ("ALTER TABLE products ADD x int", "alter"),
        ("ALTER TABLE products DROP price", "drop"),
        ("CREATE INDEX ON products (id)", "create"),
        ("ANALYZE products", "maintenance"),
        ("COMMENT ON TABLE products IS ''", "alter"),
        ("GRANT ALL ON products TO agent", "privilege"),
        ("LOCK products", "lock"),
        ("COPY products FROM STDIN", "copy_in"),
    ],
)
def test_what_is_changed_may_be_the_catalogs(text, kind):
    """The temporary table may never have been made, was rolled back, or was dropped the time before."""
    found = session("CREATE TEMP TABLE products (id int, price int)", text)
    for name in ("pg_temp.products", "public.products"):
        assert any(line.startswith(f"{kind} {name}") for line in found), found


@pytest.mark.parametrize(
    "text", ["DROP TABLE pg_temp_3.t", "TRUNCATE pg_temp_3.t", "SELECT * FROM pg_temp_3.t"]
)
def test_another_sessions_temporary_table_is_not_the_own_one(text):
    assert not any("pg_temp.t" in line for line in session("CREATE TEMP TABLE t (a int)", text))


def test_a_function_may_mean_what_the_session_made():
    made = "CREATE TEMP TABLE customers AS SELECT salary AS email, 1 AS id FROM employees"
    assert "read pg_temp.customers (*) via function public.customer_email" in session(
        made, "SELECT customer_email(1)"
    )


def test_after_the_transaction_the_catalog_says_what_lasts():
    made = "CREATE TEMP TABLE t (a int); CREATE TABLE fresh (a int); ALTER TABLE customers RENAME email TO x"
    facts = analyse(made, SHOP, Facts()).after
    after = facts.committed()
    assert [own.relation.qualified for own in facts.own] == ["pg_temp.t", "public.fresh"]
    assert [own.relation.qualified for own in after.own] == ["pg_temp.t"]
    assert (after.altered, after.temporary) == (frozenset(), frozenset())
    assert analyse("SELECT email FROM customers", SHOP, after).opaque == ""


def test_a_changed_temporary_table_stays_in_doubt_after_the_transaction():
    made = "CREATE TEMP TABLE t AS SELECT salary AS s FROM employees; ALTER TABLE t RENAME s TO x"
    after = analyse(made, SHOP, Facts()).after.committed()
    assert Kind.UNKNOWN in {e.kind for e in analyse("SELECT x FROM t", SHOP, after).effects}


def test_no_session_is_followed_without_end():
    made = [f"CREATE TEMP TABLE t{n} (a int)" for n in range(70)]
    assert not unknown(*made, "SELECT a FROM t63")
    assert unknown(*made, "SELECT a FROM t64")


def test_copies_are_of_what_the_session_made():
    facts = analyse("CREATE TEMP TABLE t AS SELECT email AS e FROM customers", SHOP, Facts()).after
    (statement,) = analyse("CREATE TEMP TABLE u AS SELECT lower(e) AS l FROM t", SHOP, facts).statements
    assert [
        (c.relation, c.column, [(s.relation, s.column) for s in c.sources]) for c in statement.copies
    ] == [("pg_temp.u", "l", [("pg_temp.t", "e")])]
