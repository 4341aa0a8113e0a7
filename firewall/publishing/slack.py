"""A Slack channel as a place where checkpoints are published: each is a message, to be copied from there."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from firewall.publishing.error import CALL_SECONDS, PublishError

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

# what Slack's errors are called: not, what else an answer may say
_CODE: Final = re.compile(r"[a-z_]{1,60}")
_WHAT_TO_DO: Final = {
    "not_in_channel": "invite the app to the channel",
    "channel_not_found": "invite the app to the channel, or correct its id",
    "is_archived": "name another channel",
}


@dataclass(frozen=True, slots=True)
class Slack:
    """channel: its id. The app, whose bot token this is, must have been invited there."""

    channel: str
    token: str = field(repr=False)
    api_url: str = "https://slack.com/api/"

    @property
    def name(self) -> str:
        return f"slack:{self.channel}"

    async def put(self, origin: str, size: int, note: str) -> None:
        """A second one of the same, after a lost answer, says nothing new and harms nobody."""
        from slack_sdk.errors import SlackClientError  # noqa: PLC0415 — few publish there

        try:
            await self._client().chat_postMessage(
                channel=self.channel,
                text=f"checkpoint of `{origin}`: {size} records",
                blocks=_blocks(origin, size, note),
                parse="none",
                unfurl_links=False,
                unfurl_media=False,
            )
        except SlackClientError as error:
            raise PublishError(_why(error)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PublishError(f"there is no answer ({type(error).__name__})") from None

    def _client(self) -> AsyncWebClient:
        from slack_sdk.web.async_client import AsyncWebClient  # noqa: PLC0415 — as above

        # INVARIANT: 10. what goes wrong is said above, in words of ours: the library writes whole requests
        silent = logging.getLogger("firewall.publishing.slack.sdk")
        silent.setLevel(logging.CRITICAL + 1)
        return AsyncWebClient(self.token, base_url=self.api_url, timeout=CALL_SECONDS, logger=silent)


def _blocks(origin: str, size: int, note: str) -> list[dict[str, Any]]:
    """Preformatted plain text: what is copied from it is the note, to the letter."""
    heading = f"Checkpoint of {origin}: {size} records"
    return [
        {"type": "context", "elements": [{"type": "plain_text", "text": heading, "emoji": False}]},
        {
            "type": "rich_text",
            "elements": [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": note}]}],
        },
    ]


def _why(error: Exception) -> str:
    # the body of an answer that is none of Slack's is text
    said: Any = getattr(getattr(error, "response", None), "data", None)
    code = said.get("error") if isinstance(said, dict) else None
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return f"there is no answer ({type(error).__name__})"
    todo = _WHAT_TO_DO.get(code)
    return f"Slack says `{code}`" + (f": {todo}" if todo else "")
