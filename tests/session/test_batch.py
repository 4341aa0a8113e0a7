"""executemany: one statement bound many times before a Sync is one hold."""

from __future__ import annotations

import pytest

from firewall import session, wire
from firewall.session import batch
from firewall.session.session import MAX_QUEUED
from tests.session.playbook import happen, new_session, play, render

PLAYBOOKS = {
    "a held batch is one hold of all its parameters": """
client: P a: DELETE FROM t WHERE id = $1 | S
  server: P a: DELETE FROM t WHERE id = $1 | S
server: 1 | Z I
  client: 1 | Z I
client: B <a 1 | E | B <a 2 | E | B <a NULL | E | S
  judge 1 DELETE FROM t WHERE id = $1
ruled: 1 hold
  server: S
server: Z I
  clear 1 DELETE FROM t WHERE id = $1 1 ; DELETE FROM t WHERE id = $1 2 ; DELETE FROM t WHERE id = $1 NULL
cleared: 1
  server: B <a 1 | E | B <a 2 | E | B <a NULL | E | S
server: 2 | C DELETE 1 | 2 | C DELETE 0 | 2 | C DELETE 0 | Z I
  client: 2 | C DELETE 1 | 2 | C DELETE 0 | 2 | C DELETE 0 | Z I
  done 1 DELETE 1, DELETE 0, DELETE 0
""",
    "a batch whose end comes late is waited for": """
client: P a: DELETE FROM t WHERE id = $1 | S
  server: P a: DELETE FROM t WHERE id = $1 | S
server: 1 | Z I
  client: 1 | Z I
client: B <a 1 | E
  judge 1 DELETE FROM t WHERE id = $1
ruled: 1 hold
  server: S
server: Z I
client: B <a 2 | D P | E
client: S
  clear 1 DELETE FROM t WHERE id = $1 1 ; DELETE FROM t WHERE id = $1 2
""",
    "Flush ends a batch as well as Sync": """
client: P a: DELETE FROM t | S
  server: P a: DELETE FROM t | S
server: 1 | Z I
  client: 1 | Z I
client: B <a | E
  judge 1 DELETE FROM t
ruled: 1 hold
  server: S
server: Z I
client: H
  clear 1 DELETE FROM t
""",
    "another statement is another decision": """
client: P a: DELETE FROM t | P b: TRUNCATE t | S
  server: P a: DELETE FROM t | P b: TRUNCATE t | S
server: 1 | 1 | Z I
  client: 1 | 1 | Z I
client: B <a | E | B <b | E | S
  judge 1 DELETE FROM t
ruled: 1 hold
  server: S
server: Z I
  clear 1 DELETE FROM t
cleared: 1
  server: B <a | E
  judge 2 TRUNCATE t
""",
    "what was cleared for a batch is not there for the next": """
client: P a: DELETE FROM t | S
  server: P a: DELETE FROM t | S
server: 1 | Z I
  client: 1 | Z I
client: B <a | E | B <a | E | S | B <a | E | S
  judge 1 DELETE FROM t
ruled: 1 hold
  server: S
server: Z I
  clear 1 DELETE FROM t ; DELETE FROM t
cleared: 1
  server: B <a | E | B <a | E | S
  judge 2 DELETE FROM t
""",
    "a batch that waits for its end is cancelled": """
client: P a: DELETE FROM t | S
  server: P a: DELETE FROM t | S
server: 1 | Z I
  client: 1 | Z I
client: B <a | E
  judge 1 DELETE FROM t
ruled: 1 hold
  server: S
server: Z I
cancel
  server: bait
  unreleased 1 ! 57014 canceling statement due to user request
client: B <a | E | S
  server: S
server: E 42601 syntax error | Z I
  client: E 57014 canceling statement due to user request | Z I
""",
}


@pytest.mark.parametrize("chunk", [0, 1, 9])
@pytest.mark.parametrize("name", PLAYBOOKS)
def test_batch(name: str, chunk: int) -> None:
    played, expected = play(PLAYBOOKS[name], chunk=chunk)
    assert played == expected


def _held(machine: session.Session) -> None:
    """Up to the point where a batch of statement `a` is gathered."""
    for event in ("client: P a: DELETE FROM t WHERE id = $1 | S", "server: 1 | Z I"):
        happen(machine, event)
    happen(machine, "client: B <a 1 | E")
    happen(machine, "ruled: 1 hold")
    happen(machine, "server: Z I")


def test_a_batch_of_too_many_executions_is_refused_before_its_end() -> None:
    machine = new_session()
    _held(machine)
    more = wire.Bind("", "a", values=(b"2",)).encode() + wire.Execute("").encode()
    commands = machine.receive_frontend(more * (batch.MAX_EXECUTIONS - 1))
    assert commands == []
    said = render(machine.receive_frontend(more))
    assert said[0] == "server: bait"
    assert said[1].startswith("unreleased 1 ! 54000")


def test_a_batch_of_too_many_bytes_is_refused_and_never_waits_unread() -> None:
    machine = new_session()
    _held(machine)
    value = b"x" * (512 * 1024)
    said: list[str] = []
    while not said:
        assert machine.wants_frontend
        said = render(machine.receive_frontend(wire.Bind("", "a", values=(value,)).encode()))
    assert said[1].startswith("unreleased 1 ! 54000")


def test_a_malformed_bind_ends_the_batch_before_it_and_then_the_session() -> None:
    machine = new_session()
    _held(machine)
    broken = bytes.fromhex("42 00000008 ff ff ff ff")
    said = render(machine.receive_frontend(broken))
    assert said == ["clear 1 DELETE FROM t WHERE id = $1 1"]
    said = render(machine.cleared(1))
    assert said[0].startswith("client: FATAL 08P01 malformed `Bind`")
    assert said[-1].startswith("fault malformed")


def test_what_waits_behind_a_hold_is_bounded() -> None:
    machine = new_session()
    happen(machine, "client: Q DELETE FROM t")
    chunk = wire.Query("SELECT " + "1" * 10_000).encode()
    received = 0
    while machine.wants_frontend:
        machine.receive_frontend(chunk)
        received += len(chunk)
        assert received < 2 * MAX_QUEUED
    assert received > MAX_QUEUED - len(chunk)
