# ruff: noqa: E501 — a line of a playbook is a line
"""A release under masks: nothing of a value passes, in rows, errors and notices; and what a result is must be known."""

from __future__ import annotations

import pytest

from firewall.session import withheld
from tests.session.playbook import play

NOTICE = withheld.WHY
BOUND = """
client: P : SELECT 1 | B < | {asked} | S
  server: P : SELECT 1
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1 masks={what}
  server: B < | {sent} | H
"""

PLAYBOOKS = {
    "a Query": f"""
client: Q SELECT 1
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1 masks=reads
  server: P ours: SELECT 1 | B ours<ours | D P ours | E ours | H
server: 1 | 2 | T 7.1 | row secret | N secret | row secret | C SELECT 2
  client: T | row *** | N {NOTICE} | row *** | C SELECT 2
  server: C P ours | C S ours | S
server: 3 | 3 | Z I
  client: Z I
  done 1 SELECT 2
""",
    "what the client does not ask is asked for it": BOUND.format(asked="E", sent="D P | E", what="reads")
    + """
server: 1 | 2 | T 7.1 | row secret | C SELECT 1
  client: 1 | 2 | row *** | C SELECT 1
  server: S
  done 1 SELECT 1
server: Z I
  client: Z I
""",
    "a portal in parts": BOUND.format(asked="D P | E  1 | E  1", sent="D P | E  1", what="reads")
    + """
server: 1 | 2 | T 7.1 | row secret | s
  client: 1 | 2 | T | row *** | s
  server: E  1 | H
server: row secret | C SELECT 1
  client: row *** | C SELECT 1
  server: S
  done 1 SELECT 1
server: Z I
  client: Z I
""",
    "an error quotes nothing, to the client and to the log": BOUND.format(
        asked="E", sent="D P | E", what="reads"
    )
    + """
server: 1 | 2 | T 7.1 | row secret | E 22012 secret
  client: 1 | 2 | row *** | E 22012 division by zero
  server: S
  done 1 ! 22012 division by zero
server: Z I
  client: Z I
""",
    "an error of the text itself is Postgres's own": """
client: Q SELECT 1
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1 masks=reads
  server: P ours: SELECT 1 | B ours<ours | D P ours | E ours | H
server: E 42703 no such column
  client: E 42703 no such column
  server: S
  done 1 ! 42703 no such column
server: Z I
  client: Z I
""",
    "what has written may be heard of when it is committed": BOUND.format(
        asked="E", sent="D P | E", what="writes"
    )
    + """
server: 1 | 2 | T 7.1 | C INSERT 0 1
  client: 1 | 2 | C INSERT 0 1
  server: S
  done 1 INSERT 0 1
server: E 23505 secret
  client: E 23505 unique constraint violated
server: Z I
  client: Z I
""",
    "a column that was to be masked is where none was expected": BOUND.format(
        asked="D P | E", sent="D P | E", what="reads"
    )
    + """
server: 1 | 2 | T 0.0,7.1 | row secret
  client: 1 | 2 | FATAL QF004 query-firewall: the result has other columns than those that were judged
  catalog changed
  cancel upstream
  done 1 ! QF004 query-firewall: the result has other columns than those that were judged
  fault query-firewall: the result has other columns than those that were judged
""",
    "a COPY is asked for its columns, and its rows come one by one": """
client: Q COPY t
  judge 1 COPY t
ruled: 1 allow
  clear 1 COPY t
cleared: 1 masks=copies
  server: C S ours_ | P ours_: inside | D S ours_ | C S ours_ | P ours: COPY t | B ours<ours | D P ours | E ours | H
server: 3 | 1 | t | T 7.1 | 3 | 1 | 2 | n | H 1 | d secret/sec | d ret/\\N/ | c | C COPY 3
  client: H | d ***/ | d ***/ | d \\N/ | c | C COPY 3
  server: C P ours | C S ours | S
server: 3 | 3 | Z I
  client: Z I
  done 1 COPY 3
""",
    "a COPY by the extended protocol": BOUND.format(
        asked="D P | E",
        sent="D P | C S ours_ | P ours_: inside | D S ours_ | C S ours_ | E",
        what="copies",
    )
    + """
server: 1 | 2 | n | 3 | 1 | t | T 7.1 | 3 | H 1 | d secret/ | N secret | c | C COPY 1
"""
    + f"""  client: 1 | 2 | n | H | d ***/ | N {NOTICE} | c | C COPY 1
  server: S
  done 1 COPY 1
server: Z I
  client: Z I
""",
    "what Postgres says of the query in it is its own": BOUND.format(
        asked="E",
        sent="D P | C S ours_ | P ours_: inside | D S ours_ | C S ours_ | E",
        what="copies",
    )
    + """
server: 1 | 2 | n | 3 | E 42703 no such column
  client: 1 | 2 | E 42703 no such column
  server: S
  done 1 ! 42703 no such column
server: Z I
  client: Z I
""",
    "a COPY of other columns": BOUND.format(
        asked="E",
        sent="D P | C S ours_ | P ours_: inside | D S ours_ | C S ours_ | E",
        what="copies",
    )
    + """
server: 1 | 2 | n | 3 | 1 | t | T 7.1 | 3 | H 2 | d secret/
  client: 1 | 2 | FATAL QF004 query-firewall: COPY sends other data than was judged: it has another format or other columns
  cancel upstream
  done 1 ! QF004 query-firewall: COPY sends other data than was judged: it has another format or other columns
  fault query-firewall: COPY sends other data than was judged: it has another format or other columns
""",
    "a COPY that nobody judged to be one": BOUND.format(asked="E", sent="D P | E", what="reads")
    + """
server: 1 | 2 | n | H 1 | d secret/
  client: 1 | 2 | FATAL QF004 query-firewall: COPY sends other data than was judged: nobody knows what its columns are
  cancel upstream
  done 1 ! QF004 query-firewall: COPY sends other data than was judged: nobody knows what its columns are
  fault query-firewall: COPY sends other data than was judged: nobody knows what its columns are
""",
    "Postgres may reject what would be refused": """
client: Q SELECT x
  judge 1 SELECT x
ruled: 1 allow doomed
  server: P ours: SELECT x | C S ours | S
server: E 42703 no such column
  client: E 42703 no such column
server: Z I
  client: Z I
  unreleased 1 ! 42703 no such column
""",
}


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_playbook(name: str) -> None:
    played, expected = play(PLAYBOOKS[name])
    assert played == expected


@pytest.mark.parametrize("name", [name for name, text in PLAYBOOKS.items() if "FATAL" not in text])
@pytest.mark.parametrize("chunk", [1, 3, 11])
def test_playbook_in_pieces(name: str, chunk: int) -> None:
    played, expected = play(PLAYBOOKS[name], chunk=chunk)
    assert played == expected
