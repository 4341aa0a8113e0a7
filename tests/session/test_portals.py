"""A portal runs as it was judged when it was bound, or not at all."""

from __future__ import annotations

import pytest

from tests.session.playbook import happen, new_session, play, render

_SET = """
client: P s: SET search_path TO other | B <s | E | H
  server: P s: SET search_path TO other
  judge 2 SET search_path TO other
ruled: 2 allow path
  clear 2 SET search_path TO other
cleared: 2
  server: B <s | E | H
server: 1 | 2 | C SET
  client: 1 | 2 | C SET
  done 2 SET
"""

PLAYBOOKS = {
    "a row limit suspends a portal, and it goes on where it was": """
client: P : SELECT * FROM t | B < | E  2 | H
  server: P : SELECT * FROM t
  judge 1 SELECT * FROM t
ruled: 1 allow
  clear 1 SELECT * FROM t
cleared: 1
  server: B < | E  2 | H
server: 1 | 2 | row a | row b | s
  client: 1 | 2 | row a | row b | s
client: E  2 | S
  server: E  2 | S
server: row c | C SELECT 1 | Z I
  client: row c | C SELECT 1 | Z I
  done 1 SELECT 1
""",
    "a portal that is not begun is void once names have moved": """
client: P : DROP TABLE t | B p< | H
  server: P : DROP TABLE t
  judge 1 DROP TABLE t
ruled: 1 allow
  clear 1 DROP TABLE t
cleared: 1
  server: B p< | H
server: 1 | 2
  client: 1 | 2
"""
    + _SET
    + """
client: E p | S
  server: bait | S
  declined 55000
server: E 42601 syntax error | Z I
  client: E 55000 names may mean something else than when this portal was bound | Z I
  done 1
""",
    "a portal that has begun goes on whatever names mean": """
client: P : SELECT * FROM t | B p< | E p 1 | H
  server: P : SELECT * FROM t
  judge 1 SELECT * FROM t
ruled: 1 allow
  clear 1 SELECT * FROM t
cleared: 1
  server: B p< | E p 1 | H
server: 1 | 2 | row a | s
  client: 1 | 2 | row a | s
"""
    + _SET
    + """
client: E p | S
  server: E p | S
server: row b | C SELECT 1 | Z I
  client: row b | C SELECT 1 | Z I
  done 1 SELECT 1
""",
    "Describe after Execute, Close, and a cursor that SQL declared": """
client: P : SELECT 1 | B p< | E p | D P p | C P p | E cursor 1 | S
  server: P : SELECT 1
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1
  server: B p< | E p | D P p | C P p | E cursor 1 | S
server: 1 | 2 | row 1 | C SELECT 1 | T | 3 | E 34000 portal does not exist | Z I
  client: 1 | 2 | row 1 | C SELECT 1 | T | 3 | E 34000 portal does not exist | Z I
  done 1 SELECT 1
""",
    "a portal that was bound and never run has no outcome but its end": """
client: P : SELECT 1 | B < | S
  server: P : SELECT 1
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1
  server: B < | S
server: 1 | 2 | Z I
  client: 1 | 2 | Z I
  done 1
""",
}


@pytest.mark.parametrize("chunk", [0, 1, 9])
@pytest.mark.parametrize("name", PLAYBOOKS)
def test_portals(name: str, chunk: int) -> None:
    played, expected = play(PLAYBOOKS[name], chunk=chunk)
    assert played == expected


def test_the_portals_of_one_transaction_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firewall.session.portals.MAX_PORTALS", 1)
    machine = new_session()
    happen(machine, "client: P a: SELECT 1 | B one<a | B two<a | S")
    happen(machine, "ruled: 1 allow")
    assert "declined 54000" in render(happen(machine, "cleared: 1"))


def test_a_closed_portal_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction may open and close as many as it likes; what ran in one is over when it is closed."""
    monkeypatch.setattr("firewall.session.portals.MAX_PORTALS", 1)
    played, expected = play(
        """
client: P s: SELECT 1 | S
  server: P s: SELECT 1 | S
server: 1 | Z T
  client: 1 | Z T
client: B p<s | E p 1 | S
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1
  server: B p<s | E p 1 | S
server: 2 | row x | s | Z T
  client: 2 | row x | s | Z T
client: C P p | S
  server: C P p | S
server: 3 | Z T
  client: 3 | Z T
  done 1
client: B q<s | E q | S
  judge 2 SELECT 1
ruled: 2 allow
  clear 2 SELECT 1
cleared: 2
  server: B q<s | E q | S
server: 2 | row x | C SELECT 1 | Z T
  client: 2 | row x | C SELECT 1 | Z T
  done 2 SELECT 1
"""
    )
    assert played == expected


def test_a_portal_whose_name_another_takes_is_over() -> None:
    """Else a transaction that binds the unnamed portal for ever would be remembered for ever."""
    played, expected = play(
        """
client: P s: SELECT 1 | S
  server: P s: SELECT 1 | S
server: 1 | Z T
  client: 1 | Z T
client: B <s | S
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1
  server: B <s | S
server: 2 | Z T
  client: 2 | Z T
client: B <s | S
  judge 2 SELECT 1
ruled: 2 allow
  clear 2 SELECT 1
cleared: 2
  server: B <s | S
server: 2 | Z T
  client: 2 | Z T
  done 1
"""
    )
    assert played == expected
