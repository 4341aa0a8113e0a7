"""What was approved is what runs: whatever changes in between voids the approval, and nothing else does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
from house import DBA, House, open_house, prepare

from firewall.approval import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres

DELETE = "DELETE FROM order_items WHERE order_id = 1 AND quantity > 1000"


@pytest.fixture
async def own(postgres: EmbeddedPostgres, database: str, tmp_path: Path) -> AsyncIterator[House]:
    """A house whose database may be changed."""
    prepare(postgres, database)
    async with open_house(postgres, database, tmp_path) as house:
        yield house


def change(house: House, text: str) -> None:
    """By somebody else, past the firewall."""
    with psycopg.connect(house.postgres.dsn(house.database), autocommit=True) as admin:
        admin.execute(text)


async def approve(house: House, hold_id: str) -> None:
    await house.app.desk.vote(hold_id, DBA, approve=True, reason="", channel="cli")


async def test_ddl_elsewhere_voids_no_approval(own: House) -> None:
    async with await psycopg.AsyncConnection.connect(own.dsn(), autocommit=True) as connection:
        asked = asyncio.create_task(connection.execute(DELETE))
        hold = await own.next_hold()
        change(own, "CREATE TABLE elsewhere (a int); CREATE FUNCTION one() RETURNS int RETURN 1")
        before = own.app.gates["shop"].snapshot.version
        await own.app.gates["shop"].refresh()
        assert own.app.gates["shop"].snapshot.version != before
        await approve(own, hold.id)
        assert (await asked).statusmessage == "DELETE 0"
    assert (await own.app.desk.hold(hold.id)).state is State.CONSUMED


async def test_ddl_on_what_it_touches_opens_a_new_hold_that_says_why(own: House) -> None:
    """Also where nobody has told the firewall of it yet."""
    async with await psycopg.AsyncConnection.connect(own.dsn(), autocommit=True) as connection:
        asked = asyncio.create_task(connection.execute(DELETE))
        hold = await own.next_hold()
        change(own, "ALTER TABLE order_items ADD COLUMN gift boolean")
        await approve(own, hold.id)
        again = await own.next_hold()
        why = f"the approval of hold {hold.id} is void: the catalog changed in what it touches"
        assert again.reasons[0] == why
        assert (await own.app.desk.hold(hold.id)).state is State.LAPSED
        await approve(own, again.id)
        assert (await asked).statusmessage == "DELETE 0"


async def test_a_trigger_that_appears_in_between_is_shown_before_it_can_fire(own: House) -> None:
    body = "BEGIN DELETE FROM payments; RETURN OLD; END"
    async with await psycopg.AsyncConnection.connect(own.dsn(), autocommit=True) as connection:
        asked = asyncio.create_task(connection.execute("DELETE FROM order_items WHERE order_id = 1"))
        hold = await own.next_hold()
        change(
            own,
            f"CREATE FUNCTION sweep() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$;"
            "CREATE TRIGGER sweep BEFORE DELETE ON order_items FOR EACH ROW EXECUTE FUNCTION sweep()",
        )
        await approve(own, hold.id)
        again = await own.next_hold()
        assert any("payments" in effect for effect in again.effects)
        assert not any("payments" in effect for effect in hold.effects)
        await own.app.desk.vote(again.id, DBA, approve=False, reason="no", channel="cli")
        with pytest.raises(psycopg.Error, match="no"):
            await asked
    assert own.count("payments") > 0


async def test_a_table_that_is_gone_is_not_asked_for_again(own: House) -> None:
    async with await psycopg.AsyncConnection.connect(own.dsn(), autocommit=True) as connection:
        asked = asyncio.create_task(connection.execute(DELETE))
        hold = await own.next_hold()
        change(own, "DROP TABLE order_items CASCADE")
        await approve(own, hold.id)
        with pytest.raises(psycopg.Error) as raised:
            await asked
        assert raised.value.sqlstate == "QF003"
        with pytest.raises(psycopg.errors.UndefinedTable):
            await connection.execute(DELETE)
