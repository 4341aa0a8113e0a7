"""People: tokens by which they sign in, and who is an approver at all."""

from __future__ import annotations

import pytest

from firewall import credentials
from firewall.cli.exits import Exit

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
