"""A Bind runs the text that it was judged by, whatever a name has meant before."""

from __future__ import annotations

import pytest

from firewall import session, wire
from tests.session.playbook import happen, new_session, play

PLAYBOOKS = {
    "an unknown statement is refused as Postgres would": """
client: B <nowhere | E | S
  server: bait | S
  declined 26000
server: E 42601 syntax error | Z I
  client: E 26000 prepared statement "nowhere" does not exist | Z I
""",
    "our own name is reserved": """
client: P ours: SELECT 1 | S
  server: bait | S
  declined 42710
server: E 42601 syntax error | Z I
  client: E 42710 this prepared statement name is reserved | Z I
""",
    "a Parse that may fail decides nothing behind its Sync": """
client: P a: DELETE FROM t | S
  server: P a: DELETE FROM t | S
server: 1 | Z I
  client: 1 | Z I
# `a` exists: this Parse must fail, and then the Bind behind the Sync means the DELETE
client: P a: SELECT 1 | S | B <a | E | S
  server: P a: SELECT 1 | S
server: E 42P05 prepared statement already exists | Z I
  client: E 42P05 prepared statement already exists | Z I
  judge 1 DELETE FROM t
""",
    "a Parse in a batch that fails decides nothing either": """
client: P : DELETE FROM t | S | P x: SELEC 1 | P : SELECT 1 | S | B < | E | S
  server: P : DELETE FROM t | S | P x: SELEC 1 | P : SELECT 1 | S
server: 1 | Z I | E 42601 syntax error | Z I
  client: 1 | Z I | E 42601 syntax error | Z I
  judge 1 DELETE FROM t
""",
    "a Parse of the same batch decides at once": """
client: P : SELECT 1 | S | P : SELECT 2 | B < | E | S
  server: P : SELECT 1 | S | P : SELECT 2
  judge 1 SELECT 2
""",
    "a closed statement is not known any more": """
client: P a: SELECT 1 | C S a | S
  server: P a: SELECT 1 | C S a | S
server: 1 | 3 | Z I
  client: 1 | 3 | Z I
client: B <a | E | S
  server: bait | S
  declined 26000
""",
    "DEALLOCATE ALL forgets": """
client: P a: SELECT 1 | S
  server: P a: SELECT 1 | S
server: 1 | Z I
  client: 1 | Z I
client: Q DEALLOCATE ALL
  judge 1 DEALLOCATE ALL
ruled: 1 allow
  clear 1 DEALLOCATE ALL
cleared: 1
  server: Q DEALLOCATE ALL
server: C DEALLOCATE ALL | Z I
  client: C DEALLOCATE ALL | Z I
  done 1 DEALLOCATE ALL
client: B <a | E | S
  server: bait | S
  declined 26000
""",
    "DEALLOCATE ALL forgets nothing that was prepared again behind it": """
client: Q PREPARE a AS DROP TABLE t
  judge 1 PREPARE a AS DROP TABLE t
ruled: 1 allow prepares a=DROP TABLE t
  clear 1 PREPARE a AS DROP TABLE t
cleared: 1
  server: Q PREPARE a AS DROP TABLE t
server: C PREPARE | Z I
  client: C PREPARE | Z I
  done 1 PREPARE
client: Q DEALLOCATE ALL | Q PREPARE a AS DROP TABLE t
  judge 2 DEALLOCATE ALL
ruled: 2 allow
  clear 2 DEALLOCATE ALL
cleared: 2
  server: Q DEALLOCATE ALL
  judge 3 PREPARE a AS DROP TABLE t
ruled: 3 allow prepares a=DROP TABLE t
  clear 3 PREPARE a AS DROP TABLE t
cleared: 3
  server: Q PREPARE a AS DROP TABLE t
server: C DEALLOCATE ALL | Z I | C PREPARE | Z I
  client: C DEALLOCATE ALL | Z I | C PREPARE | Z I
  done 2 DEALLOCATE ALL
  done 3 PREPARE
# Postgres will refuse this one, and keep the other
client: Q PREPARE a AS SELECT 1
  judge 4 PREPARE a AS SELECT 1
ruled: 4 allow prepares a=SELECT 1
  clear 4 PREPARE a AS SELECT 1
cleared: 4
  server: Q PREPARE a AS SELECT 1
client: P : SELECT 2 | B <a | E | S
  server: P : SELECT 2 | bait | S
  declined 42P05
""",
    "SQL's PREPARE and the protocol's Parse share their names": """
client: Q PREPARE a AS SELECT 1
  judge 1 PREPARE a AS SELECT 1
ruled: 1 allow prepares a=SELECT 1
  clear 1 PREPARE a AS SELECT 1
cleared: 1
  server: Q PREPARE a AS SELECT 1
server: C PREPARE | Z I
  client: C PREPARE | Z I
  done 1 PREPARE
client: B <a | E | S
  judge 2 SELECT 1
""",
    "a name that was prepared twice by SQL may mean either": """
client: P a: DELETE FROM t | S
  server: P a: DELETE FROM t | S
server: 1 | Z I
  client: 1 | Z I
client: Q DEALLOCATE a; PREPARE a AS SELECT 1
  judge 1 DEALLOCATE a; PREPARE a AS SELECT 1
ruled: 1 allow multi prepares a=SELECT 1
  clear 1 DEALLOCATE a; PREPARE a AS SELECT 1
cleared: 1
  server: Q DEALLOCATE a; PREPARE a AS SELECT 1
server: C DEALLOCATE | C PREPARE | Z I
  client: C DEALLOCATE | C PREPARE | Z I
  done 1 DEALLOCATE, PREPARE
client: B <a | E | S
  server: bait | S
  declined 42P05
""",
    "a PREPARE that overtakes an answer leaves the name in doubt": """
client: P a: SELECT 1 | Q DEALLOCATE a; PREPARE a AS DELETE FROM t
  server: P a: SELECT 1
  judge 1 DEALLOCATE a; PREPARE a AS DELETE FROM t
ruled: 1 allow multi prepares a=DELETE FROM t
  clear 1 DEALLOCATE a; PREPARE a AS DELETE FROM t
cleared: 1
  server: Q DEALLOCATE a; PREPARE a AS DELETE FROM t
server: 1 | C DEALLOCATE | C PREPARE | Z I
  client: 1 | C DEALLOCATE | C PREPARE | Z I
  done 1 DEALLOCATE, PREPARE
client: B <a | E | S
  server: bait | S
  declined 42P05
""",
    "a Parse that fails does not vouch for a PREPARE behind it": """
client: P a: SELECT 1 | S
  server: P a: SELECT 1 | S
server: 1 | Z I
  client: 1 | Z I
client: P a: DELETE FROM t | S | Q DEALLOCATE a; PREPARE a AS DELETE FROM t
  server: P a: DELETE FROM t | S
  judge 1 DEALLOCATE a; PREPARE a AS DELETE FROM t
ruled: 1 allow multi prepares a=DELETE FROM t
  clear 1 DEALLOCATE a; PREPARE a AS DELETE FROM t
cleared: 1
  server: Q DEALLOCATE a; PREPARE a AS DELETE FROM t
server: E 42P05 exists | Z I | C DEALLOCATE | C PREPARE | Z I
  client: E 42P05 exists | Z I | C DEALLOCATE | C PREPARE | Z I
  done 1 DEALLOCATE, PREPARE
client: B <a | E | S
  server: bait | S
  declined 42P05
""",
}


@pytest.mark.parametrize("chunk", [0, 1, 9])
@pytest.mark.parametrize("name", PLAYBOOKS)
def test_prepared(name: str, chunk: int) -> None:
    played, expected = play(PLAYBOOKS[name], chunk=chunk)
    assert played == expected


def _prepared_of(commands: list[session.Command]) -> dict[str, str | None]:
    (judge,) = [command for command in commands if isinstance(command, session.Judge)]
    return dict(judge.prepared)


def test_execute_by_name_is_judged_by_what_is_in_flight_too() -> None:
    machine = new_session()
    happen(machine, "client: P a: SELECT 1 | S")
    happen(machine, "server: 1 | Z I")
    commands = happen(machine, "client: C S a | P a: DELETE FROM t | P b: SELECT 2 | Q EXECUTE a")
    assert _prepared_of(commands) == {"a": None, "b": "SELECT 2"}


def test_what_a_judgement_was_told_does_not_change_behind_its_back() -> None:
    machine = new_session()
    commands = happen(machine, "client: P a: SELECT 1 | S | Q EXECUTE a")
    told = next(command for command in commands if isinstance(command, session.Judge)).prepared
    happen(machine, "server: 1 | Z I")
    assert dict(told) == {"a": "SELECT 1"}


def test_the_texts_of_one_session_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firewall.session.prepared.MAX_TEXTS", 300)
    machine = new_session()
    happen(machine, "client: P a: SELECT 1 | S")
    happen(machine, "server: 1 | Z I")
    commands = happen(machine, "client: P b: SELECT 2 | S")
    assert [c.refusal.sqlstate for c in commands if isinstance(c, session.Declined)] == ["54000"]
    happen(machine, "server: E 42601 syntax error | Z I")
    happen(machine, "client: C S a | S")
    happen(machine, "server: 3 | Z I")
    assert not any(isinstance(c, session.Declined) for c in happen(machine, "client: P b: SELECT 2 | S"))


def test_types_that_somebody_made_are_told_to_the_judge():
    machine = new_session()
    parse = wire.Parse("", "SELECT $1, $2", (25, 70_002, 70_001))
    sent = (
        parse.encode() + wire.Bind("", "", (), ()).encode() + wire.Execute("").encode() + wire.Sync().encode()
    )
    judged = [c for c in machine.receive_frontend(sent) if isinstance(c, session.Judge)]
    assert [command.types for command in judged] == [(70_001, 70_002)]


def test_what_execute_would_run_is_not_known_where_only_the_parse_names_a_type():
    machine = new_session()
    parses = wire.Parse("plain", "SELECT $1", (25,)), wire.Parse("typed", "SELECT $1", (70_001,))
    machine.receive_frontend(b"".join(parse.encode() for parse in parses) + wire.Sync().encode())
    machine.receive_backend((wire.ParseComplete().encode() * 2) + wire.ReadyForQuery("I").encode())
    commands = machine.receive_frontend(wire.Query("EXECUTE typed('x')").encode())
    judged = [c for c in commands if isinstance(c, session.Judge)]
    assert [command.prepared for command in judged] == [{"plain": "SELECT $1", "typed": None}]
