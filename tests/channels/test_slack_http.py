"""Slack over HTTP: only what Slack itself has signed just now is heard."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

import aiohttp
import pytest

from firewall.approval import State
from firewall.channels.card import APPROVE, DENY
from firewall.channels.review import REASON
from firewall.channels.slack import MAX_REQUEST_BYTES, PATH, SlackSettings
from firewall.errors import FirewallError

if TYPE_CHECKING:
    from .conftest import House


async def test_clicks_dialogs_commands_and_homes_work_without_a_socket(house: House) -> None:
    async with house.channel(signing_secret=house.slack.signing_secret, app_token="") as channel:
        house.slack.request_url = f"http://127.0.0.1:{channel.port}{PATH}"
        hold, posted = await house.held(quorum=2)
        await house.slack.click(posted, APPROVE, user="U0DORA")
        posted = await house.card(hold, "1 of 2 approvals")
        await house.slack.click(posted, DENY, user="U0DIRK")
        await house.slack.submit(await house.slack.wait_view(), {REASON: "no"}, user="U0DIRK")
        await house.card(hold, "Denied by dirk")
        assert "Nothing waits" in (await house.slack.open_home("U0DORA")).words
        assert "Nothing waits" in str((await house.slack.command("pending", user="U0DORA")).payload)
        assert house.slack.connections == 0


@pytest.mark.parametrize(
    "what", ["forged", "unsigned", "old", "early", "changed", "ssl_check", "garbage", "huge"]
)
async def test_what_slack_did_not_sign_just_now_is_not_heard(house: House, what: str) -> None:
    async with house.channel(signing_secret=house.slack.signing_secret, app_token="") as channel:
        hold, posted = await house.held()
        body = house.slack.click_body(posted, APPROVE, user="U0DORA")
        headers = house.slack.signed(body)
        match what:
            case "forged":
                headers = house.slack.signed(body, secret="guessed")
            case "unsigned":
                headers = {"Content-Type": headers["Content-Type"]}
            case "old":
                # a request that somebody kept; Slack's own window is five minutes
                headers = house.slack.signed(body, at=time.time() - 301)
            case "early":
                headers = house.slack.signed(body, at=time.time() + 301)
            case "changed":
                body = body.replace("U0DORA", "U0DIRK")
            case "ssl_check":
                # Slack's probe of the certificate is unsigned, and answered: nothing may hide behind it
                inside = json.dumps({**json.loads(parse_qs(body)["payload"][0]), "ssl_check": "1"})
                body, headers = urlencode({"payload": inside}), house.slack.signed("x")
            case "garbage":
                body = "\x00\xff payload=%7B&"
            case "huge":
                body = "payload=" + "x" * MAX_REQUEST_BYTES
        status = await _send(channel.port, body, headers)
        assert status in ({200, 401} if what == "ssl_check" else {401, 400, 413})
        # heard after it
        assert await _send(channel.port, *_good(house, posted, "U0EVE")) == 200
        await house.slack.wait_ephemeral(lambda e: e["user"] == "U0EVE")
        assert await house.state(hold) is State.PENDING
        assert [vote.person for vote in await house.votes()] == ["slack:T0HOME/U0EVE"]


async def test_a_request_that_is_replayed_in_time_acts_once(house: House) -> None:
    async with house.channel(signing_secret=house.slack.signing_secret, app_token="") as channel:
        hold, posted = await house.held(quorum=2)
        body, headers = _good(house, posted, "U0DORA")
        assert [await _send(channel.port, body, headers) for _ in range(3)] == [200] * 3
        await house.card(hold, "1 of 2 approvals")
        assert [(vote.person, vote.counted) for vote in await house.votes()] == [("dora", True)]
        assert house.slack.ephemerals == []


async def test_other_paths_and_methods_are_nobodys(house: House) -> None:
    async with (
        house.channel(signing_secret=house.slack.signing_secret, app_token="") as channel,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{channel.port}/") as nothing,
        http.get(f"http://127.0.0.1:{channel.port}{PATH}") as wrong,
    ):
        assert (nothing.status, wrong.status) == (404, 405)


async def test_a_port_that_is_taken_is_said(house: House) -> None:
    secret = house.slack.signing_secret
    async with house.channel(signing_secret=secret, app_token="") as channel:
        with pytest.raises(FirewallError, match="cannot be taken"):
            async with house.channel(signing_secret=secret, app_token="", port=channel.port):
                pass


def test_the_signing_secret_is_in_no_repr() -> None:
    assert "hush" not in repr(SlackSettings("xoxb-1", "", "C0A", signing_secret="hush"))


def _good(house: House, posted: object, user: str) -> tuple[str, dict[str, str]]:
    body = house.slack.click_body(posted, APPROVE, user=user)
    return body, house.slack.signed(body)


async def _send(port: int, body: str, headers: dict[str, str]) -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{port}{PATH}", data=body.encode("latin-1"), headers=headers) as answer,
    ):
        return answer.status
