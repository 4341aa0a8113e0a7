"""People: tokens by which they sign in, and who is an approver at all."""

from __future__ import annotations

import pytest

from firewall import clock, config, credentials
from firewall.cli import house
from firewall.cli.exits import Exit, Usage

from .conftest import DBA, Prompt


def test_a_token_opens_and_is_shown_once(prompt: Prompt) -> None:
    said = prompt("people", "token", "First.DBA@example.com", "--as", "operator", "--json")
    assert said.code == Exit.DONE
    assert said.document["person"] == DBA
    assert said.document["groups"] == {"shop": ["dba"]}
    assert "warning" not in said.err
    token = said.document["token"]
    assert prompt.in_store(lambda store: store.person_by_token(credentials.token_hash(token))) == DBA
    assert token not in prompt("people", "list", "--json").out


def test_a_link_opens_once_for_who_is_somebody(prompt: Prompt) -> None:
    said = prompt("people", "link", DBA.upper(), "--as", "operator", "--json")
    assert said.code == Exit.DONE
    assert (said.document["person"], said.document["groups"]) == (DBA, {"shop": ["dba"]})
    where, _, secret = said.document["url"].partition("/signin/link?once=")
    assert where.startswith("http://127.0.0.1:")
    take = credentials.token_hash(secret)
    assert prompt.in_store(lambda store: store.links.take(take, clock.now())) == DBA
    assert prompt.in_store(lambda store: store.links.take(take, clock.now())) is None
    stranger = prompt("people", "link", "guest@example.com", "--as", "operator")
    assert stranger.code == Exit.NOT_THERE
    assert "is nobody here" in stranger.err


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("127.0.0.1", "http://127.0.0.1:8432"),
        ("::1", "http://[::1]:8432"),
        ("0.0.0.0", "http://localhost:8432"),
    ],
)
def test_a_link_leads_to_this_machine(host: str, where: str) -> None:
    assert house.loopback(config.Web(host=host)) == where


@pytest.mark.parametrize("host", ["192.0.2.7", "console.example"])
def test_where_the_console_is_not_on_loopback_there_is_no_link(host: str) -> None:
    with pytest.raises(Usage, match="not reached on this machine's loopback"):
        house.loopback(config.Web(host=host))


def test_a_person_in_no_policy_is_warned_of(prompt: Prompt) -> None:
    said = prompt("people", "token", "guest@example.com", "--as", "operator")
    assert said.code == Exit.DONE
    assert "no policy has `guest@example.com` under `approvers`" in said.err


def test_the_list_has_approvers_and_token_holders(prompt: Prompt) -> None:
    prompt("people", "token", "guest@example.com", "--as", "operator")
    prompt("people", "token", DBA, "--as", "operator")
    people = {record["person"]: record for record in prompt("people", "list", "--json").records}
    assert people["guest@example.com"]["groups"] == {}
    assert len(people[DBA]["tokens"]) == 1
    assert people["second.security@example.com"] == {
        "person": "second.security@example.com",
        "groups": {"shop": ["security"]},
        "tokens": [],
    }
    assert "in no policy" in prompt("people", "list").out


def test_revoking_closes_every_door(prompt: Prompt) -> None:
    tokens = [prompt("people", "token", DBA, "--as", "x", "--json").document["token"] for _ in range(2)]
    assert prompt("people", "revoke", DBA.upper(), "--as", "operator").code == Exit.DONE
    for token in tokens:
        assert prompt.in_store(lambda s, t=token: s.person_by_token(credentials.token_hash(t))) is None
    again = prompt("people", "revoke", DBA, "--as", "operator")
    assert again.code == Exit.NOT_THERE
    assert f"`{DBA}` has no token" in again.err


@pytest.mark.parametrize("name", ["", " ", "two words", "a\x00b", "x" * 300])
def test_a_name_that_cannot_be_one(prompt: Prompt, name: str) -> None:
    assert prompt("people", "token", name, "--as", "x").code == Exit.WRONG
    assert prompt("people", "token", DBA, "--as", name).code == Exit.WRONG
