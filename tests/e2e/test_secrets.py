"""INVARIANT 10: secrets reach no log, record, card, error or process title."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
from house import DBA, LOGIN_PASSWORD, open_house

from firewall import credentials
from firewall.errors import FirewallError

if TYPE_CHECKING:
    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_no_secret_is_anywhere_but_where_it_was_given(
    postgres: EmbeddedPostgres,
    shop: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    async with open_house(postgres, shop, tmp_path) as house:
        person = await credentials.add_person(house.app.store, DBA, issuer="operator")
        seed = house.app.key.encoded().split("+", 4)[4]  # base64 may hold a `+` itself
        secrets = {house.token, person, LOGIN_PASSWORD, seed}
        async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
            connection.add_notice_handler(lambda d: said.append(str(d.message_primary)))
            deciding = asyncio.create_task(house.decide(approve=False, reason="no"))
            for statement in ("SELECT 1", "SELEC", "GRANT ALL ON orders TO PUBLIC", "DELETE FROM orders"):
                try:
                    await connection.execute(statement)
                except psycopg.Error as error:
                    said.append(str(error))
            await deciding
        with pytest.raises(asyncpg.PostgresError) as wrong:
            await asyncpg.connect(house.dsn().replace(house.token, "qfa_guess"))
        said.append(str(wrong.value))
        with pytest.raises(FirewallError) as twice:
            await credentials.add_agent(house.app.store, house.agent, owner="x", issuer="y")
        said.append(str(twice.value))
        said.extend(str(record) for record in await house.records())
        said.extend(repr(part) for part in (house.app.settings, house.app.key, house.app.gates))
        said.append(Path("/proc/self/cmdline").read_text())
    said.extend((*capfd.readouterr(), caplog.text))
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("firewall.db*"))
    for secret in secrets:
        assert not any(secret in words for words in said)
        assert secret.encode() not in stored
    assert any("QF001" in words or "rejected" in words for words in said), "nothing was listened to"
