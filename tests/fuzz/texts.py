"""Targets that read texts: SQL, policies, the log, and what people are shown."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from pathlib import Path

from firewall import audit, policy
from firewall.audit import keys, note
from firewall.channels import visible as slack
from firewall.errors import ConfigurationError, Problem
from firewall.policy.load import MAX_PROBLEMS
from firewall.sql.analyse import analyse
from firewall.sql.analysis import Effect, Facts, Kind, ObjectType
from firewall.visible import misleads
from firewall.web import visible as web
from tests.fuzz.dice import Dice
from tests.sql.shop import SHOP

PRODUCTION = policy.load(Path(__file__).parents[2] / "policies" / "production.yaml")
NAMELESS = Path("policy.yaml")
SUBJECT = policy.Subject(
    agent="agent", owner="ola@example.com", database="shop", environment="production", team="team"
)
EFFECTS = (
    Effect(Kind.READ, "public.customers", ObjectType.RELATION, columns=("email",)),
    Effect(Kind.DELETE, "public.orders", ObjectType.RELATION, unfiltered=True),
    Effect(Kind.UNKNOWN, "it is not understood", ObjectType.STATEMENT),
)
KEY = keys.SigningKey("origin", b"k" * 32)


def sql(data: bytes) -> None:
    """Whatever the text, an analysis; a bug that it caught inside is a find all the same."""
    dice = Dice(data)
    flags = dice.byte()
    text = dice.rest().decode(errors="surrogateescape" if flags & 1 else "replace")
    facts = Facts(
        database="shop", role="agent", search_path=("public", "pg_catalog"), lexing_safe=not flags & 2
    )
    found = analyse(text, SHOP, facts)
    for statement in found.statements:
        assert "the analysis failed" not in statement.opaque, statement.opaque
        _judged(PRODUCTION, statement.effects)


def policies(data: bytes) -> None:
    """A policy that judges, or every problem in it with its place."""
    text = data.decode(errors="surrogateescape")
    problems: tuple[Problem, ...] | None = None
    try:
        _judged(policy.parse(text, NAMELESS), EFFECTS)
    except ConfigurationError as error:
        problems = error.problems
    if problems is not None:
        assert 0 < len(problems) <= MAX_PROBLEMS + 1
        assert not any("\n" in str(problem) for problem in problems)


def log(data: bytes) -> None:
    """Records, notes and keys: each is read back as it was written, or refused."""
    with suppress(ValueError):
        # one of an older version lacks what came since
        record = audit.decode(data)
        written = audit.encode(record)
        assert audit.decode(written) == record
        assert audit.encode(audit.decode(written)) == written
    text = data.decode(errors="surrogateescape")
    known = (KEY.public,)
    with suppress(audit.NoteError):
        checkpoint = audit.open_checkpoint(text, known)
        assert checkpoint.origin == KEY.name
    with suppress(audit.NoteError):
        assert note.Checkpoint.parse(text).text() == text
    with suppress(audit.NoteError):
        verifying = keys.VerifyingKey.parse(text)
        assert str(verifying) == text.strip()
    with suppress(audit.NoteError):
        assert keys.SigningKey.parse(text).encoded() == text.strip()
    dice = Dice(data)
    rows = [
        audit.StoredRecord(
            chr(dice.byte() % 3 + ord("a")),
            dice.byte() % 5,
            "id",
            said := dice.sized(),
            audit.leaf_hash(said),
        )
        for _ in range(dice.byte() % 5)
    ]
    head = dice.rest().decode(errors="surrogateescape")
    report = audit.verify(rows, [text, head], known)
    assert report.records == len(rows)


def visible(data: bytes) -> None:
    """Everything that is shown: nothing hides in it, and nothing is lost of it."""
    dice = Dice(data)
    limit, cost = dice.byte() + 12, dice.byte() + 150
    text = dice.rest().decode(errors="surrogateescape" if limit & 1 else "replace")
    shown = slack.visible(text)
    assert slack.hidden(shown) == text
    assert not any(misleads(shown, at) for at, char in enumerate(shown) if char not in "\n\t")
    parts = slack.pieces(shown, limit, cost)
    assert "".join(parts) == shown
    assert all(parts)
    assert all(len(part) <= limit and slack._cost(part) <= cost for part in parts)
    assert len(slack.line(text, limit)) <= limit
    slack.remarks(text)
    segments = web.segments(text)
    assert "".join(_spelt_out(s.text) if s.name else s.text for s in segments) == text
    assert not any(
        unicodedata.category(char) in {"Cc", "Cf"} and char not in "\n\t"
        for segment in segments
        for char in segment.text
    )
    assert "\n".join("".join(s.text for s in line) for line in web.lines(text)) == web.plain(text)
    assert len(web.brief(text, limit)) <= limit + 1


def _spelt_out(point: str) -> str:
    """The character that is written as `U+…`."""
    return chr(int(f"0x{point[2:]}", 0))


def _judged(by: policy.Policy, effects: tuple[Effect, ...]) -> None:
    for reason in by.evaluate(SUBJECT, effects).reasons:
        # INVARIANT: 4. an error while judging is a deny; here it is a find as well
        assert not reason.why.startswith("the policy could not be evaluated"), reason
