"""The Web API methods: arguments in, the answer's fields out, or a `Refusal` with Slack's error code."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.slack_emulator.blocks import MAX_BLOCKS_JSON, MAX_VIEW_BYTES, problems, size, view_problems
from tests.slack_emulator.state import File, Message, View

if TYPE_CHECKING:
    from tests.slack_emulator.server import SlackEmulator
    from tests.slack_emulator.state import Json

MAX_TEXT = 40_000
_SCOPES = {
    "chat.postMessage": "chat:write",
    "chat.postEphemeral": "chat:write",
    "chat.update": "chat:write",
    "users.info": "users:read",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    # views.publish asks for none
}


class Refusal(Exception):
    """`ok: false` with this error; details are further fields of the answer."""

    def __init__(self, error: str, **details: Any) -> None:
        super().__init__(error)
        self.error = error
        self.details = details


class Api:
    def __init__(self, slack: SlackEmulator) -> None:
        self._slack = slack

    def call(self, method: str, authorization: str, arguments: Json) -> Json:
        handler = getattr(self, f"_{method.replace('.', '_')}", None)
        if handler is None:
            raise Refusal("unknown_method", req_method=method)
        token = authorization.removeprefix("Bearer ") or arguments.get("token", "")
        if not token:
            raise Refusal("not_authed")
        if token not in {self._slack.bot_token, self._slack.app_token}:
            raise Refusal("invalid_auth")
        if (token == self._slack.app_token) != (method == "apps.connections.open"):
            raise Refusal("not_allowed_token_type")
        scope = _SCOPES.get(method)
        if scope and scope not in self._slack.scopes:
            raise Refusal("missing_scope", needed=scope, provided=",".join(sorted(self._slack.scopes)))
        return handler(arguments)

    def replace(self, view: View, content: Json) -> None:
        view.content = _with_block_ids(content)
        view.hash = f"{self._slack.now()}.{secrets.token_hex(4)}"
        view.updates += 1

    def _auth_test(self, _: Json) -> Json:
        return {
            "url": "https://home.slack.example/",
            "team": "Home",
            "user": "query-firewall",
            "team_id": self._slack.team,
            "user_id": self._slack.bot_user,
            "bot_id": "B0FIREWALL",
            "is_enterprise_install": False,
        }

    def _apps_connections_open(self, _: Json) -> Json:
        return {"url": self._slack.issue_ticket()}

    def _users_info(self, arguments: Json) -> Json:
        user = arguments.get("user", "")
        if not user.startswith(("U", "W")):
            raise Refusal("user_not_found")
        return {"user": {"id": user, "team_id": self._slack.team, "name": user.lower(), "is_bot": False}}

    def _conversations_info(self, arguments: Json) -> Json:
        channel = self._channel(arguments)
        return {"channel": {"id": channel, "name": self._slack.channels[channel], "is_member": True}}

    def _conversations_history(self, arguments: Json) -> Json:
        channel = self._channel(arguments)
        oldest = float(arguments.get("oldest", 0))
        found = [
            message
            for message in reversed(self._slack.messages.values())
            if message.channel == channel and not message.thread_ts and float(message.ts) > oldest
        ]
        return _page(found, arguments)

    def _conversations_replies(self, arguments: Json) -> Json:
        parent = self._message(arguments, "thread_not_found")
        return _page([parent, *self._slack.thread(parent)], arguments)

    def _chat_postMessage(self, arguments: Json) -> Json:  # noqa: N802 — the method's own name
        channel = self._channel(arguments)
        text, blocks = _content(arguments)
        thread = arguments.get("thread_ts") or ""
        message = Message(channel, self._slack.now(), self._slack.bot_user, text, blocks, thread)
        self._slack.messages[channel, message.ts] = message
        return {"channel": channel, "ts": message.ts, "message": message.dump()}

    def _chat_update(self, arguments: Json) -> Json:
        message = self._message(arguments, "message_not_found")
        if message.user != self._slack.bot_user:
            raise Refusal("cant_update_message")
        text, blocks = _content(arguments)
        message = replace(message, text=text, blocks=blocks, edited=True)
        self._slack.messages[message.channel, message.ts] = message
        return {"channel": message.channel, "ts": message.ts, "text": text, "message": message.dump()}

    def _chat_postEphemeral(self, arguments: Json) -> Json:  # noqa: N802 — the method's own name
        channel = self._channel(arguments)
        if not arguments.get("user"):
            raise Refusal("user_not_in_channel")
        if channel in self._slack.absent:
            raise Refusal("not_in_channel")
        text, blocks = _content(arguments)
        shown = {"channel": channel, "user": arguments["user"], "text": text, "blocks": blocks}
        self._slack.ephemerals.append(shown)
        return {"message_ts": self._slack.now()}

    def _views_open(self, arguments: Json) -> Json:
        trigger = arguments.get("trigger_id", "")
        if trigger in self._slack.exchanged:
            raise Refusal("exchanged_trigger_id")
        if trigger not in self._slack.triggers:
            raise Refusal("invalid_trigger_id")
        user, team, until = self._slack.triggers[trigger]
        if asyncio.get_running_loop().time() > until:
            raise Refusal("expired_trigger_id")
        content = _view(arguments)
        self._slack.exchanged.add(trigger)
        view = View(f"V{secrets.token_hex(5).upper()}", user, team, "", _with_block_ids(content))
        view.hash = f"{self._slack.now()}.{secrets.token_hex(4)}"
        self._slack.views[view.id] = view
        return {"view": view.dump()}

    def _views_update(self, arguments: Json) -> Json:
        view = self._slack.views.get(arguments.get("view_id", ""))
        if view is None or view.closed:
            raise Refusal("not_found")
        if arguments.get("hash") and arguments["hash"] != view.hash:
            raise Refusal("hash_conflict")
        self.replace(view, _view(arguments))
        return {"view": view.dump()}

    def _views_publish(self, arguments: Json) -> Json:
        user, content = arguments.get("user_id", ""), _view(arguments)
        if content["type"] != "home":
            raise Refusal("invalid_arguments")
        view = self._slack.homes.get(user) or View(f"V{secrets.token_hex(5).upper()}", user, "", "", {})
        self.replace(view, content)
        self._slack.homes[user] = view
        return {"view": view.dump()}

    def _files_getUploadURLExternal(self, arguments: Json) -> Json:  # noqa: N802 — the method's own name
        if not arguments.get("filename") or int(arguments.get("length", 0)) < 1:
            raise Refusal("invalid_arguments")
        file = f"F{secrets.token_hex(5).upper()}"
        self._slack.uploads[file] = {"name": arguments["filename"], "length": int(arguments["length"])}
        url = self._slack.base_url.replace("/api/", f"/upload/v1/{file}")
        return {"upload_url": url, "file_id": file}

    def _files_completeUploadExternal(self, arguments: Json) -> Json:  # noqa: N802 — the method's own name
        wanted = json.loads(arguments["files"])
        channel, thread = arguments.get("channel_id", ""), arguments.get("thread_ts") or ""
        if channel and channel not in self._slack.channels:
            raise Refusal("channel_not_found")
        if any("content" not in self._slack.uploads.get(item["id"], {}) for item in wanted):
            raise Refusal("file_not_found")
        names = []
        for item in wanted:
            upload = self._slack.uploads.pop(item["id"])
            title = item.get("title", upload["name"])
            self._slack.files.append(File(upload["name"], title, upload["content"], channel, thread))
            names.append(upload["name"])
        if channel:
            ts = self._slack.now()
            self._slack.messages[channel, ts] = Message(
                channel, ts, self._slack.bot_user, "", [], thread, files=tuple(names)
            )
        return {"files": [{"id": item["id"], "title": item.get("title")} for item in wanted]}

    def _channel(self, arguments: Json) -> str:
        channel = str(arguments.get("channel", "")).removeprefix("#")
        by_name = {name: known for known, name in self._slack.channels.items()}
        found = channel if channel in self._slack.channels else by_name.get(channel)
        if found is None and channel.startswith("U"):
            # the app's own conversation with that person
            return channel
        if found is None:
            raise Refusal("channel_not_found")
        return found

    def _message(self, arguments: Json, missing: str) -> Message:
        message = self._slack.messages.get((self._channel(arguments), arguments.get("ts", "")))
        if message is None:
            raise Refusal(missing)
        return message


def _content(arguments: Json) -> tuple[str, list[Json]]:
    text, given = arguments.get("text") or "", arguments.get("blocks") or []
    blocks = json.loads(given) if isinstance(given, str) else given
    if not text and not blocks:
        raise Refusal("no_text")
    if len(text) > MAX_TEXT:
        raise Refusal("msg_too_long")
    found = problems(blocks)
    if found:
        raise _invalid("invalid_blocks", found)
    if size(blocks) > MAX_BLOCKS_JSON:
        raise Refusal("msg_blocks_too_long")
    return text, _with_block_ids({"blocks": blocks})["blocks"]


def _view(arguments: Json) -> Json:
    given = arguments.get("view")
    try:
        view = json.loads(given) if isinstance(given, str) else given
    except json.JSONDecodeError:
        raise Refusal("invalid_arguments") from None
    found = view_problems(view)
    if found:
        raise _invalid("invalid_arguments", found)
    if len(json.dumps(view)) > MAX_VIEW_BYTES:
        raise Refusal("view_too_large")
    return view


def _invalid(error: str, found: list[str]) -> Refusal:
    return Refusal(error, errors=found, response_metadata={"messages": found})


def _with_block_ids(content: Json) -> Json:
    """Slack names every block that comes without an id."""
    blocks = [{"block_id": secrets.token_urlsafe(4), **block} for block in content["blocks"]]
    return {**content, "blocks": blocks}


def _page(found: list[Message], arguments: Json) -> Json:
    start, limit = int(arguments.get("cursor") or 0), int(arguments.get("limit", 100))
    more = start + limit < len(found)
    return {
        "messages": [message.dump() for message in found[start : start + limit]],
        "has_more": more,
        "response_metadata": {"next_cursor": str(start + limit) if more else ""},
    }
