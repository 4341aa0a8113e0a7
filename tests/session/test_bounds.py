# ruff: noqa: E501 — a line of a playbook is a line
"""A release keeps to its bounds, by simple and extended queries, and what goes beyond is undone by Postgres."""

from __future__ import annotations

import pytest

from firewall import session, wire
from tests.session.playbook import from_server, happen, joined, new_session, play, render

SENT = "P ours: SELECT 1 | B ours<ours | D P ours | E ours | H"
CLOSED = "C P ours | C S ours | S"
UNDONE = """\
  server: bait
server: E 42601 syntax
  client: E QF005 too many
  server: S
  done 1 ! QF005 too many
server: Z I
  client: Z I
"""


def query(bounds: str, clock: str = "", sql: str = "SELECT 1", ticket: int = 1) -> str:
    return f"""
client: Q {sql}
  judge {ticket} {sql}
ruled: {ticket} allow
  clear {ticket} {sql}
cleared: {ticket} {bounds}
  server: {SENT.replace("SELECT 1", sql)}
{clock}"""


def bound(bounds: str, after: str = "E | S", clock: str = "") -> str:
    return f"""
client: P : SELECT 1 | B < | {after}
  server: P : SELECT 1
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1 {bounds}
  server: B < | E | H
{clock}"""


def beside(text: str) -> str:
    return f"C S ours_ | P ours_: {text} | B ours_<ours_ | E ours_ | C P ours_ | C S ours_"


def counted(counts: str) -> str:
    return f"3 | 1 | 2 | counts {counts} | C SELECT 1 | 3 | 3"


def change(limit: int, sql: str = "UPDATE") -> str:
    """A Query that may change so many rows, until it is sent; 10 were changed before in its transaction."""
    return f"""
client: Q {sql}
  judge 1 {sql}
ruled: 1 allow
  clear 1 {sql}
cleared: 1 changes={limit}
  server: {beside("count")} | {SENT.replace("SELECT 1", sql)}
server: {counted("4 5 1 on")}
"""


PLAYBOOKS = {
    "a change within its bounds": change(3)
    + f"""
server: 1 | 2 | n | C UPDATE 2
  server: {beside("count")} | H
server: {counted("4 8 1 on")}
  client: C UPDATE 2
  server: {CLOSED}
server: 3 | 3 | Z T
  client: Z T
  done 1 UPDATE 2
""",
    "a change beyond is undone, whatever its tag says": change(3)
    + f"""
server: 1 | 2 | n | C UPDATE 2
  server: {beside("count")} | H
client: Q SELECT 2
server: {counted("4 7 3 on")}
  server: bait
server: E 42601 syntax
  client: E QF007 too many changed
  server: S
  done 1 ! QF007 too many changed
  judge 2 SELECT 2
server: Z E
  client: Z E
""",
    "where nobody counts": change(3)
    + f"""
server: 1 | 2 | n | C UPDATE 1
  server: {beside("count")} | H
server: {counted("NULL NULL NULL off")}
  server: bait
server: E 42601 syntax
  client: E 55000 query-firewall: the rows that this changes could not be counted, so it was undone
  server: S
  done 1 ! 55000 query-firewall: the rows that this changes could not be counted, so it was undone
server: Z I
  client: Z I
""",
    "a cancel while it is counted": change(3)
    + f"""
server: 1 | 2 | n | C UPDATE 1
  server: {beside("count")} | H
cancel
  cancel upstream
server: 3 | 1 | E 57014 cancelled
  client: E 57014 cancelled
  server: S
  done 1 ! 57014 cancelled
server: Z I
  client: Z I
""",
    "a change in a transaction that has failed": f"""
client: Q UPDATE
  judge 1 UPDATE
ruled: 1 allow
  clear 1 UPDATE
cleared: 1 changes=1
  server: {beside("count")} | {SENT.replace("SELECT 1", "UPDATE")}
server: 3 | E 25P02 aborted
  client: E 25P02 aborted
  server: S
  done 1 ! 25P02 aborted
server: Z E
  client: Z E
""",
    "what a portal changes is counted at each of its parts": f"""
client: P : UPDATE | B < | E  1 | S
  server: P : UPDATE
  judge 1 UPDATE
ruled: 1 allow
  clear 1 UPDATE
cleared: 1 changes=1
  server: B < | {beside("count")} | E  1 | H
server: 1 | 2 | {counted("NULL NULL NULL on")} | row a | s
  client: 1 | 2 | row a
  server: {beside("count")} | H
server: {counted("0 2 0 on")}
  server: bait
server: E 42601 syntax
  client: E QF007 too many changed
  server: S
  done 1 ! QF007 too many changed
server: Z I
  client: Z I
""",
    "a batch is counted together, and what is behind it in the pipeline waits": f"""
client: P s: UPDATE | B <s | E | B <s | E | S
  server: P s: UPDATE
  judge 1 UPDATE
ruled: 1 allow
  clear 1 UPDATE ; UPDATE
cleared: 1 changes=3
  server: B <s | {beside("count")} | E | H
server: 1 | 2 | {counted("0 0 0 on")} | C UPDATE 2
  client: 1 | 2
  server: {beside("count")} | H
server: {counted("0 2 0 on")}
  client: C UPDATE 2
  server: B <s | {beside("count")} | E | H
server: 2 | {counted("0 2 0 on")} | C UPDATE 2
  client: 2
  server: {beside("count")} | H
server: {counted("0 4 0 on")}
  server: bait
server: E 42601 syntax
  client: E QF007 too many changed
  server: S
  done 1 ! QF007 too many changed
server: Z I
  client: Z I
""",
    "data for COPY is flushed through, and counted": change(1, "COPY")
    + f"""
server: 1 | 2 | n | G
  client: G
client: d a | c
  server: d a | c | H
server: C COPY 1
  server: {beside("count")} | H
server: {counted("5 5 1 on")}
  client: C COPY 1
  server: {CLOSED}
server: 3 | 3 | Z I
  client: Z I
  done 1 COPY 1
""",
    "read only is said before anything can run": f"""
client: P : SELECT 1 | B < | E | S
  server: P : SELECT 1
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1 read_only=
  server: {beside("read only")} | B < | {beside("read only")} | E | H
server: 1 | 3 | 1 | 2 | C SET | 3 | 3 | 2 | 3 | 1 | 2 | C SET | 3 | 3 | row a | C SELECT 1
  client: 1 | 2 | row a | C SELECT 1
  server: S
  done 1 SELECT 1
server: Z I
  client: Z I
""",
    "a Query that is read only": f"""
client: Q SELECT 1
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1 read_only=
  server: {beside("read only")} | {SENT}
server: 3 | 1 | 2 | C SET | 3 | 3 | 1 | 2 | T | row a | C SELECT 1
  client: T | row a | C SELECT 1
  server: {CLOSED}
server: 3 | 3 | Z I
  client: Z I
  done 1 SELECT 1
""",
    "a Query within its bounds": query("most=2")
    + f"""
server: 1 | 2 | T | row a | row b | C SELECT 2
  client: T | row a | row b | C SELECT 2
  server: {CLOSED}
server: 3 | 3 | Z I
  client: Z I
  done 1 SELECT 2
""",
    "a Query without a result": query("most=2", sql="INSERT")
    + f"""
server: 1 | 2 | n | C INSERT 0 1
  client: C INSERT 0 1
  server: {CLOSED}
server: 3 | 3 | Z T
  client: Z T
  done 1 INSERT 0 1
""",
    "a Query that has ended when it is known to be beyond is undone": query("most=1")
    + f"""
server: 1 | 2 | T | row a | row b | C SELECT 2
  client: T | row a
{UNDONE}""",
    "a Query that still runs is cancelled, and nothing is sent until that is over": query("most=1")
    + """
server: 1 | 2 | T | row a | row b
  client: T | row a
  cancel upstream for us
client: Q SELECT 2
server: row c
server: E 57014 cancelled
  client: E QF005 too many
  server: S
  done 1 ! QF005 too many
server: Z I
  client: Z I
cancelled
  judge 2 SELECT 2
""",
    "the cancel came too late": query("most=0")
    + """
server: 1 | 2 | T | row a
  client: T
  cancel upstream for us
server: C SELECT 1
cancelled
  server: bait
server: E 42601 syntax
  client: E QF005 too many
  server: S
  done 1 ! QF005 too many
server: Z E
  client: Z E
""",
    "a Query that Postgres rejects": query("most=2")
    + """
server: E 42P01 no relation
  client: E 42P01 no relation
  server: S
  done 1 ! 42P01 no relation
server: Z I
  client: Z I
""",
    "a Query whose commit fails": query("most=2")
    + f"""
server: 1 | 2 | n | C INSERT 0 1
  client: C INSERT 0 1
  server: {CLOSED}
server: 3 | 3 | E 23503 orphan | Z I
  client: E 23503 orphan | Z I
  done 1 ! 23503 orphan
""",
    "COPY to the client is counted": query("most=1", sql="COPY t TO STDOUT")
    + f"""
server: 1 | 2 | n | H | d a | d b | c | C COPY 2
  client: H | d a
{UNDONE}""",
    "COPY from the client": query("most=1", sql="COPY t FROM STDIN")
    + f"""
server: 1 | 2 | n | G
  client: G
client: d x | c
  server: d x | c | H
server: C COPY 1
  client: C COPY 1
  server: {CLOSED}
server: 3 | 3 | Z I
  client: Z I
  done 1 COPY 1
""",
    "an Execute within its bounds, and what is pipelined behind it waits": bound("most=1", "E | E | S")
    + """
server: 1 | 2 | row a | C SELECT 1
  client: 1 | 2 | row a | C SELECT 1
  server: E | H
  done 1 SELECT 1
server: C SELECT 0
  client: C SELECT 0
  server: S
server: Z I
  client: Z I
""",
    "an Execute beyond is undone, and what is pipelined behind it is discarded": bound(
        "most=1", "E | P : INSERT | B < | E | S"
    )
    + f"""
server: 1 | 2 | row a | row b | C SELECT 2
  client: 1 | 2 | row a
{UNDONE}""",
    "rows of a portal are counted together": bound("most=3", "E  2 | E  2 | S").replace(
        "| E | H", "| E  2 | H"
    )
    + f"""
server: 1 | 2 | row a | row b | s
  client: 1 | 2 | row a | row b | s
  server: E  2 | H
server: row c | row d | s
  client: row c
{UNDONE}""",
    "what takes too long is cancelled": query("within=3", "  clock 1 3 s")
    + """
time over: 1
  cancel upstream for us
server: 1 | 2 | E 57014 cancelled
  client: E QF006 too long
  server: S
  done 1 ! QF006 too long
cancelled
server: Z I
  client: Z I
""",
    "a clock of one that has ended": query("within=3", "  clock 1 3 s")
    + f"""
server: 1 | 2 | T | C SELECT 0
  client: T | C SELECT 0
  server: {CLOSED}
time over: 1
server: 3 | 3 | Z I
  client: Z I
  done 1 SELECT 0
""",
    "a cursor that SQL may have opened": query("most=2")
    + f"""
server: 1 | 2 | n | C SELECT 0
  client: C SELECT 0
  server: {CLOSED}
server: 3 | 3 | Z T
  client: Z T
  done 1 SELECT 0
client: E c | S
  server: bait | S
  declined 0A000
""",
    "what was sent before it fails": """
client: P a: BAD | Q SELECT 1 | S
  server: P a: BAD
  judge 1 SELECT 1
ruled: 1 allow
  clear 1 SELECT 1
cleared: 1 most=2
  server: P ours: SELECT 1 | B ours<ours | D P ours | E ours | H
server: E 42601 bad
  client: E 42601 bad
  server: S
  done 1 ! 42601 not run, its batch failed: bad
server: Z I
  client: Z I
""",
}


# whether one that goes beyond is cancelled, or has ended by then, depends on when that is known
WHOLE = [name for name, text in PLAYBOOKS.items() if "QF005" not in text and "QF006" not in text]


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_playbook(name: str) -> None:
    played, expected = play(PLAYBOOKS[name])
    assert played == expected


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("chunk", [1, 7])
def test_playbook_in_pieces(name: str, chunk: int) -> None:
    played, expected = play(PLAYBOOKS[name], chunk=chunk)
    assert played == expected


@pytest.mark.parametrize("chunk", range(1, 40))
def test_the_result_is_cut_between_rows_at_any_chunking(chunk: int) -> None:
    machine = new_session()
    for event in query("most=2").split("\n"):
        if event and not event.startswith(" "):
            happen(machine, event)
    commands = happen(machine, "server: 1 | 2 | T | row first | row second | row third | row fourth", chunk)
    assert render(commands)[0] == "client: T | row first | row second"
    assert sum(isinstance(command, session.CancelUpstream) for command in commands) == 1
    assert render(happen(machine, "server: E 57014 no", chunk))[0] == "client: E QF005 too many"


def test_a_row_that_is_half_sent_when_time_is_over_is_sent_whole() -> None:
    machine = new_session()
    for event in query("within=3").split("\n"):
        if event and not event.startswith(" "):
            happen(machine, event)
    data = b"".join(map(from_server, ["1", "2", "T", "row first", "row second"]))
    commands = machine.receive_backend(data[:-25])
    commands += machine.time_over(1)
    commands += machine.receive_backend(data[-25:])
    assert render(joined(commands)) == ["client: T | row first", "cancel upstream for us"]


def test_nothing_takes_the_lane_that_a_cancel_on_its_way_could_hit() -> None:
    machine = new_session()
    known = wire.Query("SELECT 2").encode()
    for event in ("client: Q SELECT 2", "ruled: 1 allow"):
        happen(machine, event)
    machine.cleared(1, "the release")
    happen(machine, "server: C SELECT 0 | Z I")
    assert machine.lane.look(known) == "the release"
    for event in query("most=0", ticket=2).split("\n"):
        if event and not event.startswith(" "):
            happen(machine, event)
    told = happen(machine, "server: 1 | 2 | T | row a")
    assert any(isinstance(command, session.CancelUpstream) for command in told)
    happen(machine, "server: E 57014 cancelled")
    happen(machine, "server: Z I")
    assert machine.lane.look(known) is None
    machine.cancelled()
    assert machine.lane.look(known) == "the release"
