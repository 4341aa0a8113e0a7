"""Where holds are shown and when people are asked again: channels by rule, reminders, escalation."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from firewall import clock
from firewall.approval import Counted, State, Vote
from firewall.channels.card import APPROVE, card
from firewall.channels.cards import Posted
from tests.slack_emulator import Message

from .conftest import is_card, make_hold

if TYPE_CHECKING:
    from datetime import datetime

    from .conftest import House

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def channels(house: House) -> None:
    house.slack.channels |= {"C0LEADS": "leads", "C0MONEY": "money"}


async def test_a_hold_is_shown_where_its_rules_say(house: House) -> None:
    async with house.channel():
        hold, _ = await house.held(channels=("slack:C0MONEY", "slack:C0LEADS"))
        await house.slack.wait_message(lambda m: is_card(m, hold) and m.channel == "C0LEADS")
        assert {card.channel for card in house.cards_of(hold)} == {"C0MONEY", "C0LEADS"}
        posted = house.cards_of(hold)[0]
        await house.slack.click(posted, APPROVE, user="U0DORA")
        for channel in ("C0MONEY", "C0LEADS"):
            await house.slack.wait_message(
                lambda m, channel=channel: (
                    is_card(m, hold) and m.channel == channel and "Approved by dora" in m.words
                )
            )
        assert [vote.counted for vote in await house.votes()] == [True]


async def test_a_hold_for_another_platform_is_not_shown_here(house: House) -> None:
    async with house.channel():
        elsewhere = make_hold(channels=("teams:19:x@thread.tacv2",))
        await house.desk.open(elsewhere)
        await house.held()
        assert house.cards_of(elsewhere) == []


async def test_a_hold_of_another_firewall_is_shown_by_that_one(house: House) -> None:
    async with house.channel():
        other = make_hold(origin="log.other")
        await house.desk.open(other)
        await house.held(origin="log.test")
        assert house.cards_of(other) == []


async def test_those_who_may_decide_are_reminded_in_the_thread_once_each_time(house: House) -> None:
    # as if it had been waiting for two and a half reminders already
    opened = clock.now() - 25 * SECOND
    async with house.channel():
        hold, posted = await house.held(opened_at=opened, remind=10.0)
        reminder = await house.slack.wait_message(lambda m: m.thread_ts == posted.ts)
        assert "Still waiting" in reminder.words
        # olga asked for it, sam is in another group
        assert "<@U0DORA> <@U0DIRK>" in reminder.words
        assert "OLGA" not in reminder.words
        assert "SAM" not in reminder.words
        await house.slack.wait_message(lambda m: m.thread_ts == posted.ts and m.ts > reminder.ts)
        assert len(house.slack.thread(posted)) == 2
        await house.slack.click(posted, APPROVE, user="U0DORA")
        await house.card(hold, "Approved by dora")


async def test_a_lost_answer_does_not_double_a_reminder(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held(remind=0.4, quorum=2)
        house.slack.lose_answers("chat.postMessage")
        await house.slack.wait_message(lambda m: m.thread_ts == posted.ts)
        await house.slack.wait_message(
            lambda m: m.thread_ts == posted.ts and "reminder 2" in m.blocks[0]["block_id"]
        )
        blocks = [reply.blocks[0]["block_id"] for reply in house.slack.thread(posted)]
        assert len(blocks) == len(set(blocks))
        await house.desk.withdraw(hold.id, "enough")


async def test_nobody_is_reminded_of_what_is_decided(house: House) -> None:
    now = clock.now()
    hold = make_hold(
        opened_at=now - 25 * SECOND, remind=10.0, escalates_at=now - SECOND, escalate_groups=("support",)
    )
    await house.desk.open(hold)
    ts = house.slack.now()
    posted = Message(house.slack.channel, ts, house.slack.bot_user, "", card(hold, now=now).blocks)
    house.slack.messages[posted.channel, ts] = posted
    await house.cards.put(hold.id, Posted(posted.channel, ts).dump())
    await house.desk.vote(hold.id, "dora", approve=False, reason="no", channel="cli")
    async with house.channel():
        await house.card(hold, "Denied by dora")
        # cards are written one after the other, so once another is there this one's work is over
        await house.held()
        assert house.slack.thread(posted) == []


async def test_after_a_while_a_second_group_may_decide_in_its_own_channel(house: House) -> None:
    at = clock.now() + 0.5 * SECOND
    async with house.channel():
        hold, posted = await house.held(
            escalates_at=at, escalate_groups=("support",), escalate_channels=("slack:C0LEADS",)
        )
        await house.slack.click(posted, APPROVE, user="U0SAM")
        assert "in none of the groups" in (await house.slack.wait_ephemeral())["text"]
        there = await house.slack.wait_message(lambda m: is_card(m, hold) and m.channel == "C0LEADS")
        reply = await house.slack.wait_message(lambda m: m.thread_ts == posted.ts)
        assert "From now on support may decide, too" in reply.words
        assert "<@U0SAM>" in reply.words
        await house.slack.click(there, APPROVE, user="U0SAM")
        await house.card(hold, "Approved by sam")
        assert await house.state(hold) is State.APPROVED


async def test_an_escalation_while_the_channel_was_away_is_made_up_for(house: House) -> None:
    hold = make_hold(
        opened_at=clock.now() - 60 * SECOND,
        escalates_at=clock.now() - 30 * SECOND,
        escalate_groups=("support",),
        escalate_channels=("slack:C0LEADS",),
    )
    await house.desk.open(hold)
    for _ in range(2):
        async with house.channel():
            await house.slack.wait_message(lambda m: is_card(m, hold) and m.channel == "C0LEADS")
            await house.slack.wait_message(lambda m: "Escalated" in m.words)
    assert len(house.cards_of(hold)) == 2


async def test_who_breaks_the_glass_is_called_out_once_wherever_it_is_shown(house: House) -> None:
    def alarms(hold_id: str) -> list[Message]:
        said = f"alarm {hold_id}"
        return [m for m in house.slack.messages.values() if m.blocks and m.blocks[0]["block_id"] == said]

    async with house.channel():
        hold = make_hold(agent="glass", channels=("slack:C0MONEY",), break_glass=("dba",), quorum=2)
        await house.desk.open(hold)
        await house.card(hold)
        said = "*prod* is down <!channel>"
        word = await house.desk.vote(
            hold.id, "dora", approve=True, reason=said, channel="cli", break_glass=True
        )
        assert isinstance(word, Counted)
        alarm = await house.slack.wait_message(lambda m: bool(alarms(hold.id)) and m is alarms(hold.id)[-1])
        assert not alarm.thread_ts
        for words in ("The glass was broken: delete, read in production", "dora", "where 2 of these", said):
            assert words in alarm.words
        await house.slack.wait_message(lambda _: len(alarms(hold.id)) == 2)
    assert {m.channel for m in alarms(hold.id)} == {"C0MONEY", house.slack.channel}
    # a restart says nothing twice, and what is old is no news
    old = make_hold(agent="old", break_glass=("dba",), votes=(_broken(clock.now() - 90000 * SECOND),))
    async with house.channel():
        await house.desk.open(old)
        await house.held()
    assert len(alarms(hold.id)) == 2
    assert alarms(old.id) == []


def _broken(at: datetime) -> Vote:
    return Vote("dora", True, "it burns", "cli", at, break_glass=True)
