"""A hold as an Adaptive Card: what would happen and why it was stopped. Pure.

Whatever came from outside stands in text runs, which Teams does not parse: no markup and no mention in a
statement can come to life. What does not fit is counted, and then the card has Review in place of Approve:
such a statement is read page by page first, or in the console.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from firewall.approval import State
from firewall.channels import dossier, visible
from firewall.channels.card import button_value, grantable, header, is_open, risk
from firewall.channels.granting import FOR, ROWS, USES, lasting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from firewall.approval import Hold, Vote

Json = dict[str, Any]

APPROVE = "firewall_approve"
DENY = "firewall_deny"
REVIEW = "firewall_review"
WHILE = "firewall_while"
# what a button carries: what is to be done, on which holds with which digests, on which page
ACTION, ACTS, PAGE = "action", "acts", "page"
REASON = "reason"
# learn.microsoft.com, Teams limits: a bot's message has 28 KB at most; what is around the bodies is under 8
MAX_COST = 16_000
MAX_PART_COST = 9_000
MAX_NAME = 120
MAX_REASON = 1000
MAX_VOTES = 3
MAX_USERS = 10
# of one page of a long statement, and of what stands on it of one part
MAX_PAGE_COST = 16_000
PIECE_CHARS, PIECE_COST = 8000, 12_000


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
        body.append(_reason("it"))
        made["actions"] = _actions(hold, missing, url)
    return made


def several(holds: Sequence[Hold], *, now: datetime) -> Json:
    """One card for similar holds, as they stand: what they have in common once, what differs for each."""
    first, waiting = holds[0], [hold for hold in holds if is_open(hold, now)]
    state = risk(first) if waiting else "☑ Decided"
    said = f"{len(holds)} similar statements" + (f", {len(waiting)} to decide" if waiting else ", decided")
    body: list[Json] = [
        {**_runs(_run(f"{state}: {said}", weight="Bolder", size="Large")), "id": f"hold {first.id}"},
        _runs(_run("Agent "), _own(first.agent), _run(" of "), _own(first.owner), *_place(first)),
    ]
    for part in dossier.parts(first):
        if part.title not in {"SQL", "Parameters", "Impact"}:
            body += _part(part.title, part.text)
    for number, hold in enumerate(holds, 1):
        body += _one(hold, number, len(holds))
        if hold in waiting and len(waiting) > 1:
            act = button_value(hold)
            both = (
                _button(f"Approve {number}", APPROVE, act, "positive"),
                _button(f"Deny {number}", DENY, act, "destructive"),
            )
            body.append({"type": "ActionSet", "actions": list(both)})
    quorum = f"{first.quorum} {'approval' if first.quorum == 1 else 'approvals'}"
    deciders = _own(", ".join(first.deciders(now)) or "nobody")
    body.append(_runs(_run(f"Each needs {quorum} by "), deciders, _run(" · rule "), _own(first.rule)))
    made: Json = {"type": "AdaptiveCard", "version": "1.5", "body": body, "msteams": {"width": "full"}}
    if waiting:
        body.append(_reason("them"))
        acts = " ".join(map(button_value, waiting))
        all_of = f" all {len(waiting)}" if len(waiting) > 1 else ""
        made["actions"] = [
            _button(f"Approve{all_of}", APPROVE, acts, "positive"),
            _button(f"Deny{all_of}", DENY, acts, "destructive"),
        ]
    return made


def outcome(hold: Hold) -> Json:
    """The reply once Postgres has had its word."""
    return _reply(_runs(_run(f"Outcome of hold {hold.id}: "), _own(hold.outcome, 1000)))


def nudge(hold: Hold, number: int, users: Sequence[tuple[str, str]]) -> Json:
    """The reply that asks these people once more; 0 is the escalation."""
    words = [_run("Still waiting. " if number else "Escalated. ", weight="Bolder"), _run(f"Hold {hold.id}. ")]
    if not number and hold.escalate_groups:
        words += [_run("From now on "), _own(", ".join(hold.escalate_groups)), _run(" may decide, too. ")]
    words.append(_run(f"Expires {hold.expires_at:%Y-%m-%d %H:%M:%S} UTC."))
    made = _reply(_runs(*words))
    asked = [(f"<at>approver {n}</at>", user) for n, (_, user) in enumerate(users[:MAX_USERS], 1)]
    if asked:
        # the only mentions on any card: their words are the card's own, and the ids come from policy
        made["body"].append({"type": "TextBlock", "text": " ".join(text for text, _ in asked), "wrap": True})
        made["msteams"]["entities"] = [
            {"type": "mention", "text": text, "mentioned": {"id": user, "name": text[4:-5]}}
            for text, user in asked
        ]
    return made


def pages(hold: Hold) -> list[list[tuple[str, str]]]:
    """Everything there is to read, in order, as titles and texts that fit on one page; at least one page."""
    found: list[list[tuple[str, str]]] = [[]]
    room = MAX_PAGE_COST
    for part in dossier.parts(hold):
        start = 0
        for text in visible.pieces(part.text, PIECE_CHARS, PIECE_COST):
            end = start + len(text)
            some = len(text) < len(part.text)
            title = f"{part.title}, characters {start + 1:,} to {end:,} of {len(part.text):,}"
            cost = len(json.dumps(text)) + 500
            if cost > room and found[-1]:
                found.append([])
                room = MAX_PAGE_COST
            found[-1].append((title if some else part.title, text))
            start, room = end, room - cost
    return found


def page_of(hold: Hold, found: list[list[tuple[str, str]]], number: int) -> Json:
    """One page as a card for whoever reads it; the last one has Approve."""
    last = number == len(found) - 1
    end = "This is the end: decide below." if last else "Read on to decide."
    body: list[Json] = [
        _runs(_run(f"Hold {hold.id}, page {number + 1:,} of {len(found):,}. ", weight="Bolder"), _run(end)),
        *(
            []
            if number
            else [_runs(_run(f"⚠ {remark}", weight="Bolder")) for remark in dossier.remarks(hold)]
        ),
    ]
    for title, text in found[number]:
        body += _part(title, text)
    act = button_value(hold)
    actions = [_button("Previous", REVIEW, act, page=number - 1)] if number else []
    actions += [_button("Next", REVIEW, act, page=number + 1)] if not last else []
    if last:
        body.append(_reason("it"))
        actions += [_button("Approve", APPROVE, act, "positive"), _button("Deny", DENY, act, "destructive")]
    made: Json = {"type": "AdaptiveCard", "version": "1.5", "body": body, "msteams": {"width": "full"}}
    return {**made, "actions": actions}


def needs_reading(hold: Hold) -> bool:
    """The card shows less than everything, so nobody may approve from it."""
    return _parts(hold)[1] > 0


def _actions(hold: Hold, missing: int, url: str) -> list[Json]:
    act = button_value(hold)
    deny = _button("Deny", DENY, act, "destructive")
    if missing:
        read = {"type": "Action.OpenUrl", "title": "Read in the console", "url": f"{url}/holds/{hold.id}"}
        elsewhere = [read] if url.startswith(("https://", "http://")) else []
        return [_button("Review", REVIEW, act, "positive", page=0), *elsewhere, deny]
    approve = _button("Approve", APPROVE, act, "positive")
    return [approve, *([_while(hold)] if grantable(hold) else []), deny]


def _while(hold: Hold) -> Json:
    """Asks for how long, how often and how many rows, filled in with the most that there is to grant."""
    most = hold.grants
    assert most is not None
    words = (
        "Statements of its shape by the same agent, which differ in literals only, pass as well, until one "
        f"of these is used up. At most {lasting(most.seconds)}, {most.uses} runs"
    )
    fields = [(FOR, "For how long", lasting(most.seconds)), (USES, "How many runs", str(most.uses))]
    if most.rows is not None:
        words += f", {most.rows} rows by all of them"
        fields.append((ROWS, "How many rows", str(most.rows)))
    inputs = [
        {"type": "Input.Text", "id": name, "label": label, "value": value, "maxLength": 20}
        for name, label, value in fields
    ]
    inner = {
        "type": "AdaptiveCard",
        "body": [_runs(_run(f"{words}. Every use is recorded.")), *inputs],
        "actions": [_button("Approve for a while", WHILE, button_value(hold), "positive")],
    }
    return {"type": "Action.ShowCard", "title": "Approve for a while …", "card": inner}


def _button(title: str, action: str, acts: str, style: str = "default", **more: int) -> Json:
    data = {ACTION: action, ACTS: acts, **more}
    return {"type": "Action.Execute", "title": title, "style": style, "verb": action, "data": data}


def _reason(what: str) -> Json:
    return {
        "type": "Input.Text",
        "id": REASON,
        "isMultiline": True,
        "maxLength": MAX_REASON,
        "placeholder": f"Why, if you deny {what}: the agent reads this",
    }


def _reply(*body: Json) -> Json:
    # a text is markdown to Teams, a card's text run is not
    return {"type": "AdaptiveCard", "version": "1.5", "body": list(body), "msteams": {"width": "full"}}


def _one(hold: Hold, number: int, of: int) -> list[Json]:
    """What is its own of one of several."""
    words = [_run(f"{number} of {of} · Hold {hold.id}", weight="Bolder"), _run(" · digest ")]
    words.append(_own(hold.digest[: dossier.SHORT_DIGEST]))
    if hold.state is State.PENDING:
        words.append(_run(f" · expires {hold.expires_at:%Y-%m-%d %H:%M:%S} UTC"))
    body = [_runs(*words), _fenced(visible.visible(hold.sql) or "(empty)")]
    if hold.parameters:
        body += _part("Parameters", "\n".join(dossier.parameters(hold)))
    if hold.impact:
        body.append(_runs(_run("Impact ", weight="Bolder"), _own(hold.impact.headline)))
    body += [_runs(_run(f"⚠ {remark}", weight="Bolder")) for remark in dossier.remarks(hold)]
    body += [_runs(*_vote(vote)) for vote in hold.votes[-1:]]
    if len(hold.votes) > 1:
        body.append(_runs(_run(f"and {len(hold.votes) - 1} votes before")))
    if hold.state is not State.PENDING:
        body.append(_runs(_run(f"This hold is {dossier.standing(hold)}.", weight="Bolder")))
    return body


def _part(title: str, text: str) -> list[Json]:
    return [_runs(_run(title, weight="Bolder")), _fenced(text)]


def _fenced(text: str) -> Json:
    return {"type": "Container", "style": "emphasis", "items": [_runs(_own(text, 0))]}


def _parts(hold: Hold) -> tuple[list[Json], int]:
    """Everything from outside as far as it fits, and how many characters are missing."""
    found: list[Json] = []
    missing = 0
    spent = 0
    for part in sorted(dossier.parts(hold), key=lambda part: _ORDER.get(part.title, 0)):
        cost = max(0, min(MAX_PART_COST, MAX_COST - spent))
        shown = visible.cut(part.text, cost, cost)
        spent += len(json.dumps(shown))
        found += _part(part.title, shown)
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
