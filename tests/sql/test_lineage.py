"""Lineage: what reaches the client and what is only tested, statement by statement."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from firewall.catalog.snapshot import Column, Function, Relation, RelationKind, Snapshot
from firewall.sql.analysis import Facts, Source
from firewall.sql.lineage import Lineage, trace


def table(name, columns, *, kind=RelationKind.TABLE, **more):
    numbered = tuple(Column(column, "text", n) for n, column in enumerate(columns.split(), 1))
    return Relation("public", name, kind, numbered, **more)


SHOP = Snapshot(
    "shop-1",
    "shop",
    180000,
    relations=(
        table("customers", "id name email phone city created_at"),
        table("orders", "id customer_id status placed_at"),
        table("order_items", "order_id line product_id quantity unit_price"),
        table("payments", "id order_id card_number card_holder amount paid_at"),
        table("docs", "id doc"),
        table("notes", "id note"),
        table("named", "id name note"),
        table("parent", "a b", children=("public.child",)),
        table("child", "a b c"),
        table(
            "contacts",
            "who mail",
            kind=RelationKind.VIEW,
            definition="SELECT customers.name AS who, customers.email AS mail "
            "FROM public.customers WHERE customers.phone IS NOT NULL",
        ),
        table(
            "mails",
            "mail",
            kind=RelationKind.MATERIALIZED,
            definition="SELECT contacts.mail FROM public.contacts",
        ),
        table("broken", "x", kind=RelationKind.VIEW, definition="SELECT FROM WHERE"),
        table(
            "narrow", "x y", kind=RelationKind.VIEW, definition="SELECT customers.id FROM public.customers"
        ),
        table("itself", "x", kind=RelationKind.VIEW, definition="SELECT itself.x FROM public.itself"),
        Relation("other", "customers", RelationKind.TABLE, (Column("secret", "text", 1),)),
    ),
    functions=(
        Function("pg_catalog", "jsonb_each", "c", "immutable", 1, 1, columns=("key", "value")),
        Function("pg_catalog", "regexp_split_to_table", "c", "immutable", 2, 2, returns="SETOF text"),
        Function("public", "all_of", "sql", "stable", 0, 0, returns="SETOF record"),
        Function("public", "buyers", "sql", "stable", 0, 0, returns="SETOF public.orders"),
    ),
)
FACTS = Facts(database="shop")


def lineage(sql, facts=FACTS) -> Lineage:
    found = trace(sql, SHOP, facts)
    assert found is not None, sql
    return found


def short(pairs):
    return " ".join(sorted(f"{relation.removeprefix('public.')}.{column}" for relation, column in pairs))


CUSTOMER = "customers.city customers.created_at customers.email customers.id customers.name customers.phone"

CASES = [
    # plain columns, filters and order
    ("SELECT id FROM customers", "customers.id", ""),
    ("SELECT NAME FROM CUSTOMERS", "customers.name", ""),
    ("SELECT customers.name FROM public.customers", "customers.name", ""),
    ("SELECT public.customers.name FROM public.customers", "customers.name", ""),
    (
        "SELECT id FROM customers WHERE email LIKE 'a%' ORDER BY city",
        "customers.id",
        "customers.city customers.email",
    ),
    ("SELECT id AS email FROM customers ORDER BY email", "customers.id", "customers.email"),
    ("SELECT id FROM customers ORDER BY 1", "customers.id", ""),
    (
        "SELECT id FROM customers LIMIT (SELECT max(quantity) FROM order_items)",
        "customers.id order_items.quantity",  # the number of rows tells it
        "",
    ),
    ("SELECT DISTINCT ON (email) id FROM customers", "customers.id", "customers.email"),
    ("SELECT city FROM customers GROUP BY city HAVING max(email) > 'b'", "customers.city", "customers.email"),
    ("SELECT 1 FROM customers GROUP BY ROLLUP (city), CUBE (name)", "", "customers.city customers.name"),
    ("SELECT id FROM customers FOR UPDATE OF customers SKIP LOCKED", "customers.id", ""),
    ("SELECT id FROM customers TABLESAMPLE SYSTEM (10) FETCH FIRST 2 ROWS ONLY", "customers.id", ""),
    ("SELECT ctid FROM customers", "customers.ctid", ""),
    # whole rows
    ("SELECT * FROM customers", CUSTOMER, ""),
    ("TABLE customers", CUSTOMER, ""),
    ("SELECT c.* FROM customers c", CUSTOMER, ""),
    ("SELECT c FROM customers c", CUSTOMER, ""),
    ("SELECT (c).* FROM customers c", CUSTOMER, ""),
    ("SELECT row_to_json(c) FROM customers c", CUSTOMER, ""),
    ("SELECT to_jsonb(customers) - 'email' FROM customers", CUSTOMER, ""),
    ("SELECT (c).email FROM customers c", CUSTOMER, ""),
    ("SELECT count(c.*) FROM customers c", "", CUSTOMER),
    ("SELECT customers FROM (SELECT customers FROM customers) customers", CUSTOMER, ""),
    # values that tell
    ("SELECT email LIKE 'a%' FROM customers", "customers.email", ""),
    ("SELECT CASE WHEN email = 'x' THEN 1 END FROM customers", "customers.email", ""),
    ("SELECT 'x' IN (SELECT email FROM customers)", "customers.email", ""),
    ("SELECT EXISTS (SELECT 1 FROM customers WHERE email = 'x')", "customers.email", ""),
    ("SELECT (SELECT 1 WHERE email = 'x') FROM customers", "customers.email", ""),
    ("SELECT ARRAY(SELECT email FROM customers)", "customers.email", ""),
    ("SELECT sum(id) FILTER (WHERE email = 'x') FROM customers", "customers.email customers.id", ""),
    ("SELECT jsonb_typeof(doc -> 'k') FROM docs", "docs.doc", ""),
    ("SELECT max(email), array_agg(phone) FROM customers", "customers.email customers.phone", ""),
    ("SELECT string_agg(email, ',' ORDER BY name) FROM customers", "customers.email", "customers.name"),
    ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) FROM payments", "payments.amount", ""),
    (
        "SELECT lag(amount) OVER (PARTITION BY order_id ORDER BY paid_at) FROM payments",
        "payments.amount",
        "payments.order_id payments.paid_at",
    ),
    # values that do not
    ("SELECT count(*) FROM customers WHERE email = 'x'", "", "customers.email"),
    ("SELECT count(email), count(DISTINCT phone) FROM customers", "", "customers.email customers.phone"),
    ("SELECT rank() OVER (ORDER BY amount) FROM payments", "", "payments.amount"),
    ("SELECT current_user, user, $1::int, now()", "", ""),
    # joins
    (
        "SELECT c.name FROM customers c JOIN orders o ON o.customer_id = c.id",
        "customers.name",
        "customers.id orders.customer_id",
    ),
    ("SELECT id FROM customers JOIN orders USING (id)", "customers.id orders.id", ""),
    ("SELECT status FROM customers NATURAL JOIN orders", "orders.status", "customers.id orders.id"),
    ("SELECT x FROM (customers c JOIN orders o ON true) AS j (x)", "customers.id", ""),
    (
        "SELECT s.y FROM customers c, LATERAL (SELECT c.email || o.status AS y FROM orders o) s",
        "customers.email orders.status",
        "",
    ),
    ("SELECT key FROM docs, jsonb_each(doc)", "docs.doc", ""),
    ("SELECT g FROM generate_series(1, 3) g", "", ""),
    ("SELECT w FROM customers, regexp_split_to_table(name, ' ') w", "customers.name", ""),
    ("SELECT status FROM buyers()", "", ""),
    ("SELECT x.a FROM docs, jsonb_to_record(doc) AS x (a int)", "docs.doc", ""),
    # queries in queries
    (
        "WITH x AS (SELECT email e, id FROM customers) SELECT id FROM x WHERE e = 'a'",
        "customers.id",
        "customers.email",
    ),
    ("WITH customers AS (SELECT id FROM customers) SELECT * FROM customers", "customers.id", ""),
    (
        (
            "WITH RECURSIVE r (n, m) AS (SELECT name, email FROM customers UNION SELECT m, n FROM r) "
            "SELECT n FROM r"
        ),
        "customers.email customers.name",
        "",
    ),
    ("SELECT max FROM (SELECT max(email) FROM customers) s", "customers.email", ""),
    ("SELECT id FROM (SELECT * FROM customers) s", "customers.id", ""),
    ("SELECT count(*) FROM (SELECT DISTINCT email FROM customers) s", "", "customers.email"),
    ("SELECT id FROM customers EXCEPT SELECT id FROM orders", "customers.id orders.id", ""),
    (
        "SELECT city FROM customers UNION ALL SELECT status FROM orders ORDER BY city",
        "customers.city orders.status",
        "",
    ),
    ("VALUES (1, (SELECT max(email) FROM customers))", "customers.email", ""),
    (
        "SELECT name FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id)",
        "customers.name",
        "customers.id orders.customer_id",
    ),
    # what stands behind
    ("SELECT who FROM contacts", "contacts.who customers.name", "customers.phone"),
    ("SELECT mail FROM mails", "contacts.mail customers.email mails.mail", "customers.phone"),
    ("SELECT a FROM parent", "child.a parent.a", ""),
    # writes
    ("INSERT INTO notes (note) SELECT email FROM customers RETURNING id", "customers.email notes.id", ""),
    (
        "INSERT INTO notes (note) SELECT email FROM customers WHERE city = 'x'",
        "customers.email",
        "customers.city",
    ),
    ("INSERT INTO notes SELECT 1, email FROM customers RETURNING note", "customers.email notes.note", ""),
    (
        "UPDATE notes SET note = email FROM customers c WHERE c.id = notes.id RETURNING notes.id",
        "customers.email notes.id",
        "customers.id",
    ),
    ("DELETE FROM payments WHERE id = 1 RETURNING card_holder", "payments.card_holder", "payments.id"),
    ("WITH d AS (DELETE FROM payments RETURNING *) SELECT amount FROM d", "payments.amount", ""),
    ("UPDATE notes SET note = note || 'x' RETURNING old.note", "notes.note", ""),
    (
        (
            "MERGE INTO notes n USING customers c ON n.id = c.id WHEN MATCHED AND city = 'x' THEN UPDATE "
            "SET note = phone WHEN NOT MATCHED THEN INSERT VALUES (c.id, email) RETURNING n.id"
        ),
        "customers.email customers.id customers.phone notes.id",
        "customers.city",
    ),
    (
        (
            "INSERT INTO named VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name "
            "WHERE named.note IS NULL"
        ),
        "",
        "named.id named.note",
    ),
    ("CREATE TABLE x AS SELECT email AS q FROM customers", "customers.email", ""),
]


@pytest.mark.parametrize(("sql", "reaches", "tested"), CASES, ids=[case[0] for case in CASES])
def test_what_reaches_the_client_and_what_is_tested(sql, reaches, tested):
    found = lineage(sql)
    assert (short(found.reaches), short(found.tested)) == (reaches, tested)


def test_outputs_are_named_and_fed_in_order():
    found = lineage("SELECT id, upper(email) AS mail, 1, c.* FROM customers c")
    assert [output.name for output in found.outputs[:4]] == ["id", "mail", "", "id"]
    assert found.outputs[1].sources == (Source("public.customers", "email"),)
    assert found.outputs[2].sources == ()
    assert len(found.outputs) == 9


def test_relations_are_those_read_and_written_and_those_behind():
    found = lineage("INSERT INTO notes SELECT 1, mail FROM mails, parent")
    bare = {name.removeprefix("public.") for name in found.relations}
    assert bare == {"notes", "mails", "contacts", "customers", "parent", "child"}


DOUBTS = [
    # not what was asked for
    ("two statements", "SELECT 1; SELECT 2"),
    ("no statement", ""),
    ("no query", "SAVEPOINT s"),
    ("no query", "DISCARD TEMP"),
    ("no query", "EXPLAIN SELECT id FROM customers"),
    ("not valid", "SELECT FROM WHERE"),
    ("a lone surrogate", "SELECT '\ud800'"),
    ("a NUL", "SELECT 1\0"),
    # names
    ("unknown relation", "SELECT id FROM nowhere"),
    ("unknown schema", "SELECT id FROM nowhere.customers"),
    ("unknown column", "SELECT nothing FROM customers"),
    ("case matters in quotes", 'SELECT "Name" FROM customers'),
    ("another database", "SELECT id FROM elsewhere.public.customers"),
    ("ambiguous", "SELECT id FROM customers, orders"),
    ("an alias hides the name", "SELECT customers.id FROM customers c"),
    ("a function in attribute notation", "SELECT c.upper_name FROM customers c"),
    ("columns are not known", "SELECT * FROM all_of() AS x"),
    ("not a relation to read", "SELECT * FROM customers_pkey"),
    ("a temporary table", "SELECT * FROM pg_temp.customers"),
    # views that cannot be traced
    ("does not parse", "SELECT x FROM broken"),
    ("does not parse, again", "SELECT x FROM broken"),
    ("too few columns", "SELECT x FROM narrow"),
    ("reads itself", "SELECT x FROM itself"),
    # what sqlglot reads differently
    ("a parameter", "SELECT @ id FROM customers"),
    ("a unit", "SELECT date_bin('1 day', created_at, email) FROM customers"),
    ("a unit", "SELECT date_part(email, created_at) FROM customers"),
    ("two names", 'SELECT U&"em\\0061il" FROM customers'),
    # what would take sqlglot for ever
    ("subscripts", f"SELECT id{'[1]' * 5000} FROM customers"),
    ("parentheses", f"SELECT {'(' * 5000}id{')' * 5000} FROM customers"),
    ("arms", " UNION ALL ".join(["SELECT id FROM customers"] * 5000)),
]


@pytest.mark.parametrize(("why", "sql"), DOUBTS, ids=[f"{why}: {sql[:50]!r}" for why, sql in DOUBTS])
def test_what_is_in_doubt_has_no_lineage(why, sql):
    assert trace(sql, SHOP, FACTS) is None


def test_long_chains_are_followed():
    found = lineage("SELECT id FROM customers WHERE " + " OR ".join(["city = 'x'"] * 3000))
    assert short(found.tested) == "customers.city"


@pytest.mark.parametrize(
    ("facts", "reaches"),
    [
        (Facts(search_path=("pg_catalog", "other", "public")), "other.customers.secret"),
        (Facts(search_path=("pg_catalog", "public", "other")), CUSTOMER),
        (Facts(search_path=("pg_catalog",)), None),
        (Facts(search_path=None), None),
        (Facts(temporary=frozenset({"customers"})), None),
        (Facts(temporary=frozenset({"orders"})), CUSTOMER),
        (Facts(lexing_safe=False), None),
    ],
)
def test_names_depend_on_the_session(facts, reaches):
    found = trace("SELECT * FROM customers", SHOP, facts)
    assert (found and short(found.reaches)) == reaches


def test_full_names_do_not_need_a_search_path():
    found = lineage("SELECT c.id FROM public.customers c", Facts(search_path=None))
    assert short(found.reaches) == "customers.id"


def test_names_are_cut_as_postgres_cuts_them():
    long = "n" * 70
    found = lineage(f"SELECT {long} FROM (SELECT email AS {long[:63]}, id FROM customers) s")
    assert short(found.reaches) == "customers.email"


def test_a_count_of_ones_own_may_show_anything():
    own = replace(SHOP, functions=(Function("public", "count", "sql", "stable", 1, 1),))
    found = trace("SELECT count(email) FROM customers", own, FACTS)
    assert short(found.reaches) == "customers.email"


def test_a_newer_snapshot_is_not_answered_from_an_older_one():
    renamed = replace(
        SHOP, relations=tuple(r for r in SHOP.relations if r.name != "orders")
    )  # of the same version
    assert trace("SELECT id FROM orders", SHOP, FACTS) is not None
    assert trace("SELECT id FROM orders", renamed, FACTS) is None


OPERATORS = st.sampled_from(
    [
        "||",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "#",
        "&",
        "|",
        "<<",
        ">>",
        "->",
        "->>",
        "#>",
        "#>>",
        "@>",
        "<@",
        "?",
        "?|",
        "?&",
        "&&",
        "=",
        "<>",
        "<",
        ">",
        "~",
        "~*",
        "!~",
        "LIKE",
        "@@",
        "<->",
        "OR",
        "-|-",
        "##",
        "@",
        "^@",
        "?#",
        "&<",
        "|>>",
        "~<~",
        "ILIKE",
        "SIMILAR_TO",
        "IS_DISTINCT_FROM",
    ]
).map(lambda operator: operator.replace("_", " "))
PIECES = [word for sql, _, _ in CASES for word in sql.split()]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join) | st.text(max_size=60))
def test_nothing_raises(sql):
    trace(sql, SHOP, FACTS)


# INVARIANT: 3. Every column that the grammar sees is in the lineage, or there is none.
@given(st.data())
def test_each_column_that_is_named_is_accounted_for(data):
    column = st.sampled_from(CUSTOMER.replace("customers.", "c.").split())
    value = st.recursive(
        column, lambda inner: st.builds("{} {} {}".format, inner, OPERATORS, inner), max_leaves=5
    )
    shown, where, key = (data.draw(value) for _ in range(3))
    found = trace(f"SELECT {shown} FROM customers c WHERE ({where})::bool ORDER BY {key}", SHOP, FACTS)
    if found is None:
        event("in doubt")
        return
    reaches = {f"c.{column}" for _, column in found.reaches}
    named = set(re.findall(r"c\.\w+", f"{shown} {where} {key}"))
    # what is cast in WHERE may come back in an error
    assert set(re.findall(r"c\.\w+", shown)) <= reaches <= named
    assert reaches | {f"c.{column}" for _, column in found.tested} == named


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("email::int = 1", True),
        ("CAST(lower(email) AS date) IS NULL", True),
        ("current_setting(email) = ''", True),
        ("to_date(email, 'YYYY') > now()", True),
        ("email::text = ''", False),
        ("lower(trim(email)) LIKE 'a%'", False),
        ("length(coalesce(email, '')) > 3", False),
    ],
)
def test_what_an_error_would_quote_reaches_the_client(condition, told):
    found = trace(f"SELECT id FROM customers WHERE {condition}", SHOP, FACTS)
    assert found is not None
    assert (("public.customers", "email") in found.reaches) is told


@pytest.mark.parametrize("asked", ["count(*)", "id", "1"])
@pytest.mark.parametrize("name", ["strict", "stricter"])
def test_what_an_error_of_a_view_would_quote_reaches_the_client(name, asked):
    strict = table(
        "strict",
        "id",
        kind=RelationKind.VIEW,
        definition="SELECT customers.id FROM public.customers WHERE (customers.email)::integer > 0",
    )
    over = table(
        "stricter", "id", kind=RelationKind.VIEW, definition="SELECT strict.id FROM public.strict LIMIT 5"
    )
    catalog = replace(SHOP, version="2" * 64, relations=(*SHOP.relations, strict, over))
    found = trace(f"SELECT {asked} FROM {name}", catalog, FACTS)
    assert found is not None
    assert ("public.customers", "email") in found.reaches
