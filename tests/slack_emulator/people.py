"""What people do in Slack: each act becomes what Slack sends to the app, over a socket or over HTTP."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aiohttp import ClientSession

from tests.slack_emulator.blocks import view_problems
from tests.slack_emulator.state import Ack, Message, View

if TYPE_CHECKING:
    from tests.slack_emulator.state import Json

# Slack's own: an interaction must be acknowledged, and its trigger used, within this time
ACK_SECONDS = 3.0
# how long a test waits for what the app is expected to do
PATIENCE_SECONDS = 15.0


class People:
    """The half of the emulator that acts; the other half, which holds everything, inherits from it."""

    async def click(
        self,
        target: Message | View,
        action_id: str,
        *,
        user: str,
        team: str | None = None,
        value: str | None = None,
    ) -> Ack:
        """Press a button as it stands on `target`; `value` is what a forger would send in its place."""
        return await self._deliver(self._clicked(target, action_id, user, team, value))

    def _clicked(
        self, target: Message | View, action_id: str, user: str, team: str | None, value: str | None
    ) -> Json:
        button = target.buttons[action_id]
        action = {
            "type": "button",
            "action_id": action_id,
            "block_id": button["block_id"],
            "text": button["text"],
            "value": value if value is not None else button.get("value"),
            "action_ts": self.now(),
        }
        if "style" in button:
            action["style"] = button["style"]
        payload = {**self._payload("block_actions", user, team), "actions": [action]}
        if isinstance(target, Message):
            payload["container"] = {
                "type": "message",
                "message_ts": target.ts,
                "channel_id": target.channel,
                "is_ephemeral": False,
            }
            payload["channel"] = {"id": target.channel, "name": self.channels[target.channel]}
            payload["message"] = target.dump()
            payload["state"] = {"values": {}}
            payload["response_url"] = self.base_url.replace("/api/", f"/actions/{secrets.token_hex(8)}")
        else:
            payload["container"] = {"type": "view", "view_id": target.id}
            payload["view"] = target.dump()
        return payload

    async def submit(
        self, view: View, values: dict[str, str] | None = None, *, user: str, team: str | None = None
    ) -> Ack:
        """Press a modal's submit button; values by block id. Refuses what Slack's client would not send."""
        if view.closed or not view.content.get("submit"):
            raise AssertionError(f"the view {view.title!r} cannot be submitted")
        state: Json = {}
        for block in view.content["blocks"]:
            if block["type"] != "input":
                continue
            element, text = block["element"], (values or {}).get(block["block_id"])
            if not block.get("optional") and len(text or "") < max(1, element.get("min_length", 0)):
                raise AssertionError(f"the field {block['block_id']!r} is required")
            kept = {"type": element["type"], "value": text}
            state[block["block_id"]] = {element["action_id"]: kept}
        payload = self._payload("view_submission", user, team)
        payload |= {"view": view.dump(state), "response_urls": []}
        ack = await self._deliver(payload)
        await self._after_submit(view, ack.payload)
        return ack

    async def open_home(self, user: str, *, team: str | None = None) -> View:
        """Look at the app's home; what it shows then."""
        seen = self.homes[user].updates if user in self.homes else 0
        event = {"type": "app_home_opened", "user": user, "channel": f"D{user}", "tab": "home"}
        payload = self._event(event, team)
        await self._deliver(payload, "events_api")
        return await self.wait_home(user, after=seen)

    async def wait_home(self, user: str, *, after: int = 0) -> View:
        """Until it was painted more than so often."""
        return await self._wait(
            lambda: view if (view := self.homes.get(user)) and view.updates > after else None,
            "home",
            PATIENCE_SECONDS,
        )

    async def command(self, text: str, *, user: str, team: str | None = None, name: str = "/firewall") -> Ack:
        """Type a slash command; the acknowledgement's payload is what the person sees."""
        trigger = self._payload("command", user, team)["trigger_id"]
        payload = {
            "command": name,
            "text": text,
            "user_id": user,
            "user_name": user.lower(),
            "team_id": team or self.team,
            "channel_id": self.channel,
            "channel_name": "approvals",
            "trigger_id": trigger,
            "api_app_id": "A0FIREWALL",
            "token": "emulator-verification-token",
        }
        return await self._deliver(payload, "slash_commands")

    def signed(self, body: str, *, secret: str | None = None, at: float | None = None) -> dict[str, str]:
        """The headers with which Slack sends a body (docs.slack.dev, verifying requests from Slack)."""
        stamp = str(int(time.time() if at is None else at))
        key = (self.signing_secret if secret is None else secret).encode()
        signature = hmac.new(key, f"v0:{stamp}:{body}".encode(), "sha256").hexdigest()
        kind = "application/json" if body.startswith("{") else "application/x-www-form-urlencoded"
        return {
            "Content-Type": kind,
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={signature}",
        }

    def click_body(self, target: Message, action_id: str, *, user: str) -> str:
        """What Slack would send over HTTP for a click."""
        return _form(self._clicked(target, action_id, user, None, None), "interactive")

    def _payload(self, kind: str, user: str, team: str | None) -> Json:
        trigger = f"{next(self._clock)}.{next(self._clock)}.{secrets.token_hex(16)}"
        home = team or self.team
        self.triggers[trigger] = (user, home, asyncio.get_running_loop().time() + ACK_SECONDS)
        return {
            "type": kind,
            "user": {"id": user, "username": user.lower(), "name": user.lower(), "team_id": home},
            "api_app_id": "A0FIREWALL",
            "token": "emulator-verification-token",
            "trigger_id": trigger,
            "team": {"id": self.team, "domain": "home"},
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _event(self, event: Json, team: str | None) -> Json:
        return {
            "type": "event_callback",
            "team_id": team or self.team,
            "api_app_id": "A0FIREWALL",
            "event": event,
            "event_id": f"Ev{secrets.token_hex(5).upper()}",
            "event_time": int(time.time()),
            "authorizations": [
                {"team_id": self.team, "user_id": self.bot_user, "is_bot": True, "enterprise_id": None}
            ],
        }

    async def _deliver(self, payload: Json, kind: str = "interactive") -> Ack:
        if self.request_url:
            return await self._post(payload, kind)
        await self.wait_connected()
        answers = []
        for attempt in range(self._repeat):
            envelope = secrets.token_hex(16)
            message = {
                "type": kind,
                "envelope_id": envelope,
                "accepts_response_payload": kind != "events_api",
                "payload": payload,
            }
            if attempt:
                message |= {"retry_attempt": attempt, "retry_reason": "timeout"}
            self._acks[envelope] = asyncio.get_running_loop().create_future()
            await self._sockets[-1].send_json(message)
            answers.append(self._acks[envelope])
        async with asyncio.timeout(ACK_SECONDS):
            found = await asyncio.gather(*answers)
        return Ack(found[0])

    async def _post(self, payload: Json, kind: str) -> Ack:
        body = _form(payload, kind)
        async with (
            asyncio.timeout(ACK_SECONDS),
            ClientSession() as http,
            http.post(self.request_url, data=body, headers=self.signed(body)) as answer,
        ):
            assert answer.status == 200
            text = await answer.text()
        return Ack(json.loads(text) if text.startswith("{") else {})

    async def _after_submit(self, view: View, answer: Json) -> None:
        match answer.get("response_action"):
            case None | "clear":
                view.closed = True
            case "update":
                found = view_problems(answer["view"])
                if found:
                    raise AssertionError(f"Slack would refuse the view: {found}")
                self._api.replace(view, answer["view"])
            case "errors":
                pass
            case other:
                raise AssertionError(f"unknown response_action {other!r}")
        await self.changed()


def _form(payload: Json, kind: str) -> str:
    """As the body of a request: events as JSON, commands as a form, the rest as a form with JSON in it."""
    if kind == "events_api":
        return json.dumps(payload)
    return urlencode(payload if kind == "slash_commands" else {"payload": json.dumps(payload)})
