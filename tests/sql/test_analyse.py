"""Whole texts: errors, hostile input, and what becomes of the session's facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firewall.catalog.snapshot import Function, Operator
from firewall.sql.analyse import analyse
from firewall.sql.analysis import Facts, GrammarError, Kind, ObjectType
from firewall.sql.grammar import MAX_SQL_BYTES
from firewall.sql.opened import inner
from tests.sql.shop import SHOP, cases, compact

TEXTS = [case.sql for case in (*cases("benign", "query"), *cases("evasions", "expect"))]


def kinds(sql, facts=None):
    return {effect.kind for effect in analyse(sql, SHOP, facts or Facts()).effects}


def test_a_syntax_error_is_the_grammars_word_and_no_statement():
    found = analyse("SELECT 'ü' FORM t", SHOP, Facts())
    assert found.error == GrammarError('syntax error at or near "t"', 17)
    assert found.statements == ()
    assert found.after == Facts()


def test_an_unknown_name_is_missing_and_unknown_but_costs_the_session_nothing():
    found = analyse("SELECT * FROM custmers", SHOP, Facts())
    assert found.missing == ("custmers",)
    assert [(e.kind, e.object) for e in found.effects] == [(Kind.UNKNOWN, "custmers")]
    assert found.after == Facts()


def test_what_the_text_itself_makes_is_unknown_but_not_missing():
    for sql in (
        "CREATE TABLE fresh (a int) INHERITS (products); SELECT * FROM fresh",
        "CREATE TYPE fresh AS ENUM ('a'); SELECT 'a'::fresh",
        "CREATE FUNCTION fresh() RETURNS int LANGUAGE sql RETURN 1; SELECT fresh()",
    ):
        found = analyse(sql, SHOP, Facts())
        assert found.missing == ()
        assert {effect.kind for effect in found.effects} & {Kind.UNKNOWN, Kind.EXECUTE}
    assert analyse("SELECT * FROM fresh; CREATE TABLE fresh (a int)", SHOP, Facts()).missing == ("fresh",)


def test_a_merge_that_leaves_no_row_out_says_so():
    def unfiltered(sql):
        return [e.unfiltered for e in analyse(sql, SHOP, Facts()).effects if e.kind is Kind.DELETE]

    merge = "MERGE INTO products p USING orders o ON {} WHEN MATCHED {} THEN DELETE"
    assert unfiltered(merge.format("true", "")) == [True]
    assert unfiltered(merge.format("p.id = o.id", "")) == [False]
    assert unfiltered(merge.format("true", "AND p.price > 3")) == [False]


@pytest.mark.parametrize(
    ("sql", "effects", "missing"),
    [
        ("DROP TABLE IF EXISTS nosuch", ["session drop_stmt"], ("nosuch",)),
        ("DROP VIEW IF EXISTS public.nosuch CASCADE", ["session drop_stmt"], ("public.nosuch",)),
        ("DROP TABLE IF EXISTS nosuch, orders", ["drop public.orders"], ("nosuch",)),
        # another kind of relation is there: that it is refused is for Postgres to say
        ("DROP VIEW IF EXISTS orders", ["drop public.orders"], ()),
        ("DROP TABLE nosuch", ["drop nosuch"], ()),
        # the catalog is read anew only for a text of one statement
        ("SELECT 1; DROP TABLE IF EXISTS nosuch", ["drop nosuch"], ()),
        ("DROP TABLE IF EXISTS pg_temp.nosuch", ["drop pg_temp.nosuch"], ()),
        ("DROP FUNCTION IF EXISTS nosuch()", ["drop nosuch"], ()),
        ("DROP SCHEMA IF EXISTS nosuch", ["drop nosuch"], ()),
    ],
)
def test_dropping_what_is_not_there(sql, effects, missing):
    found = analyse(sql, SHOP, Facts())
    assert [compact(effect) for effect in found.effects] == effects
    assert found.missing == missing


def test_dropping_what_the_session_may_have_made():
    found = analyse("DROP TABLE IF EXISTS nosuch", SHOP, Facts(temporary=frozenset({"nosuch"})))
    assert [effect.kind for effect in found.effects] == [Kind.DROP]


def test_dropping_what_any_schema_has_where_the_path_is_not_known():
    gone = SHOP.relations[0]
    hidden = replace(SHOP, relations=(*SHOP.relations, replace(gone, schema="hidden", name="nosuch")))
    assert [effect.kind for effect in analyse("DROP TABLE IF EXISTS nosuch", hidden, Facts()).effects] == [
        Kind.SESSION
    ]
    found = analyse("DROP TABLE IF EXISTS nosuch", hidden, Facts(search_path=None))
    assert [compact(effect) for effect in found.effects] == ["drop hidden.nosuch"]


def test_an_unknown_schema_or_function_is_missing():
    assert analyse("SELECT nosuch.f(1)", SHOP, Facts()).missing == ("nosuch.f()",)
    assert analyse("SELECT * FROM nosuch.orders", SHOP, Facts()).missing == ("nosuch.orders",)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT 1\0; DROP TABLE customers", "NUL"),
        ("SELECT '\ud800'", "lone surrogate"),
        ("SELECT '" + "x" * MAX_SQL_BYTES + "'", "bytes long"),
        ("SELECT " + "(" * 50_000 + "1" + ")" * 50_000, "nests too deeply"),
        ("SELECT " + "(SELECT " * 50_000 + "1" + ")" * 50_000, "operators and keywords"),
        ("SELECT " + "(SELECT " * 5_000 + "1" + ")" * 5_000, "nests too deeply"),
        (" UNION ".join(["SELECT 1"] * 100_000), "bytes long"),
        (" UNION ".join(["SELECT 1"] * 60_000), "operators and keywords"),
        ("SELECT a" + "::text" * 9_000, "nests too deeply"),
        ("SELECT " + "+".join("1" * 30_000), "nests too deeply"),
        ("SELECT " + "NOT " * 5_000 + "a", "nests too deeply"),
        ("SELECT 1;" * 6_000, "statements"),
    ],
    ids=lambda value: value[:30].encode("ascii", "replace").decode(),
)
def test_hostile_texts_are_unknown_with_a_reason(sql, reason):
    found = analyse(sql, SHOP, Facts())
    assert [effect.kind for effect in found.effects] == [Kind.UNKNOWN]
    assert reason in found.opaque


@pytest.mark.parametrize("sql", ["SELECT '", "SELECT /*", "SELECT $x$", 'SELECT "', "SELECT U&'\\zzzz'"])
def test_what_is_not_finished_is_the_grammars_error(sql):
    assert analyse(sql, SHOP, Facts()).error is not None


def test_large_but_flat_texts_are_understood():
    rows = ", ".join(f"({n}, 'it''s -- fine')" for n in range(20_000))
    assert kinds(f"INSERT INTO products (id, name) VALUES {rows}") == {Kind.INSERT}
    names = ", ".join(["x" * 60] * 9_000)
    assert Kind.READ in kinds(f"SELECT {names} FROM products")
    assert kinds("SELECT a" + "[1][1]" * 5_000 + " FROM products") == {Kind.READ}


def test_long_identifiers_are_cut_as_postgres_cuts_them():
    assert analyse("SELECT * FROM " + "x" * 10_000, SHOP, Facts()).missing == ("x" * 63,)


def test_nothing_is_understood_once_texts_are_read_differently():
    assert kinds("SELECT 1", Facts(lexing_safe=False)) == {Kind.UNKNOWN}


def test_a_bug_is_unknown_and_never_an_exception(monkeypatch):
    monkeypatch.setattr("firewall.sql.grammar.parse", lambda _: 1 / 0)
    found = analyse("SELECT 1", SHOP, Facts())
    assert found.opaque == "the analysis failed (ZeroDivisionError)"


def test_too_many_nodes_are_unknown(monkeypatch):
    monkeypatch.setattr("firewall.sql.walk.MAX_NODES", 10)
    assert "more than is analysed" in analyse("SELECT " + ", ".join("1" * 99), SHOP, Facts()).opaque


@pytest.mark.parametrize(
    ("sql", "safe"),
    [
        ("SET standard_conforming_strings = off", False),
        ("SET standard_conforming_strings TO on", True),
        ("SET Standard_Conforming_Strings = 0", False),
        ('SET "STANDARD_CONFORMING_STRINGS" = false', False),
        ("SELECT set_config('standard_conforming_strings', 'off', false)", False),
        ("SELECT set_config('client_encoding', name, false) FROM products", False),
        ("SELECT set_config(name, 'x', false) FROM products", False),
        ("SET client_encoding = 'UTF8'", True),
        ("SET NAMES 'utf-8'", True),
        ("SET client_encoding TO SQL_ASCII", True),
        ("SET client_encoding TO LATIN1", True),
        ("SET client_encoding = 'SJIS'", False),
        ("SET NAMES 'GBK'", False),
        ("SET client_encoding TO BIG5", False),
        ("SET backslash_quote = on", False),
        ("SET backslash_quote = safe_encoding", True),
        ("RESET client_encoding", True),
        ("UPDATE pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings'", False),
        ("SET work_mem = '1GB'", True),
    ],
)
def test_settings_that_move_the_lexer(sql, safe):
    assert analyse(sql, SHOP, Facts()).after.lexing_safe is safe


@pytest.mark.parametrize(
    "sql",
    [
        "SET search_path = archive",
        "SET SEARCH_PATH TO archive, public",
        "SET LOCAL search_path = archive",
        "SET SCHEMA 'archive'",
        "SELECT set_config('search_path', 'archive', true)",
        "SET ROLE admin",
        "RESET ROLE",
        "DO $$ BEGIN END $$",
        "SELECT opaque(1)",
        "SELECT query_to_xml('x', true, true, '')",
        "CREATE SCHEMA agent",
        "RESET search_path",
    ],
)
def test_names_are_ambiguous_after_what_can_change_the_path(sql):
    assert analyse(sql, SHOP, Facts()).after.search_path is None


@pytest.mark.parametrize(
    "sql",
    ["RESET ALL", "DISCARD ALL", "SELECT 1", "SELECT pg_sleep(1)", "SET work_mem = '1GB'", "SELECT * FROM x"],
)
def test_the_path_stays_known_after_what_cannot(sql):
    assert analyse(sql, SHOP, Facts()).after.search_path == ("pg_catalog", "public")


@pytest.mark.parametrize(
    "sql", ["SET ROLE agent", "SET SESSION AUTHORIZATION 'agent'", "SET LOCAL ROLE agent", "SET ROLE NONE"]
)
def test_to_become_who_one_is_changes_nothing(sql):
    sure = analyse(sql, SHOP, Facts(role="agent"))
    assert [effect.kind for effect in sure.effects] == [Kind.SESSION]
    assert sure.after == Facts(role="agent")
    for facts in (Facts(role=""), Facts(role="admin")):
        assert [effect.kind for effect in analyse(sql, SHOP, facts).effects] == [Kind.ROLE]


def test_an_unknown_path_means_every_schema():
    found = analyse("SELECT * FROM customers", SHOP, Facts(search_path=None))
    assert {effect.object for effect in found.effects} == {"public.customers", "archive.customers"}


def test_the_path_decides_which_relation_is_meant():
    found = analyse("SELECT * FROM customers", SHOP, Facts(search_path=("pg_catalog", "archive", "public")))
    assert {effect.object for effect in found.effects} == {"archive.customers"}


def test_the_path_decides_which_functions_can_be_meant():
    assert kinds("SELECT now()") == set()
    assert Kind.DELETE in kinds("SELECT now()", Facts(search_path=("archive", "pg_catalog")))
    assert Kind.DELETE in kinds("SELECT now()", Facts(search_path=None))


def test_a_change_of_path_counts_for_the_next_statement_of_the_text():
    found = analyse("SET search_path = archive; SELECT * FROM customers", SHOP, Facts())
    assert {e.object for e in found.statements[1].effects} == {"public.customers", "archive.customers"}


def test_temporary_names_that_are_not_followed_are_in_doubt():
    found = analyse("CREATE TEMP TABLE orders AS SELECT opaque(1)", SHOP, Facts())
    assert found.after.temporary == {"orders"}
    later = analyse("SELECT * FROM orders", SHOP, found.after)
    assert Kind.UNKNOWN in {effect.kind for effect in later.effects}


def test_prepared_statements_are_followed():
    prepared = analyse("PREPARE p (int) AS DELETE FROM products WHERE id = $1", SHOP, Facts())
    assert prepared.after.prepared == (("p", "DELETE FROM products WHERE id = $1"),)
    assert prepared.volatile
    assert Kind.DELETE not in {effect.kind for effect in prepared.effects}
    run = analyse("EXECUTE p(1)", SHOP, prepared.after)
    assert {e.object for e in run.effects if e.kind is Kind.DELETE} == {"public.products"}
    gone = analyse("DEALLOCATE p", SHOP, prepared.after)
    assert gone.after.prepared == ()
    assert kinds("EXECUTE p(1)", gone.after) == {Kind.UNKNOWN}


def test_a_prepared_statement_may_execute_itself_no_deeper_than_is_followed():
    facts = Facts(prepared=(("p", "EXECUTE p"),))
    assert kinds("EXECUTE p", facts) == {Kind.UNKNOWN}


def test_updates_and_deletes_without_a_condition_are_marked():
    for sql, unfiltered in [
        ("DELETE FROM products", True),
        ("DELETE FROM products WHERE true", True),
        ("DELETE FROM products WHERE 1 = 1", True),
        ("DELETE FROM products WHERE id = id", True),
        ("DELETE FROM products WHERE id = 1 OR 'a' = 'a'", True),
        ("DELETE FROM products WHERE id = 1 AND 'a' = 'a'", False),
        ("DELETE FROM products WHERE id = 1", False),
        ("UPDATE products SET price = 1", True),
        ("UPDATE products SET price = 1 WHERE id = $1", False),
    ]:
        writes = [e for e in analyse(sql, SHOP, Facts()).effects if e.kind in {Kind.DELETE, Kind.UPDATE}]
        assert [effect.unfiltered for effect in writes] == [unfiltered], sql


def test_writes_name_their_columns_and_reads_what_is_tested():
    found = analyse("UPDATE products SET price = 3, name = 'x' WHERE id = 1", SHOP, Facts()).effects
    assert [(e.kind, e.columns, e.tested) for e in found] == [
        (Kind.READ, (), ("id",)),
        (Kind.UPDATE, ("name", "price"), ()),
    ]


def test_what_is_set_off_says_what_set_it_off():
    found = analyse("DELETE FROM customers WHERE id = 1", SHOP, Facts()).effects
    assert ("public.orders", "foreign key of public.orders") in {(e.object, e.via) for e in found}
    found = analyse("SELECT * FROM order_totals", SHOP, Facts()).effects
    assert [(e.object, e.via) for e in found] == [
        ("public.order_totals", ""),
        ("public.orders", "view public.order_totals"),
    ]


def test_explain_without_analyze_only_tests():
    found = analyse("EXPLAIN DELETE FROM customers WHERE email = 'x'", SHOP, Facts()).effects
    assert [(e.kind, e.columns, e.tested) for e in found if e.object == "public.customers"] == [
        (Kind.READ, (), ("email",))
    ]


def test_only_leaves_children_out():
    def read(sql):
        return {effect.object for effect in analyse(sql, SHOP, Facts()).effects}

    assert read("SELECT * FROM events") == {"public.events", "public.events_1", "public.events_2"}
    assert read("SELECT * FROM ONLY events") == {"public.events"}


def test_fingerprints_do_not_depend_on_literals():
    one, two = (analyse(f"SELECT {n} FROM products", SHOP, Facts()).statements[0].fingerprint for n in (1, 2))
    assert one == two
    assert len(one) == 16


@given(st.text())
@example("\0")
@example("SELECT \ud800")
def test_no_text_raises(text):
    analyse(text, SHOP, Facts())


@settings(max_examples=200)
@given(st.lists(st.sampled_from(" ".join(TEXTS).split()), max_size=12).map(" ".join))
def test_no_salad_of_words_raises(text):
    found = analyse(text, SHOP, Facts())
    assert not found.opaque.startswith("the analysis failed")


@given(
    st.sampled_from(TEXTS) | st.text(),
    st.sampled_from(["DELETE FROM public.customers", 'delete\nfrom"public".customers']),
)
def test_what_is_appended_is_never_lost(text, appended):
    # INVARIANT: 3. What stands behind anything is judged like anything.
    found = analyse(f"{text}\n; {appended}", SHOP, Facts())
    if found.error is None:
        assert {Kind.DELETE, Kind.UNKNOWN} & {effect.kind for effect in found.statements[-1].effects}


def believed(facts):
    """Facts without texts: what stands behind a definition is kept with it, and means nothing."""
    made = [replace(own, relation=replace(own.relation, definition="")) for own in facts.own]
    return replace(facts, prepared=(), own=tuple(made))


@given(
    st.sampled_from(TEXTS), st.sampled_from([" ", "\n", "\t", "/* ; */", "--;\n", "/* /* x */ */", "\r\n"])
)
@example("CREATE TEMP VIEW v AS SELECT id FROM products", "/* ; */")
def test_edges_of_a_text_change_nothing(text, noise):
    plain = analyse(text, SHOP, Facts())
    noisy = analyse(f"{noise}{text}\n{noise}", SHOP, Facts())
    assert noisy.effects == plain.effects
    assert noisy.missing == plain.missing
    assert believed(noisy.after) == believed(plain.after)


@given(st.sampled_from([case for case in TEXTS if not set(case) & set("'\"$\\")]))
def test_case_changes_nothing(text):
    assert analyse(text.upper(), SHOP, Facts()).effects == analyse(text.lower(), SHOP, Facts()).effects


def test_objects_that_are_no_relations_say_so():
    found = {
        (e.kind, e.object, e.type) for e in analyse("SET ROLE admin; SET work_mem = 1", SHOP, Facts()).effects
    }
    assert found == {
        (Kind.ROLE, "admin", ObjectType.ROLE),
        (Kind.SETTING, "work_mem", ObjectType.SETTING),
    }


def test_definitions_that_postgres_printed_mean_its_own_functions():
    # archive.now() deletes, but the default of stamped.at was printed under an empty path
    assert kinds("INSERT INTO stamped (id) VALUES (1)", Facts(search_path=None)) == {Kind.INSERT}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 = 2",
        "SELECT 1 FROM products WHERE id BETWEEN 1 AND 3",
        "SELECT 1 FROM products JOIN orders USING (id)",
        "SELECT 1 FROM products NATURAL JOIN orders",
        "SELECT CASE id WHEN 1 THEN 2 END FROM products",
        "SELECT 1 IN (1, 2)",
        "SELECT nullif(1, 2), 1 IS DISTINCT FROM 2",
        "SELECT 1 = ANY (SELECT id FROM products)",
        "SELECT 1 IN (SELECT id FROM products)",
    ],
)
def test_operators_that_the_path_lets_be_meant(sql):
    operators = tuple(Operator("archive", name, "public.opaque") for name in ("=", ">="))
    catalog = replace(SHOP, operators=operators)
    path = ("archive", "pg_catalog", "public")
    assert Kind.EXECUTE not in {effect.kind for effect in analyse(sql, catalog, Facts()).effects}
    assert Kind.EXECUTE in {e.kind for e in analyse(sql, catalog, Facts(search_path=path)).effects}


def test_what_only_a_superuser_can_make_and_calls_itself_immutable_computes():
    assert kinds("SELECT 7 % 3, similar(name, 'x') FROM products") == {Kind.READ}


def test_a_name_in_another_schema_is_no_built_in():
    found = analyse("SELECT nosuch.now()", SHOP, Facts())
    assert found.missing == ("nosuch.now()",)
    assert Kind.UNKNOWN in {effect.kind for effect in found.effects}


def test_the_planner_runs_what_calls_itself_immutable():
    assert Kind.DELETE in kinds("EXPLAIN SELECT planned()")


def test_outputs_say_what_they_are_made_of():
    (statement,) = analyse(
        "SELECT o.id, c.email AS mail FROM orders o, customers c", SHOP, Facts()
    ).statements
    assert [(out.name, [(s.relation, s.column) for s in out.sources]) for out in statement.output] == [
        ("id", [("public.orders", "id")]),
        ("mail", [("public.customers", "email")]),
    ]


def test_outputs_are_unknown_where_a_function_feeds_them():
    (statement,) = analyse("SELECT id, customer_email(id) FROM orders", SHOP, Facts()).statements
    assert statement.output is None


def test_a_function_that_reads_a_view_keeps_the_worst_case():
    by_function = Function("public", "peek", "sql", "stable", 0, 0, body="SELECT * FROM staff")
    catalog = replace(SHOP, functions=(*SHOP.functions, by_function))
    found = analyse("SELECT name, peek() FROM staff", catalog, Facts()).effects
    assert {(e.object, e.columns, e.via) for e in found} == {
        ("public.staff", ("name",), ""),
        ("public.employees", ("name",), "view public.staff"),
        ("public.staff", ("*",), "function public.peek"),
        ("public.employees", ("*",), "function public.peek, view public.staff"),
    }


def test_prepared_text_is_taken_in_its_own_words():
    assert inner("PREPARE a AS SELECT 'as' AS x", "AS") == "SELECT 'as' AS x"
    assert inner('PREPARE "as" (int /* as */) AS -- as\n SELECT 1', "AS") == "-- as\n SELECT 1"


@pytest.mark.parametrize(
    ("sql", "names", "cursor"),
    [
        ("DECLARE c CURSOR WITH HOLD FOR SELECT email AS e, id FROM customers", ["e", "id"], "c"),
        ("COPY (SELECT id, email FROM customers) TO STDOUT (FORMAT csv)", ["id", "email"], ""),
        ("EXECUTE p", ["email"], ""),
        ("FETCH 3 FROM c", None, "c"),
        ('MOVE ALL IN "C"', None, "C"),
        ("EXPLAIN ANALYZE SELECT email FROM customers", None, ""),
        ("CREATE TABLE copied AS SELECT email FROM customers", None, ""),
    ],
)
def test_what_stands_around_a_query_returns_its_columns(sql, names, cursor):
    facts = Facts(database="shop", prepared=(("p", "SELECT email FROM customers"),))
    (found,) = analyse(sql, SHOP, facts).statements
    assert (found.output and [output.name for output in found.output]) == names
    assert found.cursor == cursor


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("BEGIN", [("begin", "")]),
        ("start transaction read only", [("start", "")]),
        ("END", [("commit", "")]),
        ("COMMIT AND CHAIN", [("commit", "")]),
        ("ABORT", [("rollback", "")]),
        ('SAVEPOINT Ab; ROLLBACK TO "Ab"', [("savepoint", "ab"), ("rollback_to", "Ab")]),
        ("RELEASE x", [("release", "x")]),
        ("PREPARE TRANSACTION 'g'", [("prepare", "")]),
        ("SELECT 1; COMMIT", [("", ""), ("commit", "")]),
    ],
)
def test_steps_of_a_transaction(text, steps):
    analysis = analyse(text, SHOP, Facts())
    assert [(statement.step, statement.savepoint) for statement in analysis.statements] == steps
