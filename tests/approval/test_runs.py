"""A batch is shown run by run, on every surface the same."""

from __future__ import annotations

from dataclasses import replace

from firewall import clock
from firewall.channels import dossier
from tests.channels.conftest import make_hold


def test_a_single_run_has_all_parameters() -> None:
    hold = make_hold(parameters=("7", None))
    assert hold.runs == (("7", None),)
    assert dossier.parameters(hold) == ["$1 = '7'", "$2 = NULL"]


def test_a_batch_is_told_run_by_run() -> None:
    hold = replace(make_hold(parameters=("a", "1", "b", None)), executions=2)
    assert hold.runs == (("a", "1"), ("b", None))
    assert dossier.parameters(hold) == [
        "run 1: $1 = 'a'",
        "run 1: $2 = '1'",
        "run 2: $1 = 'b'",
        "run 2: $2 = NULL",
    ]
    assert any("run 2" in line for line in dossier.lines(hold, clock.now()))


def test_a_batch_without_parameters_still_has_its_runs() -> None:
    assert replace(make_hold(parameters=()), executions=3).runs == ((), (), ())
