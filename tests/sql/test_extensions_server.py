"""Extensions on a real server: what only computes flows, what reaches out does not."""

from __future__ import annotations

import psycopg
import pytest

from firewall.policy import Action, Subject
from tests.sql.judge import Judge

EXTENSIONS = (
    *("citext", "pg_trgm", "hstore", "ltree", "unaccent", "cube", "intarray", "btree_gist", "fuzzystrmatch"),
    *(
        "tablefunc",
        "dblink",
        "postgres_fdw",
        "pageinspect",
        "pgstattuple",
        "pg_prewarm",
        "lo",
        "isn",
        "vector",
    ),
    *("pgrowlocks", "pg_buffercache", "amcheck", "pg_surgery", "pg_walinspect", "pg_visibility"),
)
SCHEMA = """
CREATE TABLE places (name citext, tags hstore, path ltree, spot cube, codes int[], feel vector(3), isbn isbn);
CREATE INDEX ON places USING gin (name gin_trgm_ops);
CREATE INDEX ON places USING gist (path);
CREATE INDEX ON places USING hnsw (feel vector_l2_ops);
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE far_places (name text) SERVER far;
CREATE TABLE files (raster lo);
CREATE TRIGGER t BEFORE UPDATE OR DELETE ON files FOR EACH ROW EXECUTE FUNCTION lo_manage(raster);
"""
HARMLESS = [
    "SELECT name, count(*) FROM places WHERE name = 'Graz' GROUP BY name ORDER BY name",
    "SELECT name, similarity(name, 'x') FROM places WHERE name % 'graz' ORDER BY name <-> 'graz' LIMIT 3",
    "SELECT unaccent(name), levenshtein(name, 'x'), soundex(name) FROM places",
    "SELECT tags -> 'a', each(tags), tags || 'a=>1'::hstore, tags ? 'a' FROM places",
    "SELECT path, nlevel(path) FROM places WHERE path ~ '*.a' OR path @> 'a.b'::ltree",
    "SELECT cube_distance(spot, '(1,2)'::cube), codes & ARRAY[1], sort(codes) FROM places",
    "SELECT name FROM places ORDER BY feel <-> '[1,2,3]' LIMIT 5",
    "SELECT isbn, isbn::ean13 FROM places",
    "SELECT distinct name, tags, path FROM places",
    "SELECT avg(feel), sum(feel) FROM places",
    "SELECT * FROM normal_rand(10, 5, 3)",
]
REACHING = [
    "SELECT * FROM dblink('dbname=x', 'SELECT 1') AS t (a int)",
    "SELECT dblink_connect('host=evil')",
    "SELECT postgres_fdw_disconnect_all()",
    "SELECT name FROM far_places",
    "SELECT get_raw_page('places', 0)",
    "SELECT * FROM heap_page_items(get_raw_page('places', 0))",
    "SELECT * FROM pgstattuple('places')",
    "SELECT pg_prewarm('places')",
    "SELECT * FROM pgrowlocks('places')",
    "SELECT pg_buffercache_evict(1)",
    "SELECT bt_index_check('places_name_idx')",
    "SELECT heap_force_kill('places', ARRAY['(0,1)']::tid[])",
    "SELECT * FROM pg_get_wal_records_info('0/1', '0/2')",
    "SELECT pg_truncate_visibility_map('places')",
    "SELECT * FROM crosstab('SELECT 1')",
    "SELECT * FROM connectby('places', 'name', 'name', 'a', 0)",
    "DELETE FROM files",
]


@pytest.fixture(scope="module")
def judge(postgres):
    name = "extensions"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(postgres.dsn(name), autocommit=True) as furnisher:
            for extension in EXTENSIONS:
                furnisher.execute(f"CREATE EXTENSION {extension}")
            furnisher.execute(SCHEMA)
        yield Judge(postgres.dsn(name), Subject(agent="shopper", owner="ola@example.com", database="x"))
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("sql", HARMLESS)
def test_what_only_computes_flows(judge, sql):
    judgement = judge(sql)
    assert judgement.verdict.action is Action.ALLOW, judgement.effects


@pytest.mark.parametrize("sql", REACHING)
def test_what_reaches_out_does_not(judge, sql):
    assert judge(sql).verdict.action in {Action.HOLD, Action.DENY}
