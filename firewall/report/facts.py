"""The figures as words: what each is called and what it comes to. Controls and pages name them by key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewall.report.figures import WATCH, percentile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.report.figures import Figures


# events by which somebody got a way in
ISSUED = ("issued", "reissued", "linked")


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure. value: as it is, None where there is nothing to measure; shown: for people."""

    name: str
    value: float | None
    shown: str


def facts(f: Figures) -> Mapping[str, Fact]:
    """Every figure, in the order of a report."""
    times = [one.seconds for one in f.decided]
    counts = {
        "records": ("records in the log", f.total),
        "statements": ("statements judged", sum(map(f.verdict, ("allow", "hold", "deny")))),
        "allowed": ("statements allowed", f.verdict("allow")),
        "held": ("statements held", f.verdict("hold")),
        "denied": ("statements denied", f.verdict("deny")),
        "agents": ("agents that asked", len(f.agents)),
        "opaque": ("statements not wholly understood", f.opaque),
        "labelled_reads": ("times that labelled data was asked for", f.labels.total()),
        "masked": ("releases with masked columns", f.masked),
        "runs": ("further runs under standing releases", f.runs),
        "rows": ("rows returned or changed", f.rows),
        "failed": ("statements that Postgres refused", f.failed),
        "refusals": ("refusals told to agents", f.kinds["refusal"]),
        "holds": ("holds opened", f.kinds["hold"]),
        "approved": ("holds approved", f.state("approved")),
        "rejected": ("holds rejected", f.state("rejected")),
        "expired": ("holds expired", f.state("expired")),
        "withdrawn": ("holds withdrawn or lapsed", f.state("withdrawn") + f.state("lapsed")),
        "deciders": ("people who decided", len(f.people)),
        "uncounted": ("votes refused (own statement, no right, too late)", f.uncounted.total()),
        "break_glass": ("break-glass approvals", f.break_glass.total),
        "grants": ("grants given", f.grants["given"]),
        "grants_revoked": ("grants revoked", f.grants["revoked"]),
        "policies": ("policy changes put into force", f.policies.total),
        "starts": ("times that a policy came into force unchanged (starts)", f.starts),
        "policies_refused": ("policy changes refused", f.policies_refused.total),
        "issued": ("credentials issued", sum(f.credentials[event] for event in ISSUED)),
        "revoked": ("credentials disabled", f.credentials["disabled"]),
        "enabled": ("credentials enabled again", f.credentials["enabled"]),
        "sessions": ("sessions opened", f.sessions["opened"]),
        "sessions_refused": ("sessions refused", f.sessions["refused"]),
        "sign_ins": ("sign-ins of people", f.sign_ins[True]),
        "sign_ins_failed": ("sign-ins that failed", f.sign_ins[False]),
        "labels": ("labels added or dropped", f.labelled),
        "published": ("checkpoints published", f.published),
        "unpublished": ("publications that failed", f.unpublished.total),
        "observed": ("statements let through by observe mode", f.observed),
        "faults": ("internal faults (each closed its session)", f.faults.total),
        "watch": ("records of the bypass watch", f.kinds[WATCH]),
        "erased": ("records whose values were erased", f.erased),
    }
    found = {key: Fact(name, number, f"{number:,}") for key, (name, number) in counts.items()}
    for key, name, share in (("median", "median", 0.5), ("p90", "90th percentile", 0.9)):
        measured = percentile(times, share) if times else None
        shown = "no decisions" if measured is None else span(measured)
        found[f"decision_{key}"] = Fact(f"time to decision, {name}", measured, shown)
    found["silence"] = Fact("longest time between two records", f.silence, span(f.silence))
    return found


def span(seconds: float) -> str:
    """`850 ms`, `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    whole = round(seconds)
    for size, unit, small, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{whole} s"
