"""Samples from a real server: counts come back, values never, and nothing is changed or waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import psycopg

from firewall.catalog import sample as sampling
from firewall.catalog.introspect import introspect
from firewall.catalog.sample import sample

if TYPE_CHECKING:
    import pytest

    from firewall.demo.postgres import EmbeddedPostgres

TABLES = """
CREATE TABLE people (id bigint, e text, "odd ""col" varchar(40), born date, tags text[]);
INSERT INTO people SELECT n, 'p' || n || '@example.com', '+49 30 ' || (901820 + n), now(), '{}'
FROM generate_series(1, 300) AS n;
INSERT INTO people VALUES (1, NULL, '', NULL, NULL);
CREATE TABLE empty (e text);
CREATE TABLE big (e text);
INSERT INTO big SELECT 'b' || n || '@example.com' FROM generate_series(1, 60000) AS n;
ANALYZE big;
CREATE TABLE hidden (e text);
CREATE TABLE locked (e text);
CREATE VIEW v AS SELECT e FROM people;
"""


async def test_columns_are_counted(
    postgres: EmbeddedPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "LOCK_SECONDS", 0.1)
    notes: list[str] = []
    role = f"{database}_looker"
    with psycopg.connect(postgres.dsn(database), autocommit=True) as admin:
        admin.execute(TABLES)
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        admin.execute(f"GRANT SELECT ON people, empty, big, locked TO {role}")
        try:
            looker = await asyncpg.connect(postgres.dsn(database, user=role, password="x"))
            with psycopg.connect(postgres.dsn(database)) as other:
                other.execute("LOCK TABLE locked")
                found = await sample(looker, await introspect(looker), 100, notes.append)
            await looker.close()
        finally:
            admin.execute(f"DROP OWNED BY {role}")
            admin.execute(f"DROP ROLE {role}")
    assert found["public.people", "e"].values == 100
    assert found["public.people", "e"].fits["pii.email"] == 100
    assert found["public.people", 'odd "col'].fits["pii.phone"] > 90
    assert ("public.people", "born") not in found
    assert ("public.people", "tags") not in found
    assert found["public.empty", "e"].values == 0
    assert found["public.big", "e"].values == found["public.big", "e"].fits["pii.email"] == 100
    assert not any(relation == "public.v" for relation, _ in found)
    assert sorted(notes) == [
        "`public.hidden` was not sampled: the login may not read it",
        "`public.locked` was not sampled: somebody has locked it",
    ]
