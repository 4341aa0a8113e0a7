"""What becomes of a statement: allowed, held, denied, or rejected by Postgres itself."""

from __future__ import annotations

import pytest

from tests.session.playbook import play

PLAYBOOKS = {
    "what cannot be judged is refused, and the session goes on": """
client: Q SELECT 1
  judge 1 SELECT 1
refused: 1 58000 the catalog could not be read
  server: Q bait
server: E 42601 syntax error | Z I
  client: E 58000 the catalog could not be read | Z I
client: P s: SELECT 2 | B <s | E | S
  server: P s: SELECT 2
  judge 2 SELECT 2
refused: 2 58000 the catalog could not be read
  server: bait | S
server: 1 | E 42601 syntax error | Z I
  client: 1 | E 58000 the catalog could not be read | Z I
client: B <s | E | S
  judge 3 SELECT 2
ruled: 3 allow
  clear 3 SELECT 2
cleared: 3
  server: B <s | E | S
""",
    "a simple query is judged, cleared and sent": """
client: Q SELECT 1
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1
  server: Q SELECT 1
server: T | row 1 | C SELECT 1 | Z I
  client: T | row 1 | C SELECT 1 | Z I
  done 1 SELECT 1
""",
    "several statements in one query are one statement": """
client: Q INSERT INTO t VALUES (1); SELECT 2
  judge 1 INSERT INTO t VALUES (1); SELECT 2
ruled: 1 allow multi
  clear 1 INSERT INTO t VALUES (1); SELECT 2
cleared: 1
  server: Q INSERT INTO t VALUES (1); SELECT 2
server: C INSERT 0 1 | T | row 2 | C SELECT 1 | Z I
  client: C INSERT 0 1 | T | row 2 | C SELECT 1 | Z I
  done 1 INSERT 0 1, SELECT 1
""",
    "an empty query is a query": """
client: Q
  judge 1
ruled: 1 allow
  clear 1
cleared: 1
  server: Q
server: I | Z I
  client: I | Z I
  done 1
""",
    "a held simple query is shown to Postgres before it is shown to people": """
client: Q DELETE FROM t
  judge 1 DELETE FROM t
ruled: 1 hold
  server: P ours: DELETE FROM t | C S ours | S
server: 1 | 3 | Z I
  clear 1 DELETE FROM t
cleared: 1
  server: Q DELETE FROM t
server: C DELETE 3 | Z I
  client: C DELETE 3 | Z I
  done 1 DELETE 3
""",
    "a held simple query that is refused becomes a query that must fail": """
client: Q DELETE FROM t
  judge 1 DELETE FROM t
ruled: 1 hold
  server: P ours: DELETE FROM t | C S ours | S
server: 1 | 3 | Z I
  clear 1 DELETE FROM t
refused: 1 QF001 rejected
  server: Q bait
server: E 42601 syntax error | Z I
  client: E QF001 rejected | Z I
""",
    "a misspelt table in a simple query is Postgres's own error": """
client: Q SELECT * FROM custmers
  judge 1 SELECT * FROM custmers
ruled: 1 hold native
  server: P ours: SELECT * FROM custmers | C S ours | S
server: E 42P01 relation does not exist
  client: E 42P01 relation does not exist
server: Z I
  client: Z I
  unreleased 1 ! 42P01 relation does not exist
""",
    "what Postgres knows and the catalog does not is judged again": """
client: Q SELECT * FROM newer
  judge 1 SELECT * FROM newer
ruled: 1 deny native
  server: P ours: SELECT * FROM newer | C S ours | S
server: 1 | 3 | Z I
  judge 1 SELECT * FROM newer refresh
ruled: 1 allow
  clear 1 SELECT * FROM newer
cleared: 1
  server: Q SELECT * FROM newer
""",
    "a text of several statements cannot be shown to Postgres first": """
client: Q SELECT 1; DELETE FROM t
  judge 1 SELECT 1; DELETE FROM t
ruled: 1 hold multi
  clear 1 SELECT 1; DELETE FROM t
""",
    "the extended protocol judges at Bind and runs at Execute": """
client: P : SELECT $1 | B < 7 | D P | E | S
  server: P : SELECT $1
  judge 1 SELECT $1
ruled: 1 allow
  clear 1 SELECT $1 7
cleared: 1
  server: B < 7 | D P | E | S
server: 1 | 2 | T | row 7 | C SELECT 1 | Z I
  client: 1 | 2 | T | row 7 | C SELECT 1 | Z I
  done 1 SELECT 1
""",
    "a held Bind waits until Postgres has taken its Parse, and keeps no lock": """
client: P : DELETE FROM t | D S | B < | E | S
  server: P : DELETE FROM t | D S
  judge 1 DELETE FROM t
ruled: 1 hold
  server: H
server: 1 | t | n
  client: 1 | t | n
  server: S
server: Z I
  clear 1 DELETE FROM t
cleared: 1
  server: B < | E | S
server: 2 | C DELETE 1 | Z I
  client: 2 | C DELETE 1 | Z I
  done 1 DELETE 1
""",
    "a held Bind behind another keeps its transaction": """
client: P a: INSERT INTO t VALUES (1) | B <a | E | P b: DELETE FROM t | B <b | E | S
  server: P a: INSERT INTO t VALUES (1)
  judge 1 INSERT INTO t VALUES (1)
ruled: 1 allow
  clear 1 INSERT INTO t VALUES (1)
cleared: 1
  server: B <a | E | P b: DELETE FROM t
  judge 2 DELETE FROM t
ruled: 2 hold
  server: H
server: 1 | 2 | C INSERT 0 1 | 1
  client: 1 | 2 | C INSERT 0 1 | 1
  done 1 INSERT 0 1
  clear 2 DELETE FROM t
cleared: 2
  server: B <b | E | S
server: 2 | C DELETE 1 | Z I
  client: 2 | C DELETE 1 | Z I
  done 2 DELETE 1
""",
    "a refused Bind is one error, and the rest up to Sync is discarded": """
client: P : DELETE FROM t | B < | D P | E | S
  server: P : DELETE FROM t
  judge 1 DELETE FROM t
ruled: 1 deny
  clear 1 DELETE FROM t
refused: 1 42501 denied
  server: bait | S
server: 1 | E 42601 syntax error | Z I
  client: 1 | E 42501 denied | Z I
""",
    "a refused Bind spares the batch behind its Sync": """
client: P a: DROP TABLE t | B <a | E | S | P b: SELECT 1 | B <b | E | S
  server: P a: DROP TABLE t
  judge 1 DROP TABLE t
ruled: 1 deny
  clear 1 DROP TABLE t
refused: 1 42501 denied
  server: bait | S | P b: SELECT 1
  judge 2 SELECT 1
server: 1 | E 42601 syntax error | Z I
  client: 1 | E 42501 denied | Z I
ruled: 2 allow
  clear 2 SELECT 1
cleared: 2
  server: B <b | E | S
server: 1 | 2 | row 1 | C SELECT 1 | Z I
  client: 1 | 2 | row 1 | C SELECT 1 | Z I
  done 2 SELECT 1
""",
    "a misspelt table under the extended protocol": """
client: P : SELECT * FROM custmers | B < | E | S
  server: P : SELECT * FROM custmers
  judge 1 SELECT * FROM custmers
ruled: 1 hold native
  server: H
server: E 42P01 relation does not exist
  client: E 42P01 relation does not exist
  server: S
  unreleased 1 ! 42P01 relation does not exist
server: Z I
  client: Z I
""",
    "an error ahead of it takes a statement that is being judged along": """
client: P : SELEC 1 | B < | E | S
  server: P : SELEC 1
  judge 1 SELEC 1
server: E 42601 syntax error
  client: E 42601 syntax error
  server: S
ruled: 1 allow
server: Z I
  client: Z I
""",
    "an error ahead of it takes a statement along for which leave was asked": """
client: P : SELECT 1/0 | B < | E | P : DELETE FROM t | B < | E | S
  server: P : SELECT 1/0
  judge 1 SELECT 1/0
ruled: 1 allow
  clear 1 SELECT 1/0
cleared: 1
  server: B < | E | P : DELETE FROM t
  judge 2 DELETE FROM t
ruled: 2 allow
  clear 2 DELETE FROM t
server: 1 | 2 | E 22012 division by zero
  client: 1 | 2 | E 22012 division by zero
  server: S
  done 1 ! 22012 division by zero
  withdraw 2 its batch failed before it: division by zero
cleared: 2
  done 2 ! 22012 not run: its batch failed before it: division by zero
server: Z I
  client: Z I
""",
    "statements that were sent behind the one that failed say that they were not run": """
client: P a: SELECT 1/0 | B <a | E | B <a | E | S
  server: P a: SELECT 1/0
  judge 1 SELECT 1/0
ruled: 1 allow
  clear 1 SELECT 1/0 ; SELECT 1/0
cleared: 1
  server: B <a | E | B <a | E | S
server: 1 | 2 | E 22012 division by zero | Z I
  client: 1 | 2 | E 22012 division by zero | Z I
  done 1 ! 22012 division by zero
""",
    "a held statement in a failed transaction gets the error that it would get": """
client: Q BEGIN
  judge 1 BEGIN
ruled: 1 allow
  clear 1 BEGIN
cleared: 1
  server: Q BEGIN
server: C BEGIN | Z E
  client: C BEGIN | Z E
  done 1 BEGIN
client: P : DELETE FROM t | B < | E | S
  server: P : DELETE FROM t
  judge 2 DELETE FROM t
server: 1
  client: 1
ruled: 2 hold
  server: S
server: Z E
  server: bait | S
  unreleased 2 ! 25P02 current transaction is aborted, commands ignored until end of transaction block
server: E 42601 syntax error | Z E
  client: E 25P02 current transaction is aborted, commands ignored until end of transaction block | Z E
""",
    "a pipeline that has ended a failed transaction goes on in a sound one": """
client: Q BEGIN
  judge 1 BEGIN
ruled: 1 allow
  clear 1 BEGIN
cleared: 1
  server: Q BEGIN
server: C BEGIN | Z E
  client: C BEGIN | Z E
  done 1 BEGIN
client: P : ROLLBACK | B < | E
  server: P : ROLLBACK
  judge 2 ROLLBACK
server: 1
  client: 1
ruled: 2 allow
  clear 2 ROLLBACK
cleared: 2
  server: B < | E
client: P : DELETE FROM t | B < | E | S
  server: P : DELETE FROM t
  judge 3 DELETE FROM t
ruled: 3 hold
  server: H
server: 2 | C ROLLBACK | 1
  client: 2 | C ROLLBACK | 1
  done 2 ROLLBACK
  clear 3 DELETE FROM t
""",
    "a Query in the middle of an unfinished batch is not probed, which would end the batch": """
client: P : INSERT INTO t VALUES (1) | B < | E | H | Q DELETE FROM t
  server: P : INSERT INTO t VALUES (1)
  judge 1 INSERT INTO t VALUES (1)
ruled: 1 allow
  clear 1 INSERT INTO t VALUES (1)
cleared: 1
  server: B < | E | H
  judge 2 DELETE FROM t
ruled: 2 hold
  server: H
server: 1 | 2 | C INSERT 0 1
  client: 1 | 2 | C INSERT 0 1
  done 1 INSERT 0 1
  clear 2 DELETE FROM t
refused: 2 QF001 rejected
  server: Q bait
server: E 42601 syntax error | Z I
  client: E QF001 rejected | Z I
""",
    "an error at the end of the refused Query's batch discards the bait as well": """
client: P : SELECT 1/0 | B < | E | Q DROP TABLE t | S
  server: P : SELECT 1/0
  judge 1 SELECT 1/0
ruled: 1 allow
  clear 1 SELECT 1/0
cleared: 1
  server: B < | E
  judge 2 DROP TABLE t
ruled: 2 deny
  clear 2 DROP TABLE t
refused: 2 42501 denied
  server: Q bait | S
server: 1 | 2 | E 22012 division by zero | Z I
  client: 1 | 2 | E 22012 division by zero | Z I
  done 1 ! 22012 division by zero
""",
    "a catalog change in a transaction leaves names in doubt until it ends": """
client: Q BEGIN; ALTER TABLE t RENAME TO u
  judge 1 BEGIN; ALTER TABLE t RENAME TO u
ruled: 1 allow ddl multi
  clear 1 BEGIN; ALTER TABLE t RENAME TO u
cleared: 1
  server: Q BEGIN; ALTER TABLE t RENAME TO u
client: Q SELECT * FROM t
  server: H
server: C BEGIN | C ALTER TABLE | Z T
  client: C BEGIN | C ALTER TABLE | Z T
  done 1 BEGIN, ALTER TABLE
  judge 2 SELECT * FROM t in doubt
ruled: 2 allow
  clear 2 SELECT * FROM t
cleared: 2
  server: Q SELECT * FROM t
server: E 42P01 relation does not exist | Z E
  client: E 42P01 relation does not exist | Z E
  done 2 ! 42P01 relation does not exist
client: Q ROLLBACK
  judge 3 ROLLBACK in doubt
ruled: 3 allow
  clear 3 ROLLBACK
cleared: 3
  server: Q ROLLBACK
server: C ROLLBACK | Z I
  client: C ROLLBACK | Z I
  done 3 ROLLBACK
  catalog changed
""",
    "the catalog is read again before the statement that waited for the change is judged": """
client: Q CREATE VIEW v AS SELECT 1 | Q SELECT * FROM v
  judge 1 CREATE VIEW v AS SELECT 1
ruled: 1 allow ddl
  clear 1 CREATE VIEW v AS SELECT 1
cleared: 1
  server: Q CREATE VIEW v AS SELECT 1 | H
server: C CREATE VIEW | Z I
  client: C CREATE VIEW | Z I
  done 1 CREATE VIEW
  catalog changed
  judge 2 SELECT * FROM v
""",
    "a change of the catalog is not over when the statement before it is": """
client: Q SELECT 1 | Q CREATE VIEW v AS SELECT 1
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1
  server: Q SELECT 1
  judge 2 CREATE VIEW v AS SELECT 1
ruled: 2 allow ddl
  clear 2 CREATE VIEW v AS SELECT 1
cleared: 2
  server: Q CREATE VIEW v AS SELECT 1
server: T | row 1 | C SELECT 1 | Z I
  client: T | row 1 | C SELECT 1 | Z I
  done 1 SELECT 1
  catalog changed
server: C CREATE VIEW | Z I
  client: C CREATE VIEW | Z I
  done 2 CREATE VIEW
  catalog changed
""",
}


@pytest.mark.parametrize("chunk", [0, 1, 9])
@pytest.mark.parametrize("name", PLAYBOOKS)
def test_turn(name: str, chunk: int) -> None:
    played, expected = play(PLAYBOOKS[name], chunk=chunk)
    assert played == expected
