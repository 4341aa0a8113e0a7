"""What may be relayed as it came, and when. That it comes to the same, `test_properties` says."""

from __future__ import annotations

import pytest

from firewall import session, wire
from tests.session.playbook import happen, new_session

KNOWN = wire.Query("SELECT 2").encode()
ANSWER = wire.CommandComplete("SELECT 0").encode() + wire.ReadyForQuery("I").encode()


def rested() -> session.Session:
    """A session that has done nothing lately but to run a statement whose release stands."""
    machine = new_session()
    for event in ("client: Q SELECT 2", "ruled: 1 allow"):
        happen(machine, event)
    machine.cleared(1, "the release")
    happen(machine, "server: C SELECT 0 | Z I")
    run(machine)
    return machine


def run(machine: session.Session) -> None:
    assert machine.lane.look(KNOWN) == "the release"
    machine.lane.enter()
    assert machine.lane.leaves(ANSWER)


def test_one_run_follows_another() -> None:
    machine = rested()
    run(machine)
    run(machine)


def test_nothing_overtakes_what_is_not_answered() -> None:
    machine = rested()
    assert machine.lane.look(KNOWN) == "the release"
    machine.lane.enter()
    assert machine.lane.look(KNOWN) is None


@pytest.mark.parametrize(
    "events",
    [
        ["client: Q SELECT 3"],  # is being judged
        ["client: Q SELECT 3", "ruled: 2 allow"],  # waits for leave
        ["client: Q SELECT 3", "ruled: 2 allow", "cleared: 2"],  # is not answered
        ["client: P s: SELECT 3"],  # waits for its Sync
        ["client: Q BEGIN", "ruled: 2 allow", "cleared: 2", "server: C BEGIN | Z T", "client: S"],
        ["client: S"],
    ],
    ids=" / ".join,
)
def test_nothing_overtakes_what_came_between(events: list[str]) -> None:
    machine = rested()
    for event in events:
        happen(machine, event)
    assert machine.lane.look(KNOWN) is None


def test_half_a_message_came_between() -> None:
    machine = rested()
    machine.receive_frontend(KNOWN[:3])
    assert machine.lane.look(KNOWN) is None


def test_nothing_is_looked_at_in_a_session_that_is_over() -> None:
    machine = rested()
    machine.frontend_lost()
    assert machine.lane.look(KNOWN) is None
