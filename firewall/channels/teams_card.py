"""A hold as an Adaptive Card: what would happen and why it was stopped. Pure.

Whatever came from outside stands in text runs, which Teams does not parse: no markup and no mention in a
statement can come to life. What does not fit is counted, and then the card has no Approve: such a statement
is read in the console or at the command line first.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from firewall.approval import State
from firewall.channels import dossier, visible
from firewall.channels.card import header, is_open

if TYPE_CHECKING:
    from datetime import datetime

    from firewall.approval import Hold, Vote

Json = dict[str, Any]

APPROVE = "firewall_approve"
DENY = "firewall_deny"
REASON = "reason"
# learn.microsoft.com, Teams limits: a bot's message has 28 KB at most; what is around the bodies is under 8
MAX_COST = 16_000
MAX_PART_COST = 9_000
MAX_NAME = 120
MAX_REASON = 1000
MAX_VOTES = 3


def card(hold: Hold, *, now: datetime, url: str = "") -> Json:
    """The card for a hold as it stands at `now`. url: the console, where everything can be read."""
    parts, missing = _parts(hold)
    body: list[Json] = [
        {**_runs(_run(header(hold), weight="Bolder", size="Large")), "id": f"hold {hold.id}"},
        _runs(_run("Agent "), _own(hold.agent), _run(" of "), _own(hold.owner), *_place(hold)),
        *[_runs(*_vote(vote)) for vote in hold.votes[-MAX_VOTES:]],
    ]
    if hold.state is not State.PENDING:
        body.append(_runs(_run(f"This hold is {dossier.standing(hold)}.", weight="Bolder")))
    body += parts
    body += [_runs(_run(f"⚠ {remark}", weight="Bolder")) for remark in dossier.remarks(hold)]
    body.append(_runs(*_footer(hold, now)))
    made: Json = {"type": "AdaptiveCard", "version": "1.5", "body": body, "msteams": {"width": "full"}}
    if is_open(hold, now):
        body.append(
            {
                "type": "Input.Text",
                "id": REASON,
                "isMultiline": True,
                "maxLength": MAX_REASON,
                "placeholder": "Why, if you deny it: the agent reads this",
            }
        )
        made["actions"] = _actions(hold, missing, url)
    return made


def needs_reading(hold: Hold) -> bool:
    """The card shows less than everything, so nobody may approve from it."""
    return _parts(hold)[1] > 0


def _actions(hold: Hold, missing: int, url: str) -> list[Json]:
    data = {"hold": hold.id, "digest": hold.digest}
    approve = {
        "type": "Action.Execute",
        "title": "Approve",
        "style": "positive",
        "verb": APPROVE,
        "data": {"action": APPROVE, **data},
    }
    deny = {
        "type": "Action.Execute",
        "title": "Deny",
        "style": "destructive",
        "verb": DENY,
        "data": {"action": DENY, **data},
    }
    if not missing:
        return [approve, deny]
    read = {"type": "Action.OpenUrl", "title": "Read in the console", "url": f"{url}/holds/{hold.id}"}
    return [*([read] if url.startswith(("https://", "http://")) else []), deny]


def _parts(hold: Hold) -> tuple[list[Json], int]:
    """Everything from outside as far as it fits, and how many characters are missing."""
    found: list[Json] = []
    missing = 0
    spent = 0
    for part in sorted(dossier.parts(hold), key=lambda part: _ORDER.get(part.title, 0)):
        cost = max(0, min(MAX_PART_COST, MAX_COST - spent))
        shown = visible.cut(part.text, cost, cost)
        spent += len(json.dumps(shown))
        found.append(_runs(_run(part.title, weight="Bolder")))
        found.append({"type": "Container", "style": "emphasis", "items": [_runs(_own(shown, 0))]})
        left = len(part.text) - len(shown)
        missing += left
        if left:
            found.append(_runs(_run(f"{left:,} more characters are not shown here", weight="Bolder")))
    return found, missing


def _place(hold: Hold) -> list[Json]:
    found = [_run(" asks on database "), _own(hold.database)]
    if hold.environment:
        found += [_run(" ("), _own(hold.environment), _run(")")]
    return [*found, _run(" as role "), _own(hold.role)]


def _vote(vote: Vote) -> list[Json]:
    found = [_run("Approved" if vote.approve else "Denied", weight="Bolder"), _run(" by "), _own(vote.person)]
    return [*found, _run(": "), _own(vote.reason)] if vote.reason else found


def _footer(hold: Hold, now: datetime) -> list[Json]:
    words = [_run("Hold "), _own(hold.id), _run(" · digest "), _own(hold.digest[: dossier.SHORT_DIGEST])]
    words += [_run(" · rule "), _own(hold.rule)]
    if hold.state is State.PENDING:
        given = sum(vote.approve for vote in hold.votes)
        words += [_run(f" · {given} of {hold.quorum} approvals by ")]
        words += [_own(", ".join(hold.deciders(now)) or "nobody")]
        words += [_run(f" · expires {hold.expires_at:%Y-%m-%d %H:%M:%S} UTC")]
    return words


def _runs(*runs: Json) -> Json:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(words: str, **style: str) -> Json:
    return {"type": "TextRun", "text": words, **style}


def _own(value: str, limit: int = MAX_NAME) -> Json:
    """Text from outside."""
    # escaped in JSON, a character may take twelve
    shown = visible.cut(visible.line(value, limit), limit, 2 * limit) if limit else value
    return {"type": "TextRun", "text": shown or "none", "fontType": "Monospace"}


# what is not named here is read before the statement, too
_ORDER = {"Stopped because": -3, "It would": -2, "Sensitive data": -1, "SQL": 1, "Parameters": 2}
