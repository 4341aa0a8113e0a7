"""What HTML and PDF say alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from firewall.report.model import Proof
from firewall.report.trends import column

if TYPE_CHECKING:
    from datetime import datetime

    from firewall.report.figures import Figures
    from firewall.report.model import Report

# rows of a table by name; the rest is summed up
MAX_NAMES = 25
# the figures that a reader wants first
FIRST = ("statements", "held", "denied", "decision_median", "break_glass", "observed")
GROUPS = (
    (
        "Statements",
        (
            "statements",
            "allowed",
            "held",
            "denied",
            "observed",
            "agents",
            "opaque",
            "labelled_reads",
            "masked",
            "runs",
            "rows",
            "failed",
            "refusals",
        ),
    ),
    (
        "Decisions",
        (
            "holds",
            "approved",
            "rejected",
            "expired",
            "withdrawn",
            "decision_median",
            "decision_p90",
            "deciders",
            "uncounted",
            "break_glass",
            "grants",
            "grants_revoked",
        ),
    ),
    (
        "Access and change",
        (
            "issued",
            "revoked",
            "enabled",
            "sessions",
            "sessions_refused",
            "sign_ins",
            "sign_ins_failed",
            "policies",
            "policies_refused",
            "starts",
            "labels",
        ),
    ),
    ("The log", ("records", "published", "unpublished", "erased", "faults", "watch", "silence")),
)
ABOUT = (
    "Figures are counted from the records of the log up to the signed heads below. A statement is a "
    "text that was "
    "judged once; further runs of the same text are counted by themselves. Times and days are UTC. "
    "Times to decision are those of holds that people decided in the period."
)


@dataclass(frozen=True, slots=True)
class Table:
    """Names with their counts; `empty` is said where there are none."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str


def period(report: Report) -> str:
    """From its first to its last moment, as days where it is whole days."""
    return f"{_moment(report.since)} to {_moment(report.until, end=True)} (UTC)"


def headline(report: Report) -> str:
    """Does the log verify, in a sentence."""
    match report.proof:
        case Proof.SOUND:
            records = f"{report.checked:,} {'record' if report.checked == 1 else 'records'}"
            told = f"The log verifies: all {records} are as they were signed, complete and in order."
            if not report.published:
                return told
            many = "checkpoint that was" if report.published == 1 else "checkpoints that were"
            return f"{told} It goes on from {report.published:,} {many} published elsewhere."
        case Proof.UNSOUND:
            return "The log does not verify. Do not rely on the figures below before this is explained."
        case Proof.SKIPPED:
            return "The log was not verified for this report: run `firewall audit verify`."


def tables(figures: Figures) -> tuple[Table, ...]:
    """Counts by name."""
    people = sorted(figures.people.items(), key=lambda item: (-item[1].total(), item[0]))
    votes = ("approved", "rejected", "break_glass")
    return (
        Table(
            "Who decided",
            ("person", "approved", "rejected", "of these, break-glass"),
            tuple((person, *(f"{counts[key]:,}" for key in votes)) for person, counts in people),
            "Nobody decided anything.",
        ),
        _counted("Denials by rule", "rule", figures.denied_by, "Nothing was denied."),
        _counted("Holds by rule", "rule", figures.held_by, "Nothing was held."),
        _counted("Statements by agent", "agent", figures.agents, "No agent asked for anything."),
        _counted("Labelled data asked for", "label", figures.labels, "No labelled data was asked for."),
        _counted("Failed sign-ins", "person", figures.failing, "No sign-in failed."),
    )


def _counted(title: str, head: str, counts: dict[str, int], empty: str) -> Table:
    rows = tuple((name or "(none)", f"{count:,}") for name, count in column(counts, MAX_NAMES))
    return Table(title, (head, "count"), rows, empty)


def _moment(at: datetime, *, end: bool = False) -> str:
    if at.hour or at.minute or at.second or at.microsecond:
        return f"{at:%-d %B %Y %H:%M}"
    return f"{at - timedelta(days=1) if end else at:%-d %B %Y}"
