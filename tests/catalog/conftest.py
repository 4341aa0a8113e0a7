"""A database with one of each thing that a catalog can hold."""

from __future__ import annotations

import asyncpg
import psycopg
import pytest

from firewall.catalog.introspect import introspect

SCHEMA = """
CREATE ROLE {role};
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL DEFAULT 'nobody', gone int,
                     loud text GENERATED ALWAYS AS (upper(name)) STORED);
ALTER TABLE people DROP COLUMN gone;
COMMENT ON TABLE people IS 'who';
COMMENT ON COLUMN people.name IS 'pii.name';
INSERT INTO people (id) SELECT generate_series(1, 50);
ANALYZE people;
CREATE TABLE cards (number text, owner int REFERENCES people ON DELETE CASCADE ON UPDATE SET NULL);
CREATE TABLE "Odd Name" (";" int);
CREATE VIEW named AS SELECT id, name FROM people WHERE id > 0;
CREATE MATERIALIZED VIEW kept AS SELECT count(*) AS n FROM named;
CREATE TABLE events (at date, what text) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE base (a int);
CREATE TABLE heir (b int) INHERITS (base);
CREATE SEQUENCE counter;
CREATE TYPE pair AS (x int, y text);
CREATE SCHEMA tools;
CREATE FUNCTION tools.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER noted BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION tools.note();
CREATE TRIGGER noted AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION tools.note();
CREATE RULE silent AS ON DELETE TO cards DO INSTEAD NOTHING;
CREATE FUNCTION tools.twice(n int, times int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE
    RETURN n * times;
CREATE FUNCTION tools.known(OUT id int, OUT name text) RETURNS SETOF record LANGUAGE sql STABLE
    SECURITY DEFINER AS 'SELECT id, name FROM people';
CREATE FUNCTION tools.any_of(VARIADIC text[]) RETURNS text LANGUAGE sql AS 'SELECT $1[1]';
CREATE PROCEDURE tools.tidy() LANGUAGE sql AS 'DELETE FROM cards';
CREATE AGGREGATE tools.total(int) (sfunc = int4pl, stype = int);
CREATE FUNCTION tools.same(pair, pair) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR tools.=== (leftarg = pair, rightarg = pair, function = tools.same);
CREATE FUNCTION tools.as_text(pair) RETURNS text LANGUAGE sql AS 'SELECT ($1).y';
CREATE CAST (pair AS text) WITH FUNCTION tools.as_text(pair);
CREATE FUNCTION tools.fine(text) RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = tools, pg_temp
    AS 'SELECT true';
CREATE TYPE mood AS ENUM ('well', 'ill');
CREATE DOMAIN "Odd Domain" AS text CHECK (tools.fine(VALUE)) CHECK (length(VALUE) < 9);
CREATE DOMAIN tools.odder AS "Odd Domain";
CREATE TYPE span AS RANGE (subtype = int);
CREATE FUNCTION tools.mean(mood, "Odd Domain"[], int) RETURNS int LANGUAGE sql RETURN 1;
CREATE TABLE guarded (id int PRIMARY KEY CHECK (id > 0), word text, feeling mood);
CREATE INDEX guarded_word ON guarded (tools.fine(word)) WHERE id > 3;
CREATE INDEX guarded_plain ON guarded (word);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON guarded USING (tools.fine(word)) WITH CHECK (id > 1);
CREATE POLICY asleep ON people USING (true);
CREATE TABLE parted (a text) PARTITION BY LIST (tools.fine(a));
CREATE FUNCTION tools.less(pair, pair) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION tools.compare(pair, pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 0';
CREATE OPERATOR tools.<<< (leftarg = pair, rightarg = pair, function = tools.less);
CREATE OPERATOR CLASS tools.pairs DEFAULT FOR TYPE pair USING btree AS
    OPERATOR 1 tools.<<<, FUNCTION 1 tools.compare(pair, pair);
CREATE STATISTICS guarded_lengths ON length(word), id FROM guarded;
ALTER ROLE {role} SET tools.api_key = 'x';
CREATE FUNCTION tools.notice_drop() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE EVENT TRIGGER noticed ON sql_drop WHEN TAG IN ('DROP TABLE', 'DROP VIEW')
    EXECUTE FUNCTION tools.notice_drop();
CREATE EVENT TRIGGER asleep ON ddl_command_end EXECUTE FUNCTION tools.notice_drop();
ALTER EVENT TRIGGER asleep DISABLE;
CREATE EXTENSION file_fdw SCHEMA tools;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE far (line text) SERVER files OPTIONS (filename '/nowhere');
CREATE POLICY theirs ON guarded FOR SELECT TO {role}, pg_monitor USING (id > 2);
GRANT pg_monitor TO {role};
"""


@pytest.fixture
def furnished(postgres, database):
    """The name of a database with the schema above, and of a role made for it."""
    role = f"role_{database}"
    with psycopg.connect(postgres.dsn(database), autocommit=True) as admin:
        admin.execute(SCHEMA.format(role=role))
        yield database, role
        admin.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.fixture
async def connection(postgres, furnished):
    opened = await asyncpg.connect(postgres.dsn(furnished[0]))
    yield opened
    await opened.close()


@pytest.fixture
async def snapshot(connection):
    return await introspect(connection)
