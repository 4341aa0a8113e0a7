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
APPROVE_ALL = "firewall_approve_all"
DENY_ALL = "firewall_deny_all"
WHILE = "firewall_while"

# docs.slack.dev, reference/block-kit/blocks/header-block
MAX_HEADER = 150
# Slack answers msg_blocks_too_long when all blocks together pass some 13,200 characters as JSON, a limit that
# it does not document (slackapi/bolt-js#2509); what stands around the bodies takes 5,000 at most
MAX_BODIES_COST = 7900
# the statement has what the other bodies leave of that, up to its own limit; they leave it 1,000 at least
MAX_SQL, MAX_SQL_COST = 3000, 4500
MAX_SQL_LINES = 60
# kept of what claims might take, for it, its title and the line that says what is missing
MIN_SQL_COST = 1300
MAX_PARAMETERS, MAX_PARAMETERS_COST = 1000, 1000
MAX_PARAMETER_LINES = 20
MAX_ITEMS, MAX_CLAIMS = 6, 4
MAX_ITEM_COST = 160
MAX_LABELS_COST = 300
MAX_NAME_COST = 120
MAX_WHY_COST = 200
# beside the first line of the impact, which is always there, what fits; the rest can be looked up
MAX_IMPACT_LINES, MAX_IMPACT_COST = 8, 1800
MAX_VOTES = 2
MAX_USERS = 10

_RISKS = {"low": "🟩 LOW", "medium": "🟨 MEDIUM", "high": "🟧 HIGH", "critical": "🟥 CRITICAL"}
_BUTTONS = {
    "approve": ("Approve", APPROVE, "primary"),
    "review": ("Review", REVIEW, "primary"),
    "while": ("Approve for a while …", WHILE, ""),
    "deny": ("Deny", DENY, "danger"),
    "approve_all": ("Approve all {}", APPROVE_ALL, "primary"),
    "deny_all": ("Deny all {}", DENY_ALL, "danger"),
}
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
        header_block(hold, dossier.verb(hold)),
        rich(who(hold), *decision(hold)),
        rich(*bodies),
        rich(_footer(hold, now)),
    ]
    if is_open(hold, now):
        value = button_value(hold)
        ways = [button("review" if missing else "approve", value)]
        if grantable(hold) and not missing:
            ways.append(button("while", value))
        blocks.append(actions(f"decide {hold.id}", *ways, button("deny", value)))
    agent = visible.line(hold.agent, MAX_NAME_COST)
    title = _header(hold, dossier.verb(hold))
    text = escaped(f"{title} · agent {agent} · hold {hold.id} {dossier.standing(hold)}")
    files = {f"{hold.id}.txt": dossier.text(hold)} if missing and whole else {}
    return Card(text, blocks, files)


def needs_review(hold: Hold) -> bool:
    """The card shows less than everything, so nobody may approve from it with one click."""
    return _bodies(hold)[1] > 0


def grantable(hold: Hold) -> bool:
    """More than one run may be approved."""
    return hold.grants is not None and bool(hold.shape)


def is_open(hold: Hold, now: datetime) -> bool:
    """Whether there is anything to decide."""
    return hold.state is State.PENDING and now < hold.expires_at


def block_id(hold_id: str) -> str:
    """Of a card's first block: how a card is found again in the channel."""
    return f"hold {hold_id}"


def outcome_id(hold_id: str) -> str:
    """Of the reply that says what came of it."""
    return f"outcome {hold_id}"


def nudge_id(hold_id: str, number: int) -> str:
    """Of the reply that reminds for the so many-th time; 0 is the escalation."""
    return f"reminder {number} {hold_id}"


def button_value(hold: Hold) -> str:
    """What a click names: the hold, and the digest of what its card shows."""
    return f"{hold.id} {hold.digest}"


def outcome(hold: Hold) -> tuple[str, list[Json]]:
    """The reply in the thread once Postgres has had its word: text and blocks."""
    said = code(visible.cut(visible.line(hold.outcome), 1000, 3000) or "nothing")
    reply = rich(section(bold("Outcome: "), said))
    return f"hold {hold.id} has an outcome", [{**reply, "block_id": outcome_id(hold.id)}]


def nudge(hold: Hold, number: int, users: Sequence[str]) -> tuple[str, list[Json]]:
    """The reply in the thread that asks these Slack users once more: text and blocks. 0 is the escalation."""
    words = [bold("Still waiting. " if number else "Escalated. ")]
    if not number and hold.escalate_groups:
        groups = code(_fitted(", ".join(hold.escalate_groups), MAX_NAME_COST))
        words += [plain("From now on "), groups, plain(" may decide, too. ")]
    words += [plain("Expires "), moment(hold.expires_at), plain(". ")]
    # the only ids of people on any card, and they come from policy
    words += [part for user in users[:MAX_USERS] for part in ({"type": "user", "user_id": user}, plain(" "))]
    said = "was escalated" if not number else "still waits for a decision"
    return f"hold {hold.id} {said}", [{**rich(section(*words)), "block_id": nudge_id(hold.id, number)}]


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


def header_block(hold: Hold, what: str, state: str = "") -> Json:
    """The first block of a card, by which it is found again; `state` in place of the hold's own."""
    text = {"type": "plain_text", "text": _header(hold, what, state)[:MAX_HEADER], "emoji": False}
    return {"type": "header", "block_id": block_id(hold.id), "text": text}


def header(hold: Hold) -> str:
    """State or risk, what it does, and where; the environment is the operator's word."""
    return _header(hold, dossier.verb(hold))


def _header(hold: Hold, what: str, state: str = "") -> str:
    state = state or _STATES.get(hold.state) or risk(hold)
    where = visible.cut(visible.line(hold.environment or hold.database), 60, MAX_NAME_COST)
    return f"{state}: {what} in {where}"


def risk(hold: Hold) -> str:
    return f"{_RISKS.get(hold.risk, '⬜ UNRATED')} risk"


def who(hold: Hold) -> Json:
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


def decision(hold: Hold) -> list[Json]:
    """Who said what so far; for a hold that ended without votes, how it ended."""
    said = [section(*vote(one)) for one in hold.votes[-MAX_VOTES:]]
    if len(hold.votes) > MAX_VOTES:
        said.insert(0, section(plain(f"and {len(hold.votes) - MAX_VOTES} votes before")))
    if hold.state is not State.PENDING:
        said.append(section(bold(f"This hold is {dossier.standing(hold)}.")))
    return said


def vote(one: Vote, cost: int = MAX_WHY_COST) -> list[Json]:
    name = code(_fitted(one.person, min(cost, MAX_NAME_COST)) or "none")
    words = [bold("Approved" if one.approve else "Denied"), plain(" by "), name, plain(" "), moment(one.at)]
    return [*words, plain(": "), code(_fitted(one.reason, cost))] if one.reason else words


def _bodies(hold: Hold) -> tuple[list[Json], int]:
    """The parts as far as they fit, and how many characters are missing from the card."""
    found, missing = common(hold, 0)
    sql = visible.visible(hold.sql)
    height = hold.sql.count("\n") + 1
    size = f" ({len(hold.sql):,} characters, {height:,} {'line' if height == 1 else 'lines'})"
    title = section(bold("SQL"), plain(size))
    below: list[Json] = []
    if values := dossier.parameters(hold):
        several = len(hold.runs) if hold.ran else hold.executions
        runs = f" of {several:,} runs" if several > 1 else ""
        below.append(section(bold("Parameters"), plain(f" ({len(hold.parameters):,}{runs})")))
        missing += _fence(below, "\n".join(values), MAX_PARAMETERS, MAX_PARAMETERS_COST, MAX_PARAMETER_LINES)
    remarks = [section(plain(remark)) for remark in dossier.remarks(hold)]
    if remarks:
        below += [section(bold("⚠ Look out")), bullets(remarks)]
    below += headline(hold)
    found += claimed(hold, MAX_BODIES_COST - MIN_SQL_COST - len(json.dumps([*found, title, *below])))
    found.append(title)
    cost = min(MAX_SQL_COST, MAX_BODIES_COST - len(json.dumps([*found, *below])))
    missing += _fence(found, sql or "(empty)", MAX_SQL, cost, MAX_SQL_LINES)
    below += _impact(hold, MAX_BODIES_COST - len(json.dumps([*found, *below])))
    return [*found, *below], missing


def headline(hold: Hold) -> list[Json]:
    """What it would come to, in one line."""
    if hold.impact is None:
        return []
    return [section(bold("Impact "), code(_beginning(hold.impact.headline, MAX_NAME_COST)))]


def _impact(hold: Hold, room: int) -> list[Json]:
    """The other lines, as far as there is room: what is approved is the statement, not what is said of it."""
    if hold.impact is None:
        return []
    lines, shown, cost = hold.impact.lines[1:], list[Json](), min(room, MAX_IMPACT_COST) - MAX_ITEM_COST
    for line in lines[:MAX_IMPACT_LINES]:
        item = section(code(_beginning(line, MAX_ITEM_COST)))
        cost -= len(json.dumps(item)) + 2
        if cost < 0:
            break
        shown.append(item)
    found = [bullets(shown)] if shown else []
    if (left := len(lines) - len(shown)) and room > MAX_ITEM_COST:
        found.append(section(plain(f"and {left:,} lines more: see the console, or firewall holds show")))
    return found


def common(hold: Hold, claims_cost: int = MAX_BODIES_COST) -> tuple[list[Json], int]:
    """Why it was stopped, what it would do and to what data; and how many characters of that are missing."""
    found: list[Json] = []
    missing = 0
    for title, values in (
        ("Stopped because", hold.reasons),
        (dossier.RAN, [f"{number}. {each.line}" for number, each in enumerate(hold.ran, 1)]),
        ("It would", hold.effects),
    ):
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
    return found + claimed(hold, claims_cost), missing


def claimed(hold: Hold, room: int) -> list[Json]:
    """What the agent says, as far as there is room: what is approved is the statement, not its words."""
    shown: list[Json] = []
    room -= MAX_ITEM_COST
    for name, value in hold.claims[:MAX_CLAIMS]:
        item = section(code(_beginning(f"{name}: {value}", MAX_ITEM_COST)))
        room -= len(json.dumps(item)) + 2
        if room >= 0:
            shown.append(item)
    return [section(bold("The agent says, and nobody has verified it")), bullets(shown)] if shown else []


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


def _footer(hold: Hold, now: datetime) -> Json:
    words = [plain("Hold "), code(hold.id), plain(" · digest "), code(hold.digest[: dossier.SHORT_DIGEST])]
    words += [plain(" · rule "), _name(hold.rule)]
    if hold.state is State.PENDING:
        given = sum(one.approve for one in hold.votes)
        words += [plain(f" · {given} of {hold.quorum} approvals by "), deciders(hold, now)]
        words += [plain(" · expires "), moment(hold.expires_at)]
    return section(*words)


def deciders(hold: Hold, now: datetime) -> Json:
    return code(_fitted(", ".join(hold.deciders(now)) or "nobody", MAX_NAME_COST))


def actions(name: str, *buttons: Json) -> Json:
    return {"type": "actions", "block_id": name, "elements": list(buttons)}


def button(which: str, value: str, number: int = 0) -> Json:
    """One of the ways to decide; `number` is of how many holds."""
    label, action, style = _BUTTONS[which]
    text = {"type": "plain_text", "text": label.format(number), "emoji": False}
    found = {"type": "button", "action_id": action, "text": text, "value": value}
    return {**found, "style": style} if style else found


def moment(at: datetime) -> Json:
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


def _beginning(value: str, cost: int) -> str:
    """`_fitted`; of what cannot fit no more is looked at than tells that."""
    return _fitted(value[: cost + 1], cost)


def _fitted(value: str, cost: int) -> str:
    shown = visible.line(value)
    fits = visible.cut(shown, cost, cost)
    return fits if fits == shown else f"{fits}…"
