"""From a DSN to Slack and back: a statement is held, decided by a click, and runs or does not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
import pytest_asyncio
from house import House, open_house

from firewall.channels.review import REASON
from firewall.channels.slack_clicks import APPROVE, DENY
from tests.slack_emulator import SlackEmulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

# the Slack accounts of production.yaml's example people
DBA, SECURITY = "U0000EXAMPLE1", "U0000EXAMPLE3"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def slack() -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator() as emulator:
        yield emulator


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def slack_house(
    slack: SlackEmulator, postgres: EmbeddedPostgres, shop: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """A firewall whose cards go to the emulated Slack."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLACK_BOT_TOKEN", slack.bot_token)
        patch.setenv("SLACK_APP_TOKEN", slack.app_token)
        patch.setenv("SLACK_API_URL", slack.base_url)
        folder = tmp_path_factory.mktemp("slack-house")
        async with open_house(postgres, shop, folder, slack={"channel": slack.channel}) as house:
            await slack.wait_connected()
            yield house


async def test_a_click_on_approve_lets_the_statement_run(slack_house: House, slack: SlackEmulator) -> None:
    async with await psycopg.AsyncConnection.connect(slack_house.dsn(), autocommit=True) as connection:
        query = "SELECT card_number FROM payments WHERE amount > %s ORDER BY id LIMIT 2"
        asking = asyncio.create_task(connection.execute(query, [100]))
        card = await slack.wait_message(lambda m: "card_number" in m.words and bool(m.buttons))
        for wanted in (
            "shopper",
            "ola@example.com",
            "shop",
            "pci.pan",
            "needs the security team's word",
            "100",
        ):
            assert wanted in card.words, wanted
        await slack.click(card, APPROVE, user=SECURITY)
        assert len(await (await asking).fetchall()) == 2
        decided = await slack.wait_message(
            lambda m: m.ts == card.ts and not m.buttons and "first.security@example.com" in m.words
        )
        outcome = await slack.wait_message(lambda m: m.thread_ts == decided.ts)
        assert "SELECT 2" in outcome.words


async def test_a_denial_with_a_reason_reaches_the_agent(slack_house: House, slack: SlackEmulator) -> None:
    async with await psycopg.AsyncConnection.connect(slack_house.dsn(), autocommit=True) as connection:
        asking = asyncio.create_task(connection.execute("DELETE FROM employees WHERE title = 'clerk'"))
        card = await slack.wait_message(lambda m: "DELETE FROM employees" in m.words and bool(m.buttons))
        await slack.click(card, DENY, user=DBA)
        view = await slack.wait_view()
        await slack.submit(view, {REASON: "clerks stay"}, user=DBA)
        with pytest.raises(psycopg.Error, match="clerks stay"):
            await asking
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_a_stranger_releases_nothing(slack_house: House, slack: SlackEmulator) -> None:
    before = slack_house.count("employees")
    async with await psycopg.AsyncConnection.connect(slack_house.dsn(), autocommit=True) as connection:
        asking = asyncio.create_task(connection.execute("DELETE FROM employees WHERE id = 1"))
        card = await slack.wait_message(lambda m: "WHERE id = 1" in m.words and bool(m.buttons))
        await slack.click(card, APPROVE, user="U0STRANGER")
        told = await slack.wait_ephemeral(lambda e: e["user"] == "U0STRANGER")
        assert "not an approver" in told["text"]
        assert not asking.done()
        await slack.click(card, DENY, user=DBA)
        view = await slack.wait_view(lambda v: v.user == DBA)
        await slack.submit(view, {REASON: "no"}, user=DBA)
        with pytest.raises(psycopg.Error):
            await asking
    assert slack_house.count("employees") == before
