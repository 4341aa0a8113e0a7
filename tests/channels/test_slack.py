"""The Slack channel through the real slack-bolt and slack-sdk against the emulator."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from firewall import channels, clock
from firewall.approval import State
from firewall.channels.card import APPROVE, DENY, REVIEW, card
from firewall.channels.cards import MemoryCards
from firewall.channels.review import DENIED, NEXT, PREVIOUS, REASON
from firewall.channels.slack import SlackSettings
from firewall.channels.slack_log import Redact, redacted
from firewall.errors import FirewallError, StoreError
from tests.slack_emulator import Message

from .conftest import make_hold

if TYPE_CHECKING:
    from .conftest import House

LONG = "UPDATE orders SET note = 'x'\nWHERE id IN (" + ", ".join(str(n) for n in range(9000)) + ") -- end"


async def test_a_hold_is_posted_approved_and_its_outcome_told(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held()
        assert "DELETE FROM orders\nWHERE id = $1" in posted.words
        assert {APPROVE, DENY} == posted.buttons.keys()
        await house.slack.click(posted, APPROVE, user="U0DORA")
        decided = await house.card(hold, "Approved by dora")
        assert not decided.buttons
        assert await house.state(hold) is State.APPROVED
        assert await house.desk.consume(hold.id, hold.digest, [])
        await house.desk.note_outcome(hold.id, "DELETE 1")
        reply = await house.slack.wait_message(lambda m: m.thread_ts == posted.ts)
        assert "DELETE 1" in reply.words
        (vote,) = await house.votes()
        assert (vote.person, vote.channel, vote.counted) == ("dora", "slack", True)


async def test_deny_asks_for_a_reason_and_shows_it(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held()
        await house.slack.click(posted, DENY, user="U0DORA")
        view = await house.slack.wait_view(lambda v: v.content["callback_id"] == DENIED)
        refused = await house.slack.submit(view, {REASON: "   "}, user="U0DORA")
        assert refused.payload["response_action"] == "errors"
        await house.slack.submit(view, {REASON: "use the *soft* delete"}, user="U0DORA")
        decided = await house.card(hold, "Denied by dora", "use the *soft* delete")
        assert not decided.buttons
        assert await house.state(hold) is State.REJECTED
        (vote,) = await house.votes()
        assert (vote.approve, vote.reason) == (False, "use the *soft* delete")


@pytest.mark.parametrize("action", [APPROVE, DENY])
@pytest.mark.parametrize(
    ("user", "team", "person", "why"),
    [
        ("U0OLGA", None, "olga", "you asked for this yourself"),
        ("U0EVE", None, "slack:T0HOME/U0EVE", "not an approver"),
        # the same user id in another workspace is somebody else
        ("U0DORA", "T0OTHER", "slack:T0OTHER/U0DORA", "not an approver"),
    ],
)
async def test_requesters_and_strangers_are_refused_and_recorded(
    house: House, action: str, user: str, team: str | None, person: str, why: str
) -> None:
    async with house.channel():
        hold, posted = await house.held()
        await house.slack.click(posted, action, user=user, team=team)
        told = await house.slack.wait_ephemeral(lambda e: e["user"] == user)
        assert why in told["text"]
        (vote,) = await house.votes()
        assert (vote.person, vote.counted) == (person, False)
        assert not house.slack.views
        assert await house.state(hold) is State.PENDING
        assert house.cards_of(hold) == [posted]


async def test_a_person_of_another_group_is_refused(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held()
        await house.slack.click(posted, APPROVE, user="U0SAM")
        told = await house.slack.wait_ephemeral()
        assert "in none of the groups" in told["text"]
        assert await house.state(hold) is State.PENDING


async def test_a_double_click_counts_once_and_the_second_is_told(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held(quorum=2)
        await asyncio.gather(*(house.slack.click(posted, APPROVE, user="U0DORA") for _ in range(2)))
        assert "has voted" in (await house.slack.wait_ephemeral())["text"]
        assert await house.state(hold) is State.PENDING
        half = await house.card(hold, "1 of 2 approvals")
        await house.slack.click(half, APPROVE, user="U0DIRK")
        await house.card(hold, "Approved by dora", "Approved by dirk")
        assert [vote.counted for vote in await house.votes()].count(True) == 2


async def test_a_late_click_on_an_old_card_is_refused(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held()
        await house.desk.withdraw(hold.id, "cancelled")
        await house.card(hold, "Withdrawn")
        for action in (APPROVE, DENY):
            await house.slack.click(posted, action, user="U0DORA")
        told = await house.slack.wait_ephemeral()
        assert "already withdrawn" in told["text"]
        assert not house.slack.views


async def test_an_expired_hold_that_nobody_swept_is_refused(house: House) -> None:
    async with house.channel():
        hold, late = await house.held(expires_at=clock.now())
        assert not late.buttons
        before = card(hold, now=hold.opened_at - timedelta(seconds=1))
        early = replace(late, blocks=before.blocks)
        for action in (APPROVE, DENY):
            await house.slack.click(early, action, user="U0DORA")
        assert "expired" in (await house.slack.wait_ephemeral())["text"]
        assert await house.state(hold) is State.PENDING
        assert not house.slack.views


@pytest.mark.parametrize(
    "value",
    ["{id} " + "00" * 32, "{id}", "", "h-UNKNOWN " + "5e" * 32, "{id} \N{LATIN SMALL LETTER SHARP S}"],
)
async def test_a_tampered_value_never_counts(house: House, value: str) -> None:
    async with house.channel():
        hold, posted = await house.held()
        await house.slack.click(posted, APPROVE, user="U0DORA", value=value.format(id=hold.id))
        # another click, handled after it, shows that the first one has been
        await house.slack.click(posted, APPROVE, user="U0EVE")
        await house.slack.wait_ephemeral(lambda e: e["user"] == "U0EVE")
        assert await house.state(hold) is State.PENDING
        assert not any(vote.counted for vote in await house.votes())


async def test_a_mismatching_digest_is_told_and_recorded(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held()
        for action in (APPROVE, DENY):
            await house.slack.click(posted, action, user="U0DORA", value=f"{hold.id} {'00' * 32}")
        told = await house.slack.wait_ephemeral()
        assert "not what hold" in told["text"]
        (vote, *_) = await house.votes()
        assert (vote.person, vote.counted) == ("dora", False)


async def test_a_duplicated_delivery_acts_once(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held(quorum=2)
        house.slack.deliver_times(3)
        await house.slack.click(posted, APPROVE, user="U0DORA")
        posted = await house.card(hold, "1 of 2 approvals")
        await house.slack.click(posted, DENY, user="U0DIRK")
        view = await house.slack.wait_view()
        await house.slack.submit(view, {REASON: "no"}, user="U0DIRK")
        await house.card(hold, "Denied by dirk")
        assert len(house.slack.views) == 1
        assert [(vote.person, vote.counted) for vote in await house.votes()] == [
            ("dora", True),
            ("dirk", True),
        ]
        assert not house.slack.ephemerals


async def test_a_long_statement_is_read_to_the_end_before_it_is_approved(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held(sql=LONG)
        assert {REVIEW, DENY} == posted.buttons.keys()
        assert "more characters are not shown" in posted.words
        file = await house.slack.wait_file()
        assert (file.name, file.thread_ts) == (f"{hold.id}.txt", posted.ts)
        assert "WHERE id IN (0, 1, 2" in file.content
        assert "8999) -- end" in file.content
        await house.slack.click(posted, REVIEW, user="U0DORA")
        view = await house.slack.wait_view()
        read = ""
        while not view.content.get("submit"):
            read += _preformatted(view.content)
            seen = view.updates
            await house.slack.click(view, NEXT, user="U0DORA")
            await house.slack.wait_view(lambda v, seen=seen: v.updates > seen)
        read += _preformatted(view.content)
        assert read.startswith(LONG)
        assert PREVIOUS in view.buttons
        assert NEXT not in view.buttons
        await house.slack.submit(view, user="U0DORA")
        await house.card(hold, "Approved by dora")
        assert await house.state(hold) is State.APPROVED


async def test_an_approve_click_on_a_statement_that_must_be_read_is_refused(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held(sql=LONG)
        approve = {**posted.blocks[-1]["elements"][0], "action_id": APPROVE}
        forged = replace(posted, blocks=[{**posted.blocks[-1], "elements": [approve]}])
        await house.slack.click(forged, APPROVE, user="U0DORA")
        assert "Review first" in (await house.slack.wait_ephemeral())["text"]
        assert await house.state(hold) is State.PENDING


async def test_a_first_page_that_is_submitted_decides_nothing(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held(sql=LONG)
        await house.slack.click(posted, REVIEW, user="U0DORA")
        view = await house.slack.wait_view()
        view.content["submit"] = {"type": "plain_text", "text": "Approve"}
        answer = await house.slack.submit(view, user="U0DORA")
        assert answer.payload["response_action"] == "update"
        assert "read to the last page" in view.words
        assert await house.state(hold) is State.PENDING


async def test_turning_a_page_of_a_decided_hold_says_so(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held(sql=LONG)
        await house.slack.click(posted, REVIEW, user="U0DORA")
        view = await house.slack.wait_view()
        await house.desk.vote(hold.id, "dirk", approve=False, reason="no", channel="cli")
        await house.slack.click(view, NEXT, user="U0DORA")
        closed = await house.slack.wait_view(lambda v: v.updates > 0)
        assert "denied" in closed.words
        assert "submit" not in closed.content


async def test_a_page_turned_twice_at_once_moves_once(house: House) -> None:
    async with house.channel():
        _, posted = await house.held(sql=LONG)
        await house.slack.click(posted, REVIEW, user="U0DORA")
        view = await house.slack.wait_view()
        await asyncio.gather(*(house.slack.click(view, NEXT, user="U0DORA") for _ in range(2)))
        await house.slack.wait_view(lambda v: "Page 2" in v.words)
        await house.slack.wait_call(lambda c: c.method == "views.update" and c.error == "hash_conflict")


async def test_slack_down_delays_cards_and_loses_none(house: House) -> None:
    await house.slack.go_down()
    async with house.channel():
        holds = [make_hold(agent=f"agent-{number}") for number in range(3)]
        for hold in holds:
            await house.desk.open(hold)
        gone = make_hold()
        await house.desk.open(gone)
        await house.desk.withdraw(gone.id, "cancelled")
        await house.slack.wait_call(lambda c: c.method == "chat.postMessage" and c.error == "down")
        house.slack.come_up()
        for hold in holds:
            posted = await house.card(hold)
        await house.slack.click(posted, APPROVE, user="U0DORA")
        await house.card(holds[-1], "Approved by dora")
        assert [len(house.cards_of(hold)) for hold in [*holds, gone]] == [1, 1, 1, 0]


async def test_a_decision_made_elsewhere_while_slack_is_down_reaches_the_card(house: House) -> None:
    async with house.channel():
        hold, _ = await house.held()
        await house.slack.go_down()
        await house.desk.vote(hold.id, "dora", approve=True, reason="", channel="cli")
        await house.slack.wait_call(lambda c: c.method == "chat.update" and c.error == "down")
        house.slack.come_up()
        assert not (await house.card(hold, "Approved by dora")).buttons


async def test_a_lost_answer_does_not_double_the_card(house: House) -> None:
    house.slack.lose_answers("chat.postMessage", 2)
    async with house.channel():
        hold, posted = await house.held()
        await house.slack.wait_call(lambda c: c.method == "conversations.history")
        await house.slack.click(posted, APPROVE, user="U0DORA")
        await house.card(hold, "Approved by dora")
        assert len(house.cards_of(hold)) == 1


async def test_another_apps_message_is_not_taken_for_a_card(house: House) -> None:
    hold = make_hold()
    blocks = card(hold, now=hold.opened_at).blocks
    foreign = Message(house.slack.channel, house.slack.now(), "U0OTHERAPP", "", blocks)
    house.slack.messages[foreign.channel, foreign.ts] = foreign
    house.slack.fail("chat.postMessage", "internal_error")
    async with house.channel():
        await house.desk.open(hold)
        await house.slack.wait_message(lambda m: m.user == house.slack.bot_user and m.blocks[0] == blocks[0])


async def test_a_click_on_an_unknown_hold_is_told(house: House) -> None:
    async with house.channel():
        _, posted = await house.held()
        await house.slack.click(posted, APPROVE, user="U0DORA", value=f"h-UNKNOWN {'5e' * 32}")
        assert "there is no hold `h-UNKNOWN`" in (await house.slack.wait_ephemeral())["text"]


async def test_a_lost_answer_does_not_double_the_outcome(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held()
        await house.slack.click(posted, APPROVE, user="U0DORA")
        await house.card(hold, "Approved by dora")
        house.slack.lose_answers("chat.postMessage")
        await house.desk.consume(hold.id, hold.digest, [])
        await house.desk.note_outcome(hold.id, "DELETE 1")
        await house.slack.wait_message(lambda m: m.thread_ts == posted.ts)
        # it looked before it spoke, and looks again before it would repeat itself
        await house.slack.wait_call(
            lambda _: [c.method for c in house.slack.calls].count("conversations.replies") == 2
        )
        # cards are written one after the other, so once another is there the repeated try is over
        await house.held()
        assert len(house.slack.thread(posted)) == 1


async def test_without_the_history_scope_a_card_may_double_but_is_never_lost(house: House) -> None:
    house.slack.scopes.discard("channels:history")
    house.slack.fail("chat.postMessage", "internal_error")
    async with house.channel():
        hold, _ = await house.held()
        assert len(house.cards_of(hold)) == 1


async def test_a_rate_limit_is_waited_out(house: House) -> None:
    house.slack.ratelimit("chat.postMessage", 1)
    async with house.channel():
        hold, _ = await house.held()
        posts = [call for call in house.slack.calls if call.method == "chat.postMessage"]
        assert [call.error for call in posts] == ["ratelimited", ""]
        assert posts[1].at - posts[0].at >= 1
        assert house.slack.too_early == 0
        assert len(house.cards_of(hold)) == 1


async def test_a_dropped_socket_is_replaced(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held()
        await house.slack.wait_connected()
        before = house.slack.connections
        await house.slack.drop_sockets()
        await house.slack.wait_connected(after=before)
        await house.slack.click(posted, APPROVE, user="U0DORA")
        await house.card(hold, "Approved by dora")


async def test_a_socket_is_refreshed_when_slack_asks(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held()
        await house.slack.wait_connected()
        before = house.slack.connections
        await house.slack.refresh_sockets()
        await house.slack.wait_connected(after=before)
        await house.slack.click(posted, APPROVE, user="U0DORA")
        await house.card(hold, "Approved by dora")


async def test_a_socket_address_that_has_grown_old_is_asked_for_anew(house: House) -> None:
    house.slack.void_tickets(2)
    async with house.channel():
        hold, posted = await house.held()
        await house.slack.click(posted, APPROVE, user="U0DORA")
        await house.card(hold, "Approved by dora")


@pytest.mark.parametrize("action", [APPROVE, DENY, REVIEW])
async def test_a_store_that_fails_counts_nothing_and_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    async with house.channel():
        hold, posted = await house.held(sql=LONG if action == REVIEW else "DELETE FROM t")
        read = house.store.hold

        async def broken(_: str) -> None:
            # once only: what the click does next must not rest on what it could not read
            monkeypatch.setattr(house.store, "hold", read)
            raise StoreError("the store is full")

        monkeypatch.setattr(house.store, "hold", broken)
        await house.slack.click(posted, action, user="U0DORA")
        assert "cannot record it now" in (await house.slack.wait_ephemeral())["text"]
        assert await house.state(hold) is State.PENDING
        assert await house.votes() == []


async def test_a_missing_files_scope_costs_the_file_only(house: House) -> None:
    house.slack.scopes.discard("files:write")
    async with house.channel():
        hold, posted = await house.held(sql=LONG)
        await house.desk.vote(hold.id, "dora", approve=True, reason="", channel="cli")
        await house.desk.consume(hold.id, hold.digest, [])
        await house.desk.note_outcome(hold.id, "UPDATE 9000")
        await house.slack.wait_message(lambda m: m.thread_ts == posted.ts and "UPDATE 9000" in m.words)
        house.slack.scopes.add("files:write")
        await house.slack.wait_file()


async def test_a_restart_neither_loses_nor_doubles_cards(house: House) -> None:
    async with house.channel():
        shown, _ = await house.held()
        decided, _ = await house.held()
    unseen = make_hold()
    await house.desk.open(unseen)
    await house.desk.vote(decided.id, "dora", approve=True, reason="", channel="cli")
    async with house.channel():
        await house.card(unseen)
        await house.card(decided, "Approved by dora")
        assert [len(house.cards_of(hold)) for hold in (shown, decided, unseen)] == [1, 1, 1]


async def test_a_restart_that_forgot_everything_finds_its_cards_again(house: House) -> None:
    async with house.channel():
        shown, _ = await house.held()
    house.cards = MemoryCards()
    await house.desk.vote(shown.id, "sam", approve=True, reason="", channel="cli")
    async with house.channel():
        other, _ = await house.held()
        await house.slack.wait_call(lambda c: c.method == "chat.update" and not c.error)
        assert [len(house.cards_of(hold)) for hold in (shown, other)] == [1, 1]


async def test_a_deleted_card_is_posted_again(house: House) -> None:
    async with house.channel():
        hold, posted = await house.held(quorum=2)
        house.slack.delete(posted)
        await house.desk.vote(hold.id, "dora", approve=True, reason="", channel="cli")
        again = await house.card(hold, "1 of 2 approvals")
        assert again.ts != posted.ts


async def test_a_card_that_slack_refuses_is_replaced_by_a_bare_one(house: House) -> None:
    house.slack.fail("chat.postMessage", "invalid_blocks")
    async with house.channel():
        hold, posted = await house.held()
        assert f"firewall holds show {hold.id}" in posted.words
        assert not posted.buttons


async def test_a_dialog_that_cannot_open_is_told(house: House) -> None:
    async with house.channel():
        _, posted = await house.held()
        house.slack.fail("views.open", "expired_trigger_id")
        await house.slack.click(posted, DENY, user="U0DORA")
        assert "click once more" in (await house.slack.wait_ephemeral())["text"]


async def test_a_refused_token_is_retried_and_appears_in_no_log(
    house: House, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    bad_bot, bad_app = "xoxb-wrong-secret-1", "xapp-wrong-secret-2"
    async with house.channel(bot_token=bad_bot, app_token=bad_app):
        await house.desk.open(make_hold())
        await house.slack.wait_call(lambda c: c.method == "chat.postMessage" and c.error == "invalid_auth")
        await house.slack.wait_call(
            lambda c: c.method == "apps.connections.open" and c.error == "invalid_auth"
        )
        posts = [c for c in house.slack.calls if c.error == "invalid_auth"]
        await house.slack.wait_call(lambda c: c.error == "invalid_auth" and c not in posts)
    seen = caplog.text + "".join(capsys.readouterr())
    assert "invalid_auth" in seen
    assert "secret" not in seen
    assert "Traceback" not in seen


def test_the_library_log_is_cleaned() -> None:
    record = logging.LogRecord(
        "x", logging.ERROR, "f", 1, "%s at %s", ("xoxb-1-a", "wss://h/?ticket=t1&a=2"), None
    )
    assert Redact().filter(record)
    assert record.getMessage() == "(redacted) at wss://h/?ticket=(redacted)&a=2"
    assert (
        redacted("https://hooks.slack.com/actions/T1/2/x y") == "https://hooks.slack.com/actions/(redacted) y"
    )


def test_settings_show_no_token() -> None:
    settings = SlackSettings("xoxb-one-two", "xapp-three-four", "C0APPROVALS")
    assert "one" not in repr(settings)
    assert "three" not in repr(settings)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("xoxp-1", "xapp-1", "C1A"), "bot token"),
        (("xoxb-1", "xoxb-1", "C1A"), "app token"),
        (("xoxb-1", "xapp-1", "#approvals"), "not the id of a Slack channel"),
    ],
)
def test_settings_that_cannot_work_are_refused(fields: tuple[str, str, str], words: str) -> None:
    with pytest.raises(FirewallError, match=words) as caught:
        SlackSettings(*fields)
    assert caught.value.hint


async def test_the_manifest_grants_what_the_channel_needs(house: House) -> None:
    manifest = yaml.safe_load((Path(channels.__file__).parent / "slack_manifest.yaml").read_text())
    house.slack.scopes = set(manifest["oauth_config"]["scopes"]["bot"])
    assert manifest["settings"]["socket_mode_enabled"]
    assert manifest["settings"]["interactivity"]["is_enabled"]
    house.slack.lose_answers("chat.postMessage")
    async with house.channel():
        _, posted = await house.held(sql=LONG)
        await house.slack.wait_file()
        await house.slack.click(posted, APPROVE if APPROVE in posted.buttons else REVIEW, user="U0EVE")
        await house.slack.wait_ephemeral()
    assert "missing_scope" not in {call.error for call in house.slack.calls}


def _preformatted(view: dict[str, object]) -> str:
    """What stands in preformatted text, joined, without the dialog's own words."""
    found = ""
    for block in json.loads(json.dumps(view))["blocks"]:
        for element in block.get("elements", []):
            if element["type"] == "rich_text_preformatted":
                found += element["elements"][0]["text"]
    return found
