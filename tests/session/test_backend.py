# ruff: noqa: E501 — a line of a playbook is a line
"""What Postgres answers: matched with what was asked, and passed on as it came."""

from __future__ import annotations

import pytest

from firewall import session, wire
from tests.session.playbook import from_server, happen, new_session, play, render

_RUNNING = """
client: Q SELECT 1
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1
  server: Q SELECT 1
"""

PLAYBOOKS = {
    "notices, notifications and settings reach an idle client": """
server: N hello | S TimeZone=UTC | raw 41 0000000c 00000001 61 00 62 00
  client: N hello | S TimeZone=UTC | A
""",
    "a notice of ours waits for nothing else": """
notice: waiting
  client: N waiting
""",
    "settings that change what texts mean are noticed": """
server: S standard_conforming_strings=off
  client: S standard_conforming_strings=off
client: Q SELECT 1
  judge 1 SELECT 1 unsafe
""",
    "an encoding that hides ASCII in its characters is noticed": """
server: S client_encoding=SJIS
  client: S client_encoding=SJIS
client: Q SELECT 1
  judge 1 SELECT 1 unsafe
""",
    "in another encoding than UTF-8 only ASCII means the same": """
server: S client_encoding=LATIN1
  client: S client_encoding=LATIN1
client: Q SELECT 1 | Q SELECT 'é'
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1
  server: Q SELECT 1
  judge 2 SELECT 'é' unsafe
""",
    "a commit that fails at Sync": """
client: P : INSERT INTO t VALUES (1) | B < | E | S
  server: P : INSERT INTO t VALUES (1)
  judge 1 INSERT INTO t VALUES (1)
ruled: 1 allow
  clear 1 INSERT INTO t VALUES (1)
cleared: 1
  server: B < | E | S
server: 1 | 2 | C INSERT 0 1 | E 23505 deferred constraint | Z I
  client: 1 | 2 | C INSERT 0 1 | E 23505 deferred constraint | Z I
  done 1 INSERT 0 1
""",
    "two queries in a row have an outcome each": """
client: Q SELECT 1 | Q SELECT 2
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1
  server: Q SELECT 1
  judge 2 SELECT 2
ruled: 2 allow
  clear 2 SELECT 2
cleared: 2
  server: Q SELECT 2
server: T | row 1 | C SELECT 1 | Z I
  client: T | row 1 | C SELECT 1 | Z I
  done 1 SELECT 1
server: T | row 2 | C SELECT 1 | Z I
  client: T | row 2 | C SELECT 1 | Z I
  done 2 SELECT 1
""",
    "rows that nobody asked for": """
server: d
  client: FATAL 08P01 the server sent rows that nobody asked for
  fault the server sent rows that nobody asked for
""",
    "an answer that nobody asked for": """
server: 1
  client: FATAL 08P01 the server sent `1` that nobody asked for
  fault the server sent `1` that nobody asked for
""",
    "ReadyForQuery that is not owed": _RUNNING
    + """
server: C SELECT 1 | Z I | Z I
  client: C SELECT 1 | Z I | FATAL 08P01 the server is ready for a query although it owes an answer
  done 1 SELECT 1
  fault the server is ready for a query although it owes an answer
""",
    "a server that breaks the framing": _RUNNING
    + """
server: C SELECT 1 | raw 54 00000002
  client: C SELECT 1 | FATAL 08P01 invalid message length 2 in a message of type `T`: a length counts its own 4 bytes
  cancel upstream
  done 1 ! 08P01 invalid message length 2 in a message of type `T`: a length counts its own 4 bytes
  fault invalid message length 2 in a message of type `T`: a length counts its own 4 bytes
""",
}


@pytest.mark.parametrize("chunk", [0, 1, 9])
@pytest.mark.parametrize("name", PLAYBOOKS)
def test_backend(name: str, chunk: int) -> None:
    played, expected = play(PLAYBOOKS[name], chunk=chunk)
    assert played == expected


def _running() -> session.Session:
    machine = new_session()
    for event in ("client: Q SELECT 1", "ruled: 1 allow", "cleared: 1"):
        happen(machine, event)
    return machine


def test_a_notice_is_never_put_into_a_row() -> None:
    row = from_server("row " + "x" * 100)
    for cut in range(5, len(row)):
        machine = _running()
        (first,) = machine.receive_backend(row[:cut])
        assert first == session.ToFrontend(row[:cut])
        assert machine.notice("waiting") == []
        (rest,) = machine.receive_backend(row[cut:])
        assert isinstance(rest, session.ToFrontend)
        assert rest.data.startswith(row[cut:])
        assert [chr(f.code) for f in wire.Framer(1000).feed(row[:cut] + rest.data)] == ["D", "N"]


def test_no_last_word_is_put_into_a_row() -> None:
    machine = _running()
    machine.receive_backend(from_server("row 12345")[:-2])
    assert not any(isinstance(command, session.ToFrontend) for command in machine.backend_lost())


def test_rows_are_passed_on_as_they_come_and_counted() -> None:
    machine = _running()
    row = from_server("row " + "x" * 1000)
    chunk = row * 50
    (command,) = machine.receive_backend(chunk)
    assert isinstance(command, session.ToFrontend)
    assert command.data is chunk
    done = happen(machine, "server: C SELECT 50 | Z I")[-1]
    assert isinstance(done, session.Done)
    assert done.size == len(chunk)
    assert render([done]) == ["done 1 SELECT 50"]
