"""The app's home and `/firewall`: everything pending, for approvers alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from firewall.approval import State
from firewall.channels.card import DENY, REVIEW
from firewall.channels.review import REASON
from firewall.channels.slack_home import MAX_SHOWN
from firewall.errors import StoreError
from tests.slack_emulator import words
from tests.slack_emulator.blocks import MAX_BLOCKS_JSON, problems, size

from .conftest import make_hold

if TYPE_CHECKING:
    from .conftest import House


async def test_the_home_shows_everything_pending_and_is_painted_anew(house: House) -> None:
    async with house.channel():
        assert "Nothing waits" in (await house.slack.open_home("U0DORA")).words
        hold, _ = await house.held(sql="DELETE FROM orders WHERE id = 1")
        home = await _home_with(house, "1 statement waits", "DELETE FROM orders WHERE id = 1", hold.id)
        await house.slack.click(home, REVIEW, user="U0DORA")
        view = await house.slack.wait_view()
        await house.slack.submit(view, user="U0DORA")
        await house.card(hold, "Approved by dora")
        await _home_with(house, "Nothing waits")


async def test_a_denial_at_home_is_told_in_the_apps_own_conversation(house: House) -> None:
    async with house.channel():
        hold, _ = await house.held(requesters=frozenset({"olga"}))
        home = await house.slack.open_home("U0OLGA")
        await house.slack.click(home, DENY, user="U0OLGA")
        told = await house.slack.wait_message(lambda m: m.channel == "U0OLGA")
        assert "you asked for this yourself" in told.words
        home = await house.slack.open_home("U0DIRK")
        await house.slack.click(home, DENY, user="U0DIRK")
        await house.slack.submit(await house.slack.wait_view(), {REASON: "no"}, user="U0DIRK")
        await house.card(hold, "Denied by dirk")


@pytest.mark.parametrize(("user", "team"), [("U0EVE", None), ("U0DORA", "T0OTHER")])
async def test_strangers_see_nothing(house: House, user: str, team: str | None) -> None:
    async with house.channel():
        hold, _ = await house.held(sql="DELETE FROM secrets")
        home = await house.slack.open_home(user, team=team)
        assert "not an approver" in home.words
        for text in ("", "pending", f"show {hold.id}", "help"):
            answer = await house.slack.command(text, user=user, team=team)
            assert "not an approver" in str(answer.payload)
            assert "secrets" not in str(answer.payload)
        answer = await house.slack.command(f"deny {hold.id} for fun", user=user, team=team)
        assert "not counted" in str(answer.payload)
        assert await house.state(hold) is State.PENDING
        (vote,) = await house.votes()
        assert (vote.person, vote.counted) == (f"slack:{team or 'T0HOME'}/{user}", False)
        assert not house.slack.views


async def test_many_holds_fit_and_those_left_out_are_counted(house: House) -> None:
    sql = "\u202e`*<!here>" * 40
    async with house.channel():
        for number in range(MAX_SHOWN + 5):
            await house.desk.open(make_hold(agent=f"a{number}", sql=sql, environment="*bold*"))
        home = await house.slack.open_home("U0DORA")
        assert "5 more" in home.words
        assert "⟨U+202E⟩`*<!here>" in home.words
        answer = (await house.slack.command("pending", user="U0DORA")).payload
        assert answer["response_type"] == "ephemeral"
        assert problems(answer["blocks"]) == []
        assert size(answer["blocks"]) <= MAX_BLOCKS_JSON
        assert "more: see the app's home" in words(answer["blocks"])


async def test_a_hold_is_shown_and_denied_by_typing(house: House) -> None:
    async with house.channel():
        hold, _ = await house.held()
        assert (await house.slack.command(f"show {hold.id}", user="U0DORA")).payload == {}
        view = await house.slack.wait_view()
        assert "DELETE FROM orders" in view.words
        assert "say why" in str((await house.slack.command(f"deny {hold.id}", user="U0DORA")).payload)
        answer = await house.slack.command(f"deny {hold.id} use the soft delete", user="U0DORA")
        assert "is denied" in str(answer.payload)
        await house.card(hold, "Denied by dora", "use the soft delete")
        again = await house.slack.command(f"show {hold.id}", user="U0DORA")
        assert "is denied" in str(again.payload)
        # the dialog that was open all along
        await house.slack.submit(view, user="U0DORA")
        assert "already rejected" in (await house.slack.wait_ephemeral())["text"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("help", "/firewall pending"),
        ("approve h-1", "/firewall pending"),
        ("show", "/firewall pending"),
        ("show h-NONE", "there is no hold"),
        ("deny h-NONE because", "there is no hold"),
        ("show <!channel>\u202e", "⟨U+202E⟩"),
        ("\u200b", "/firewall pending"),
    ],
)
async def test_what_cannot_be_done_is_said(house: House, text: str, said: str) -> None:
    async with house.channel():
        assert said in words((await house.slack.command(text, user="U0DORA")).payload["blocks"])


async def test_a_store_that_fails_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house.channel():
        await house.held()

        async def broken(*_: object, **__: object) -> None:
            raise StoreError("the store is full")

        monkeypatch.setattr(house.store, "holds", broken)
        assert "cannot read" in str((await house.slack.command("pending", user="U0DORA")).payload)
        assert "cannot read" in (await house.slack.open_home("U0DORA")).words


async def test_who_clicks_where_the_app_may_not_speak_is_told_in_its_own_conversation(house: House) -> None:
    async with house.channel():
        _, posted = await house.held()
        house.slack.absent.add(posted.channel)
        await house.slack.click(posted, DENY, user="U0EVE")
        told = await house.slack.wait_message(lambda m: m.channel == "U0EVE")
        assert "not an approver" in told.words


async def _home_with(house: House, *said: str) -> object:
    """Dora's home once it shows all this."""
    async with asyncio.timeout(15):
        while True:
            view = house.slack.homes["U0DORA"]
            if all(word in view.words for word in said):
                return view
            await house.slack.wait_home("U0DORA", after=view.updates)
