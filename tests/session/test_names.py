"""Names of statements: one name never stands for another text than it was judged by."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from psycopg import pq

from firewall import wire
from firewall.session.prepared import LONG_NAME, distinct
from tests.session.playbook import play
from tests.session.test_properties import World, encoded

if TYPE_CHECKING:
    from firewall.demo.postgres import EmbeddedPostgres

LONGEST = "n" * 63


def test_postgres_takes_two_long_names_for_one(postgres: EmbeddedPostgres) -> None:
    """Why long names are refused: what was judged under one name would run as what the other was given."""
    connection = pq.PGconn.connect(postgres.dsn().encode())
    one, other = f"{LONGEST}1".encode(), f"{LONGEST}2".encode()
    assert connection.prepare(one, b"SELECT 'judged'").status == pq.ExecStatus.COMMAND_OK
    assert connection.close_prepared(other).status == pq.ExecStatus.COMMAND_OK
    assert connection.prepare(other, b"SELECT 'runs'").status == pq.ExecStatus.COMMAND_OK
    assert connection.exec_prepared(one, []).get_value(0, 0) == b"runs"
    connection.finish()


@pytest.mark.parametrize(
    "message",
    [
        *(f"P {LONGEST}1: SELECT 1", f"B <{LONGEST}1", f"B {LONGEST}1<", f"E {LONGEST}1"),
        *(f"D S {LONGEST}1", f"D P {LONGEST}1", f"C S {LONGEST}1", f"C P {LONGEST}1", "C S " + "ü" * 16),
    ],
)
def test_a_name_that_postgres_would_cut_is_refused(message: str) -> None:
    """INVARIANT: 1, 6. Under every message that names something."""
    said = f"{LONG_NAME.sqlstate} {LONG_NAME.message}"
    played, expected = play(
        f"""
client: {message} | S
  server: bait | S
  declined 42622
server: E 42601 syntax error | Z I
  client: E {said} | Z I
"""
    )
    assert played == expected


def test_the_longest_name_that_postgres_keeps_passes() -> None:
    played, expected = play(f"client: D S {LONGEST}\n  server: D S {LONGEST}\n")
    assert played == expected
    assert distinct("ü" * 15)
    assert not distinct("ü" * 16)


@pytest.mark.parametrize("forgets", [wire.Query("DEALLOCATE ALL"), wire.Close("S", "a")])
@pytest.mark.parametrize("runs", [[wire.Query("EXECUTE a")], [wire.Bind("", "a"), wire.Execute("")]])
def test_what_is_prepared_behind_a_deallocation_is_not_forgotten_with_it(
    forgets: wire.FrontendMessage, runs: list[wire.FrontendMessage]
) -> None:
    """INVARIANT: 1, 6. However late Postgres's answer to the deallocation comes."""
    script: list[list[wire.FrontendMessage]] = [
        [wire.Parse("a", "SELECT allow"), forgets],
        [wire.Query("PREPARE a AS SELECT deny"), wire.Query("PREPARE a AS SELECT allow")],
        runs,
    ]
    for seed in range(50):
        world = World(encoded(script), random.Random(seed))
        world.run()
        assert not world.closed
        assert ("SELECT deny", ()) not in world.model.ran
