"""The emulator refuses what Slack refuses; a test double that accepts anything proves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.slack_emulator import SlackEmulator, words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def slack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlackEmulator]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    async with SlackEmulator() as running:
        yield running


@pytest.fixture
def client(slack: SlackEmulator) -> AsyncWebClient:
    return AsyncWebClient(token=slack.bot_token, base_url=slack.base_url, retry_handlers=[])


def _plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _plain(text)}


def _actions(*buttons: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "elements": list(buttons)}


def _button(**fields: Any) -> dict[str, Any]:
    return {"type": "button", "text": _plain("Go"), "action_id": "go", **fields}


def _modal(*blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "modal", "title": _plain("T"), "blocks": list(blocks), **fields}


_INPUT = {
    "type": "input",
    "block_id": "why",
    "label": _plain("Why"),
    "element": {"type": "plain_text_input", "action_id": "why"},
}


def _rich(kind: str, *elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rich_text", "elements": [{"type": kind, "elements": list(elements)}]}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (_section("x" * 3001), "must be less than 3001 characters"),
        (_section(""), "must be more than 0 characters"),
        ({"type": "section"}, "missing required field"),
        ({"type": "section", "fields": [_plain("x")] * 11}, "no more than 10 items"),
        ({"type": "section", "fields": [_plain("x" * 2001)]}, "must be less than 2001"),
        ({"type": "header", "text": _plain("x" * 151)}, "must be less than 151"),
        ({"type": "header", "text": {"type": "mrkdwn", "text": "x"}}, "unsupported type: mrkdwn"),
        ({"type": "marquee"}, "unsupported type: marquee"),
        ({"type": "divider", "colour": "red"}, "invalid additional property: colour"),
        ({**_section("x"), "block_id": "x" * 256}, "must be less than 256"),
        (_INPUT, "unsupported type: input"),
        (_actions(), "no fewer than 1 items"),
        (_actions(*[_button(action_id=str(n)) for n in range(26)]), "no more than 25 items"),
        (_actions(_button(), _button()), "already exists"),
        (_actions(_button(value="x" * 2001)), "must be less than 2001"),
        (_actions(_button(text=_plain("x" * 76))), "must be less than 76"),
        (_actions(_button(action_id="x" * 256)), "must be less than 256"),
        (_actions(_button(style="default")), "valid enum value"),
        (_actions({"type": "button"}), "missing required field: text"),
        (_rich("rich_text_table"), "unsupported type"),
        (_rich("rich_text_preformatted", {"type": "emoji", "name": "x"}), "unsupported type"),
        (_rich("rich_text_section", {"type": "text", "text": ""}), "more than 0"),
        (_rich("rich_text_section", {"type": "date", "timestamp": 1}), "missing required"),
    ],
)
async def test_a_bad_block_is_refused_with_its_place(
    client: AsyncWebClient, slack: SlackEmulator, block: dict[str, Any], message: str
) -> None:
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=slack.channel, text="x", blocks=[_section("fine"), block])
    assert caught.value.response["error"] == "invalid_blocks"
    assert message in "".join(caught.value.response["response_metadata"]["messages"])
    assert not slack.messages


@pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing:UserWarning")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": [{**_section("x"), "block_id": "a"}] * 2}, "invalid_blocks"),
        ({"text": "x", "blocks": [_section("x" * 3000)] * 5}, "msg_blocks_too_long"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"text": ""}, "no_text"),
        ({"text": "x", "channel": "C0ELSEWHERE"}, "channel_not_found"),
        ({"text": "x", "token": "xoxb-wrong"}, "invalid_auth"),
        ({"text": "x", "token": "xapp-emulator-app-token"}, "not_allowed_token_type"),
    ],
)
async def test_a_bad_message_is_refused(
    client: AsyncWebClient, slack: SlackEmulator, arguments: dict[str, Any], error: str
) -> None:
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(**{"channel": slack.channel, **arguments})
    assert caught.value.response["error"] == error
    assert not slack.messages


async def test_no_token_and_unknown_methods_are_refused(slack: SlackEmulator) -> None:
    anonymous = AsyncWebClient(base_url=slack.base_url)
    for method, error in (("auth.test", "not_authed"), ("chat.shout", "unknown_method")):
        with pytest.raises(SlackApiError) as caught:
            await anonymous.api_call(method)
        assert caught.value.response["error"] == error


async def test_a_message_is_posted_updated_and_found(client: AsyncWebClient, slack: SlackEmulator) -> None:
    posted = await client.chat_postMessage(channel=slack.channel, text="one", blocks=[_section("one")])
    await client.chat_update(channel=slack.channel, ts=posted["ts"], text="two", blocks=[_section("two")])
    await client.chat_postMessage(channel=slack.channel, text="reply", thread_ts=posted["ts"])
    message = await slack.wait_message(lambda m: m.edited)
    assert message.words.strip() == "two"
    history = await client.conversations_history(channel=slack.channel)
    assert [m["text"] for m in history["messages"]] == ["two"]
    replies = await client.conversations_replies(channel=slack.channel, ts=posted["ts"])
    assert [m["text"] for m in replies["messages"]] == ["two", "reply"]
    with pytest.raises(SlackApiError, match="message_not_found"):
        await client.chat_update(channel=slack.channel, ts="1.1", text="x")


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (_modal(_INPUT), "missing required field: submit"),
        (_modal({"type": "divider"}, title=_plain("x" * 25)), "must be less than 25"),
        (_modal(*[{"type": "divider"}] * 101), "no more than 100 items"),
        (_modal({"type": "divider"}, private_metadata="x" * 3001), "must be less than 3001"),
        ({"type": "modal", "blocks": []}, "missing required field: title"),
    ],
)
async def test_a_bad_view_is_refused(
    client: AsyncWebClient, slack: SlackEmulator, view: dict[str, Any], message: str
) -> None:
    slack.triggers["1.2.a"] = ("U1", "T1", float("inf"))
    with pytest.raises(SlackApiError) as caught:
        await client.views_open(trigger_id="1.2.a", view=view)
    assert message in "".join(caught.value.response["response_metadata"]["messages"])


async def test_a_trigger_is_good_for_one_view_and_three_seconds(
    client: AsyncWebClient, slack: SlackEmulator
) -> None:
    slack.triggers |= {"1.2.a": ("U1", "T1", float("inf")), "1.2.b": ("U1", "T1", 0.0)}
    view = _modal({"type": "divider"})
    opened = await client.views_open(trigger_id="1.2.a", view=view)
    for trigger, error in (
        ("1.2.a", "exchanged_trigger_id"),
        ("1.2.b", "expired_trigger_id"),
        ("1.2.c", "invalid_trigger_id"),
    ):
        with pytest.raises(SlackApiError, match=error):
            await client.views_open(trigger_id=trigger, view=view)
    first = opened["view"]
    await client.views_update(view_id=first["id"], hash=first["hash"], view=view)
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client.views_update(view_id=first["id"], hash=first["hash"], view=view)


async def test_a_file_is_uploaded_into_a_thread(client: AsyncWebClient, slack: SlackEmulator) -> None:
    await client.files_upload_v2(filename="a.txt", content="é", channel=slack.channel, thread_ts="1.0")
    (file,) = slack.files
    assert (file.name, file.content, file.thread_ts) == ("a.txt", "é", "1.0")
    with pytest.raises(SlackApiError, match="file_not_found"):
        await client.files_completeUploadExternal(files=[{"id": "F1"}], channel_id=slack.channel)


def test_words_are_what_a_person_reads() -> None:
    blocks = [
        _section("a"),
        _rich("rich_text_section", {"type": "text", "text": "b"}),
    ]
    assert words(blocks).split() == ["a", "b"]
