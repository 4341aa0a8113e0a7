"""The report as one JSON document: what the pages show, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from firewall import clock
from firewall.report.exceptions import exceptions
from firewall.report.trends import charts

if TYPE_CHECKING:
    from firewall.report.model import Report


def document(report: Report) -> dict[str, Any]:
    """Times are RFC 3339 in UTC, durations seconds; a figure without anything to measure is null."""
    facts, f = report.facts, report.figures
    return {
        "framework": report.framework.key,
        "name": f"{report.framework.name} ({report.framework.edition})",
        "from": clock.stamp(report.since),
        "to": clock.stamp(report.until),
        "made": clock.stamp(report.made),
        "version": report.version,
        "log": {
            "heads": [asdict(head) for head in report.heads],
            "proof": report.proof.value,
            "checked": report.checked,
            "published": report.published,
            "findings": list(report.findings),
            "first": f.first,
            "last": f.last,
        },
        "controls": [
            {
                "id": control.id,
                "title": control.title,
                "how": control.how,
                "figures": {key: facts[key].value for key in control.facts},
                "not_shown": control.short,
            }
            for control in report.framework.controls
        ],
        "figures": {key: fact.value for key, fact in facts.items()},
        "statements_by_day": {day: dict(counts) for day, counts in sorted(f.statements.items())},
        "decisions_by_day": {day: dict(counts) for day, counts in sorted(f.decisions.items())},
        "time_to_decision": [asdict(one) for one in f.decided],
        "deciders": {person: dict(counts) for person, counts in sorted(f.people.items())},
        "votes_refused": dict(f.uncounted),
        "denials_by_rule": dict(f.denied_by),
        "holds_by_rule": dict(f.held_by),
        "statements_by_agent": dict(f.agents),
        "statements_by_risk": dict(f.risks),
        "labels": dict(f.labels),
        "failed_sign_ins": dict(f.failing),
        "policy_changes": [asdict(one) for one in f.policies.listed],
        "exceptions": [asdict(one) for one in exceptions(f)],
        "trends": [{"title": chart.title, "table": chart.table} for chart in charts(report)],
    }
