"""Agents: made once, shown once, renewed, locked out; every change with who made it."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import pytest

from firewall import audit, wire
from firewall.cli.exits import Exit

from .conftest import OWNER, Prompt

if TYPE_CHECKING:
    from firewall.store import Store


def test_an_agent_gets_a_token_and_a_dsn_for_each_database(prompt: Prompt) -> None:
    said = prompt("agents", "add", "reporter", "--owner", OWNER, "--team", "bi", "--as", "operator", "--json")
    assert said.code == Exit.DONE
    token = said.document["token"]
    assert said.document["dsns"] == {"shop": f"postgresql://reporter:{token}@127.0.0.1:6432/shop"}
    assert (said.document["owner"], said.document["team"], said.document["issuer"]) == (
        OWNER,
        "bi",
        "operator",
    )
    agent = prompt.in_store(lambda store: store.agent("reporter"))
    assert token not in repr(agent)
    # the token is the one that the verifier knows
    assert wire.Verifier.parse(agent.verifier) == wire.Verifier.of(
        token, wire.Verifier.parse(agent.verifier).salt, wire.Verifier.parse(agent.verifier).iterations
    )


def test_the_dsn_fits_the_settings(prompt: Prompt) -> None:
    with (prompt.folder / "firewall.yaml").open("a") as settings:
        settings.write(
            "  'odd name/x': {host: h, user: u, policy: production.yaml}\n"
            "listen: {host: '::1', port: 7000, require_tls: true, tls: {certificate: c.pem, key: k.pem}}\n"
        )
    dsns = prompt("agents", "add", "bot", "--owner", OWNER, "--as", "x", "--json").document["dsns"]
    assert dsns["shop"].endswith("@[::1]:7000/shop?sslmode=require")
    assert dsns["odd name/x"].endswith("@[::1]:7000/odd%20name%2Fx?sslmode=require")


def test_the_token_is_shown_once_and_never_listed(prompt: Prompt) -> None:
    said = prompt("agents", "add", "bot", "--owner", OWNER, "--as", "operator")
    token = next(word for word in said.out.split() if word.startswith("qfa_"))
    for arguments in (("agents", "list"), ("agents", "list", "--json"), ("audit", "search", "--json")):
        listed = prompt(*arguments)
        assert listed.code == Exit.DONE
        assert token not in listed.out + listed.err
        assert "SCRAM" not in listed.out
    assert token.encode() not in b"".join(path.read_bytes() for path in prompt.folder.glob("firewall.*"))


def test_an_agent_is_known_by_a_certificate_until_it_is_not(prompt: Prompt) -> None:
    added = prompt(
        *("agents", "add", "bot", "--owner", OWNER, "--certificate", "bot.example.com"),
        *("--as", "operator", "--json"),
    )
    assert added.document["certificate"] == "bot.example.com"
    changed = prompt("agents", "certify", "bot", "--certificate", "b.example.com", "--as", "second", "--json")
    assert (changed.document["certificate"], changed.document["issuer"]) == ("b.example.com", "second")
    assert "its token alone" in prompt("agents", "certify", "bot", "--as", "third").out
    assert prompt.in_store(lambda store: store.agent("bot")).certificate == ""
    assert prompt("agents", "certify", "nobody", "--as", "third").code == Exit.NOT_THERE


@pytest.mark.parametrize("name", ["", "Bot", "a b", "a@b", "a:b", "-a", "ü", "x" * 64, "a\n", "a/b", "%41"])
def test_a_name_that_a_dsn_cannot_carry_is_refused(prompt: Prompt, name: str) -> None:
    said = prompt("agents", "add", "--owner", OWNER, "--as", "x", "--", name)
    assert said.code == Exit.WRONG
    assert "cannot name an agent" in said.err
    assert not (prompt.folder / "firewall.db").exists()


def test_a_second_agent_of_one_name_is_refused(prompt: Prompt) -> None:
    add = ("agents", "add", "bot", "--owner", OWNER, "--as", "x")
    assert prompt(*add).code == Exit.DONE
    again = prompt(*add)
    assert again.code == Exit.NO
    assert "there is an agent `bot` already" in again.err
    assert "`firewall agents renew bot`" in again.err


def test_renewing_voids_the_old_token_and_names_the_new_issuer(prompt: Prompt) -> None:
    first = prompt("agents", "add", "bot", "--owner", OWNER, "--as", "one", "--json").document
    before = prompt.in_store(lambda store: store.agent("bot")).verifier
    second = prompt("agents", "renew", "bot", "--as", "two", "--json").document
    assert second["token"] != first["token"]
    assert second["issuer"] == "two"
    assert prompt.in_store(lambda store: store.agent("bot")).verifier != before


def test_locked_out_and_let_in(prompt: Prompt) -> None:
    prompt("agents", "add", "bot", "--owner", OWNER, "--as", "x")
    assert prompt("agents", "disable", "bot", "--as", "x", "--json").document["disabled"] is True
    assert "disabled" in prompt("agents", "list").out
    assert prompt("agents", "enable", "bot", "--as", "x").out == "agent `bot` is enabled\n"
    assert prompt("agents", "list", "--json").records[0]["disabled"] is False


@pytest.mark.parametrize("what", ["renew", "disable", "enable"])
def test_an_unknown_agent(prompt: Prompt, what: str) -> None:
    prompt("agents", "add", "bot", "--owner", OWNER, "--as", "x")
    said = prompt("agents", what, "bod", "--as", "x")
    assert said.code == Exit.NOT_THERE
    assert "there is no agent `bod`" in said.err


def test_every_change_is_recorded_with_who_made_it(prompt: Prompt) -> None:
    prompt("agents", "add", "bot", "--owner", OWNER)
    prompt("agents", "renew", "bot", "--as", "second.dba@example.com")
    prompt("agents", "disable", "bot", "--as", "third")

    async def changes(store: Store) -> list[tuple[str, str]]:
        records = [audit.decode(row.bytes, row.private) async for row in store.records()]
        return [(r.event, r.by) for r in records if isinstance(r, audit.Credential)]

    assert prompt.in_store(changes) == [
        ("issued", getpass.getuser()),
        ("reissued", "second.dba@example.com"),
        ("disabled", "third"),
    ]


def test_without_as_a_remark_says_who_is_recorded(prompt: Prompt) -> None:
    said = prompt("agents", "add", "bot", "--owner", OWNER)
    assert f"recorded as done by `{getpass.getuser()}`" in said.err
    assert "recorded as" not in prompt("agents", "renew", "bot", "--as", "x").err


def test_nobody_is_an_empty_list(prompt: Prompt) -> None:
    assert prompt("agents", "list").code == Exit.UNREACHABLE  # there is no store yet
    prompt.person()
    assert prompt("agents", "list", "--json").out == ""
    assert "there are no agents" in prompt("agents", "list").out


def test_a_broken_policy_is_found_before_an_agent_is_made(prompt: Prompt) -> None:
    (prompt.folder / "production.yaml").write_text("version: 1\nrules: {}\n")
    said = prompt("agents", "add", "bot", "--owner", OWNER, "--as", "x")
    assert said.code == Exit.WRONG
    assert "production.yaml:2:8" in said.err
    assert not (prompt.folder / "firewall.db").exists()
