"""What the firewall puts into a text is put in before it is judged, and what is judged is what runs."""

from __future__ import annotations

import pytest

from firewall import session
from firewall.session import own_views
from tests.session.playbook import happen, new_session, play

TEXT = "SELECT 1 FROM firewall.grants"
EMPTY = own_views.filled(TEXT, {})

PLAYBOOKS = {
    "a query is sent as it was filled": f"""
client: Q {TEXT}
  fill 1 {TEXT}
filled: 1 SELECT 'rows'
  judge 1 SELECT 'rows'
ruled: 1 allow
  clear 1 SELECT 'rows'
cleared: 1
  server: Q SELECT 'rows'
""",
    "a statement is prepared empty, and anew whenever it is run": f"""
client: P a: {TEXT} | S
  server: P a: {EMPTY} | S
server: 1 | Z I
  client: 1 | Z I
client: B <a | E | S
  fill 1 {TEXT}
filled: 1 SELECT 'one'
  judge 1 SELECT 'one'
ruled: 1 allow
  clear 1 SELECT 'one'
cleared: 1
  server: C S a | P a: SELECT 'one' | B <a | E | S
server: 3 | 1 | 2 | C SELECT 1 | Z I
  client: 2 | C SELECT 1 | Z I
  done 1 SELECT 1
client: B <a | E | S
  fill 2 {TEXT}
filled: 2 SELECT 'two'
  judge 2 SELECT 'two'
""",
    "what cannot be filled is refused": f"""
client: Q {TEXT}
  fill 1 {TEXT}
refused: 1 58030 no store
  server: Q bait
""",
    "a cancel that comes while it is filled counts": f"""
client: Q {TEXT}
  fill 1 {TEXT}
cancel
filled: 1 SELECT 'rows'
  judge 1 SELECT 'rows'
ruled: 1 allow
  server: Q bait
  unreleased 1 ! 57014 canceling statement due to user request
""",
    "what was judged anew while leave was asked is what is released": """
client: Q DELETE FROM t
  judge 1 DELETE FROM t
ruled: 1 allow
  clear 1 DELETE FROM t
amended: 1 allow ddl
cleared: 1
  server: Q DELETE FROM t
server: C DELETE 1 | Z I
  client: C DELETE 1 | Z I
  done 1 DELETE 1
  catalog changed
""",
}


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("name", PLAYBOOKS)
def test_playbook(name: str, chunk: int) -> None:
    played, expected = play(PLAYBOOKS[name], chunk=chunk)
    assert played == expected


@pytest.mark.parametrize(("event", "lost"), [("client lost", True), ("cancel", False)])
def test_a_connection_that_is_lost_is_told_from_one_that_gave_up(event: str, lost: bool) -> None:
    machine = new_session()
    for line in ("client: Q DELETE FROM t", "ruled: 1 allow"):
        happen(machine, line)
    said = [each for each in happen(machine, event) if isinstance(each, session.Withdraw)]
    assert [each.lost for each in said] == [lost]
