"""Every seed and every find, each through its own target; then a short search that needs no atheris."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fuzz import engine, sessions
from tests.fuzz.dice import Dice
from tests.fuzz.target import TARGETS, Target

if TYPE_CHECKING:
    from pathlib import Path

KEPT = [pytest.param(t.name, path, id=f"{t.name}/{path.name}") for t in TARGETS.values() for path in t.kept()]
EXAMPLES = {"sql": 40, "scram": 40}


@pytest.mark.parametrize(("name", "path"), KEPT)
def test_a_kept_input_comes_to_a_foreseen_end(name: str, path: Path) -> None:
    engine.limited(TARGETS[name], path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_mended_seeds_come_to_a_foreseen_end(name: str) -> None:
    target = TARGETS[name]
    assert target.kept(), "a target has seeds"
    engine.search(target, target.run, examples=EXAMPLES.get(name, 100), number=0)


@pytest.mark.parametrize("client", ["psql", "psycopg", "asyncpg"])
def test_a_recorded_session_runs_to_its_end(client: str) -> None:
    """The seeds reach far: every statement of the client was judged and answered, and it said goodbye."""
    dice = Dice((TARGETS["session"].folder / client).read_bytes())
    dice.byte()
    with sessions.small_limits():
        world = sessions.World(dice, faithful=False, cut=0)
        while dice.left:
            world.step()
    assert world.closed
    assert not world.asked
    assert world.machine.status == "I"


def test_a_target_that_fails_is_noticed() -> None:
    """What the search takes for a find: an exception, and an input that takes too long."""

    def fails(data: bytes) -> None:
        assert b"Q" not in data

    with pytest.raises(AssertionError):
        engine.search(TARGETS["frontend"], fails, examples=100, number=0)

    def hangs(_: bytes) -> None:
        while True:
            pass

    with pytest.raises(engine.Hang):
        engine.limited(Target("hangs", hangs, seconds=1), b"")
