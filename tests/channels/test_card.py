"""The card: within Slack's limits, literal, complete or reviewed, whatever is put on it."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firewall import clock
from firewall.approval import Change, Earlier, Estimate, Impact, Ran, Standing, State, Vote
from firewall.channels import dossier, visible
from firewall.channels.card import APPROVE, DENY, REVIEW, card, needs_review, outcome
from firewall.channels.review import Mark, closing, denial, is_last, pages, review
from tests.slack_emulator.blocks import MAX_BLOCKS_JSON, MAX_VIEW_BYTES, problems, size, view_problems, words

from .conftest import make_hold
from .test_visible import HOSTILE, UNSEEN

NOW = clock.now()
BULKY = st.one_of(
    HOSTILE,
    st.builds(lambda text, times: text * times, HOSTILE.filter(bool), st.sampled_from([1, 10, 800])),
)
IMPACTS = st.builds(
    Impact,
    estimate=st.none() | st.builds(Estimate, st.just(7), st.just(0.5), st.just((Change("update", "t", 7),))),
    unestimated=HOSTILE,
    writes=st.booleans(),
    sets_off=st.lists(HOSTILE, max_size=3).map(tuple),
    earlier=st.lists(st.builds(Earlier, HOSTILE, HOSTILE), max_size=2).map(tuple),
)
RAN = st.builds(
    Ran,
    statement=st.just("s.1"),
    sql=HOSTILE,
    outcome=HOSTILE,
    standing=st.sampled_from(Standing),
    parameters=st.lists(st.none() | HOSTILE, max_size=2).map(tuple),
    effects=st.lists(HOSTILE, max_size=2).map(tuple),
)
VOTES = st.builds(Vote, BULKY, st.booleans(), BULKY, st.just("slack"), st.just(NOW))


@st.composite
def holds(draw: st.DrawFn) -> Any:
    many = st.lists(BULKY, max_size=9).map(tuple)
    return make_hold(
        state=draw(st.sampled_from(State)),
        sql=draw(BULKY),
        parameters=draw(st.lists(st.none() | BULKY, max_size=5).map(tuple)),
        reasons=draw(many),
        effects=draw(many),
        labels=draw(many),
        groups=draw(many),
        agent=draw(BULKY),
        owner=draw(BULKY),
        database=draw(BULKY),
        environment=draw(BULKY),
        role=draw(BULKY),
        rule=draw(BULKY),
        risk=draw(st.sampled_from(["low", "critical", "*odd*"])),
        votes=tuple(draw(st.lists(VOTES, max_size=5))),
        outcome=draw(BULKY),
        ran=tuple(draw(st.lists(RAN, max_size=2))),
        impact=draw(st.none() | IMPACTS),
        claims=tuple(draw(st.lists(st.tuples(BULKY, BULKY), max_size=5))),
    )


@settings(max_examples=40)
@given(holds())
def test_slack_accepts_every_card_and_shows_it_literally(hold: Any) -> None:
    made = card(hold, now=NOW)
    assert problems(made.blocks) == []
    assert size(made.blocks) <= MAX_BLOCKS_JSON
    assert len(made.text) < 1000
    for element in _texts(made.blocks):
        assert element.get("type") in {"text", "plain_text", "date"}
        assert element.get("emoji", False) is False
        shown = element.get("text", "x")
        assert shown
        assert not [c for c in shown if unicodedata.category(c) in UNSEEN and c not in "\n\t"]
    # control sequences of the one field that Slack parses
    assert "<" not in made.text
    assert ">" not in made.text
    text, blocks = outcome(hold)
    assert problems(blocks) == []
    assert text


@settings(max_examples=40)
@given(holds())
def test_a_card_shows_all_of_the_sql_or_must_be_reviewed(hold: Any) -> None:
    made = card(hold, now=NOW)
    shown = next(e for e in _fences(made.blocks))
    whole = visible.visible(hold.sql) or "(empty)"
    assert whole.startswith(shown)
    if shown != whole:
        assert needs_review(hold)
        assert f"{len(whole) - len(shown):,} more characters" in words(made.blocks)
    buttons = {e["action_id"] for b in made.blocks if b["type"] == "actions" for e in b["elements"]}
    if hold.state is State.PENDING:
        assert buttons == {REVIEW if needs_review(hold) else APPROVE, DENY}
    else:
        assert not buttons
    assert bool(made.files) == needs_review(hold)


@settings(max_examples=40)
@given(holds())
def test_what_comes_from_outside_is_styled_as_such(hold: Any) -> None:
    mark = "⁂"
    marked = replace(
        hold,
        sql="SELECT 1",
        parameters=(),
        reasons=(mark,),
        effects=(mark,),
        labels=(mark,),
        groups=(mark,),
        agent=mark,
        owner=mark,
        database=mark,
        role=mark,
        rule=mark,
        environment="production",
        impact=Impact(unestimated=mark, sets_off=(mark,)),
        votes=(Vote(mark, True, mark, "slack", NOW),),
    )
    found = [e for e in _texts(card(marked, now=NOW).blocks) if mark in e.get("text", "")]
    assert len(found) >= 10
    assert all(element.get("style") == {"code": True} for element in found)


@settings(max_examples=40)
@given(holds())
def test_the_review_shows_every_character_in_order(hold: Any) -> None:
    all_pages = pages(hold)
    read: dict[str, str] = {}
    for piece in (piece for page in all_pages for piece in page):
        read[piece.title] = read.get(piece.title, "") + piece.text
        assert len(read[piece.title]) == piece.last
    assert read == {part.title: part.text for part in dossier.parts(hold)}
    assert hold.ran or visible.hidden(read.get("SQL", "")) == hold.sql
    for number in range(len(all_pages)):
        view = review(hold, Mark(hold.id, hold.digest, "C1", number))
        assert view_problems(view) == []
        assert len(json.dumps(view)) <= MAX_VIEW_BYTES
        assert ("submit" in view) == is_last(hold, number) == (number == len(all_pages) - 1)
    assert view_problems(denial(hold, Mark(hold.id, hold.digest, "C1"))) == []


def test_a_megabyte_can_be_reviewed() -> None:
    hold = make_hold(sql="SELECT '" + "x" * 1_000_000 + "'")
    all_pages = pages(hold)
    assert sum(len(piece.text) for page in all_pages for piece in page if piece.title == "SQL") == 1_000_009
    made = card(hold, now=NOW)
    assert "997,009 more characters" in words(made.blocks)
    assert len(made.files[f"{hold.id}.txt"]) > 1_000_000


@pytest.mark.parametrize("state", [State.PENDING, State.LAPSED])
@pytest.mark.parametrize(
    "char", ["x", "é", "\N{GRINNING FACE}", "\u202e", '"', "\\", "a\n", "\u05d0\u200b \n"]
)
def test_the_fullest_card_is_within_the_limit(char: str, state: State) -> None:
    full = char * 3000
    hold = make_hold(
        state=state,
        sql=" " * 50 + full,
        parameters=(full,) * 5,
        votes=(Vote(full, True, full, "slack", NOW),) * 5,
        quorum=1_000_000,
        impact=Impact(unestimated=full, sets_off=(full,) * 9),
        claims=((full, full),) * 9,
        **dict.fromkeys(("reasons", "effects", "labels", "groups"), (full,) * 9),
        **dict.fromkeys(("agent", "owner", "database", "environment", "role", "rule"), full),
    )
    made = card(hold, now=NOW)
    assert problems(made.blocks) == []
    assert size(made.blocks) <= MAX_BLOCKS_JSON - 200
    assert len(json.dumps(_fences(made.blocks)[0])) > 1000 or char.endswith("\n")


def test_the_impact_is_on_the_card_as_far_as_there_is_room() -> None:
    estimate = Estimate(0, 12.5, (Change("delete", "orders", 1200),))
    short = Impact(estimate, writes=True, sets_off=("trigger audit on public.orders",))
    hold = make_hold(impact=short)
    assert all(line in words(card(hold, now=NOW).blocks) for line in short.lines)
    assert "lines more" not in words(card(hold, now=NOW).blocks)
    assert all(line in dossier.text(hold) for line in short.lines)
    many = replace(short, takes=tuple(f"row share on public.t{n}" for n in range(20)))
    hold = make_hold(impact=many)
    shown = words(card(hold, now=NOW).blocks)
    assert "row share on public.t0" in shown
    assert "and 14 lines more: see the console" in shown
    assert not needs_review(hold), "what is approved is all there"
    # a long statement needs the room, but for the first line
    crowded = words(card(make_hold(sql="x" * 1_000_000, impact=many), now=NOW).blocks)
    assert many.headline in crowded


def test_what_the_agent_claims_is_on_the_card_as_a_claim() -> None:
    hold = make_hold(claims=(("ticket", "OPS-9"), ("intent", "<!channel> *tidy* up " * 90)))
    shown = words(card(hold, now=NOW).blocks)
    assert "nobody has verified it" in shown
    assert "ticket: OPS-9" in shown
    assert "intent: <!channel> *tidy* up" in shown
    assert not needs_review(hold), "what is approved is all there"


def test_a_tall_statement_must_be_reviewed() -> None:
    assert not needs_review(make_hold(sql="SELECT\n" * 59))
    assert needs_review(make_hold(sql="SELECT\n" * 60))


def test_the_answer_is_on_the_card_in_words() -> None:
    hold = make_hold(labels=("pii.email",), parameters=("NULL", None, "it's\n2"))
    seen = words(card(hold, now=NOW).blocks)
    for expected in (
        "HIGH risk: delete, read in production",
        "Agent reporter of olga asks on database shop (production) as role reporter_role",
        "writes are held: delete public.orders",
        "pii.email",
        "DELETE FROM orders\nWHERE id = $1",
        "$1 = 'NULL'\n$2 = NULL\n$3 = 'it''s⟨U+000A⟩2'",
        f"Hold {hold.id} · digest {hold.digest[:12]}",
        "0 of 1 approvals by dba",
        "expires",
    ):
        assert expected in seen


@pytest.mark.parametrize(
    ("state", "votes", "expected"),
    [
        (State.APPROVED, (Vote("dora", True, "", "slack", NOW),), "✅ Approved"),
        (State.REJECTED, (Vote("dora", False, "no", "web", NOW),), "⛔ Denied"),
        (State.EXPIRED, (), "⌛ Expired"),
        (State.WITHDRAWN, (), "Withdrawn"),
        (State.CONSUMED, (Vote("dora", True, "", "slack", NOW),), "approved and run"),
        (State.LAPSED, (Vote("dora", True, "", "slack", NOW),), "not run"),
    ],
)
def test_a_decided_card_says_what_became_of_it(state: State, votes: tuple[Vote, ...], expected: str) -> None:
    hold = make_hold(state=state, votes=votes)
    made = card(hold, now=NOW)
    seen = words(made.blocks)
    assert expected in seen
    assert "actions" not in {block["type"] for block in made.blocks}
    for vote in votes:
        assert f"by {vote.person}" in seen
        assert vote.reason in seen


def test_an_expired_card_has_nothing_to_click() -> None:
    hold = make_hold()
    assert "actions" in {block["type"] for block in card(hold, now=NOW).blocks}
    late = card(hold, now=hold.expires_at + timedelta(seconds=1))
    assert "actions" not in {block["type"] for block in late.blocks}


def test_a_statement_cannot_write_headings_into_the_file() -> None:
    hold = make_hold(
        sql="SELECT 1\n\nParameters:\n    $1 = 'harmless'" + " " * 4000 + "; DELETE", parameters=("1",)
    )
    (text,) = card(hold, now=NOW).files.values()
    headings = [line for line in text.split("\n") if line and not line.startswith(" ")]
    assert headings == [
        f"hold {hold.id}",
        f"digest {hold.digest}",
        "SQL:",
        "Parameters:",
        "Stopped because:",
        "It would:",
    ]


def test_lines_for_a_terminal_are_complete_and_safe() -> None:
    hold = make_hold(
        sql="SELECT 1\x1b[2J\nFROM t", outcome="DELETE 1", votes=(Vote("dora", True, "", "cli", NOW),)
    )
    shown = dossier.lines(hold, NOW)
    assert "    SELECT 1⟨U+001B⟩[2J" in shown
    assert "approved by dora" in shown
    assert "outcome: DELETE 1" in shown
    assert all("\n" not in line and "\x1b" not in line for line in shown)


def test_the_closing_dialog_is_accepted() -> None:
    assert view_problems(closing("Nothing to decide", "<!channel> *x*")) == []


def _texts(item: Any) -> list[dict[str, Any]]:
    """Every text of blocks, wherever it stands."""
    if isinstance(item, list):
        return [found for inner in item for found in _texts(inner)]
    if not isinstance(item, dict):
        return []
    if isinstance(item.get("text"), str) or item.get("type") in {"date", "mrkdwn"}:
        return [item]
    return [found for inner in item.values() for found in _texts(inner)]


def _fences(blocks: Any) -> list[str]:
    return [
        element["elements"][0]["text"]
        for block in blocks
        if block["type"] == "rich_text"
        for element in block["elements"]
        if element["type"] == "rich_text_preformatted"
    ]


def test_a_transaction_shows_what_has_run_and_what_came_of_it():
    ran = (
        Ran("s.1", "INSERT INTO t VALUES ($1)", "INSERT 0 1", parameters=("7", None), executions=2),
        Ran("s.2", "DELETE FROM u", "DELETE 5", Standing.UNDONE, effects=("delete public.u",)),
        Ran("s.3", "UPDATE u SET a = 1; -- 4. nothing", "UPDATE 2, 9 rows changed with all that it set off"),
    )
    sql = "INSERT INTO t VALUES ($1);\nUPDATE u SET a = 1; -- 4. nothing;\nCOMMIT"
    hold = make_hold(ran=ran, sql=sql, parameters=("7", None))
    shown = words(card(hold, now=NOW).blocks)
    for part in (
        dossier.RAN,
        "1. INSERT 0 1: ",
        "2. undone by ROLLBACK TO: DELETE 5: delete public.u",
        "3. UPDATE 2, 9 rows changed with all that it set off",
        "3 statements have run",
        "statement 1, run 2: $1 = NULL",
    ):
        assert part in shown, part
    assert not needs_review(hold)
    titles = [piece.title for page in pages(hold) for piece in page]
    assert titles[:3] == ["Statement 1 of 3, counts", "Statement 2 of 3, undone", "Statement 3 of 3, counts"]
    whole = "\n".join(dossier.lines(hold, NOW))
    second = "undone by ROLLBACK TO: DELETE 5: delete public.u\n    DELETE FROM u"
    assert f"Statement 2 of 3, undone:\n    {second}" in whole
    # a card that cannot name all of them is not approved with one click
    assert needs_review(replace(hold, ran=ran * 3))
