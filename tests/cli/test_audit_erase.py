"""Erasing values from the command line: recorded with who and why, and the log still verifies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall.cli.exits import Exit

from .conftest import DBA
from .test_audit import judged, write

if TYPE_CHECKING:
    from .conftest import Prompt


def test_values_are_erased_and_the_log_is_sound(prompt: Prompt) -> None:
    write(prompt, judged("SELECT 'secret'", statement="s-ABC.1"), judged("SELECT 2", statement="s-ABC.2"))
    done = prompt("audit", "erase", "s-abc.1", "--why", "request 7", "--as", DBA, "--yes")
    assert done.code == Exit.DONE, done.err
    assert done.out == "the values of 1 record are erased\n"
    verified = prompt("audit", "verify")
    assert verified.code == Exit.DONE
    assert "1 of them without its values, which were erased" in verified.out
    assert prompt("audit", "verify", "--json").document["logs"][0]["erased"] == 1
    assert "secret" not in prompt("audit", "show", "s-ABC.1").out
    assert "(erased)" in prompt("audit", "search").out
    again = prompt("audit", "erase", "s-ABC.1", "--why", "request 7", "--as", DBA, "--yes")
    assert again.code == Exit.NOT_THERE
    older = prompt("audit", "erase", "--before", "0s", "--why", "old", "--as", DBA, "--yes", "--json")
    assert older.document == {"erased": 1}


def test_what_must_be_said(prompt: Prompt) -> None:
    write(prompt, judged("SELECT 1"))
    for arguments, told in (
        ((), "say what to erase"),
        (("s-1", "--before", "1d"), "say what to erase"),
        (("s-1",), "say why"),
    ):
        said = prompt("audit", "erase", *arguments)
        assert said.code == Exit.WRONG
        assert told in said.err
