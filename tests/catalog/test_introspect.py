"""A real catalog, read whole."""

from __future__ import annotations

import pickle
import time

import asyncpg
import psycopg
import pytest

from firewall.catalog import introspect_mark, introspect_sql
from firewall.catalog.introspect import introspect, reread
from firewall.catalog.serial import digest
from firewall.catalog.snapshot import (
    Cast,
    Column,
    EventTrigger,
    Extension,
    ForeignKey,
    Membership,
    Operator,
    OperatorClass,
    Policy,
    RelationKind,
    Server,
    Snapshot,
    Type,
    TypeKind,
)
from firewall.errors import CatalogError


def functions(snapshot: Snapshot, name: str):
    return [f for f in snapshot.functions_by_name[name] if f.schema == "tools"]


def test_columns_stand_in_order_with_default_and_comment(snapshot):
    people = snapshot.relation("public.people")
    assert people.columns == (
        Column("id", "integer", 1, nullable=False),
        Column("name", "text", 2, nullable=False, default="'nobody'::text", comment="pii.name"),
        Column("loud", "text", 4, default="upper(name)", generated=True),
    )
    assert (people.kind, people.comment, people.rows, people.owner) == (
        RelationKind.TABLE,
        "who",
        50.0,
        "postgres",
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("public.named", RelationKind.VIEW),
        ("public.kept", RelationKind.MATERIALIZED),
        ("public.events", RelationKind.PARTITIONED),
        ("public.counter", RelationKind.SEQUENCE),
        ("public.pair", RelationKind.COMPOSITE),
        ("public.people_pkey", RelationKind.INDEX),
        ("public.Odd Name", RelationKind.TABLE),
        ("pg_catalog.pg_class", RelationKind.TABLE),
        ("information_schema.columns", RelationKind.VIEW),
    ],
)
def test_relations_of_every_kind_and_schema(snapshot, name, kind):
    assert snapshot.relation(name).kind is kind


async def test_oids_are_postgres_own(snapshot, connection):
    oid = await connection.fetchval("SELECT 'people'::regclass::oid::int8")
    assert snapshot.relation("public.people").oid == oid


def test_views_have_their_query_with_qualified_names(snapshot):
    definition = snapshot.relation("public.named").definition
    assert "FROM public.people" in definition
    assert "FROM public.named" in snapshot.relation("public.kept").definition


async def test_the_sessions_search_path_does_not_colour_definitions(connection, snapshot):
    await connection.execute("SET search_path = tools, public")
    again = await introspect(connection)
    assert again.search_path == ("pg_catalog", "tools", "public")
    assert again.relation("public.named") == snapshot.relation("public.named")
    assert await connection.fetchval("SHOW search_path") == "tools, public"


async def test_a_schema_named_like_the_user_is_resolved(connection):
    await connection.execute('CREATE SCHEMA postgres; SET search_path = "$user", nowhere, public')
    assert (await introspect(connection)).search_path == ("pg_catalog", "postgres", "public")


def test_children_inherit_or_are_partitions(snapshot):
    assert snapshot.relation("public.events").children == ("public.events_2024",)
    assert snapshot.relation("public.base").children == ("public.heir",)


def test_triggers_say_what_sets_them_off(snapshot):
    (noted,) = snapshot.relation("public.people").triggers
    assert (noted.name, set(noted.events), noted.function) == ("noted", {"insert", "update"}, "tools.note")
    assert "BEFORE INSERT OR UPDATE" in noted.definition


def test_a_partition_has_the_triggers_of_its_parent(snapshot):
    (cloned,) = snapshot.relation("public.events_2024").triggers
    assert (cloned.events, cloned.function) == (("delete",), "tools.note")


def test_foreign_keys_are_not_shown_as_triggers(snapshot):
    assert snapshot.relation("public.cards").triggers == ()


def test_rules_but_not_those_that_make_views(snapshot):
    (silent,) = snapshot.relation("public.cards").rules
    assert (silent.name, silent.events, silent.function) == ("silent", ("delete",), "")
    assert snapshot.relation("public.named").rules == ()


def test_foreign_keys_stand_at_the_referenced_table(snapshot):
    assert snapshot.relation("public.people").referenced_by == (
        ForeignKey("public.cards", ("owner",), on_delete="CASCADE", on_update="SET NULL"),
    )


def test_functions(snapshot):
    (twice,) = functions(snapshot, "twice")
    assert (twice.language, twice.volatility, twice.required, twice.arguments) == ("sql", "immutable", 1, 2)
    assert twice.defaults == "2"
    assert "times" in twice.body  # SQL-standard body
    (known,) = functions(snapshot, "known")
    assert (known.security_definer, known.columns, known.body) == (
        True,
        ("id", "name"),
        "SELECT id, name FROM people",
    )
    (any_of,) = functions(snapshot, "any_of")
    assert (any_of.arguments, any_of.required) == (-1, 1)
    (tidy,) = functions(snapshot, "tidy")
    assert (tidy.kind, tidy.body) == ("procedure", "DELETE FROM cards")
    (total,) = functions(snapshot, "total")
    assert (total.kind, total.returns) == ("aggregate", "integer")
    assert total.uses == ("pg_catalog.int4pl",)
    (fine,) = functions(snapshot, "fine")
    assert fine.settings == (("search_path", "tools, pg_temp"),)
    (mean,) = functions(snapshot, "mean")
    assert mean.takes == ("public.mood", 'public."Odd Domain"[]')
    builtin = snapshot.functions_by_name["pg_read_file"]
    assert {f.schema for f in builtin} == {"pg_catalog"}
    assert all(f.body == "" for f in builtin)


def test_event_triggers_and_statistics(snapshot):
    assert snapshot.event_triggers == (
        EventTrigger("noticed", "sql_drop", "tools.notice_drop", ("DROP TABLE", "DROP VIEW")),
    )
    assert snapshot.relation("public.guarded").statistics == ("length(word)",)


async def test_types_by_their_numbers(connection, snapshot):
    row = await connection.fetchrow(
        """SELECT '"Odd Domain"'::regtype::oid AS domain, 'people[]'::regtype::oid AS rows"""
    )
    assert snapshot.types_by_oid[row["domain"]] == 'public."Odd Domain"'
    assert snapshot.types_by_oid[row["rows"]] == "public.people[]"


def test_secrets_set_for_a_role_or_database_are_known_by_name(snapshot):
    assert snapshot.secret_role_settings == ("tools.api_key",)
    assert snapshot.secret_settings == ()


def test_operators_and_casts_of_ones_own(snapshot):
    assert Operator("tools", "===", "tools.same") in snapshot.operators
    assert Cast("public.pair", "text", "tools.as_text") in snapshot.casts
    assert [c.source for c in snapshot.casts] == ["public.pair", "public.span"]  # to its multirange


def test_types_with_what_they_run(snapshot):
    found = {(kind.schema, kind.name): kind for kind in snapshot.types}
    mood = found["public", "mood"]
    assert mood == Type("public", "mood", TypeKind.ENUM)
    domain = found["public", "Odd Domain"]
    assert (domain.kind, domain.of) == (TypeKind.DOMAIN, "text")
    assert set(domain.checks) == {"tools.fine(VALUE)", "(length(VALUE) < 9)"}
    assert found["tools", "odder"].of == 'public."Odd Domain"'
    assert (found["public", "span"].kind, found["public", "span"].of) == (TypeKind.RANGE, "integer")
    assert ("public", "_mood") not in found
    assert ("public", "people") not in found


def test_operator_classes(snapshot):
    assert snapshot.operator_classes == (
        OperatorClass("tools", "pairs", "public.pair", ("tools.compare", "tools.less")),
    )
    assert snapshot.run_by_type["public.pair"] == ("tools.as_text", "tools.compare", "tools.less")


def test_what_tables_compute(snapshot, furnished):
    guarded = snapshot.relation("public.guarded")
    assert guarded.checks == ("(id > 0)",)
    (index,) = guarded.indexes
    assert "tools.fine(word)" in index
    assert "WHERE (id > 3)" in index
    assert guarded.policies == (
        Policy("mine", "all", "tools.fine(word)", "(id > 1)"),
        Policy("theirs", "select", "(id > 2)", roles=("pg_monitor", furnished[1])),
    )
    assert snapshot.relation("public.people").policies == ()
    assert snapshot.relation("public.parted").checks == ("tools.fine(a)",)


async def test_closed_schemas_are_those_the_login_may_not_use(postgres, furnished, snapshot):
    database, role = furnished
    assert snapshot.closed == ()
    with psycopg.connect(postgres.dsn(database), autocommit=True) as admin:
        admin.execute(f"ALTER ROLE {role} LOGIN PASSWORD 'secret'")
        connection = await asyncpg.connect(postgres.dsn(database, user=role, password="secret"))
        try:
            assert (await introspect(connection)).closed == ("tools",)
        finally:
            await connection.close()


def test_roles_and_session(snapshot, furnished):
    database, role = furnished
    assert {"postgres", role} <= set(snapshot.roles)
    assert (snapshot.database, snapshot.role) == (database, "postgres")
    assert snapshot.search_path == ("pg_catalog", "public")
    assert snapshot.server_version >= 130000


async def test_the_version_changes_with_the_catalog_alone(connection, snapshot):
    await connection.execute("INSERT INTO people (id) VALUES (99); ANALYZE people; SELECT nextval('counter')")
    again = await introspect(connection)
    assert again.relation("public.people").rows == 51.0
    assert again.version == snapshot.version
    await connection.execute("COMMENT ON COLUMN people.name IS 'other'")
    assert (await introspect(connection)).version != snapshot.version


async def test_temporary_tables_of_any_session_stay_out(postgres, furnished, connection):
    other = await asyncpg.connect(postgres.dsn(furnished[0]))
    try:
        for session in (connection, other):
            await session.execute("CREATE TEMPORARY TABLE passing (a int) ")
            await session.execute("CREATE TEMPORARY TABLE nearer () INHERITS (base)")
        snapshot = await introspect(connection)
    finally:
        await other.close()
    assert not [r for r in snapshot.relations if r.schema.startswith(("pg_temp", "pg_toast"))]
    assert snapshot.relation("public.base").children == ("public.heir",)
    assert snapshot.search_path == ("pg_catalog", "public")


async def test_what_users_named_like_the_catalog_is_not_read(connection, snapshot):
    await connection.execute(
        "CREATE SCHEMA trap; CREATE TABLE trap.pg_class (oid int); CREATE TABLE trap.pg_roles (rolname text);"
        "CREATE FUNCTION trap.pg_get_viewdef(oid) RETURNS text LANGUAGE sql AS $$ SELECT 'trap' $$;"
        "SET search_path = trap, pg_catalog, public"
    )
    again = await introspect(connection)
    assert again.roles == snapshot.roles
    assert again.relation("public.named").definition == snapshot.relation("public.named").definition


def test_extensions_and_foreign_servers(snapshot):
    assert Extension("file_fdw", "1.0", "tools") in snapshot.extensions
    assert "plpgsql" in {extension.name for extension in snapshot.extensions}
    assert snapshot.servers == (Server("files", "file_fdw"),)
    assert (snapshot.relation("public.far").kind, snapshot.relation("public.far").server) == (
        RelationKind.FOREIGN,
        "files",
    )
    assert snapshot.relation("public.people").server == ""


def test_who_has_been_granted_which_role(snapshot, furnished):
    assert Membership("pg_monitor", furnished[1]) in snapshot.memberships
    assert Membership("pg_read_all_stats", "pg_monitor") in snapshot.memberships


async def test_rights_are_inherited_as_the_grant_says(connection, furnished):
    role = furnished[1]
    version = (await introspect(connection)).server_version
    others = [f"{role}_{n}" for n in range(3)]
    for other in others:
        await connection.execute(f"CREATE ROLE {other} LOGIN")
    middle, top, alone = others
    try:
        await connection.execute(f"GRANT {middle} TO {role}; GRANT {top} TO {middle}")
        if version >= 160000:
            await connection.execute(f"GRANT {alone} TO {role} WITH INHERIT FALSE")
        await connection.execute(f"SET ROLE {role}")
        seen = await introspect(connection)
        assert {role, middle, top, "pg_monitor"} <= seen.rights
        assert alone not in seen.rights
        if version >= 160000:
            assert Membership(alone, role, inherits=False) in seen.memberships
    finally:
        await connection.execute(f"RESET ROLE; DROP ROLE {', '.join(others)}")


async def test_the_number_of_queries_does_not_grow_with_the_catalog(connection, snapshot):
    async def queries():
        seen: list[str] = []
        with connection.query_logger(lambda record: seen.append(record.query)):
            await introspect(connection)
        return len(seen)

    few = await queries()
    await connection.execute(
        "DO $$ BEGIN FOR n IN 1..30 LOOP "
        "EXECUTE format('CREATE TABLE many_%s (a int, b text)', n); END LOOP; END $$"
    )
    assert await queries() == few < 30


async def test_a_missing_privilege_is_named_with_its_grant(postgres, furnished):
    database, role = furnished
    with psycopg.connect(postgres.dsn(database), autocommit=True) as admin:
        admin.execute(f"ALTER ROLE {role} LOGIN PASSWORD 'secret'")
        admin.execute("REVOKE SELECT ON pg_catalog.pg_proc FROM PUBLIC")
        connection = await asyncpg.connect(postgres.dsn(database, user=role, password="secret"))
        try:
            with pytest.raises(CatalogError) as caught:
                await introspect(connection)
        finally:
            await connection.close()
    assert "`pg_proc`" in caught.value.message
    assert caught.value.hint.startswith(f'run `GRANT SELECT ON pg_catalog.pg_proc TO "{role}"`')


async def test_an_ordinary_login_sees_the_whole_catalog(postgres, furnished, snapshot):
    database, role = furnished
    with psycopg.connect(postgres.dsn(database), autocommit=True) as admin:
        admin.execute(f"ALTER ROLE {role} LOGIN PASSWORD 'secret'")
    connection = await asyncpg.connect(postgres.dsn(database, user=role, password="secret"))
    try:
        seen = await introspect(connection)
    finally:
        await connection.close()
    assert seen.role == role
    assert seen.relations == snapshot.relations
    assert seen.functions == snapshot.functions


async def test_a_lost_connection_is_a_catalog_error(connection):
    await connection.close()
    with pytest.raises(CatalogError, match="the catalog could not be read"):
        await introspect(connection)


async def test_two_thousand_tables_take_seconds(connection):
    for batch in range(20):  # a transaction each, to stay within the lock table
        await connection.execute(
            f"DO $$ BEGIN FOR n IN 1..100 LOOP EXECUTE format('CREATE TABLE wide_{batch}_%s "
            "(id int PRIMARY KEY, a text, b text, c numeric, d date, e jsonb, f int, g int, h int)', n);"
            " END LOOP; END $$"
        )
    began = time.perf_counter()
    snapshot = await introspect(connection)
    assert time.perf_counter() - began < 10
    assert len([r for r in snapshot.relations if r.kind is RelationKind.TABLE]) > 2000
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot


CHANGES = """
CREATE TABLE another (a int) ; ALTER TABLE another ADD b text ; COMMENT ON COLUMN another.b IS 'pii'
CREATE VIEW over AS SELECT a FROM another ; ALTER VIEW over RENAME TO above ; DROP VIEW above
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2' ; ALTER FUNCTION f() VOLATILE STRICT
ALTER TABLE another ENABLE ROW LEVEL SECURITY ; CREATE POLICY own ON another USING (a > 0)
CREATE INDEX ON another ((a + 1)) ; ALTER TABLE another ADD CHECK (a > 0) ; DROP TABLE another
CREATE ROLE someone_new ; ALTER ROLE someone_new SUPERUSER ; DROP ROLE someone_new
CREATE SCHEMA closed_off ; REVOKE ALL ON SCHEMA public FROM PUBLIC
CREATE TYPE temper AS ENUM ('ok') ; ALTER TYPE temper ADD VALUE 'sad'
CREATE TABLE estimated AS SELECT generate_series(1, 9) AS a ; ANALYZE estimated
CREATE STATISTICS lengths ON length(a::text), a FROM estimated ; ALTER ROLE CURRENT_USER SET my.token = 'x'
ALTER ROLE CURRENT_USER RESET ALL ; ALTER EVENT TRIGGER noticed DISABLE
"""


async def test_a_catalog_that_has_not_changed_is_not_read_again(connection):
    first = await reread(connection, None)
    assert await reread(connection, first) is first
    await connection.execute("CREATE TABLE kept_rows (a int)")
    second = await reread(connection, first)
    await connection.execute("INSERT INTO kept_rows SELECT generate_series(1, 100)")
    assert await reread(connection, second) is second


async def test_whatever_changes_the_catalog_is_seen(connection):
    reading = await reread(connection, None)
    for change in CHANGES.replace("\n", ";").split(";"):
        if not change.strip():
            continue
        await connection.execute(change)
        after = await reread(connection, reading)
        assert after is not reading, change
        assert after.snapshot == await introspect(connection)
        reading = after


# to what initdb made, and to what is attached to it
BUILT_IN_CHANGES = """
ALTER FUNCTION lower(text) VOLATILE
REVOKE ALL ON pg_class FROM PUBLIC
COMMENT ON COLUMN pg_class.relname IS 'pii' ; ANALYZE pg_proc
ALTER TABLE information_schema.sql_parts ADD more int ; ALTER TABLE information_schema.sql_parts DROP more
ALTER TABLE information_schema.sql_parts OWNER TO pg_monitor
CREATE DOMAIN heard AS text ; ALTER TABLE information_schema.sql_parts ADD said heard
ALTER DOMAIN heard RENAME TO read ; ALTER TABLE information_schema.sql_parts DROP said
CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'
ALTER TABLE information_schema.sql_parts ADD made int DEFAULT mine() ; ALTER FUNCTION mine() RENAME TO its
ALTER TABLE information_schema.sql_parts DROP made ; ALTER FUNCTION its() RENAME TO mine
CREATE RULE over AS ON DELETE TO information_schema.sql_parts DO ALSO SELECT mine()
ALTER FUNCTION mine() RENAME TO yours ; DROP RULE over ON information_schema.sql_parts
CREATE TABLE heir_of_parts () INHERITS (information_schema.sql_parts)
ALTER TABLE heir_of_parts RENAME TO heiress ; DROP TABLE heiress
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'
CREATE TRIGGER seen BEFORE INSERT ON information_schema.sql_parts EXECUTE FUNCTION noted()
ALTER FUNCTION noted() RENAME TO written ; DROP TRIGGER seen ON information_schema.sql_parts
CREATE INDEX odd ON information_schema.sql_parts (upper(feature_id)) ; DROP INDEX information_schema.odd
CREATE OR REPLACE VIEW information_schema.sql_more AS SELECT yours() AS a
ALTER FUNCTION yours() RENAME TO ours
CREATE OR REPLACE FUNCTION information_schema._pg_truetypid(pg_attribute, pg_type) RETURNS oid LANGUAGE sql
  IMMUTABLE RETURN (ours())::oid
ALTER FUNCTION ours() RENAME TO theirs
"""


async def test_whatever_changes_what_initdb_made_is_seen(connection):
    reading = await reread(connection, None)
    for change in BUILT_IN_CHANGES.replace("\n  ", " ").replace("\n", " ; ").split(" ; "):
        if not change.strip():
            continue
        await connection.execute(change)
        after = await reread(connection, reading)
        assert after is not reading, change
        assert after.snapshot == await introspect(connection), change
        reading = after


async def test_what_initdb_made_is_read_once(connection):
    first = await reread(connection, None)
    seen = []
    with connection.query_logger(lambda query: seen.append(query.query)):
        await connection.execute("CREATE TABLE one_more (a int PRIMARY KEY)")
        second = await reread(connection, first)
    assert len([query for query in seen if "pg_get_function_result" in query]) == 1
    old = {id(thing) for thing in (*first.snapshot.relations, *first.snapshot.functions)}
    new = [t for t in (*second.snapshot.relations, *second.snapshot.functions) if id(t) not in old]
    assert 0 < len(new) < 200
    # the digest that goes on from what is known is the whole one
    assert second.snapshot.version == digest(second.snapshot)


async def test_looking_for_changes_costs_little(connection):
    reading = await reread(connection, None)
    began = time.perf_counter()
    await introspect(connection)
    read = time.perf_counter() - began
    began = time.perf_counter()
    assert await reread(connection, reading) is reading
    assert time.perf_counter() - began < read


async def test_every_catalog_that_is_read_counts(connection):
    texts = [text for name, text in vars(introspect_sql).items() if name.isupper() and isinstance(text, str)]
    texts.append(introspect_sql.functions(180000))
    relations = await connection.fetch(
        "SELECT relname FROM pg_class"
        " WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')"
    )
    named = {r["relname"] for r in relations if any(f"pg_catalog.{r['relname']} " in text for text in texts)}
    assert named - {"pg_roles"} <= set(introspect_mark.CATALOGS)
    assert "pg_class" in named
