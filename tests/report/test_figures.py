"""What a made log comes to."""

from __future__ import annotations

from datetime import date

import pytest

from firewall.report import Figures
from firewall.report.facts import facts, span
from firewall.report.figures import percentile
from firewall.report.trends import MAX_DAYS, buckets
from tests.web.sample import judgement


def test_everything_is_counted_once(figures: Figures):
    told = {key: fact.value for key, fact in facts(figures).items() if fact.value}
    assert told == {
        "records": 21,
        "statements": 4,
        "allowed": 1,
        "held": 1,
        "denied": 2,
        "agents": 1,
        "labelled_reads": 1,
        "masked": 1,
        "rows": 2,
        "observed": 1,
        "holds": 2,
        "approved": 1,
        "rejected": 1,
        "expired": 1,
        "deciders": 2,
        "uncounted": 1,
        "break_glass": 1,
        "starts": 1,
        "policies": 1,
        "policies_refused": 1,
        "faults": 1,
        "erased": 2,
        "decision_median": 120,
        "decision_p90": 120,
        "silence": 33 * 3600 + 53 * 60,
    }
    assert figures.denied_by == {"no <drops>": 1}
    assert figures.not_enforced == {("no <drops>", "deny"): 1}
    assert figures.people["dba"] == {"approved": 1, "rejected": 1}
    assert figures.statements["2030-01-01"] == {"allow": 1, "deny": 1, "hold": 1}
    assert figures.silent_from.startswith("2030-01-01T00:07")


def test_a_statement_that_is_judged_anew_is_one_statement():
    figures = Figures()
    for fields in ({"verdict": "hold", "rule": "asked"}, {"verdict": "deny", "rule": "gone", "hold": "h-1"}):
        figures.add(judgement("SELECT 1", labels=["pii"], **fields), "log.test")
    assert (figures.verdict("hold"), figures.verdict("deny")) == (1, 0)
    assert (figures.labels["pii"], figures.agents.total()) == (1, 1)
    assert (figures.held_by, figures.denied_by) == ({"asked": 1}, {"gone": 1})


def test_a_hold_that_was_opened_before_the_period_is_dated_afterwards(figures: Figures):
    assert figures.undated == {"h-OLD"}
    figures.date({"h-OLD": "2030-01-02T09:00:00.000000Z"})
    assert sorted(one.seconds for one in figures.decided) == [120, 3600]
    assert figures.undated == set()


def test_a_policy_that_changed_while_the_firewall_was_down_is_a_change(figures: Figures):
    last = figures.policies.listed[-1]
    assert "one became two" in last.what
    assert "rule `x` is new" in last.what


@pytest.mark.parametrize(
    ("values", "share", "expected"), [([5], 0.9, 5), (list(range(1, 11)), 0.9, 9), ([1, 2, 3], 0.5, 2)]
)
def test_percentiles_are_of_the_values(values: list[float], share: float, expected: float):
    assert percentile(values, share) == expected


def test_spans_are_read_by_people():
    assert [span(each) for each in (0, 0.25, 42, 185, 7800, 100_000)] == [
        *("0 s", "250 ms", "42 s", "3 min 5 s", "2 h 10 min", "1 d 3 h")
    ]


def test_long_periods_are_cut_into_weeks_and_months():
    first = date(2030, 1, 1)
    assert len(buckets(first, date(2030, 1, MAX_DAYS - 31 + 17)).names) == 31
    weeks = buckets(first, date(2030, 3, 31))
    assert (weeks.unit, weeks.names[0], weeks.of("2030-01-06")) == ("week", "2029-12-31", "2029-12-31")
    months = buckets(first, date(2030, 12, 31))
    assert (months.unit, len(months.names)) == ("month", 12)
