"""What an auditor looks at one by one: everything that did not go as the policy has it, or is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewall.report.facts import span
from firewall.report.figures import WATCH

if TYPE_CHECKING:
    from firewall.report.figures import Figures, Listed, Notable


@dataclass(frozen=True, slots=True)
class Exceptional:
    """Exceptions of one kind. note: what they are, or what is known where nothing can be listed."""

    key: str
    title: str
    total: int
    note: str
    listed: tuple[Notable, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()


def exceptions(figures: Figures) -> tuple[Exceptional, ...]:
    """All kinds, also those that did not occur: that is evidence, too."""
    observed = sorted(figures.not_enforced.items(), key=lambda item: (-item[1], item[0]))
    watched = figures.kinds[WATCH]
    started = figures.silent_from[:19].replace("T", " ")
    silence = (
        f"The longest time between two records is {span(figures.silence)}, from {started} UTC."
        if figures.silence
        else "There is no time between records to measure."
    )
    return (
        _of(
            "break_glass",
            "Break-glass approvals",
            figures.break_glass,
            "Approved by one person alone, in an emergency.",
        ),
        Exceptional(
            "observed",
            "Let through by observe mode",
            figures.observed,
            "A rule would have held or denied these, and the policy was not enforced. By rule and "
            "its verdict:",
            counts=tuple((f"{rule} ({verdict})", count) for (rule, verdict), count in observed),
        ),
        _of(
            "faults",
            "Internal faults",
            figures.faults,
            "Each closed its session on both sides; nothing passed after it.",
        ),
        Exceptional(
            "unlogged",
            "Unlogged time",
            0,
            "Nothing is released before its record is durable; only runs under a standing release go "
            "first, and theirs follow within a quarter of a second or nothing passes. Time without records "
            f"is time without statements through the firewall. {silence} "
            "Whether the firewall was bypassed meanwhile is not in this log alone.",
        ),
        Exceptional(
            "bypass",
            "Statements that bypassed the firewall",
            figures.bypasses.total,
            f"The database's own count was compared with the log {watched:,} times; "
            "`firewall audit bypass` says more. "
            "What such a run names as not come through:"
            if watched
            else "The log has no records of a bypass watch: nothing is known of statements that "
            "came another way.",
            tuple(figures.bypasses.listed),
        ),
        _of(
            "erased",
            "Erased values",
            figures.erasures,
            "Texts and parameters that were erased; their records and every proof remain.",
        ),
        _of(
            "unpublished",
            "Checkpoints not published",
            figures.unpublished,
            "Attempts that failed; each place is tried again.",
        ),
        _of(
            "policies_refused",
            "Policy changes refused",
            figures.policies_refused,
            "Not put into force; the policy before stayed.",
        ),
    )


def _of(key: str, title: str, listed: Listed, note: str) -> Exceptional:
    return Exceptional(key, title, listed.total, note, tuple(listed.listed))
