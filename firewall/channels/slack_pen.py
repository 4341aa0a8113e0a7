"""The calls to Slack's Web API that write and find the app's own messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from slack_sdk.errors import SlackApiError

from firewall.errors import StoreError

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

    from firewall.channels.card import Card, Json

log = structlog.get_logger(__name__)

# errors that the same call will meet again, whatever the operator does (docs.slack.dev, chat.postMessage)
FINAL = frozenset(
    {
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "invalid_arguments",
        "cant_update_message",
        "edit_window_closed",
    }
)
GONE = frozenset({"message_not_found", "thread_not_found"})
# the operator has to do something, and until then no call succeeds
REVOKED = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "org_login_required"}
)


class Pen:
    """Writes as the app. A call may raise SlackClientError, aiohttp.ClientError or TimeoutError."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._me = ""

    async def say(self, channel: str, text: str, blocks: list[Json], *, thread: str | None = None) -> Any:
        return await self._client.chat_postMessage(
            channel=channel,
            text=text,
            blocks=blocks,
            thread_ts=thread,
            parse="none",
            unfurl_links=False,
            unfurl_media=False,
        )

    async def say_once(
        self, channel: str, text: str, blocks: list[Json], *, thread: str = "", since: float = 0.0
    ) -> None:
        """Say it, unless our message with this first block is there and only its answer was lost.

        thread: as a reply there. since: how far back to look for one that is none.
        """
        if not await self.find(channel, blocks[0]["block_id"], since=since, thread=thread):
            await self.say(channel, text, blocks, thread=thread or None)

    async def update(self, channel: str, ts: str, made: Card) -> None:
        await self._client.chat_update(
            channel=channel, ts=ts, text=made.text, blocks=made.blocks, parse="none"
        )

    async def attach(self, channel: str, ts: str, files: dict[str, str]) -> None:
        """Files into a thread, as text."""
        uploads: list[dict[str, Any]] = [
            {"filename": name, "title": name, "content": text, "snippet_type": "text"}
            for name, text in files.items()
        ]
        if uploads:
            await self._client.files_upload_v2(file_uploads=uploads, channel=channel, thread_ts=ts)

    async def find(self, channel: str, first_block: str, *, since: float = 0.0, thread: str = "") -> str:
        """The ts of our own message whose first block has this id; empty when there is none to be seen."""
        cursor = None
        try:
            self._me = self._me or (await self._client.auth_test())["user_id"]
            while True:
                if thread:
                    answer = await self._client.conversations_replies(
                        channel=channel, ts=thread, limit=200, cursor=cursor
                    )
                else:
                    answer = await self._client.conversations_history(
                        channel=channel, oldest=f"{since:.6f}", limit=200, cursor=cursor
                    )
                for message in answer["messages"]:
                    blocks = message.get("blocks") or [{}]
                    if message.get("user") == self._me and blocks[0].get("block_id") == first_block:
                        return str(message["ts"])
                cursor = (answer.get("response_metadata") or {}).get("next_cursor")
                if not cursor:
                    return ""
        except SlackApiError as error:
            if reason(error) != "missing_scope":
                raise
            # a second card is an annoyance, a lost one is a hold that nobody sees
            log.warning("slack app lacks channels:history and groups:history, a card may be doubled")
            return ""


def reason(error: Exception) -> str:
    """Slack's error code, or the kind of failure; never the message, which may quote a request."""
    if isinstance(error, StoreError):
        return error.message
    data = getattr(getattr(error, "response", None), "data", None)
    return str(data.get("error", "")) or "no answer" if isinstance(data, dict) else type(error).__name__
