"""How a run ends: exit codes, errors in the house's words, never a traceback."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from firewall.cli import exits, house
from firewall.cli.exits import Exit
from firewall.errors import CatalogError, FirewallError, StoreError

from .conftest import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Prompt


def test_the_help_has_the_table_of_exit_codes(prompt: Prompt) -> None:
    said = prompt("--help")
    assert said.code == Exit.DONE
    for number, meaning in exits.MEANINGS.items():
        assert f"{number}  {meaning}" in said.out
    assert set(exits.MEANINGS) == set(Exit)
    for name in (
        "init",
        "serve",
        "agents",
        "people",
        "holds",
        "audit",
        "policy",
        "explain",
        "catalog",
        "demo",
    ):
        assert f"  {name} " in said.out


def test_the_version(prompt: Prompt) -> None:
    said = prompt("--version")
    assert said.code == Exit.DONE
    assert said.out.startswith("query-firewall 0.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("serv",), "no such command `serv`"),
        (("agents", "add", "a"), "missing option `--owner`"),
        (("holds", "list", "--limit", "0"), "`--limit`"),
        (("audit", "search", "--verdict", "maybe"), "`maybe`"),
        (("agents", "list", "--colour"), "--colour"),
        (("--config", "nowhere.yaml", "agents", "list"), "`nowhere.yaml` cannot be read"),
    ],
)
def test_a_wrong_command_line_is_an_error_with_a_hint(
    prompt: Prompt, arguments: tuple[str, ...], told: str
) -> None:
    said = prompt(*arguments)
    assert said.code == Exit.WRONG
    assert said.out == ""
    first, hint = said.err.splitlines()
    assert first.startswith("error: ")
    assert told in first
    assert hint.startswith("hint: ")


def test_a_group_alone_shows_its_commands(prompt: Prompt) -> None:
    said = prompt("agents")
    assert said.code == Exit.WRONG
    assert "renew" in said.err


def test_a_broken_settings_file_is_told_by_place(prompt: Prompt) -> None:
    (prompt.folder / "firewall.yaml").write_text(
        "databases:\n  shop:\n    hots: x\n    user: u\n    policy: p\n"
    )
    said = prompt("agents", "list")
    assert said.code == Exit.WRONG
    assert "firewall.yaml:3:5: `databases.shop.hots`" in said.err
    assert "did you mean `host`?" in said.err
    assert "hint: `firewall init`" in said.err


def test_the_settings_file_is_named_by_option_or_environment(
    prompt: Prompt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = tmp_path / "firewall.yaml"
    other = tmp_path / "other.yaml"
    good.rename(other)
    assert prompt("people", "token", "a@example.com", "--as", "x", "--config", "other.yaml").code == Exit.DONE
    assert prompt("--config", "other.yaml", "people", "list").code == Exit.DONE
    assert prompt("people", "list").code == Exit.WRONG
    monkeypatch.setenv("FIREWALL_CONFIG", str(other))
    assert prompt("people", "list").code == Exit.DONE
    # what is said outright counts more
    assert prompt("people", "list", "--config", "nowhere.yaml").code == Exit.WRONG


def test_json_may_stand_on_either_side(prompt: Prompt) -> None:
    prompt("agents", "add", "bot", "--owner", "o@example.com", "--as", "x")
    behind = prompt("agents", "list", "--json").records
    assert behind == prompt("--json", "agents", "list").records
    assert behind[0]["name"] == "bot"


def test_a_bug_is_one_line_and_its_own_exit_code(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(_: object) -> None:
        raise ZeroDivisionError("with a secret in it")

    monkeypatch.setattr(house, "store_to_read", burst)
    said = prompt("agents", "list")
    assert said.code == Exit.BUG
    assert "a bug in query-firewall (ZeroDivisionError at test_main.py:" in said.err
    assert "report it" in said.err
    assert "Traceback" not in said.err
    assert "secret" not in said.err
    monkeypatch.setenv("FIREWALL_DEBUG", "1")
    assert "Traceback" in prompt("agents", "list").err


def test_interrupted(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(house, "store_to_read", interrupt)
    assert prompt("agents", "list").code == Exit.INTERRUPTED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreError("x"), Exit.UNREACHABLE),
        (CatalogError("x"), Exit.UNREACHABLE),
        (exits.NotThere("x"), Exit.NOT_THERE),
        (exits.Declined("x"), Exit.NO),
        (exits.Usage("x"), Exit.WRONG),
        (FirewallError("x"), Exit.WRONG),
    ],
)
def test_each_kind_of_error_has_its_code(error: FirewallError, code: Exit) -> None:
    assert exits.code(error) is code


@pytest.mark.parametrize("store", ["sqlite:///no/such/folder/f.db", "postgresql://u:hunter2@127.0.0.1:1/x"])
def test_a_store_that_cannot_be_used(prompt: Prompt, store: str) -> None:
    with (prompt.folder / "firewall.yaml").open("a") as settings:
        settings.write(f"store: {store}\n")
    for arguments in (
        ("agents", "add", "b", "--owner", "o", "--as", "x"),
        ("holds", "list"),
        ("audit", "verify"),
    ):
        said = prompt(*arguments)
        # verifying asks for the key first, which is made only when something is written
        assert said.code in {Exit.UNREACHABLE, Exit.WRONG} if arguments[0] == "audit" else Exit.UNREACHABLE
        assert said.err.startswith(("error: ", "recorded as"))
        assert "hunter2" not in said.err


def test_nothing_that_was_typed_can_move_the_cursor(prompt: Prompt) -> None:
    said = prompt("agents", "add", "\x1b[2Jevil\u202e", "--owner", "o", "--as", "x")
    assert said.code == Exit.WRONG
    assert "⟨U+001B⟩" in said.err
    assert "⟨U+202E⟩" in said.err
    assert "\x1b[2J" not in said.err


def test_a_reader_that_goes_away_is_no_bug(prompt: Prompt) -> None:
    for number in range(3):
        prompt("agents", "add", f"bot{number}", "--owner", "o", "--as", "x")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [PROGRAM, "agents", "list"], cwd=prompt.folder, stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == Exit.PIPE
    assert done.stderr == b""
