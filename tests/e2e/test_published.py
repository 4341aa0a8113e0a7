"""What a running firewall keeps of values, notes of traces, and publishes of its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from house import open_house

from firewall import publishing

if TYPE_CHECKING:
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PHONE = "0555-1234"


async def test_a_log_without_values_is_published_and_compared(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    place = tmp_path / "checkpoints"
    changes = {
        "records": {"keep": "redacted", "retention": 30},
        "checkpoints": {"every": 3600, "files": [str(place), str(tmp_path / "absent" / "file")]},
    }
    async with (
        open_house(postgres, shop, tmp_path, **changes) as house,
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection,
    ):
        sql = f"SELECT name FROM products WHERE name = '{PHONE}' /*traceparent='{TRACE}'*/"
        await connection.execute(sql)
        await connection.execute("SELECT name FROM products WHERE name = %s", [PHONE])
        judged = [r for r in await house.records("judgement") if r["relations"]]
        assert [r["trace"] for r in judged] == [TRACE, ""]
        assert judged[0]["sql"] == "SELECT name FROM products WHERE name = $1 "
        assert PHONE not in str(await house.records())
        publisher = house.app.publisher
        assert publisher is not None
        await publisher.step(1e12)
        notes = await publishing.read(str(place))
        found = await house.app.store.verify([house.app.key.public], published=notes)
        assert found.sound
        # the place that fails is shown, and harms nothing
        places = (await house.app.health.status()).places
        assert [(one.place, bool(one.failing)) for one in places] == [
            (str(place), False),
            (str(tmp_path / "absent" / "file"), True),
        ]
        (record, *_) = reversed(await house.records("checkpoint"))
        assert f"\n{record['size']}\n" in notes[-1]
