"""One firewall for all end-to-end tests that do not break it; each test connects anew."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import pytest_asyncio
import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from house import House, open_house, prepare

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


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(
    postgres: EmbeddedPostgres, shop: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """A firewall with production.yaml before the shop."""
    async with open_house(postgres, shop, tmp_path_factory.mktemp("house")) as opened:
        yield opened
