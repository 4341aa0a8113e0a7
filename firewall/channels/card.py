"""A hold as a Slack message: what would happen and why it was stopped, in five seconds. Pure.

The card's own words are plain or bold. Whatever came from the agent, the policy or the database stands in
code style or preformatted, as rich_text, which Slack does not parse: no markup, mention, link or emoji code
in a statement can come to life, and nothing in it can pass for the card's own words. (The header has no
styles; of all that comes from outside it names the environment alone, which is the operator's word.) What
does not fit is counted, goes into a file, and turns Approve into Review.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from firewall.approval import State
from firewall.channels import dossier, visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from firewall.approval import Hold, Vote

Json: TypeAlias = dict[str, Any]

APPROVE = "firewall_approve"
DENY = "firewall_deny"
REVIEW = "firewall_review"

# docs.slack.dev, reference/block-kit/blocks/header-block
MAX_HEADER = 150
# Slack answers msg_blocks_too_long when all blocks together pass some 13,200 characters as JSON, a limit that
# it does not document (slackapi/bolt-js#2509); what stands around the bodies takes 5,000 at most
MAX_BODIES_COST = 7900
# the statement has what the other bodies leave of that, up to its own limit; they leave it 1,000 at least
MAX_SQL, MAX_SQL_COST = 3000, 4500
MAX_SQL_LINES = 60
MAX_PARAMETERS, MAX_PARAMETERS_COST = 1000, 1000
MAX_PARAMETER_LINES = 20
MAX_ITEMS = 6
MAX_ITEM_COST = 160
MAX_LABELS_COST = 300
MAX_NAME_COST = 120
MAX_WHY_COST = 200
MAX_VOTES = 2

_RISKS = {"low": "🟩 LOW", "medium": "🟨 MEDIUM", "high": "🟧 HIGH", "critical": "🟥 CRITICAL"}
_STATES = {
    State.APPROVED: "✅ Approved",
    State.CONSUMED: "✅ Approved",
    State.LAPSED: "✅ Approved, not run",
    State.REJECTED: "⛔ Denied",
    State.EXPIRED: "⌛ Expired",
    State.WITHDRAWN: "↩ Withdrawn",
}


@dataclass(frozen=True, slots=True)
class Card:
    """text: for notifications. blocks: Block Kit. files: by name, for the thread, what the card cut."""

    text: str
    blocks: list[Json]
    files: dict[str, str]


def card(hold: Hold, *, now: datetime) -> Card:
    """The message for a hold as it stands at `now`; past its expiry there is nothing to click."""
    whole = dossier.parts(hold)
    bodies, missing = _bodies(hold)
    blocks: list[Json] = [
        {
            "type": "header",
            "block_id": block_id(hold.id),
            "text": {"type": "plain_text", "text": _header(hold)[:MAX_HEADER], "emoji": False},
        },
        rich(_who(hold), *_decision(hold)),
        rich(*bodies),
        rich(_footer(hold)),
    ]
    if hold.state is State.PENDING and now < hold.expires_at:
        blocks.append(_buttons(hold, review=missing > 0))
    text = escaped(
        f"{_header(hold)} · agent {visible.line(hold.agent, MAX_NAME_COST)} · hold {hold.id} "
        f"{dossier.standing(hold)}"
    )
    files = {f"{hold.id}.txt": dossier.text(hold)} if missing and whole else {}
    return Card(text, blocks, files)


def needs_review(hold: Hold) -> bool:
    """The card shows less than everything, so nobody may approve from it with one click."""
    return _bodies(hold)[1] > 0


def block_id(hold_id: str) -> str:
    """Of a card's first block: how a card is found again in the channel."""
    return f"hold {hold_id}"


def outcome_id(hold_id: str) -> str:
    """Of the reply that says what came of it."""
    return f"outcome {hold_id}"


def button_value(hold: Hold) -> str:
    """What a click names: the hold, and the digest of what its card shows."""
    return f"{hold.id} {hold.digest}"


def outcome(hold: Hold) -> tuple[str, list[Json]]:
    """The reply in the thread once Postgres has had its word: text and blocks."""
    said = code(visible.cut(visible.line(hold.outcome), 1000, 3000) or "nothing")
    reply = rich(section(bold("Outcome: "), said))
    return f"hold {hold.id} has an outcome", [{**reply, "block_id": outcome_id(hold.id)}]


def notice(words: str) -> list[Json]:
    """A sentence that Slack takes literally."""
    shown = visible.cut(visible.visible(words), 2900)
    return [{"type": "section", "text": {"type": "plain_text", "text": shown, "emoji": False}}]


def escaped(text: str) -> str:
    """Text for a field that Slack parses: control sequences made inert (docs.slack.dev, formatting text)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def rich(*elements: Json) -> Json:
    return {"type": "rich_text", "elements": list(elements)}


def section(*elements: Json) -> Json:
    return {"type": "rich_text_section", "elements": list(elements)}


def bullets(items: Sequence[Json]) -> Json:
    return {"type": "rich_text_list", "style": "bullet", "elements": list(items)}


def preformatted(shown: str) -> Json:
    return {"type": "rich_text_preformatted", "elements": [plain(shown)]}


def plain(words: str) -> Json:
    return {"type": "text", "text": words}


def bold(words: str) -> Json:
    return {"type": "text", "text": words, "style": {"bold": True}}


def code(shown: str) -> Json:
    return {"type": "text", "text": shown, "style": {"code": True}}


def _header(hold: Hold) -> str:
    state = _STATES.get(hold.state) or f"{_RISKS.get(hold.risk, '⬜ UNRATED')} risk"
    where = visible.cut(visible.line(hold.environment or hold.database), 60, MAX_NAME_COST)
    return f"{state}: {dossier.verb(hold)} in {where}"


def _who(hold: Hold) -> Json:
    place = [_name(hold.database)]
    if hold.environment:
        place += [plain(" ("), _name(hold.environment), plain(")")]
    return section(
        plain("Agent "),
        _name(hold.agent),
        plain(" of "),
        _name(hold.owner),
        plain(" asks on database "),
        *place,
        plain(" as role "),
        _name(hold.role),
    )


def _decision(hold: Hold) -> list[Json]:
    """Who said what so far; for a hold that ended without votes, how it ended."""
    said = [_vote(vote) for vote in hold.votes[-MAX_VOTES:]]
    if len(hold.votes) > MAX_VOTES:
        said.insert(0, section(plain(f"and {len(hold.votes) - MAX_VOTES} votes before")))
    if hold.state is not State.PENDING:
        said.append(section(bold(f"This hold is {dossier.standing(hold)}.")))
    return said


def _vote(vote: Vote) -> Json:
    words = [bold("Approved" if vote.approve else "Denied"), plain(" by "), _name(vote.person), plain(" ")]
    words.append(_moment(vote.at))
    if vote.reason:
        words += [plain(": "), code(_fitted(vote.reason, MAX_WHY_COST))]
    return section(*words)


def _bodies(hold: Hold) -> tuple[list[Json], int]:
    """The parts as far as they fit, and how many characters are missing from the card."""
    found: list[Json] = []
    missing = 0
    for title, values in (("Stopped because", hold.reasons), ("It would", hold.effects)):
        shown, left = _items(values)
        missing += left
        if shown:
            found += [section(bold(title)), bullets(shown)]
            found += [_missing(left)] if left else []
    if labels := visible.line(", ".join(hold.labels)):
        shown_labels = visible.cut(labels, len(labels), MAX_LABELS_COST)
        left = len(labels) - len(shown_labels)
        missing += left
        found.append(section(bold("Sensitive data "), code(shown_labels)))
        found += [_missing(left)] if left else []
    sql = visible.visible(hold.sql)
    height = hold.sql.count("\n") + 1
    size = f" ({len(hold.sql):,} characters, {height:,} {'line' if height == 1 else 'lines'})"
    found.append(section(bold("SQL"), plain(size)))
    below: list[Json] = []
    if hold.parameters:
        runs = f" of {hold.executions:,} runs" if hold.executions > 1 else ""
        below.append(section(bold("Parameters"), plain(f" ({len(hold.parameters):,}{runs})")))
        values_text = "\n".join(dossier.parameters(hold))
        missing += _fence(below, values_text, MAX_PARAMETERS, MAX_PARAMETERS_COST, MAX_PARAMETER_LINES)
    remarks = [section(plain(remark)) for remark in dossier.remarks(hold)]
    if remarks:
        below += [section(bold("⚠ Look out")), bullets(remarks)]
    cost = min(MAX_SQL_COST, MAX_BODIES_COST - len(json.dumps([*found, *below])))
    missing += _fence(found, sql or "(empty)", MAX_SQL, cost, MAX_SQL_LINES)
    return [*found, *below], missing


def _items(values: Sequence[str]) -> tuple[list[Json], int]:
    shown, left = [], 0
    for number, value in enumerate(values):
        whole = visible.line(value)
        fits = visible.cut(whole, MAX_ITEM_COST, MAX_ITEM_COST) if number < MAX_ITEMS else ""
        left += len(whole) - len(fits)
        if fits:
            shown.append(section(code(fits)))
    return shown, left


def _fence(found: list[Json], shown: str, chars: int, cost: int, height: int) -> int:
    """Append the text preformatted as far as it fits; returns how many characters are missing."""
    top = "\n".join(shown.split("\n", height)[:height])
    fits = visible.cut(top, chars, cost)
    found.append(preformatted(fits))
    left = len(shown) - len(fits)
    if left:
        found.append(_missing(left))
    return left


def _missing(left: int) -> Json:
    return section(
        bold(f"{left:,} more characters are not shown here: see Review, or the file in the thread")
    )


def _footer(hold: Hold) -> Json:
    words = [plain("Hold "), code(hold.id), plain(" · digest "), code(hold.digest[: dossier.SHORT_DIGEST])]
    words += [plain(" · rule "), _name(hold.rule)]
    if hold.state is State.PENDING:
        groups = code(_fitted(", ".join(hold.groups) or "nobody", MAX_NAME_COST))
        given = sum(vote.approve for vote in hold.votes)
        words += [plain(f" · {given} of {hold.quorum} approvals by "), groups, plain(" · expires ")]
        words.append(_moment(hold.expires_at))
    return section(*words)


def _buttons(hold: Hold, *, review: bool) -> Json:
    value = button_value(hold)
    first = ("Review", REVIEW) if review else ("Approve", APPROVE)
    return {
        "type": "actions",
        "block_id": f"decide {hold.id}",
        "elements": [_button(*first, "primary", value), _button("Deny", DENY, "danger", value)],
    }


def _button(label: str, action: str, style: str, value: str) -> Json:
    text = {"type": "plain_text", "text": label, "emoji": False}
    return {"type": "button", "action_id": action, "text": text, "style": style, "value": value}


def _moment(at: datetime) -> Json:
    """A time in the reader's own zone (docs.slack.dev, rich text date element)."""
    fallback = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    return {
        "type": "date",
        "timestamp": int(at.timestamp()),
        "format": "{date_short_pretty} {time_secs}",
        "fallback": fallback,
    }


def _name(value: str) -> Json:
    return code(_fitted(value, MAX_NAME_COST) or "none")


def _fitted(value: str, cost: int) -> str:
    shown = visible.line(value)
    fits = visible.cut(shown, cost, cost)
    return fits if fits == shown else f"{fits}…"
