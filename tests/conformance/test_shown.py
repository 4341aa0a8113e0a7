"""What a run says at its end: all that was found, and nothing more."""

from __future__ import annotations

import io

from rich.console import Console

from tests.conformance.__main__ import show, summed
from tests.conformance.result import Result, skipped

SAME = Result("suite", "one", "same", "9 passed", "9 passed", seconds=2)
ACCEPTED = Result("suite", "two", "accepted", "9 passed", "8 passed, 1 failure", accepted=("meant",))
DIFFERS = Result("suite", "three", "differs", "9 passed", "7 passed", ("a [test]: failure",))
SKIPPED = skipped("driver", "jdbc", "no `java` here")


def _shown(*found: Result) -> str:
    into = io.StringIO()
    show(list(found), Console(file=into, width=160))
    return into.getvalue()


def test_everything_is_counted_once():
    assert summed([SAME, ACCEPTED]) == "2 comparisons: 1 same, 1 accepted"
    assert summed([SAME, DIFFERS, SKIPPED]) == (
        "2 comparisons: 1 same, 1 differs; 1 skipped, of which nothing is known"
    )
    assert summed([SKIPPED]) == "nothing was compared; 1 skipped, of which nothing is known"


def test_figures_of_both_sides_reasons_and_what_was_skipped_are_shown():
    said = _shown(SAME, ACCEPTED, DIFFERS, SKIPPED)
    for words in ("8 passed, 1 failure", "accepted: meant", "a [test]: failure", "skipped: no `java` here"):
        assert words in said
    assert said.rstrip().endswith(
        "3 comparisons: 1 same, 1 accepted, 1 differs; 1 skipped, of which nothing is known"
    )


def test_of_many_transcripts_those_that_are_the_same_are_one_row():
    many = [Result("regress", f"file{number}", "same", "1 lines", "1 lines") for number in range(40)]
    said = _shown(*many, Result("regress", "odd", "timeout", "ended", "ended"))
    assert "regress: 40 of 41" in said
    assert "regress odd" in said
    assert "file7" not in said
