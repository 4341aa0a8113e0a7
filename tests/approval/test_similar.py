"""Which holds are decided together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firewall.approval import Impact
from firewall.approval.similar import SHORT, grouped, similarity

from .test_hold import HOLD


def test_text_and_values_may_differ() -> None:
    first = replace(HOLD, id="h-1", sql="SELECT 1", impact=Impact(unestimated="late"))
    other = replace(HOLD, id="h-2", sql="SELECT 2", parameters=("8",))
    strange = replace(HOLD, id="h-3", agent="other")
    assert grouped([first, strange, other]) == [[first, other], [strange]]


@pytest.mark.parametrize(
    "fields",
    [
        {"rule": "other"},
        {"quorum": 2},
        {"requesters": frozenset({"dora"})},
        {"kin": "other"},
        {"claims": (("intent", "tidy up"),)},
        {"executions": 2},
        {"sql": "x" * (SHORT + 1)},
        {"parameters": (None,) * (SHORT + 1)},
    ],
)
def test_what_would_be_decided_otherwise_is_not_similar(fields: dict[str, object]) -> None:
    assert similarity(replace(HOLD, **fields)) != similarity(HOLD) is not None


def test_long_ones_are_alone_even_if_they_are_equal() -> None:
    long = replace(HOLD, sql="x" * (SHORT + 1))
    assert grouped([long, replace(long, id="h-2")]) == [[long], [replace(long, id="h-2")]]
