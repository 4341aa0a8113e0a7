"""Slack modals: reading a long statement page by page before deciding, and denying with a reason. Pure.

Approve is the modal's submit button, and only the last page has one; a page is reached only from the one
before, so whoever approves has had every character of it on the screen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewall.channels import dossier, visible
from firewall.channels.card import bold, notice, plain, preformatted, rich, section

if TYPE_CHECKING:
    from firewall.approval import Hold
    from firewall.channels.card import Json

REVIEWED = "firewall_reviewed"
DENIED = "firewall_denied"
NEXT = "firewall_next"
PREVIOUS = "firewall_previous"
REASON = "reason"

# a section's text limit, taken for rich_text as well, which documents none
PIECE_CHARS, PIECE_COST = 3000, 36_000
# at twelve characters of JSON for each of the text, this stays under the 250 KB of a view
PIECES_ON_A_PAGE = 4
# docs.slack.dev, reference/views/modal-views
MAX_REASON = 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """What a modal remembers (its private_metadata, which the user's client cannot set).

    more: further holds, with their digests, that are denied together with the first.
    """

    hold: str
    digest: str
    channel: str
    page: int = 0
    more: tuple[tuple[str, str], ...] = ()

    def dump(self) -> str:
        return json.dumps([self.hold, self.digest, self.channel, self.page, self.more])

    @classmethod
    def load(cls, text: str) -> Mark:
        hold, digest, channel, page, more = json.loads(text)
        return cls(hold, digest, channel, page, tuple((one, of) for one, of in more))


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of one part; `first` and `last` count its visible characters from 1."""

    title: str
    text: str
    first: int
    last: int
    of: int


def pages(hold: Hold) -> list[list[Piece]]:
    """Everything there is to read, in order; at least one page."""
    found: list[Piece] = []
    for part in dossier.parts(hold):
        start = 0
        for text in visible.pieces(part.text, PIECE_CHARS, PIECE_COST):
            found.append(Piece(part.title, text, start + 1, start + len(text), len(part.text)))
            start += len(text)
    return [found[at : at + PIECES_ON_A_PAGE] for at in range(0, len(found), PIECES_ON_A_PAGE)] or [[]]


def review(hold: Hold, mark: Mark) -> Json:
    """The modal at `mark.page`, counted from 0 and kept within what there is."""
    all_pages = pages(hold)
    page = min(max(mark.page, 0), len(all_pages) - 1)
    last = page == len(all_pages) - 1
    blocks: list[Json] = [
        rich(
            section(
                bold(f"Page {page + 1:,} of {len(all_pages):,}. "),
                plain("Read on to decide." if not last else "This is the end: approve below, or close."),
            )
        )
    ]
    if not page:
        blocks += [block for remark in dossier.remarks(hold) for block in notice(f"⚠ {remark}")]
    for piece in all_pages[page]:
        heading = piece.title
        if piece.last - piece.first + 1 < piece.of:
            heading += f", characters {piece.first:,} to {piece.last:,} of {piece.of:,}"
        blocks.append(rich(section(bold(heading)), preformatted(piece.text)))
    turns = [_turn("Previous", PREVIOUS)] if page else []
    turns += [] if last else [_turn("Next", NEXT)]
    if turns:
        blocks.append({"type": "actions", "block_id": f"turn {page}", "elements": turns})
    view = modal(REVIEWED, f"Review {hold.id}", blocks, Mark(mark.hold, mark.digest, mark.channel, page))
    return {**view, "submit": label("Approve")} if last else view


def is_last(hold: Hold, page: int) -> bool:
    return page == len(pages(hold)) - 1


def denial(hold: Hold, mark: Mark) -> Json:
    """The modal that asks why."""
    field: Json = {
        "type": "plain_text_input",
        "action_id": REASON,
        "multiline": True,
        "min_length": 1,
        "max_length": MAX_REASON,
    }
    more = f" and {len(mark.more)} more like it" if mark.more else ""
    blocks = [
        *notice(f"Denying {hold.id}{more}: {dossier.verb(hold)}. Your reason is recorded."),
        {"type": "input", "block_id": REASON, "element": field, "label": label("Reason")},
    ]
    return {**modal(DENIED, f"Deny {hold.id}", blocks, mark), "submit": label("Deny")}


def closing(title: str, words: str) -> Json:
    """A modal with nothing left to do in it."""
    view = modal("firewall_closing", title, notice(words), None)
    return {**view, "close": label("Close")}


def modal(callback: str, title: str, blocks: list[Json], mark: Mark | None) -> Json:
    """A modal with nothing to submit yet."""
    return {
        "type": "modal",
        "callback_id": callback,
        "title": label(title[:24]),
        "close": label("Cancel"),
        "private_metadata": mark.dump() if mark else "",
        "blocks": blocks,
    }


def _turn(words: str, action: str) -> Json:
    return {"type": "button", "action_id": action, "text": label(words)}


def label(words: str) -> Json:
    """Words without markup."""
    return {"type": "plain_text", "text": words, "emoji": False}
