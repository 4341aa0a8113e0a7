"""A firewall of this room's own: TLS and plain on one port, real Postgres behind it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import psycopg
import pytest
import pytest_asyncio
import uvloop

from tests.e2e.house import House, open_house, prepare
from tests.proxy.certificates import Certificates, certificates

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Mapping

    from firewall.demo.postgres import EmbeddedPostgres


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop that `firewall serve` runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def shop(postgres: EmbeddedPostgres) -> str:
    """The name of a database with the demo shop in it."""
    name = f"shop_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    prepare(postgres, name)
    return name


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The firewall's own certificate."""
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(
    postgres: EmbeddedPostgres, shop: str, made: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """The one firewall of this room's tests that do not break it."""
    tls = {"certificate": made.certificate, "key": made.key}
    folder = tmp_path_factory.mktemp("house")
    async with open_house(
        postgres, shop, folder, listen={"port": 0, "tls": tls}, login_timeout=2, max_connections=20
    ) as opened:
        yield opened
