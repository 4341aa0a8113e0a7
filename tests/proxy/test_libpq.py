"""What libpq can be asked for when it connects: versions, ways into TLS, what it insists on.

psycopg's wheel has a libpq with TLS, the server's wheel a psql without. Client certificates, which are asked
for in direct TLS too: `test_certified.py`.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import psycopg
import pytest

from firewall.demo.postgres import binaries
from tests.proxy.certificates import certificates

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.house import House
    from tests.proxy.certificates import Certificates

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEBIAN_PSQL = shutil.which("psql", path="/usr/bin")


async def _connect(house: House, **options: object) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(
        autocommit=True,
        **{
            "host": "localhost",
            "hostaddr": "127.0.0.1",
            "port": str(house.app.port),
            "dbname": "shop",
            "user": house.agent,
            "password": house.token,
            **{name: str(value) for name, value in options.items()},
        },
    )


@pytest.mark.parametrize("version", ["3.0", "3.2", "latest"])
@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
async def test_it_gets_what_it_insists_on(
    house: House, made: Certificates, version: str, negotiation: str, binding: str
) -> None:
    assert psycopg.pq.version() >= 180000
    async with await _connect(
        house,
        sslmode="verify-full",
        sslrootcert=made.authority,
        sslnegotiation=negotiation,
        channel_binding=binding,
        min_protocol_version=version,
        max_protocol_version=version,
        require_auth="scram-sha-256",
    ) as connection:
        assert connection.pgconn.ssl_in_use
        assert (await (await connection.execute("SELECT 7")).fetchone()) == (7,)
        # which encrypts it like the connection that it cancels
        await connection.cancel_safe()
        assert (await (await connection.execute("SELECT 8")).fetchone()) == (8,)


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
async def test_it_is_not_fooled_by_another_certificate(
    house: House, made: Certificates, tmp_path: Path, negotiation: str
) -> None:
    foreign = certificates(tmp_path).authority
    more = {"sslmode": "verify-full", "sslnegotiation": negotiation}
    with pytest.raises(psycopg.OperationalError, match="SSL error"):
        await _connect(house, sslrootcert=foreign, **more)
    with pytest.raises(psycopg.OperationalError, match='does not match host name "127\\.0\\.0\\.1"'):
        await _connect(house, sslrootcert=made.authority, host="127.0.0.1", **more)


async def _psql(program: object, house: House, settings: str, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(str(program), "-X", "-A", "-t", f"{house.dsn()}?{settings}", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.mark.parametrize(("asked", "spoken"), [("3.0", "3.0"), ("3.2", "3.2"), ("latest", "3.2")])
async def test_psql_18_says_which_version_is_spoken(house: House, asked: str, spoken: str) -> None:
    settings = f"min_protocol_version={asked}&max_protocol_version={asked}"
    code, out = await _psql(binaries() / "psql", house, settings, "-c", r"\conninfo")
    assert code == 0, out
    assert f"Protocol Version|{spoken}" in out


@pytest.mark.skipif(DEBIAN_PSQL is None, reason="no /usr/bin/psql: apt-get install postgresql-client")
@pytest.mark.parametrize("binding", ["prefer", "require"])
async def test_an_older_psql_speaks_tls(house: House, made: Certificates, binding: str) -> None:
    settings = f"sslmode=verify-ca&sslrootcert={made.authority}&channel_binding={binding}"
    code, out = await _psql(DEBIAN_PSQL, house, settings, "-c", r"\conninfo", "-c", "SELECT 7")
    assert code == 0, out
    assert "SSL connection" in out
    assert out.endswith("7\n")


async def test_settings_come_by_options_and_the_rest_is_refused_by_name(house: House) -> None:
    async with await _connect(house, options="-c statement_timeout=9s --lock-timeout=3s") as connection:
        row = await connection.execute(
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
        )
        assert await row.fetchone() == ("9s", "3s")
    with pytest.raises(psycopg.OperationalError, match="`session_replication_role` may not be set"):
        await _connect(house, options="-c session_replication_role=replica")
