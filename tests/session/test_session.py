# ruff: noqa: E501 — a line of a playbook is a line
"""Cancel, farewell and loss at every stage of a statement."""

from __future__ import annotations

import pytest

from firewall import session, wire
from tests.session.playbook import happen, new_session, play, render

_RUNNING = """
client: Q SELECT pg_sleep(9)
  judge 1 SELECT pg_sleep(9)
ruled: 1 allow
  clear 1 SELECT pg_sleep(9)
cleared: 1
  server: Q SELECT pg_sleep(9)
"""
_JUDGING = """
client: Q DELETE FROM t
  judge 1 DELETE FROM t
"""
_PROBING = (
    _JUDGING
    + """
ruled: 1 hold
  server: P ours: DELETE FROM t | C S ours | S
"""
)
_HELD = (
    _PROBING
    + """
server: 1 | 3 | Z I
  clear 1 DELETE FROM t
"""
)
_GATHERING = """
client: P : DELETE FROM t | B < | E
  server: P : DELETE FROM t
  judge 1 DELETE FROM t
server: 1
  client: 1
ruled: 1 hold
  server: S
server: Z I
"""

PLAYBOOKS = {
    "a client that has closed its half still hears what it asked for": _RUNNING
    + """
client ended
server: T | row 1 | C SELECT 1 | Z I
  client: T | row 1 | C SELECT 1 | Z I
  server: X
  done 1 SELECT 1
  close the client went away
""",
    "a half-closed client is not waited with for a person": _HELD
    + """
client ended
  server: X
  withdraw 1 the client went away
  close the client went away
""",
    "nor when the verdict comes later": _JUDGING
    + """
client ended
ruled: 1 hold
  server: P ours: DELETE FROM t | C S ours | S | X
  cancel upstream
  unreleased 1 ! 08006 the client went away
  close the client went away
""",
    "an idle client that closes its half has gone": """
client ended
  server: X
  close the client went away
""",
    "a half-closed client that is gone after all": _RUNNING
    + """
client ended
client lost
  server: X
  cancel upstream
  done 1 ! 08006 the client went away
  close the client went away
""",
    "idle for too long": """
time out
  client: FATAL 57P05 terminating connection due to idle-session timeout
  server: X
  close terminating connection due to idle-session timeout
""",
    "idle in a transaction for too long": _RUNNING
    + """
server: C BEGIN | Z T
  client: C BEGIN | Z T
  done 1 BEGIN
time out
  client: FATAL 25P03 terminating connection due to idle-in-transaction timeout
  server: X
  close terminating connection due to idle-in-transaction timeout
""",
    "what runs, or waits for a person, is not idle": _RUNNING
    + """
time out
server: C SELECT 1 | Z I
  client: C SELECT 1 | Z I
  done 1 SELECT 1
client: Q DELETE FROM t
  judge 2 DELETE FROM t
time out
""",
    "cancel of a running statement is passed on": _RUNNING
    + """
cancel
  cancel upstream
server: E 57014 canceling statement due to user request | Z I
  client: E 57014 canceling statement due to user request | Z I
  done 1 ! 57014 canceling statement due to user request
""",
    "cancel of nothing is nothing": """
cancel
client: Q SELECT 1
  judge 1 SELECT 1
""",
    "cancel of a statement that is being judged": _JUDGING
    + """
cancel
ruled: 1 allow
  server: Q bait
  unreleased 1 ! 57014 canceling statement due to user request
server: E 42601 syntax error | Z I
  client: E 57014 canceling statement due to user request | Z I
""",
    "cancel of a statement that Postgres is being asked about": _PROBING
    + """
cancel
  cancel upstream
server: 1 | 3 | Z I
  server: Q bait
  unreleased 1 ! 57014 canceling statement due to user request
""",
    "cancel that reaches the question itself": _PROBING
    + """
cancel
  cancel upstream
server: E 57014 canceling statement due to user request | Z I
  client: E 57014 canceling statement due to user request | Z I
  unreleased 1 ! 57014 canceling statement due to user request
""",
    "cancel of a held statement withdraws the hold": _HELD
    + """
cancel
  withdraw 1 the client cancelled it
refused: 1 57014 withdrawn
  server: Q bait
server: E 42601 syntax error | Z I
  client: E 57014 withdrawn | Z I
""",
    "leave that crosses a cancel is not used": _HELD
    + """
cancel
  withdraw 1 the client cancelled it
cleared: 1
  server: Q bait
  done 1 ! 57014 not run: the client cancelled it
server: E 42601 syntax error | Z I
  client: E 57014 canceling statement due to user request | Z I
""",
    "leave is used once": _HELD
    + """
cleared: 1
  server: Q DELETE FROM t
cleared: 1
refused: 1 QF001 rejected
ruled: 1 allow
server: C DELETE 1 | Z I
  client: C DELETE 1 | Z I
  done 1 DELETE 1
cleared: 1
""",
    "Terminate of an idle session": """
client: X
  server: X
  close the client said goodbye
""",
    "Terminate of a waiting statement": _HELD
    + """
client: X
  server: X
  withdraw 1 the client went away
  close the client went away
cleared: 1
  done 1 ! 08006 not run: the client went away
""",
    "Terminate behind a waiting statement with more behind it": _HELD
    + """
client: X | Q SELECT 1
  server: X
  withdraw 1 the client went away
  close the client went away
refused: 1 57014 withdrawn
""",
    "a client that goes while its statement is judged": _JUDGING
    + """
client lost
  server: X
  close the client went away
ruled: 1 allow
""",
    "a client that goes while Postgres is asked": _PROBING
    + """
client lost
  server: X
  cancel upstream
  unreleased 1 ! 08006 the client went away
  close the client went away
""",
    "a client that goes in the middle of its batch": _GATHERING
    + """
client lost
  server: X
  unreleased 1 ! 08006 the client went away
  close the client went away
""",
    "a client that goes while its statement runs": _RUNNING
    + """
client lost
  server: X
  cancel upstream
  done 1 ! 08006 the client went away
  close the client went away
""",
    "a held statement is told of at once, and again": _HELD
    + """
notice: hold h-1, waiting for approval by dba
  client: N hold h-1, waiting for approval by dba
  server: S
notice: hold h-1 is still pending
  client: N hold h-1 is still pending
server: Z I
notice: hold h-1 is still pending
  client: N hold h-1 is still pending
  server: S
cleared: 1
  server: Q DELETE FROM t
server: Z I | C DELETE 1 | Z I
  client: C DELETE 1 | Z I
  done 1 DELETE 1
notice: nothing waits
  client: N nothing waits
""",
    "in a transaction it keeps locks, and Postgres may end what takes too long": _RUNNING
    + """
server: C BEGIN | Z T
  client: C BEGIN | Z T
  done 1 BEGIN
client: Q DELETE FROM t
  judge 2 DELETE FROM t
ruled: 2 hold
  server: P ours: DELETE FROM t | C S ours | S
server: 1 | 3 | Z T
  clear 2 DELETE FROM t
notice: still pending
  client: N still pending
server: FATAL 25P03 terminating connection due to idle-in-transaction timeout
  client: FATAL 25P03 terminating connection due to idle-in-transaction timeout
server lost
  withdraw 2 terminating connection due to idle-in-transaction timeout
  close the database connection was lost
""",
    "what comes behind a held statement waits in order, and nothing of it is sent": _HELD
    + """
client: Q SELECT 1 | P s: SELECT 2 | B <s | E | S
cleared: 1
  server: Q DELETE FROM t
  judge 2 SELECT 1
server: C DELETE 1 | Z I
  client: C DELETE 1 | Z I
  done 1 DELETE 1
ruled: 2 allow
  clear 2 SELECT 1
cleared: 2
  server: Q SELECT 1 | P s: SELECT 2
  judge 3 SELECT 2
""",
    "a client that may have gone is told old news": _HELD
    + """
knock
  client: S integer_datetimes=on
client lost
  server: X
  withdraw 1 the client went away
  close the client went away
knock
""",
    "a client that goes while it is waited for": _HELD
    + """
client lost
  server: X
  withdraw 1 the client went away
  close the client went away
client lost
server lost
notice: still waiting
""",
    "a server that goes while nothing happens": """
server lost
  client: FATAL 08006 the database closed the connection unexpectedly
  close the database connection was lost
""",
    "a server that says why it goes": _RUNNING
    + """
server: FATAL 57P01 terminating connection due to administrator command
  client: FATAL 57P01 terminating connection due to administrator command
server lost
  done 1 ! 57P01 terminating connection due to administrator command
  close the database connection was lost
""",
    "a server that goes while a statement is judged": _JUDGING
    + """
server lost
  client: FATAL 08006 the database closed the connection unexpectedly
  close the database connection was lost
""",
    "a server that goes while it is asked": _PROBING
    + """
server lost
  client: FATAL 08006 the database closed the connection unexpectedly
  unreleased 1 ! 08006 the database connection was lost
  close the database connection was lost
""",
    "a server that goes while a statement is held": _HELD
    + """
server lost
  client: FATAL 08006 the database closed the connection unexpectedly
  withdraw 1 the database connection was lost
  close the database connection was lost
cleared: 1
  done 1 ! 08006 not run: the database connection was lost
""",
    "a server that ends a refused statement's session says so itself": _HELD
    + """
refused: 1 QF001 rejected
  server: Q bait
server: FATAL 57P01 terminating connection due to administrator command
  client: FATAL 57P01 terminating connection due to administrator command
server lost
  close the database connection was lost
""",
    "the firewall stops, and an idle session ends": """
shut down
  client: FATAL 57P01 terminating connection because the firewall is shutting down
  server: X
  close terminating connection because the firewall is shutting down
""",
    "the firewall stops, and a running statement is finished": _RUNNING
    + """
shut down
server: C SELECT 1 | Z I
  client: C SELECT 1 | Z I | FATAL 57P01 terminating connection because the firewall is shutting down
  server: X
  done 1 SELECT 1
  close terminating connection because the firewall is shutting down
""",
    "the firewall stops, and a running statement takes too long": _RUNNING
    + """
shut down
shut down at once
  client: FATAL 57P01 terminating connection because the firewall is shutting down
  server: X
  cancel upstream
  done 1 ! 57P01 terminating connection because the firewall is shutting down
  close terminating connection because the firewall is shutting down
""",
    "the firewall stops, and a held statement is given up": _HELD
    + """
shut down
  client: FATAL 57P01 terminating connection because the firewall is shutting down
  server: X
  withdraw 1 terminating connection because the firewall is shutting down
  close terminating connection because the firewall is shutting down
""",
    "an internal error withdraws what waits": _HELD
    + """
failed: KeyError
  client: FATAL XX000 internal error in query-firewall, this connection is closed
  withdraw 1 KeyError
  fault KeyError
failed: again
""",
    "an internal error cancels what runs": _RUNNING
    + """
failed: KeyError
  client: FATAL XX000 internal error in query-firewall, this connection is closed
  cancel upstream
  done 1 ! XX000 KeyError
  fault KeyError
""",
}

# leave is asked within the event, so single bytes cannot make another order of it
CHUNKS = [0, 1, 9]


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("name", PLAYBOOKS)
def test_session(name: str, chunk: int) -> None:
    played, expected = play(PLAYBOOKS[name], chunk=chunk)
    assert played == expected


def test_broken_framing_ends_the_session_after_what_came_before_it() -> None:
    whole = render(happen(new_session(), "client: S | raw 51 00000003"))
    assert whole == [
        "client: FATAL 08P01 invalid message length 3 in a message of type `Q`: a length counts its own 4 bytes",
        "server: S",
        "cancel upstream",
        "fault invalid message length 3 in a message of type `Q`: a length counts its own 4 bytes",
    ]
    assert render(happen(new_session(), "client: S | raw 51 00000003", chunk=1)) == whole


def test_a_client_is_read_from_again_when_its_statement_is_decided() -> None:
    machine = new_session()
    happen(machine, "client: Q DELETE FROM t")
    happen(machine, "client: Q " + "x" * (2 << 20))
    assert not machine.wants_frontend
    happen(machine, "ruled: 1 allow")
    happen(machine, "cleared: 1")
    assert not machine.wants_frontend
    happen(machine, "ruled: 2 allow")
    happen(machine, "cleared: 2")
    assert machine.wants_frontend


def test_idle_is_when_nothing_is_owed() -> None:
    machine = new_session()
    assert machine.idle
    assert machine.status == "I"
    happen(machine, "client: S")
    assert not machine.idle
    happen(machine, "server: Z T")
    assert machine.idle
    assert machine.status == "T"
    assert session.CANCELLED.sqlstate == "57014"


def test_nothing_of_ours_is_put_in_the_middle_of_a_message() -> None:
    machine = new_session()
    for event in ("client: Q SELECT 1", "ruled: 1 allow", "cleared: 1", "server: T"):
        happen(machine, event)
    row = wire.DataRow((b"one",)).encode()
    assert machine.receive_backend(row[:-1]) == [session.ToFrontend(row[:-1])]
    assert machine.knock() == []
    assert machine.notice("still waiting") == []
    notice = wire.notice(message="still waiting").encode()
    assert machine.receive_backend(row[-1:]) == [session.ToFrontend(row[-1:] + notice)]
    assert render(machine.knock()) == ["client: S integer_datetimes=on"]
