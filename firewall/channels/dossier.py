"""What a person must see to decide on a hold, as plain text in parts; each channel lays it out its own way.

Everything here is `visible` text. What is the firewall's own word and what came from the agent, the policy
or the database is kept apart, so that a layout can never mix them up.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewall.approval import Standing, State
from firewall.channels import visible
from firewall.sql.analysis import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from firewall.approval import Hold

SHORT_DIGEST = 12
RAN = "Has run, and waits for this COMMIT"
INDENT = "    "
_SEVERITY = {kind.value: rank for rank, kind in enumerate(Kind)}
_MAX_VERBS = 3


@dataclass(frozen=True, slots=True)
class Part:
    """One titled piece of the whole; `text` is complete and visible, one item a line."""

    title: str
    text: str


def parts(hold: Hold) -> list[Part]:
    """Everything that came from outside, in full and in the order of reading; empty parts are left out."""
    ran = [
        Part(
            f"Statement {number} of {len(hold.ran)}, {each.standing}",
            "\n".join([visible.line(each.line), visible.visible(each.sql), *_values(each.runs, "run ")]),
        )
        for number, each in enumerate(hold.ran, 1)
    ]
    found = [
        *ran,
        Part("SQL", "" if ran else visible.visible(hold.sql)),
        Part("Parameters", "" if ran else "\n".join(parameters(hold))),
        Part("Stopped because", "\n".join(visible.line(reason) for reason in hold.reasons)),
        Part("It would", "\n".join(visible.line(effect) for effect in hold.effects)),
        Part("Sensitive data", "\n".join(visible.line(label) for label in hold.labels)),
        Part(
            "The agent says, and nobody has verified it",
            "\n".join(visible.line(f"{name}: {value}") for name, value in hold.claims),
        ),
        Part("Impact", "\n".join(visible.line(line) for line in hold.impact.lines) if hold.impact else ""),
    ]
    return [part for part in found if part.text]


def parameters(hold: Hold) -> list[str]:
    """One line for each bound value, quoted as SQL would quote it, so that NULL is not 'NULL'.

    Of a batch, each line begins with the number of its run; of a transaction, with that of its statement.
    """
    if not hold.ran:
        return _values(hold.runs, "run ")
    return [
        line
        for number, each in enumerate(hold.ran, 1)
        if each.standing is Standing.COUNTS
        for line in _values(each.runs, f"statement {number}, run ", always=True)
    ]


def _values(runs: Sequence[tuple[str | None, ...]], prefix: str, *, always: bool = False) -> list[str]:
    found: list[str] = []
    for run, values in enumerate(runs, 1):
        of = f"{prefix}{run}: " if always or len(runs) > 1 else ""
        found += [
            f"{of}${number} = NULL"
            if value is None
            else f"{of}${number} = '{visible.line(value.replace(_Q, _Q + _Q))}'"
            for number, value in enumerate(values, 1)
        ]
    return found


def verb(hold: Hold) -> str:
    """What the statement does in the house's own words, the most severe kinds first, e.g. `delete, read`."""
    kinds = {word for effect in hold.effects if (word := effect.split(" ", 1)[0]) in _SEVERITY}
    worst = sorted(kinds, key=_SEVERITY.__getitem__, reverse=True)
    return ", ".join(kind.replace("_", " ") for kind in worst[:_MAX_VERBS]) or "statement"


def standing(hold: Hold) -> str:
    """The hold's state in a word or two."""
    match hold.state:
        case State.PENDING:
            return "waits for a decision"
        case State.APPROVED:
            return "approved"
        case State.REJECTED:
            return "denied"
        case State.EXPIRED:
            return "expired, nobody decided in time"
        case State.WITHDRAWN:
            return "withdrawn, the agent cancelled or went away"
        case State.CONSUMED:
            return "approved and run"
        case State.LAPSED:
            return "approved, but the agent went away before it ran"


def text(hold: Hold) -> str:
    """The whole of it as one file. Bodies are indented, so that no line of theirs passes for a heading."""
    head = f"hold {hold.id}\ndigest {hold.digest}\n"
    return head + "".join(
        f"\n{part.title}:\n{textwrap.indent(part.text, INDENT, lambda _: True)}\n" for part in parts(hold)
    )


def remaining(hold: Hold, now: datetime) -> str:
    """How long there is to decide, roughly, e.g. `in 14 min`."""
    seconds = int((hold.expires_at - now).total_seconds())
    if seconds <= 0:
        return "now"
    return f"in {seconds} s" if seconds < 120 else f"in {seconds // 60} min"


def lines(hold: Hold, now: datetime) -> list[str]:
    """The dossier for a terminal: one string a line, nothing cut, nothing hidden."""
    place = f"{hold.database} ({hold.environment})" if hold.environment else hold.database
    expires = f", expires {remaining(hold, now)}" if hold.state is State.PENDING else ""
    found = [
        f"{hold.id}  {hold.risk} risk: {verb(hold)}  {standing(hold)}{expires}",
        visible.line(f"agent {hold.agent} of {hold.owner} on {place} as {hold.role}"),
        f"digest {hold.digest[:SHORT_DIGEST]}  rule {visible.line(hold.rule)}",
    ]
    found += [f"look out: {remark}" for remark in remarks(hold)]
    for part in parts(hold):
        found += ["", f"{part.title}:", *(f"{INDENT}{shown}" for shown in part.text.split("\n"))]
    found += [_said(vote.approve, vote.person, vote.reason) for vote in hold.votes]
    if hold.outcome:
        found += ["", visible.line(f"outcome: {hold.outcome}")]
    return found


def remarks(hold: Hold) -> list[str]:
    """How often it would run, if not once, and `visible.remarks` over everything that runs."""
    values = "".join(value for value in hold.parameters if value)
    often = [f"it would run {hold.executions:,} times, decided together"] if hold.executions > 1 else []
    if hold.ran:
        often = [
            f"{len(hold.ran):,} statements have run; COMMIT makes them permanent, locks are held meanwhile"
        ]
    return often + visible.remarks(f"{hold.sql}{values}")


def _said(approve: bool, person: str, reason: str) -> str:  # noqa: FBT001 — a vote is yes or no
    why = f": {visible.line(reason)}" if reason else ""
    return f"{'approved' if approve else 'denied'} by {visible.line(person)}{why}"


_Q = "'"
