"""Wrong tokens per address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from firewall.web import throttle

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_an_address_waits_after_too_many_and_then_may_again() -> None:
    kept = throttle.Throttle()
    for _ in range(throttle.FAILURES):
        assert kept.wait("a", NOW) == 0
        kept.failed("a", NOW)
    assert kept.wait("a", NOW + timedelta(seconds=20)) == throttle.WINDOW_SECONDS - 20
    assert kept.wait("b", NOW) == 0
    assert kept.wait("a", NOW + timedelta(seconds=throttle.WINDOW_SECONDS)) == 0
    kept.failed("a", NOW + timedelta(seconds=throttle.WINDOW_SECONDS))
    assert kept.wait("a", NOW + timedelta(seconds=throttle.WINDOW_SECONDS)) == 0


def test_many_addresses_cost_a_bounded_memory() -> None:
    kept = throttle.Throttle()
    for number in range(throttle.MAX_ADDRESSES + 50):
        kept.failed(str(number), NOW)
    assert len(kept._failures) == throttle.MAX_ADDRESSES
