"""Who did something in Slack, what the desk says to it, and how they are told.

Slack says who it was, policy says who that is, the desk decides. Whatever does not count is told to the
person who did it, and to nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog
from slack_sdk.errors import SlackApiError

from firewall import clock
from firewall.approval import Hold, Refused
from firewall.channels.card import escaped, is_open, notice
from firewall.channels.slack_pen import reason as error_code
from firewall.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slack_bolt.context.async_context import AsyncBoltContext
    from slack_sdk.web.async_client import AsyncWebClient

    from firewall.channels.card import Json
    from firewall.desk import Desk
    from firewall.policy import Terms

log = structlog.get_logger(__name__)

CHANNEL = "slack"


@dataclass(frozen=True, slots=True)
class Click:
    """One thing that one person did. `team` is the person's own workspace; `home` that it is the app's, too.

    channel: where it was done; empty for the app's home.
    """

    team: str
    user: str
    home: bool
    channel: str
    trigger: str
    hold: str = ""
    digest: str = ""

    @property
    def stranger(self) -> str:
        """What somebody unknown to policy is called in the log."""
        return f"slack:{self.team}/{self.user}"

    def on(self, hold: str, digest: str) -> Click:
        return replace(self, hold=hold, digest=digest)


class Voice:
    """people: the name in policy of a Slack team and user; an empty team is the app's own workspace."""

    def __init__(self, client: AsyncWebClient, desk: Desk, people: Callable[[str, str], str | None]) -> None:
        self._client = client
        self._desk = desk
        self._people = people

    def known(self, click: Click) -> str | None:
        """The person's name in policy. Somebody else's workspace is never taken for the app's own."""
        own = self._people("", click.user) if click.home else None
        exact = self._people(click.team, click.user)
        return (own or exact) if None in {own, exact} or own == exact else None

    def who(self, click: Click) -> str:
        return self.known(click) or click.stranger

    async def cast(self, click: Click, *, approve: bool, why: str = "", terms: Terms | None = None) -> str:
        """Give a person's word to the desk; says why it does not count, or nothing. terms: beyond one run."""
        try:
            word = await self._desk.vote(
                click.hold,
                self.who(click),
                approve=approve,
                reason=why,
                channel=CHANNEL,
                digest=click.digest,
                terms=terms,
                # a card shows all of it, or has no button but the one that opens all of it
                opened=True,
            )
        except StoreError as error:
            return self._unable(click, error)
        return f"not counted: {word.why}" if isinstance(word, Refused) else ""

    async def openable(self, click: Click, *, approve: bool) -> Hold | str:
        """The hold, if this person may still decide on it; else the refusal is recorded, and why.

        Opening a dialog is no vote. What is cast here is cast to be refused: a stranger's, a requester's or a
        foreign digest's word never counts, whatever changes meanwhile; lateness might, so it is cast as a no.
        """
        hold = await self.look(click)
        if isinstance(hold, str):
            return hold
        person = self.who(click)
        if person == click.stranger or person in hold.requesters or hold.digest != click.digest:
            return await self.cast(click, approve=approve)
        if not is_open(hold, clock.now()):
            return await self.cast(click, approve=False)
        return hold

    async def look(self, click: Click) -> Hold | str:
        """The hold as it stands; or why there is nothing to look at."""
        try:
            hold = await self._desk.hold(click.hold)
        except StoreError as error:
            return self._unable(click, error)
        return hold or f"there is no hold `{click.hold}`"

    async def show(self, click: Click, view: Json) -> str:
        """Open a dialog; says what went wrong, or nothing."""
        try:
            await self._client.views_open(trigger_id=click.trigger, view=view)
        except SlackApiError as error:
            log.warning("dialog cannot be opened", hold=click.hold, error=error_code(error))
            return "Slack could not open the dialog: click once more"
        return ""

    async def say(self, click: Click, *words: str) -> None:
        """Tell the person alone; in the app's own conversation with them where it cannot speak otherwise."""
        said = "\n".join(dict.fromkeys(filter(None, words)))
        if not said:
            return
        try:
            shown: dict[str, Any] = {"text": escaped(said), "blocks": notice(said), "parse": "none"}
            if click.channel:
                try:
                    await self._client.chat_postEphemeral(channel=click.channel, user=click.user, **shown)
                except SlackApiError as error:
                    if error_code(error) not in _ELSEWHERE:
                        raise
                else:
                    return
            await self._client.chat_postMessage(channel=click.user, **shown)
        except Exception as error:  # noqa: BLE001 — the vote is decided; only the message about it is lost
            log.warning("answer to a click is lost", hold=click.hold, error=error_code(error))

    def _unable(self, click: Click, error: StoreError) -> str:
        log.error("store fails a click", hold=click.hold, error=error.message)
        return "not counted: the firewall cannot record it now; try again in a moment"


def click_of(body: Json, context: AsyncBoltContext, *, channel: str = "") -> Click:
    """From an interaction's body."""
    user: dict[str, Any] = body["user"]
    team = user.get("team_id") or (body.get("team") or {}).get("id", "")
    return _click(team, user["id"], context, channel, body.get("trigger_id", ""))


def command_of(body: Json, context: AsyncBoltContext) -> Click:
    """From a slash command's body, whose team is the workspace where it was typed."""
    team, user = body.get("team_id", ""), body.get("user_id", "")
    return _click(team, user, context, body.get("channel_id", ""), body.get("trigger_id", ""))


def _click(team: str, user: str, context: AsyncBoltContext, channel: str, trigger: str) -> Click:
    found = context.authorize_result
    return Click(team, user, bool(team and found and found.team_id == team), channel, trigger)


def pairs(value: str) -> Sequence[tuple[str, str]]:
    """Holds and digests that a button names; none if it is no button of ours."""
    words = value.split(" ")
    if len(words) % 2 or not all(words):
        return []
    return list(zip(words[::2], words[1::2], strict=True))


_ELSEWHERE = frozenset({"not_in_channel", "channel_not_found", "user_not_in_channel", "is_archived"})
