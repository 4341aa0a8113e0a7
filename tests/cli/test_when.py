"""Times as people write them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.cli.exits import Usage
from firewall.cli.when import moment

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", "2026-03-14T15:09:26+00:00"),
        ("today", "2026-03-14T00:00:00+00:00"),
        ("Yesterday", "2026-03-13T00:00:00+00:00"),
        ("90s", "2026-03-14T15:07:56+00:00"),
        ("30min", "2026-03-14T14:39:26+00:00"),
        ("30m", "2026-03-14T14:39:26+00:00"),
        ("2h", "2026-03-14T13:09:26+00:00"),
        ("2 h ago", "2026-03-14T13:09:26+00:00"),
        ("7d", "2026-03-07T15:09:26+00:00"),
        ("1w", "2026-03-07T15:09:26+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
        ("2026-03-01T14:30:00Z", "2026-03-01T14:30:00+00:00"),
        ("2026-03-01 14:30", "2026-03-01T14:30:00+00:00"),
        ("2026-03-01T14:30:00.25+02:00", "2026-03-01T12:30:00.250000+00:00"),
    ],
)
def test_what_is_meant(text: str, meant: str) -> None:
    assert moment(text, NOW).isoformat() == meant


@pytest.mark.parametrize("text", ["", "soon", "2x", "-2h", "h", "2026-13-01", "999999999w", "2h3m", "٢h٣"])
def test_what_means_nothing(text: str) -> None:
    with pytest.raises(Usage, match="is no time"):
        moment(text, NOW)


@given(st.text())
def test_any_text_is_a_moment_in_utc_or_an_error(text: str) -> None:
    with suppress(Usage):
        assert moment(text, NOW).tzinfo is UTC
