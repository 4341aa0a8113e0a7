"""Somebody broke the glass: a message of its own, where the hold is shown and where settings say. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from firewall.channels import dossier, visible
from firewall.channels.card import MAX_HEADER, bold, code, escaped, moment, plain, rich, section, who

if TYPE_CHECKING:
    from datetime import datetime

    from firewall.approval import Hold, Vote
    from firewall.channels.card import Json

# What is older when it is first seen (by a new channel, say) is history, and no alarm.
FRESH = timedelta(days=1)
MAX_REASON = 1000


def due(hold: Hold, now: datetime) -> Vote | None:
    """The word that broke the glass, as long as that is news."""
    vote = hold.glass
    return vote if vote is not None and now - vote.at < FRESH else None


def alarm_id(hold_id: str) -> str:
    """Of its first block: how it is found again in the channel."""
    return f"alarm {hold_id}"


def title(hold: Hold) -> str:
    """In one line."""
    where = visible.cut(visible.line(hold.environment or hold.database), 60)
    return f"🚨 The glass was broken: {dossier.verb(hold)} in {where}"


def sentences(hold: Hold, vote: Vote) -> list[tuple[str, str]]:
    """The firewall's own words and what came from outside, in turns."""
    groups = ", ".join(hold.groups)
    people = "one" if hold.quorum == 1 else str(hold.quorum)
    return [
        (f"Hold {hold.id} was approved by one person alone, ", vote.person),
        (f", where {people} of these were to decide: ", groups),
        (". The reason given: ", visible.cut(visible.line(vote.reason), MAX_REASON, 3 * MAX_REASON)),
    ]


def slack(hold: Hold, vote: Vote) -> tuple[str, list[Json]]:
    """Text for notifications, and blocks."""
    head = {"type": "plain_text", "text": title(hold)[:MAX_HEADER], "emoji": False}
    words: list[Json] = []
    for ours, theirs in sentences(hold, vote):
        words += [plain(ours), code(visible.cut(visible.line(theirs), MAX_REASON, 3 * MAX_REASON) or "none")]
    look = [bold("Look at it: "), code(f"firewall holds show {hold.id}"), plain(" · "), moment(vote.at)]
    blocks: list[Json] = [
        {"type": "header", "block_id": alarm_id(hold.id), "text": head},
        rich(section(*words), who(hold), section(*look)),
    ]
    return escaped(title(hold)), blocks


def teams(hold: Hold, vote: Vote) -> dict[str, Any]:
    """An Adaptive Card; its text runs know no markdown."""
    runs: list[dict[str, Any]] = []
    for ours, theirs in sentences(hold, vote):
        runs += [
            {"type": "TextRun", "text": ours},
            {
                "type": "TextRun",
                "text": visible.cut(visible.line(theirs), MAX_REASON) or "none",
                "fontType": "Monospace",
            },
        ]
    head = {"type": "TextRun", "text": title(hold), "weight": "Bolder", "color": "Attention"}
    body = [{"type": "RichTextBlock", "inlines": [head]}, {"type": "RichTextBlock", "inlines": runs}]
    return {"type": "AdaptiveCard", "version": "1.5", "body": body}
