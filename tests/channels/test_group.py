"""Similar holds on one card: what is grouped, that Slack takes it, and that one or all are decided."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import clock
from firewall.approval import Estimate, Impact, State, Vote
from firewall.channels import dossier, visible
from firewall.channels.card import APPROVE, APPROVE_ALL, DENY_ALL
from firewall.channels.cards import MemoryCards
from firewall.channels.group import MAX_HOLDS, several, similarity
from firewall.channels.review import DENIED, REASON
from tests.slack_emulator.blocks import MAX_BLOCKS_JSON, problems, size, words

from .conftest import is_card, make_hold

if TYPE_CHECKING:
    from firewall.approval import Hold
    from tests.slack_emulator import Message

    from .conftest import House

NOW = clock.now()


ODD = st.text(st.sampled_from("a`*<!>&_~:\n\u202e\u200b\u05d0\U0001f600"), max_size=30)
ODD_HOLDS = st.lists(
    st.builds(
        lambda sql, values, votes: make_hold(sql=sql, parameters=tuple(values), votes=tuple(votes)),
        ODD,
        st.lists(st.none() | ODD, max_size=2),
        st.lists(st.builds(Vote, ODD, st.booleans(), ODD, st.just("slack"), st.just(NOW)), max_size=3),
    ),
    min_size=2,
    max_size=MAX_HOLDS,
)


@given(ODD_HOLDS)
def test_slack_accepts_every_shared_card_and_it_shows_all_of_every_statement(found: list[Hold]) -> None:
    found = [hold for hold in found if similarity(hold)]
    if len(found) < 2:
        return
    made = several(found, now=NOW)
    assert problems(made.blocks) == []
    assert size(made.blocks) <= MAX_BLOCKS_JSON
    for hold in found:
        assert (visible.visible(hold.sql) or "(empty)") in words(made.blocks)
        assert all(line in words(made.blocks) for line in dossier.parameters(hold))


def test_the_fullest_shared_card_still_fits() -> None:
    wide = "\u202e" * 400
    votes = tuple(_vote(wide) for _ in range(3))
    hold = make_hold(
        sql="\u202e" * 17,
        parameters=(),
        reasons=(wide,) * 9,
        effects=(wide,) * 9,
        labels=(wide,) * 9,
        agent=wide,
        owner=wide,
        database=wide,
        environment=wide,
        role=wide,
        rule=wide,
        groups=(wide,),
        votes=votes,
        impact=Impact(unestimated=wide, sets_off=(wide,) * 9),
    )
    short = replace(hold, reasons=("r" * 140,), effects=("e" * 140,) * 2, labels=("l" * 60,))
    assert similarity(hold) is None, "what cannot be shown whole is not grouped"
    assert similarity(short) is not None
    made = several([short] * MAX_HOLDS, now=NOW)
    assert size(made.blocks) <= MAX_BLOCKS_JSON
    came = [Impact(Estimate(n, 1.5)) for n in range(MAX_HOLDS)]
    made = several([make_hold(impact=each) for each in came], now=NOW)
    assert all(each.headline in words(made.blocks) for each in came)


@pytest.mark.parametrize(
    "fields",
    [
        {"agent": "other"},
        {"rule": "other"},
        {"quorum": 2},
        {"groups": ("support",)},
        {"reasons": ("because",)},
        {"effects": ("delete public.people",)},
        {"labels": ("pii.email",)},
        {"risk": "critical"},
        {"environment": "staging"},
        {"requesters": frozenset({"dora"})},
        {"channels": ("slack:C0OTHER",)},
        {"executions": 2, "parameters": ("1", "2")},
        {"sql": "x" * 2000},
    ],
)
def test_what_would_be_decided_otherwise_is_not_similar(fields: dict[str, object]) -> None:
    assert similarity(make_hold(sql="SELECT 1")) == similarity(make_hold(sql="SELECT 2", parameters=("8",)))
    one, other = (Impact(unestimated=why) for why in ("late", "locked"))
    assert similarity(make_hold(impact=one)) == similarity(make_hold(impact=other))
    assert similarity(make_hold(**fields)) != similarity(make_hold())


async def test_similar_holds_share_a_card_and_are_decided_one_by_one(house: House) -> None:
    async with house.channel():
        first, second, posted = await _two(house)
        assert "WHERE id = 1" in posted.words
        assert "WHERE id = 2" in posted.words
        button = _buttons(posted, APPROVE)[1]
        await house.slack.click(posted, APPROVE, user="U0DORA", value=button["value"])
        posted = await house.card(first, "1 to decide", "Approved by dora")
        assert await house.state(first) is State.PENDING
        assert await house.state(second) is State.APPROVED
        await house.desk.consume(second.id, second.digest, [])
        await house.desk.note_outcome(second.id, "DELETE 2")
        await house.slack.wait_message(lambda m: m.thread_ts == posted.ts and "DELETE 2" in m.words)
        await house.slack.click(posted, APPROVE, user="U0DIRK")
        done = await house.card(first, "decided", "Approved by dirk")
        assert not done.buttons
        assert house.cards_of(second) == []


async def test_all_are_approved_together_by_a_vote_on_each(house: House) -> None:
    async with house.channel():
        first, second, posted = await _two(house)
        await house.slack.click(posted, APPROVE_ALL, user="U0OLGA")
        assert "you asked for this yourself" in (await house.slack.wait_ephemeral())["text"]
        await house.slack.click(posted, APPROVE_ALL, user="U0DORA")
        await house.card(first, "decided")
        assert {await house.state(hold) for hold in (first, second)} == {State.APPROVED}
        votes = [(v.hold, v.person, v.counted) for v in await house.votes()]
        assert votes == [(h.id, who, who == "dora") for who in ("olga", "dora") for h in (first, second)]


async def test_what_came_onto_the_card_after_it_was_read_is_not_decided_with_it(house: House) -> None:
    async with house.channel():
        first, second, posted = await _two(house)
        third = _like(3)
        await house.desk.open(third)
        await house.card(first, "3 to decide")
        # the click is on the card as it stood with two of them
        await house.slack.click(posted, APPROVE_ALL, user="U0DORA")
        await house.card(first, "1 to decide")
        assert await house.state(third) is State.PENDING
        assert await house.state(second) is State.APPROVED


async def test_all_are_denied_with_one_reason(house: House) -> None:
    async with house.channel():
        first, second, posted = await _two(house)
        await house.slack.click(posted, DENY_ALL, user="U0DORA")
        view = await house.slack.wait_view(lambda v: v.content["callback_id"] == DENIED)
        assert "and 1 more like it" in view.words
        await house.slack.submit(view, {REASON: "not on a Friday"}, user="U0DORA")
        await house.card(first, "decided")
        assert {await house.state(hold) for hold in (first, second)} == {State.REJECTED}


async def test_more_than_fit_begin_a_card_of_their_own(house: House) -> None:
    async with house.channel():
        many = [_like(number) for number in range(MAX_HOLDS + 2)]
        for hold in many:
            await house.desk.open(hold)
        await house.card(many[0], f"{MAX_HOLDS} to decide")
        await house.card(many[MAX_HOLDS], "2 to decide")
        assert sum(len(house.cards_of(hold)) for hold in many) == 2


async def test_a_crash_at_any_write_neither_loses_nor_doubles_a_shared_card(house: House) -> None:
    first, second = _like(1), _like(2)
    await house.desk.open(first)
    kept = house.cards
    assert isinstance(kept, MemoryCards)
    writes = 0
    while True:
        # the process dies at every write in turn; the last round gets through
        writes += 1
        house.cards = _Dying(kept, writes)
        async with house.channel():
            if writes == 1:
                await house.desk.open(second)
            dead = asyncio.create_task(house.cards.died.wait())
            shown = asyncio.create_task(house.card(first, "2 to decide"))
            await asyncio.wait({dead, shown}, return_when=asyncio.FIRST_COMPLETED)
            done = shown.done() and not house.cards.died.is_set()
            for task in (dead, shown):
                task.cancel()
        assert sum(map(is_or_was_card, house.slack.messages.values())) <= 2
        if done or writes > 12:
            break
    assert writes <= 12
    assert len(house.cards_of(first)) == 1


async def test_a_shared_card_that_was_deleted_is_posted_again_with_all_of_them(house: House) -> None:
    async with house.channel():
        first, second, posted = await _two(house)
        house.slack.delete(posted)
        await house.desk.vote(second.id, "dora", approve=False, reason="no", channel="cli")
        await house.slack.wait_message(lambda m: is_card(m, first) and m.ts != posted.ts)


class _Dying:
    """Cards whose writer dies before a write, as in a crash: nothing is written from then on."""

    def __init__(self, kept: MemoryCards, at: int) -> None:
        self._kept, self._left = kept, at
        self.died = asyncio.Event()

    async def get(self, hold_id: str) -> str | None:
        if self.died.is_set():
            await asyncio.Event().wait()
        return await self._kept.get(hold_id)

    async def put(self, hold_id: str, value: str) -> None:
        self._left -= 1
        if self._left <= 0:
            self.died.set()
            await asyncio.Event().wait()
        await self._kept.put(hold_id, value)


def is_or_was_card(message: Message) -> bool:
    return bool(message.blocks) and message.blocks[0]["block_id"].startswith("hold ")


async def _two(house: House) -> tuple[Hold, Hold, Message]:
    first, second = _like(1), _like(2)
    for hold in (first, second):
        await house.desk.open(hold)
    return first, second, await house.card(first, "2 to decide")


def _like(number: int) -> Hold:
    sql = f"DELETE FROM orders WHERE id = {number}"
    return make_hold(sql=sql, parameters=(), digest=f"{number:064x}", opened_at=clock.now() + timedelta(0))


def _buttons(message: Message, action: str) -> list[dict[str, Any]]:
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return [button for row in rows for button in row if button["action_id"] == action]


def _vote(reason: str) -> Any:
    return Vote("x" * 300, False, reason, "slack", NOW)
