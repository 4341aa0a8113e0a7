"""Approving for a while, through the real slack-bolt against the emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from firewall.approval import State
from firewall.channels.card import APPROVE, DENY, WHILE
from firewall.channels.granting import FOR, GRANTED, ROWS, USES, lasting
from firewall.policy import Terms

if TYPE_CHECKING:
    from .conftest import House

TERMS = Terms(8 * 3600, 50, 1000)
SHAPE = "DELETE FROM orders WHERE id = $1"


async def test_an_approval_for_a_while_is_a_vote_with_terms(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held(grants=TERMS, shape=SHAPE)
        assert {APPROVE, WHILE, DENY} == posted.buttons.keys()
        await house.slack.click(posted, WHILE, user="U0DORA")
        view = await house.slack.wait_view(lambda v: v.content["callback_id"] == GRANTED)
        assert "at most 8h" in view.words
        assert await house.state(hold) is State.PENDING
        answer = await house.slack.submit(view, {FOR: "1h30m", USES: "5", ROWS: "20"}, user="U0DORA")
        assert not answer.payload
        await house.card(hold, "Approved by dora")
        found = await house.store.hold(hold.id)
        assert found is not None
        assert found.votes[0].terms == Terms(5400, 5, 20)
        assert found.votes[0].opened


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({FOR: "9h", USES: "5", ROWS: "20"}, FOR),
        ({FOR: "for ever", USES: "5", ROWS: "20"}, FOR),
        ({FOR: "1h", USES: "51", ROWS: "20"}, USES),
        ({FOR: "1h", USES: "0", ROWS: "20"}, USES),
        ({FOR: "1h", USES: "\u0665", ROWS: "20"}, USES),
        ({FOR: "1h", USES: "5", ROWS: "1001"}, ROWS),
        ({FOR: "1h", USES: "5", ROWS: "-1"}, ROWS),
    ],
)
async def test_no_more_is_granted_than_the_policy_lets(
    house: House, values: dict[str, str], field: str
) -> None:
    async with house.channel():
        hold, posted = await house.held(grants=TERMS, shape=SHAPE)
        await house.slack.click(posted, WHILE, user="U0DORA")
        view = await house.slack.wait_view(lambda v: v.content["callback_id"] == GRANTED)
        refused = await house.slack.submit(view, values, user="U0DORA")
        assert refused.payload["response_action"] == "errors"
        assert refused.payload["errors"].keys() == {field}
        assert await house.state(hold) is State.PENDING


async def test_what_may_not_be_granted_has_no_such_button_and_no_such_click(house: House) -> None:
    async with house.channel():
        other, plain = await house.held()
        assert WHILE not in plain.buttons
        _, posted = await house.held(id="h-2", agent="another", grants=TERMS, shape=SHAPE)
        await house.slack.click(posted, WHILE, user="U0DORA", value=f"{other.id} {other.digest}")
        told = await house.slack.wait_ephemeral()
        assert "for one run only" in told["text"]
        assert await house.state(other) is State.PENDING


async def test_the_owner_cannot_open_it(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held(grants=TERMS, shape=SHAPE)
        await house.slack.click(posted, WHILE, user="U0OLGA")
        assert "you asked for this yourself" in (await house.slack.wait_ephemeral())["text"]
        (vote,) = await house.votes()
        assert not vote.counted
        assert await house.state(hold) is State.PENDING


def test_times_are_said_as_policies_write_them() -> None:
    assert [lasting(span) for span in (1, 90, 3600, 5400, 86_400 * 7)] == ["1s", "1m30s", "1h", "1h30m", "7d"]
