"""What passes without a turn, what is refused without one, and COPY."""

from __future__ import annotations

import pytest

from firewall import session, wire
from firewall.session.intake import MAX_OWED
from tests.session.playbook import happen, new_session, play, render

_COPY = """
client: Q COPY t FROM STDIN
  judge 1 COPY t FROM STDIN
ruled: 1 allow
  clear 1 COPY t FROM STDIN
cleared: 1
  server: Q COPY t FROM STDIN
server: G
  client: G
"""
_EXTENDED_COPY = """
client: P : COPY t FROM STDIN | B < | E | S
  server: P : COPY t FROM STDIN
  judge 1 COPY t FROM STDIN
ruled: 1 allow
  clear 1 COPY t FROM STDIN
cleared: 1
  server: B < | E | S
server: 1 | 2 | G
  client: 1 | 2 | G
"""

PLAYBOOKS = {
    "COPY in": _COPY
    + """
client: d one | d two | c
  server: d one | d two | c
server: C COPY 2 | Z I
  client: C COPY 2 | Z I
  done 1 COPY 2
""",
    "COPY in that the client gives up": _COPY
    + """
client: d one | f no more
  server: d one | f no more
server: E 57014 COPY from stdin failed: no more | Z I
  client: E 57014 COPY from stdin failed: no more | Z I
  done 1 ! 57014 COPY from stdin failed: no more
""",
    "data that comes late after COPY has failed is dropped": _COPY
    + """
client: d one
  server: d one
server: E 22P02 invalid input
  client: E 22P02 invalid input
client: d two | c
server: Z I
  client: Z I
  done 1 ! 22P02 invalid input
client: Q SELECT 1
  judge 2 SELECT 1
""",
    "data that comes before COPY has begun waits for it": """
client: Q COPY t FROM STDIN | d one | c
  judge 1 COPY t FROM STDIN
ruled: 1 allow
  clear 1 COPY t FROM STDIN
cleared: 1
  server: Q COPY t FROM STDIN
server: G
  client: G
  server: d one | c
""",
    "COPY in under the extended protocol ignores Sync": _EXTENDED_COPY
    + """
client: d one | S | H | c | S
  server: d one | c | S
server: C COPY 1 | Z I
  client: C COPY 1 | Z I
  done 1 COPY 1
""",
    "COPY in under the extended protocol that fails": _EXTENDED_COPY
    + """
client: d one
  server: d one
server: E 22P02 invalid input
  client: E 22P02 invalid input
  done 1 ! 22P02 invalid input
client: d two | c | S
  server: S
server: Z I
  client: Z I
""",
    "COPY in that fails before Postgres has come to the Sync behind it": _EXTENDED_COPY
    + """
server: E P0001 a trigger says no | Z I
  client: E P0001 a trigger says no | Z I
  done 1 ! P0001 a trigger says no
client: d one | c | S
  server: S
server: Z I
  client: Z I
""",
    "two COPYs in one query": """
client: Q COPY t FROM STDIN; COPY u FROM STDIN
  judge 1 COPY t FROM STDIN; COPY u FROM STDIN
ruled: 1 allow multi
  clear 1 COPY t FROM STDIN; COPY u FROM STDIN
cleared: 1
  server: Q COPY t FROM STDIN; COPY u FROM STDIN
server: G
  client: G
client: d one | c
  server: d one | c
server: C COPY 1 | G
  client: C COPY 1 | G
client: d two | c
  server: d two | c
server: C COPY 1 | Z I
  client: C COPY 1 | Z I
  done 1 COPY 1, COPY 1
""",
    "a statement in the middle of COPY in ends the session": _COPY
    + """
client: Q SELECT 1
  client: FATAL 08P01 unexpected message `Q` during COPY FROM STDIN
  cancel upstream
  done 1 ! 08P01 unexpected message `Q` during COPY FROM STDIN
  fault unexpected message `Q` during COPY FROM STDIN
""",
    "a statement that waits where COPY in begins ends the session": """
client: Q COPY t FROM STDIN | Q DELETE FROM t
  judge 1 COPY t FROM STDIN
ruled: 1 allow
  clear 1 COPY t FROM STDIN
cleared: 1
  server: Q COPY t FROM STDIN
  judge 2 DELETE FROM t
ruled: 2 hold
  server: H
server: G
  client: G | FATAL 08P01 a statement was sent where data for COPY FROM STDIN was expected
  cancel upstream
  unreleased 2 ! 08P01 a statement was sent where data for COPY FROM STDIN was expected
  done 1 ! 08P01 a statement was sent where data for COPY FROM STDIN was expected
  fault a statement was sent where data for COPY FROM STDIN was expected
""",
    "COPY out": """
client: Q COPY t TO STDOUT
  judge 1 COPY t TO STDOUT
ruled: 1 allow
  clear 1 COPY t TO STDOUT
cleared: 1
  server: Q COPY t TO STDOUT
server: H | d one | d two | c | C COPY 2 | Z I
  client: H | d one | d two | c | C COPY 2 | Z I
  done 1 COPY 2
""",
    "CopyBoth is refused": """
client: Q START_REPLICATION
  judge 1 START_REPLICATION
ruled: 1 allow
  clear 1 START_REPLICATION
cleared: 1
  server: Q START_REPLICATION
server: W
  client: FATAL 08P01 the server answered `QUERY` with `W`
  cancel upstream
  done 1 ! 08P01 the server answered `QUERY` with `W`
  fault the server answered `QUERY` with `W`
""",
    "FunctionCall is refused, and the session goes on": """
client: F
  server: Q bait
  declined 0A000
server: E 42601 syntax error | Z I
  client: E 0A000 query-firewall does not relay the FunctionCall message | Z I
""",
    "a password in the middle of a session is a violation": """
client: raw 70 00000005 00
  client: FATAL 08P01 unexpected message `p`
  fault unexpected message `p`
""",
    "a message of no known type is a violation": """
client: raw 7a 00000004
  client: FATAL 08P01 invalid frontend message type 122
  fault invalid frontend message type 122
""",
    "text that is not UTF-8 costs the statement": """
client: raw 51 00000007 ff ff 00
  server: Q bait
  declined 22021
server: E 42601 syntax error | Z I
  client: E 22021 `Query` holds bytes that are not valid UTF-8: `ff` at byte 1 | Z I
""",
    "a Parse that is not UTF-8 is one error up to Sync": """
client: raw 50 00000009 00 ff 00 0000 | B < | E | S
  server: bait | S
  declined 22021
server: E 42601 syntax error | Z I
  client: E 22021 `Parse` holds bytes that are not valid UTF-8: `ff` at byte 1 | Z I
""",
    "Terminate": """
client: X
  server: X
  close the client said goodbye
""",
    "nothing counts after Terminate": """
client: X | Q SELECT 1
  server: X
  close the client said goodbye
""",
}


@pytest.mark.parametrize("chunk", [0, 1, 9])
@pytest.mark.parametrize("name", PLAYBOOKS)
def test_intake(name: str, chunk: int) -> None:
    played, expected = play(PLAYBOOKS[name], chunk=chunk)
    assert played == expected


def test_a_parse_is_foreseen() -> None:
    commands = happen(new_session(), "client: P : SELECT 1")
    assert session.Foresee("SELECT 1", "facts") in commands


def test_messages_that_are_not_answered_are_bounded() -> None:
    machine = new_session()
    sync = wire.Sync().encode()
    (command,) = machine.receive_frontend(sync * (MAX_OWED + 5))
    assert isinstance(command, session.ToBackend)
    assert command.data == sync * MAX_OWED
    assert render(happen(machine, "server: Z I | Z I")) == ["client: Z I | Z I", "server: S | S"]
