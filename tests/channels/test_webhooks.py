"""Outgoing webhooks: signed, in order, sent until they are taken, and silent about secrets."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from firewall.approval import Ran
from firewall.channels.webhooks import Webhook, Webhooks, signature
from firewall.errors import FirewallError

from .conftest import ORIGIN, make_hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .conftest import House

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class Receiver:
    """Takes what is posted to it and answers what it is told to; None breaks the connection."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int | None] = []
        self.retry_after = ""
        self.url = ""
        self._more = asyncio.Condition()

    async def take(self, request: web.Request) -> web.Response:
        answer = self.answers.pop(0) if self.answers else 204
        self.got.append((dict(request.headers), await request.read()))
        async with self._more:
            self._more.notify_all()
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
        headers = {"Location": self.url, "Retry-After": self.retry_after}
        return web.Response(status=answer or 500, headers=headers)

    async def wait(self, number: int) -> list[dict[str, Any]]:
        """The bodies, once there are so many."""
        async with asyncio.timeout(30), self._more:
            await self._more.wait_for(lambda: len(self.got) >= number)
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/hook", found.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield found
    await runner.cleanup()


@asynccontextmanager
async def sending(house: House, url: str, **fields: Any) -> AsyncIterator[None]:
    webhook = Webhook("ops", url, SECRET, retry_seconds=0.01, **fields)
    channel = Webhooks(webhook, house.desk, partial(house.store.held, ORIGIN), house.cards, ORIGIN)
    await channel.start()
    try:
        yield
    finally:
        await channel.close()


async def test_every_event_is_sent_signed_and_in_order(house: House, receiver: Receiver) -> None:
    before = make_hold()
    await house.desk.open(before)
    async with sending(house, receiver.url):
        hold = make_hold(parameters=("hush",))
        await house.desk.open(hold)
        await house.desk.vote(hold.id, "eve", approve=True, reason="", channel="cli")
        await house.desk.vote(hold.id, "dora", approve=True, reason="fine", channel="cli")
        bodies = await receiver.wait(4)
    assert [body["type"] for body in bodies] == [
        *("firewall.hold", "firewall.vote", "firewall.vote", "firewall.decision")
    ]
    assert {body["data"]["hold"]["id"] for body in bodies} == {hold.id}
    indexes = [body["data"]["index"] for body in bodies]
    assert indexes == sorted(indexes)
    assert [body["data"]["record"].get("counted") for body in bodies] == [None, False, True, None]
    for headers, body in receiver.got:
        event, stamp = headers["webhook-id"], headers["webhook-timestamp"]
        assert event == json.loads(body)["data"]["record"]["id"]
        signed = hmac.new(KEY, f"{event}.{stamp}.{body.decode()}".encode(), "sha256").digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"
        # who only routes and counts sees neither text nor values
        assert b"DELETE FROM" not in body
        assert b"hush" not in body


def test_the_signature_is_that_of_the_specification() -> None:
    key = Webhook("x", "", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").key()
    found = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_statements_are_sent_to_whom_may_see_them(house: House, receiver: Receiver) -> None:
    async with sending(house, receiver.url, statements=True, events=frozenset({"hold"})):
        hold = make_hold()
        await house.desk.open(hold)
        await house.desk.vote(hold.id, "dora", approve=True, reason="", channel="cli")
        await house.desk.open(make_hold(sql="SELECT 2", ran=(Ran("s.1", "SELECT 1", "SELECT 1"),)))
        first, second = await receiver.wait(2)
    assert (first["data"]["hold"]["ran"], second["data"]["hold"]["ran"]) == (
        [],
        [{"sql": "SELECT 1", "outcome": "SELECT 1", "standing": "counts"}],
    )
    assert first["data"]["hold"]["sql"] == hold.sql
    assert first["data"]["record"]["parameters"] == ["7"]
    assert (second["type"], second["data"]["hold"]["sql"]) == ("firewall.hold", "SELECT 2")


async def test_what_is_not_taken_is_sent_again_with_the_same_id(
    house: House, receiver: Receiver, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    # a redirect is not followed: the signature is for this receiver
    receiver.answers = [500, None, 302, 410, 429, 204]
    receiver.retry_after = "0"
    async with sending(house, f"{receiver.url}?token=hush-hush"):
        hold = make_hold()
        await house.desk.open(hold)
        await house.desk.withdraw(hold.id, "cancelled")
        bodies = await receiver.wait(7)
    assert [body["type"] for body in bodies] == [*["firewall.hold"] * 6, "firewall.decision"]
    assert len({headers["webhook-id"] for headers, _ in receiver.got[:6]}) == 1
    said = caplog.text + "".join(capsys.readouterr())
    assert "status 410" in said
    assert "hush" not in said
    assert SECRET not in said


async def test_a_restart_goes_on_where_the_receiver_was(house: House, receiver: Receiver) -> None:
    async with sending(house, receiver.url):
        await house.desk.open(make_hold())
        await receiver.wait(1)
    while_away = make_hold()
    await house.desk.open(while_away)
    async with sending(house, receiver.url):
        last = make_hold()
        await house.desk.open(last)
        number = 3
        while (bodies := await receiver.wait(number))[-1]["data"]["hold"]["id"] != last.id:
            # the first may come twice: its answer may have been too late for the first sender
            number += 1
    found = list(dict.fromkeys(body["data"]["hold"]["id"] for body in bodies))
    assert found[1:] == [while_away.id, last.id]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 3


async def test_a_receiver_that_is_away_loses_nothing(house: House, receiver: Receiver) -> None:
    receiver.answers = [503] * 5
    async with sending(house, receiver.url):
        holds = [make_hold() for _ in range(120)]
        for hold in holds:
            await house.desk.open(hold)
        bodies = await receiver.wait(125)
    assert [body["data"]["hold"]["id"] for body in bodies[5:]] == [hold.id for hold in holds]


@pytest.mark.parametrize(
    "secret", ["short", "whsec_", "whsec_!!!", f"whsec_{base64.b64encode(b'x' * 23).decode()}"]
)
def test_a_weak_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(FirewallError) as caught:
        Webhook("ops", "http://127.0.0.1", secret).key()
    assert "`ops`" in caught.value.message
    assert len(secret) < 8 or secret not in str(caught.value)
    assert SECRET not in repr(Webhook("ops", "", SECRET))


async def test_an_alarm_is_sent_whatever_is_asked_for(house: House, receiver: Receiver) -> None:
    async with sending(house, receiver.url, events=frozenset({"outcome"})):
        hold = make_hold(break_glass=("dba",), quorum=2)
        await house.desk.open(hold)
        await house.desk.vote(hold.id, "dora", approve=True, reason="fire", channel="cli", break_glass=True)
        (body,) = await receiver.wait(1)
    assert body["type"] == "firewall.break_glass"
    assert (body["data"]["record"]["person"], body["data"]["record"]["reason"]) == ("dora", "fire")
