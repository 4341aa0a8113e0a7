"""Similar holds of one agent on one card: what they have in common once, what differs each for itself. Pure.

What is similar is the approval's to say; here it must fit whole on a shared card, too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from firewall.approval import State, similar
from firewall.channels import dossier, visible
from firewall.channels.card import (
    Card,
    actions,
    bold,
    button,
    button_value,
    code,
    common,
    deciders,
    escaped,
    header_block,
    headline,
    is_open,
    moment,
    needs_review,
    plain,
    preformatted,
    rich,
    risk,
    section,
    vote,
    who,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from firewall.approval import Hold
    from firewall.channels.card import Json

# so many, with so much JSON of their own each, stay under what Slack takes of one message
MAX_HOLDS = 4
MAX_COST = similar.SHORT
MAX_COMMON_COST = 1500
MAX_VOTE_COST = 60
# of all blocks together, a little less than Slack takes (see `card`); impacts have what is left of it
MAX_BLOCKS_COST = 13_000


def similarity(hold: Hold) -> Hold | None:
    """Equal for holds that belong on one card; None for one that needs a card to itself."""
    found = similar.similarity(hold)
    if found is None or _cost(hold) > MAX_COST or needs_review(hold):
        return None
    return found if len(json.dumps(common(hold)[0])) <= MAX_COMMON_COST else None


def several(holds: Sequence[Hold], *, now: datetime) -> Card:
    """One message for similar holds, as they stand; the first of them gives the card its name."""
    first = holds[0]
    waiting = [hold for hold in holds if is_open(hold, now)]
    title = f"{len(holds)} similar statements" + (f", {len(waiting)} to decide" if waiting else ", decided")
    shown, _ = common(first)
    state = risk(first) if waiting else "☑ Decided"
    blocks: list[Json] = [
        header_block(first, title, state),
        rich(who(first), _needed(first, now)),
        rich(*shown),
    ]
    bodies = [(hold, rich(*_one(hold, number, len(holds)))) for number, hold in enumerate(holds, 1)]
    for hold, body in bodies:
        blocks.append(body)
        if hold in waiting and len(waiting) > 1:
            value = button_value(hold)
            blocks.append(actions(f"decide {hold.id}", button("approve", value), button("deny", value)))
    if len(waiting) == 1:
        value = button_value(waiting[0])
        blocks.append(actions(f"decide {waiting[0].id}", button("approve", value), button("deny", value)))
    elif waiting:
        value = " ".join(button_value(hold) for hold in waiting)
        both = button("approve_all", value, len(waiting)), button("deny_all", value, len(waiting))
        blocks.append(actions(f"decide all {first.id}", *both))
    room = MAX_BLOCKS_COST - len(json.dumps(blocks))
    for hold, body in bodies:
        came = headline(hold)
        room -= len(json.dumps(came))
        if came and room >= 0:
            body["elements"] += came
    agent = visible.line(first.agent, 100)
    text = escaped(f"{dossier.verb(first)}: {title} · agent {agent} · hold {first.id}")
    return Card(text, blocks, {})


def _needed(hold: Hold, now: datetime) -> Json:
    each = "1 approval" if hold.quorum == 1 else f"{hold.quorum} approvals"
    return section(plain(f"Each needs {each} by "), deciders(hold, now))


def _one(hold: Hold, number: int, of: int) -> list[Json]:
    words = [bold(f"{number} of {of}"), plain(" · hold "), code(hold.id), plain(" · digest ")]
    words.append(code(hold.digest[: dossier.SHORT_DIGEST]))
    if hold.state is State.PENDING:
        words += [plain(" · expires "), moment(hold.expires_at)]
    found = [section(*words), preformatted(visible.visible(hold.sql) or "(empty)")]
    if hold.parameters:
        found += [section(bold("Parameters")), preformatted("\n".join(dossier.parameters(hold)))]
    found += [section(plain(f"⚠ {remark}")) for remark in dossier.remarks(hold)]
    said = [section(*vote(hold.votes[-1], MAX_VOTE_COST))] if hold.votes else []
    if len(hold.votes) > 1:
        said.append(section(plain(f"and {len(hold.votes) - 1} votes before")))
    if hold.state is not State.PENDING:
        said.append(section(bold(f"This hold is {dossier.standing(hold)}.")))
    return [*found, *said]


def _cost(hold: Hold) -> int:
    """Of what is its own, as JSON."""
    return len(json.dumps([visible.visible(hold.sql), *dossier.parameters(hold)]))
