"""Types that only the protocol names: a Parse gives its parameters' types by OID."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOMAIN = """
CREATE TABLE kept_words (what text); INSERT INTO kept_words VALUES ('kept');
CREATE FUNCTION forget(text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN DELETE FROM public.kept_words; RETURN true; END $$;
CREATE DOMAIN forgetting AS text CHECK (forget(VALUE));
"""


def _run(dsn: str, oid: int) -> str:
    with psycopg.connect(dsn, autocommit=True) as connection:
        result = connection.pgconn.exec_params(b"SELECT $1", [b"x"], param_types=[oid])
        return (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()


async def test_a_domain_by_its_number_is_held(house: House) -> None:
    with psycopg.connect(house.postgres.dsn(house.database), autocommit=True) as admin:
        admin.execute(DOMAIN)
        row = admin.execute("SELECT 'forgetting'::regtype::oid::int8").fetchone()
        assert row is not None
    try:
        running = asyncio.create_task(asyncio.to_thread(_run, house.dsn(), row[0]))
        hold = await house.decide(approve=False, reason="no")
        assert hold is not None
        assert await running
        assert house.count("kept_words") == 1
    finally:
        with psycopg.connect(house.postgres.dsn(house.database), autocommit=True) as admin:
            admin.execute("DROP DOMAIN forgetting; DROP FUNCTION forget; DROP TABLE kept_words")
