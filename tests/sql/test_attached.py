"""What stands behind tables, types and functions: precise where it is harmless, seen where it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firewall.catalog.snapshot import (
    Cast,
    Column,
    EventTrigger,
    Membership,
    OperatorClass,
    Policy,
    RelationKind,
    Trigger,
    Type,
    TypeKind,
)
from firewall.sql.analyse import analyse
from firewall.sql.analysis import Facts, Kind
from tests.sql.shop import SHOP, compact, function, relation, view

WIPING = "public.wipe_log() = 1"


def with_(**more):
    """The shop with more of the members that are named."""
    added = {name: (*getattr(SHOP, name), *new) for name, new in more.items()}
    return replace(SHOP, version=f"shop {sorted(more)} {hash(repr(more))}", **added)


def effects(sql, snapshot, facts=None):
    return [compact(effect) for effect in analyse(sql, snapshot, facts or Facts()).effects]


def typed(name, kinds, **more):
    made = relation(name, " ".join(kinds), **more)
    columns = tuple(Column(column, kind, n) for n, (column, kind) in enumerate(kinds.items(), 1))
    return replace(made, columns=columns)


@pytest.mark.parametrize(
    "sql",
    ["SELECT 'well'::mood", "SELECT '{well}'::mood[], NULL::_mood", "SELECT CAST('ill' AS public.mood)"],
)
def test_casts_to_enums_are_harmless(sql):
    found = analyse(sql, SHOP, Facts())
    assert (found.effects, found.missing) == ((), ())


def test_a_type_that_is_not_there_is_missing():
    found = analyse("SELECT 'x'::nosuch", SHOP, Facts())
    assert found.missing == ("nosuch",)
    assert [effect.kind for effect in found.effects] == [Kind.UNKNOWN]


def test_a_domain_is_what_its_checks_and_the_domain_under_it_are():
    snapshot = with_(
        types=(
            Type("public", "loud", TypeKind.DOMAIN, of="text", checks=(WIPING,)),
            Type("public", "louder", TypeKind.DOMAIN, of="public.loud"),
            Type("public", "quiet", TypeKind.DOMAIN, of="text", checks=("length(VALUE) > 3",)),
        ),
        relations=(typed("held", {"word": "public.louder[]"}),),
        functions=(function("taking", "SELECT 1", arguments=1, takes=("public.louder",)),),
    )
    assert effects("SELECT 'x'::quiet", snapshot) == []
    for sql in ("SELECT 'x'::louder", "INSERT INTO held VALUES ('{x}')", "SELECT taking('x')"):
        assert any("delete public.audit_log" in each for each in effects(sql, snapshot)), sql


def test_casts_and_comparisons_of_own_types_belong_to_who_touches_them():
    snapshot = with_(
        casts=(Cast("public.pair", "text", "public.wipe_log"),),
        operator_classes=(OperatorClass("public", "odd", "public.odd", ("public.wipe_log",)),),
        types=(Type("public", "odd", TypeKind.BASE),),
        relations=(
            relation("pair", "x y", RelationKind.COMPOSITE),
            typed("paired", {"id": "integer", "p": "public.pair"}),
            typed("odds", {"o": "public.odd"}),
        ),
    )
    for sql in ("SELECT id FROM paired", "SELECT NULL::pair", "SELECT o FROM odds ORDER BY 1"):
        assert any("delete public.audit_log" in each for each in effects(sql, snapshot)), sql
    assert effects("SELECT id FROM products", snapshot) == ["read public.products (id)"]


def test_a_cast_between_built_in_types_belongs_to_every_statement():
    snapshot = with_(casts=(Cast("integer", "boolean", "public.wipe_log"),))
    assert any("delete public.audit_log" in each for each in effects("SELECT 1", snapshot))


def test_what_a_policy_looks_at_is_tested_and_no_more():
    guarded = relation(
        "guarded",
        "id owner word",
        policies=(Policy("own", "select", "(owner IN ( SELECT e.name FROM public.employees e))"),),
    )
    found = effects("SELECT word FROM guarded", with_(relations=(guarded,)))
    assert set(found) == {
        "read public.guarded (word)",
        "read public.employees testing (name) via policy own on public.guarded",
    }


def test_a_policy_for_roles_that_the_login_has_not_is_not_asked():
    theirs = Policy("theirs", "all", "public.opaque(1) > 0", roles=("clerks",))
    guarded = relation("guarded", "id", policies=(theirs,))
    shown = relation("shown", "id", RelationKind.VIEW, definition="SELECT id FROM public.guarded")
    stranger = with_(relations=(guarded, shown))
    member = replace(stranger, memberships=(Membership("staff", "agent"), Membership("clerks", "staff")))
    becoming = replace(stranger, memberships=(Membership("clerks", "agent", inherits=False),))
    opaque = "execute public.opaque via policy theirs on public.guarded"
    login = Facts(role="agent")
    assert opaque not in effects("SELECT id FROM guarded", stranger, login)
    assert opaque not in effects("SELECT id FROM guarded", becoming, login)
    assert opaque in effects("SELECT id FROM guarded", member, login)
    # where it is not certain who asks: after SET ROLE, and behind a view, whose owner counts
    assert opaque in effects("SELECT id FROM guarded", stranger, Facts(role="clerks"))
    assert opaque in effects("SELECT id FROM guarded", stranger, Facts(role=""))
    assert opaque in effects("SET ROLE clerks; SELECT id FROM guarded", becoming, login)
    assert any("public.opaque" in e for e in effects("SELECT id FROM shown", stranger, login))


def test_a_foreign_table_says_which_server_it_is_on():
    far = relation("far", "id", RelationKind.FOREIGN, server="elsewhere")
    assert "server_io public.far via foreign server elsewhere" in effects(
        "SELECT id FROM far", with_(relations=(far,))
    )


def test_a_policy_for_writing_is_not_asked_when_reading():
    guarded = relation("guarded", "id", policies=(Policy("own", "insert", "", WIPING),))
    snapshot = with_(relations=(guarded,))
    assert effects("SELECT id FROM guarded", snapshot) == ["read public.guarded (id)"]
    assert any("audit_log" in each for each in effects("INSERT INTO guarded VALUES (1)", snapshot))


def test_harmless_checks_and_indexes_cost_nothing():
    table = relation(
        "checked",
        "id word",
        checks=("(id > 0)", "(public.add_tax(id) < 3)"),
        indexes=("CREATE INDEX i ON public.checked USING btree (lower(word)) WHERE (id > 3)",),
    )
    snapshot = with_(relations=(table,))
    assert effects("SELECT id FROM checked", snapshot) == ["read public.checked (id)"]
    assert effects("INSERT INTO checked VALUES (1, 'x')", snapshot) == ["insert public.checked (*)"]


def test_the_planner_computes_what_looks_at_no_column():
    table = relation("checked", "id", checks=("(id > public.wipe_log())",))
    assert any("audit_log" in each for each in effects("SELECT id FROM checked", with_(relations=(table,))))


def test_a_triggers_condition_runs_too():
    trigger = Trigger(
        "t",
        ("insert",),
        "public.audit_row",
        f"CREATE TRIGGER t BEFORE INSERT ON w FOR EACH ROW WHEN ({WIPING}) EXECUTE FUNCTION public.f()",
    )
    found = effects("INSERT INTO w VALUES (1)", with_(relations=(relation("w", "id", triggers=(trigger,)),)))
    assert any(each.startswith("delete public.audit_log") for each in found)


def test_a_default_that_begins_like_a_sequence_is_read_to_its_end():
    table = relation("n", "id=nextval('s'::regclass)+public.wipe_log()".replace(" ", ""))
    assert any("audit_log" in each for each in effects("INSERT INTO n VALUES (1)", with_(relations=(table,))))


def test_a_functions_own_search_path_is_where_its_names_are_looked_up():
    body = "SELECT name FROM customers"
    snapshot = with_(
        functions=(
            function("kept_names", body, settings=(("search_path", "archive, pg_temp"),)),
            function("empty_path", "SELECT 1", settings=(("search_path", '""'),)),
            function("any_names", body),
            function("as_admin", "SELECT 1", settings=(("role", "admin"),)),
        )
    )
    assert effects("SELECT kept_names()", snapshot) == [
        "read archive.customers (*) via function public.kept_names"
    ]
    assert effects("SELECT empty_path()", snapshot) == []
    assert len(effects("SELECT any_names()", snapshot)) == 2
    assert effects("SELECT as_admin()", snapshot) == ["execute public.as_admin"]


def test_an_aggregate_is_the_functions_it_is_made_of():
    snapshot = with_(
        functions=(
            function(
                "total", language="internal", arguments=1, kind="aggregate", uses=("pg_catalog.int4pl",)
            ),
            function("evil", language="internal", arguments=1, kind="aggregate", uses=("public.wipe_log",)),
        )
    )
    assert effects("SELECT total(id) FROM products", snapshot) == ["read public.products (id)"]
    assert any("audit_log" in each for each in effects("SELECT evil(id) FROM products", snapshot))


def test_a_schema_that_is_closed_to_the_login_is_passed_over():
    path = Facts(search_path=("archive", "public"), role="agent")
    assert effects("SELECT name FROM customers", SHOP, path) == ["read archive.customers (name)"]
    closed = replace(SHOP, version="closed", closed=("archive",))
    assert effects("SELECT name FROM customers", closed, path) == ["read public.customers (name)"]
    lost = replace(path, search_path=None)
    assert len(effects("SELECT name FROM customers", closed, lost)) == 2


def test_a_generated_column_is_what_it_is_computed_from():
    table = relation("people", "id email loud=upper(email)")
    found = effects("SELECT loud FROM people", with_(relations=(table,)))
    assert found == ["read public.people (email, loud)"]


def test_what_is_shown_as_it_is_stored():
    table = relation("cards", "id=nextval('orders_id_seq'::regclass) number bin=substr(number,1,6)")
    cut = view("cut", "number", "SELECT substr(number, 1, 6) AS number FROM public.cards")
    same = view("same", "n", "SELECT number AS n FROM public.cards")
    snapshot = with_(relations=(table, cut, same))
    for query, whole in {
        "SELECT id, number, bin FROM cards": [True, True, False],
        "SELECT c.* FROM (SELECT number AS x, upper(number) FROM cards) AS c": [True, False],
        "SELECT number FROM cut": [False],
        "SELECT n FROM same": [True],
        "SELECT number FROM cards UNION ALL SELECT 'x'": [False],
        "SELECT number::text, coalesce(number, 'x'), max(number) FROM cards GROUP BY 1, 2": [False] * 3,
    }.items():
        (statement,) = analyse(query, snapshot, Facts()).statements
        assert [output.whole for output in statement.output] == whole, query


def test_refreshing_runs_what_the_view_runs():
    noisy = view("kept", "x", "SELECT public.wipe_log() AS x", RelationKind.MATERIALIZED)
    found = effects("REFRESH MATERIALIZED VIEW kept", with_(relations=(noisy,)))
    assert any(each.startswith("delete public.audit_log") for each in found)
    assert effects("REFRESH MATERIALIZED VIEW revenue", SHOP) == ["maintenance public.revenue"]


def test_types_of_parameters_run_what_they_run():
    snapshot = with_(
        types=(Type("public", "loud", TypeKind.DOMAIN, of="text", checks=(WIPING,)),),
        type_names=((70_001, "public.loud"), (70_002, "public.loud[]"), (70_003, "public.mood")),
    )
    for oid in (70_001, 70_002):
        assert effects("SELECT $1", snapshot, Facts(parameters=(oid,))) == [
            "delete public.audit_log of all rows via function public.wipe_log"
        ]
    assert effects("SELECT $1", snapshot, Facts(parameters=(70_003,))) == []
    assert effects("SELECT $1", snapshot, Facts(parameters=(70_004,))) == ["unknown type 70004"]
    assert analyse("SELECT $1", snapshot, Facts(parameters=(70_003,))).after == Facts()


def test_event_triggers_see_the_statements_of_their_tags():
    snapshot = with_(
        event_triggers=(
            EventTrigger("made", "ddl_command_end", "public.wipe_log", ("CREATE VIEW", "DROP TABLE")),
        )
    )
    wiped = "delete public.audit_log of all rows via function public.wipe_log"
    assert wiped in effects("CREATE VIEW v AS SELECT 1", snapshot)
    assert wiped in effects("DROP TABLE products", snapshot)
    for sql in ("CREATE TABLE t (a int)", "SELECT 1", "DELETE FROM stamped", "TRUNCATE stamped", "BEGIN"):
        assert wiped not in effects(sql, snapshot)


def test_settings_are_shown_where_none_is_secret():
    shown = "SELECT name, setting FROM pg_settings"
    settings = relation("pg_catalog.pg_settings", "name setting boot_val")
    plain, secret = with_(relations=(settings,)), with_(relations=(settings,), secret_settings=("x.secret",))
    assert effects(shown, plain) == ["read pg_catalog.pg_settings (name, setting)"]
    assert "server_io pg_catalog.pg_settings" in effects(shown, secret)
    assert effects("SELECT name FROM pg_settings", secret) == ["read pg_catalog.pg_settings (name)"]
    assert effects("SHOW ALL", plain) == ["session variable_show_stmt"]
    assert effects("SHOW ALL", secret) == ["server_io x.secret", "session variable_show_stmt"]
    assert effects("SELECT setting FROM pg_show_all_settings()", secret) == ["server_io x.secret"]
    assert effects("SELECT current_setting('work_mem'), current_setting('app.user_id', true)", secret) == []
    assert effects("SHOW work_mem", secret) == ["session variable_show_stmt"]


def test_a_policy_may_look_at_a_secret_setting():
    policy = Policy("mine", "all", "(id = current_setting('app.user_token'::text))")
    snapshot = with_(relations=(relation("guarded", "id", policies=(policy,)),))
    assert effects("SELECT id FROM guarded", snapshot) == ["read public.guarded (id)"]
