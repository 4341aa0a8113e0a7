"""What every test may ask for: a real Postgres (the wheel's), started once, and a fresh database."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import hypothesis
import psycopg
import pytest

from firewall.demo.postgres import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator

hypothesis.settings.register_profile("ci", deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


# begun last, everybody would wait for them; a file's tests stay in one process and in their order
LONGEST = (
    *("tests/test_compiled.py", "tests/cli/test_serve.py", "tests/policy/test_properties.py"),
    *("tests/benchmarks/test_quick.py", "tests/soak/test_short.py", "tests/cli/test_explain.py"),
    *("tests/conformance/test_short.py", "tests/channels/test_card.py", "tests/catalog/test_introspect.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONGEST)))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running cluster; `postgres.dsn(database)` connects as its superuser."""
    server = EmbeddedPostgres(
        tmp_path_factory.mktemp("postgres"),
        # nor does it change row estimates between two readings of a catalog
        settings={"fsync": "off", "synchronous_commit": "off", "max_connections": "200", "autovacuum": "off"},
    )
    with server:
        yield server


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The name of an empty database of this test's own."""
    name = f"t_{secrets.token_hex(5)}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
