"""Writes that run ahead of a decision, and the COMMIT that waits for it."""

from __future__ import annotations

import pytest

from tests.session.playbook import play

BEGUN = """
client: Q BEGIN
  judge 1 BEGIN
ruled: 1 allow
  clear 1 BEGIN
cleared: 1
  server: Q BEGIN
server: C BEGIN | Z T
  client: C BEGIN | Z T
  done 1 BEGIN
"""
PLAYBOOKS = {
    "a COMMIT that waits is not shown to Postgres first, and is sent when it is let": """
client: Q COMMIT
  judge 2 COMMIT
ruled: 2 hold commits
  clear 2 COMMIT
cleared: 2
  server: Q COMMIT
server: C COMMIT | Z I
  client: C COMMIT | Z I
  done 2 COMMIT
""",
    "one that is refused fails, and its transaction has ended": """
client: Q COMMIT
  judge 2 COMMIT
ruled: 2 hold commits
  clear 2 COMMIT
refused: 2 QF001 rejected
  server: Q ROLLBACK | Q bait
server: C ROLLBACK | Z I | E 42601 syntax error | Z I
  client: E QF001 rejected | Z I
""",
    "so it does in the extended protocol, and what is behind it is skipped": """
client: P c: COMMIT | B <c | E | P x: SELECT 1 | S
  server: P c: COMMIT
  judge 2 COMMIT
ruled: 2 hold commits
  server: H
server: 1
  client: 1
  clear 2 COMMIT
refused: 2 QF001 rejected
  server: C S ours_ | P ours_: ROLLBACK | B ours_<ours_ | E ours_ | C P ours_ | C S ours_ | bait | S
server: 3 | 1 | 2 | C ROLLBACK | 3 | 3 | E 42601 syntax error | Z I
  client: E QF001 rejected | Z I
""",
    "one that the client cancels ends its transaction, too": """
client: Q COMMIT
  judge 2 COMMIT
ruled: 2 hold commits
  clear 2 COMMIT
cancel
  withdraw 2 the client cancelled it
refused: 2 57014 withdrawn
  server: Q ROLLBACK | Q bait
server: C ROLLBACK | Z I | E 42601 syntax error | Z I
  client: E 57014 withdrawn | Z I
""",
    "what was bound before something ran ahead is void": """
client: P c: COMMIT | B p<c | S
  server: P c: COMMIT
  judge 2 COMMIT
ruled: 2 allow
  clear 2 COMMIT
cleared: 2
  server: B p<c | S
server: 1 | 2 | Z T
  client: 1 | 2 | Z T
client: Q DELETE FROM t
  judge 3 DELETE FROM t
ruled: 3 hold
  server: P ours: DELETE FROM t | C S ours | S
server: 1 | 3 | Z T
  clear 3 DELETE FROM t
cleared: 3 ahead
  server: Q DELETE FROM t
server: C DELETE 3 | Z T
  client: C DELETE 3 | Z T
  done 3 DELETE 3
client: E p | S
  server: bait | S
  declined 55000
server: E 42601 syntax error | Z E
  client: E 55000 names may mean something else than when this portal was bound | Z E
""",
    "and so is what was bound, and not run, before the COMMIT": """
client: P w: DELETE FROM t | B w<w | S
  server: P w: DELETE FROM t
  judge 2 DELETE FROM t
ruled: 2 allow
  clear 2 DELETE FROM t
cleared: 2
  server: B w<w | S
server: 1 | 2 | Z T
  client: 1 | 2 | Z T
client: P c: COMMIT | B c<c | E w | S
  server: P c: COMMIT
  judge 3 COMMIT
ruled: 3 hold commits
  server: H
server: 1
  client: 1
  clear 3 COMMIT
cleared: 3
  server: B c<c | bait | S
  declined 55000
""",
    "in a transaction block a Sync of ours says where the transaction stands": """
client: P b: BEGIN | B <b | E | P w: DELETE FROM t | B <w | E | S
  server: P b: BEGIN
  judge 2 BEGIN
ruled: 2 allow
  clear 2 BEGIN
cleared: 2
  server: B <b | E | P w: DELETE FROM t
  judge 3 DELETE FROM t
ruled: 3 hold
  server: H
server: 1 | 2 | C BEGIN | 1
  client: 1 | 2 | C BEGIN | 1
  server: S
  done 2 BEGIN
server: Z T
  clear 3 DELETE FROM t
cleared: 3 ahead
  server: B <w | E | S
server: 2 | C DELETE 1 | Z T
  client: 2 | C DELETE 1 | Z T
  done 3 DELETE 1
""",
}


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("name", PLAYBOOKS)
def test_playbook(name: str, chunk: int) -> None:
    played, expected = play(BEGUN + PLAYBOOKS[name], chunk=chunk)
    assert played == expected
