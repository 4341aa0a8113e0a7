# ruff: noqa: E501 — a line of a playbook is a line
"""What Postgres says of a result is compared with what the statement was judged to show, before its first row."""

from __future__ import annotations

import pytest

from firewall import session
from tests.session.playbook import (
    described,
    from_client,
    from_server,
    happen,
    new_session,
    play,
    render,
    watch,
)

STOPPED = (
    "query-firewall: the result was stopped before its first row, because its column `c` is column {} of "
    "relation {}, which the statement was not judged to show"
)
END = f"""  client: FATAL QF004 {STOPPED}
  catalog changed
  cancel upstream
  done {{}} ! QF004 {STOPPED}
  fault {STOPPED}
"""


def stopped(column: int, ticket: int = 1, relation: int = 7, before: str = "") -> str:
    text = END.format(column, relation, ticket, column, relation, column, relation)
    return text.replace("client: ", f"client: {before}", 1)


def query(flags: str, ticket: int = 1, sql: str = "SELECT 1") -> str:
    return f"""
client: Q {sql}
  judge {ticket} {sql}
ruled: {ticket} allow {flags}
  clear {ticket} {sql}
cleared: {ticket}
  server: Q {sql}
"""


def bound(flags: str, after: str, sent: str = "", ticket: int = 1) -> str:
    """Parse, Bind and what comes after it."""
    sent = sent or after
    return f"""
client: P : SELECT 1 | B < | {after} | S
  server: P : SELECT 1
  judge {ticket} SELECT 1
ruled: {ticket} allow {flags}
  clear {ticket} SELECT 1
cleared: {ticket}
  server: B < | {sent} | S
"""


PLAYBOOKS = {
    "what was announced, is not labelled, or is computed comes": query("shows=2")
    + """
server: T 7.2,7.3,0.0,7.-1 | row x | C SELECT 1 | Z I
  client: T | row x | C SELECT 1 | Z I
  done 1 SELECT 1
""",
    "a labelled column that was not announced stops the result": query("shows=2")
    + """
server: T 7.2,7.1 | row x | C SELECT 1 | Z I
"""
    + stopped(1),
    "so does one in the result of a later statement of the text": query("shows=2 multi")
    + """
server: T 7.2 | row x | C SELECT 1 | T 7.1 | row secret | C SELECT 1 | Z I
"""
    + stopped(1, before="T | row x | C SELECT 1 | ").replace("done 1 !", "done 1 !"),
    "a whole row is every column": query("shows=2")
    + """
server: T 7.0 | row x
"""
    + stopped(0),
    "a whole row that was announced comes": query("shows=0,1,2")
    + """
server: T 7.0,7.1,7.2 | row x | C SELECT 1 | Z I
  client: T | row x | C SELECT 1 | Z I
  done 1 SELECT 1
""",
    "a column that is newer than the catalog stops the result": query("shows=")
    + """
server: T 7.4 | row x
"""
    + stopped(4),
    "a relation that is newer than the catalog stops the result": query("shows=1")
    + """
server: T 8.1 | row x
"""
    + stopped(1, relation=8),
    "a relation of the session's own is not in the catalog": query("shows= own")
    + """
server: T 8.1,7.4 | row x | C SELECT 1 | Z I
  client: T | row x | C SELECT 1 | Z I
  done 1 SELECT 1
"""
    + query("shows= fetches", ticket=2, sql="FETCH c")
    + """
server: T 8.1 | row x | C FETCH 1 | Z I
  client: T | row x | C FETCH 1 | Z I
  done 2 FETCH 1
"""
    + query("shows= own", ticket=3)
    + """
server: T 8.1,7.1 | row x
"""
    + stopped(1, ticket=3),
    "nor is what the open transaction has changed": query("shows= ddl", sql="ALTER TABLE t ADD c int")
    + """
server: C ALTER TABLE | Z T
  client: C ALTER TABLE | Z T
  done 1 ALTER TABLE
"""
    + query("shows=2", ticket=2).replace("judge 2 SELECT 1", "judge 2 SELECT 1 in doubt")
    + """
server: T 7.4,7.2,8.1 | row x | C SELECT 1 | Z T
  client: T | row x | C SELECT 1 | Z T
  done 2 SELECT 1
""",
    "what was judged as not understood is not looked at": query("shows= anything")
    + """
server: T 7.1,8.1 | row x | C SELECT 1 | Z I
  client: T | row x | C SELECT 1 | Z I
  done 1 SELECT 1
""",
    "a portal that the client describes": bound("shows=2", "D P | E")
    + """
server: 1 | 2 | T 7.1 | row x | C SELECT 1 | Z I
"""
    + stopped(1, before="1 | 2 | "),
    "a portal that nobody describes is described, which the client does not see": bound(
        "shows=2", "E", "D P | E"
    )
    + """
server: 1 | 2 | T 7.2 | row x | C SELECT 1 | Z I
  client: 1 | 2 | row x | C SELECT 1 | Z I
  done 1 SELECT 1
""",
    "and is stopped before its first row": bound("shows=2", "E", "D P | E")
    + """
server: 1 | 2 | T 7.1 | row x | C SELECT 1 | Z I
"""
    + stopped(1, before="1 | 2 | "),
    "a statement's description is not its portal's": """
client: P : SELECT 1 | D S | B < | E | S
  server: P : SELECT 1 | D S
  judge 1 SELECT 1
ruled: 1 allow shows=2
  clear 1 SELECT 1
cleared: 1
  server: B < | D P | E | S
server: 1 | t | T 7.1 | 2
  client: 1 | t | T | 2
server: T 7.1 | row x
"""
    + stopped(1),
    "what was looked at once need not be asked for again": bound("shows=2", "E", "D P | E")
    + """
server: 1 | 2 | T 7.2 | row x | C SELECT 1 | Z I
  client: 1 | 2 | row x | C SELECT 1 | Z I
  done 1 SELECT 1
"""
    + bound("shows=2", "E", ticket=2)
    + """
server: 1 | 2 | row x | C SELECT 1 | Z I
  client: 1 | 2 | row x | C SELECT 1 | Z I
  done 2 SELECT 1
""",
    "but is looked at when it is another": query("shows=2")
    + """
server: T 7.2 | row x | C SELECT 1 | Z I
  client: T | row x | C SELECT 1 | Z I
  done 1 SELECT 1
"""
    + query("shows=2", ticket=2)
    + """
server: T 7.1 | row x
"""
    + stopped(1, ticket=2),
    "a statement without a result is asked once": bound("shows=", "E", "D P | E")
    + """
server: 1 | 2 | n | C INSERT 0 1 | Z I
  client: 1 | 2 | C INSERT 0 1 | Z I
  done 1 INSERT 0 1
"""
    + bound("shows=", "E", ticket=2),
    "a batch is described once": """
client: P : SELECT 1 | B < 1 | E | B < 2 | E | S
  server: P : SELECT 1
  judge 1 SELECT 1
ruled: 1 allow shows=2
  clear 1 SELECT 1 1 ; SELECT 1 2
cleared: 1
  server: B < 1 | D P | E | B < 2 | E | S
""",
    "a description that Postgres skipped counts for nothing": """
client: Q BEGIN
  judge 1 BEGIN
ruled: 1 allow
  clear 1 BEGIN
cleared: 1
  server: Q BEGIN
server: C BEGIN | Z T
  client: C BEGIN | Z T
  done 1 BEGIN
client: P : SELECT 1 | B p< | S
  server: P : SELECT 1
  judge 2 SELECT 1
ruled: 2 allow shows=2
  clear 2 SELECT 1
cleared: 2
  server: B p< | S
server: 1 | 2 | Z T
  client: 1 | 2 | Z T
client: P x: BAD | D P p | S
  server: P x: BAD | D P p | S
server: E 42601 syntax error | Z E
  client: E 42601 syntax error | Z E
client: E p | S
  server: D P p | E p | S
""",
    "a cursor shows what earlier statements announced": query("shows=1", sql="DECLARE c CURSOR FOR SELECT a")
    + """
server: C DECLARE CURSOR | Z T
  client: C DECLARE CURSOR | Z T
  done 1 DECLARE CURSOR
"""
    + query("shows= fetches", ticket=2, sql="FETCH c")
    + """
server: T 7.1 | row x | C FETCH 1 | Z T
  client: T | row x | C FETCH 1 | Z T
  done 2 FETCH 1
"""
    + query("shows= fetches", ticket=3, sql="FETCH d")
    + """
server: T 7.2 | row x
"""
    + stopped(2, ticket=3),
    "a function that nobody understood may open cursors that show anything": query(
        "shows= opens", sql="SELECT opens()"
    )
    + """
server: T 0.0 | row c | C SELECT 1 | Z T
  client: T | row c | C SELECT 1 | Z T
  done 1 SELECT 1
"""
    + query("shows= fetches", ticket=2, sql="FETCH c")
    + """
server: T 7.1 | row x | C FETCH 1 | Z T
  client: T | row x | C FETCH 1 | Z T
  done 2 FETCH 1
""",
    "but shows no more itself than was announced": query("shows= opens", sql="SELECT opens(), a")
    + """
server: T 0.0,7.1 | row c
"""
    + stopped(1),
    "a cursor that is run as a portal is described first": query(
        "shows=2", sql="DECLARE c CURSOR FOR SELECT b"
    )
    + """
server: C DECLARE CURSOR | Z T
  client: C DECLARE CURSOR | Z T
  done 1 DECLARE CURSOR
client: E c 1 | S
  server: D P c | E c 1 | S
server: T 7.2 | row x | s | Z T
  client: row x | s | Z T
client: D P c | E c 1 | S
  server: D P c | D P c | E c 1 | S
server: T 7.2 | T 7.1 | row x
  client: T | FATAL QF004 """
    + STOPPED.format(1, 7)
    + """
  catalog changed
  cancel upstream
  fault """
    + STOPPED.format(1, 7)
    + "\n",
}


@pytest.mark.parametrize("name", PLAYBOOKS)
@pytest.mark.parametrize("chunk", [0, 1, 5])
def test_playbook(name: str, chunk: int) -> None:
    """INVARIANT: 2. Any chunking gives the same commands."""
    played, expected = play(PLAYBOOKS[name], chunk=chunk)
    assert played == expected


def test_the_client_hears_why_although_a_row_was_half_sent() -> None:
    """The row comes in the same read as the description, and its rest never does."""
    machine = new_session()
    happen(machine, "client: Q SELECT 1")
    happen(machine, "ruled: 1 allow shows=2")
    happen(machine, "cleared: 1")
    data = described((7, 1)) + from_server("row secret")[:-3]
    said = render(machine.receive_backend(data))
    assert said[0] == f"client: FATAL QF004 {STOPPED.format(1, 7)}"
    assert said[-1].startswith("fault")
    assert machine.receive_backend(from_server("row x")) == []


def test_nothing_is_asked_of_postgres_where_nothing_is_labelled() -> None:
    """The way of a statement that nothing labelled concerns is as long as ever."""
    machine = new_session()
    messages = ("P : SELECT 1", "B <", "E", "S")
    machine.receive_frontend(b"".join(map(from_client, messages)))
    machine.ruled(1, session.Ruling(session.Action.ALLOW, facts="facts", judgement="j"))
    [sent] = [c for c in machine.cleared(1) if isinstance(c, session.ToBackend)]
    assert sent.data == b"".join(map(from_client, messages[1:]))


def test_judgements_that_were_looked_at_are_not_kept_for_ever() -> None:
    machine = new_session()
    kept = session.watch.MAX_PASSED
    for ticket in range(1, 2 * kept + 2):
        machine.receive_frontend(from_client("Q SELECT 1"))
        judgement = object()
        machine.ruled(
            ticket,
            session.Ruling(session.Action.ALLOW, facts="facts", judgement=judgement, watch=watch("2")),
        )
        machine.cleared(ticket)
        machine.receive_backend(b"".join(map(from_server, ("T 7.2", "C SELECT 0", "Z I"))))
    assert len(machine._backend.watcher._passed) <= kept
