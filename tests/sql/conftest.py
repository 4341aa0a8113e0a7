"""The shop's catalog for every test of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sql.shop import SHOP

if TYPE_CHECKING:
    from firewall.catalog.snapshot import Snapshot


@pytest.fixture(scope="session")
def shop() -> Snapshot:
    return SHOP
