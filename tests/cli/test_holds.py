"""Deciding at the command line: the rules of every other channel, and proof of who decides."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest

from firewall import audit, clock
from firewall.approval import State
from firewall.cli.exits import Exit
from firewall.policy import Terms

from .conftest import DBA, OWNER, Prompt


@pytest.fixture
def signed_in(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> str:
    """The DBA's token, in the environment."""
    token = prompt.person()
    monkeypatch.setenv("FIREWALL_TOKEN", token)
    return token


def kinds(prompt: Prompt) -> list[str]:
    async def read(store: object) -> list[str]:
        return [json.loads(row.bytes)["kind"] async for row in store.records()]

    return list(prompt.in_store(read))


def test_what_waits_is_listed_and_shown_in_full(prompt: Prompt) -> None:
    sql = "DELETE FROM orders\n-- \u202eevil\nWHERE note = '\u200b'" + " OR true" * 40
    hold = prompt.open_hold(sql=sql)
    listed = prompt("holds", "list")
    assert hold.id in listed.out
    assert "⟨U+202E⟩" in listed.out
    shown = prompt("holds", "show", hold.id)
    assert shown.code == Exit.DONE
    for part in (
        "DELETE FROM orders\n",
        "⟨U+202E⟩evil",
        "'⟨U+200B⟩'" + " OR true" * 40,
        "$1 = '7'",
        hold.digest,
    ):
        assert part in shown.out
    for part in ("shopper", OWNER, "delete public.orders", "changes of rows wait", "1 of dba", "look out"):
        assert part in shown.out
    assert "\u202e" not in shown.out + listed.out
    document = prompt("holds", "show", hold.id, "--json").document
    assert document["sql"] == sql
    assert document["parameters"] == ["7"]
    assert document["requesters"] == [OWNER, "shopper"]
    assert document["state"] == "pending"


def test_decided_ones_are_listed_with_all(prompt: Prompt, signed_in: str) -> None:
    hold = prompt.open_hold()
    prompt("holds", "deny", hold.id, "--reason", "no")
    assert prompt("holds", "list", "--json").out == ""
    assert [r["state"] for r in prompt("holds", "list", "--all", "--json").records] == ["rejected"]
    assert DBA in prompt("holds", "list", "--all").out
    assert "nothing waits" in prompt("holds", "list").out


def test_approving(prompt: Prompt, signed_in: str) -> None:
    hold = prompt.open_hold()
    said = prompt("holds", "approve", hold.id, "--reason", "agreed with Ola")
    assert (said.code, said.out) == (Exit.DONE, f"{hold.id}: approved by {DBA}\n")
    after = prompt.hold(hold.id)
    assert after.state is State.APPROVED
    assert (after.votes[0].person, after.votes[0].channel, after.votes[0].reason) == (
        DBA,
        "cli",
        "agreed with Ola",
    )
    assert kinds(prompt)[-2:] == ["vote", "decision"]


def test_denying_needs_a_reason(prompt: Prompt, signed_in: str) -> None:
    hold = prompt.open_hold()
    assert prompt("holds", "deny", hold.id).code == Exit.WRONG
    assert prompt("holds", "deny", hold.id, "--reason", "  ").code == Exit.WRONG
    assert prompt.hold(hold.id).state is State.PENDING
    assert prompt("holds", "deny", hold.id, "--reason", "archive it", "--json").document == {
        "id": hold.id,
        "counted": True,
        "why": "",
        "state": "rejected",
    }


def test_a_quorum_is_counted(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = prompt.open_hold(quorum=2)
    monkeypatch.setenv("FIREWALL_TOKEN", prompt.person())
    assert "1 of 2" in prompt("holds", "approve", hold.id).out
    monkeypatch.setenv("FIREWALL_TOKEN", prompt.person("second.dba@example.com"))
    assert "approved by" in prompt("holds", "approve", hold.id).out
    assert prompt.hold(hold.id).state is State.APPROVED


@pytest.mark.parametrize(
    ("person", "changes", "why"),
    [
        (DBA, {"requesters": frozenset({DBA})}, "you asked for this yourself"),
        (DBA, {"groups": ("security",)}, "in none of the groups"),
        (DBA, {"database": "elsewhere"}, "is not an approver"),
        ("guest@example.com", {}, "is not an approver"),
        (DBA, {"state": State.WITHDRAWN}, "is already withdrawn"),
        (DBA, {"expires_at": clock.now() - timedelta(seconds=1)}, "expired at"),
    ],
)
def test_a_vote_that_does_not_count(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch, person: str, changes: dict[str, object], why: str
) -> None:
    monkeypatch.setenv("FIREWALL_TOKEN", prompt.person(person))
    hold = prompt.open_hold(**changes)
    said = prompt("holds", "approve", hold.id)
    assert said.code == Exit.NO
    assert why in said.err
    assert prompt("holds", "approve", hold.id, "--json").document["counted"] is False
    assert prompt.hold(hold.id).votes == ()
    assert kinds(prompt)[-1] == "vote"  # refused, and recorded


def test_a_wrong_or_revoked_token_decides_nothing_and_is_recorded(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch, signed_in: str
) -> None:
    hold = prompt.open_hold()
    prompt("people", "revoke", DBA, "--as", "operator")
    for token in (signed_in, "qfp_guessed", "x" * 10_000):
        monkeypatch.setenv("FIREWALL_TOKEN", token)
        said = prompt("holds", "approve", hold.id)
        assert said.code == Exit.NO
        assert "the token belongs to no person" in said.err
        assert token not in said.err
        assert kinds(prompt)[-1] == "sign_in"
    assert prompt.hold(hold.id).state is State.PENDING


def test_an_agents_token_is_no_persons(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = prompt.open_hold()
    agent = prompt("agents", "add", "bot", "--owner", OWNER, "--as", "x", "--json").document
    monkeypatch.setenv("FIREWALL_TOKEN", agent["token"])
    assert prompt("holds", "approve", hold.id).code == Exit.NO


def test_the_token_from_a_file_or_stdin(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    token = prompt.person()
    (prompt.folder / "token").write_text(f"{token}\n")
    hold = prompt.open_hold()
    assert prompt("holds", "approve", hold.id).code == Exit.WRONG
    assert "no `FIREWALL_TOKEN`" in prompt("holds", "approve", hold.id).err
    assert prompt("holds", "approve", hold.id, "--token-file", "absent").code == Exit.WRONG
    assert prompt("holds", "approve", hold.id, "--token-file", "token").code == Exit.DONE
    other = prompt.open_hold()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
    assert prompt("holds", "deny", other.id, "--reason", "no", "--token-file", "-").code == Exit.DONE


@pytest.mark.parametrize(
    "write", [str.lower, str.upper, lambda i: i[2:], lambda i: i[:7], lambda i: f" {i} "]
)
def test_an_id_as_people_write_it(prompt: Prompt, write: object) -> None:
    hold = prompt.open_hold(id="h-0A1B2C3D4E")
    assert prompt("holds", "show", write(hold.id), "--json").document["id"] == hold.id


def test_misread_letters(prompt: Prompt) -> None:
    prompt.open_hold(id="h-0A1B2C3D4E")
    for written in ("h-oalb2c", "H-OAIB2C"):
        assert prompt("holds", "show", written, "--json").document["id"] == "h-0A1B2C3D4E"


def test_a_beginning_that_fits_two_decides_nothing(prompt: Prompt, signed_in: str) -> None:
    prompt.open_hold(id="h-ABCD000001")
    prompt.open_hold(id="h-ABCD000002")
    said = prompt("holds", "approve", "h-abcd")
    assert said.code == Exit.WRONG
    assert "2 holds: " in said.err
    assert "h-ABCD000001" in said.err
    prompt("holds", "approve", "h-abcd000001")
    # what waits is meant, not what is decided
    assert prompt("holds", "deny", "h-abcd", "--reason", "no", "--json").document["id"] == "h-ABCD000002"


@pytest.mark.parametrize("given", ["h-ZZZZZZZZZZ", "h-", "", "h-A", "%", "nonsense"])
def test_an_unknown_hold(prompt: Prompt, signed_in: str, given: str) -> None:
    prompt.open_hold(id="h-ABCD000001")
    for arguments in (("show", given), ("approve", given), ("deny", given, "--reason", "no")):
        said = prompt("holds", *arguments)
        assert said.code == Exit.NOT_THERE
        assert "there is no hold" in said.err


def test_a_denial_is_in_the_log_with_its_reason(prompt: Prompt, signed_in: str) -> None:
    hold = prompt.open_hold()
    prompt("holds", "deny", hold.id, "--reason", "use the archive")
    records = prompt("audit", "show", hold.id.lower(), "--json").records
    assert records[0]["kind"] == "hold"
    told = {record["kind"]: audit.ADAPTER.validate_python(record) for record in records}
    assert told.keys() == {"hold", "vote", "decision"}
    assert told["vote"].reason == "use the archive"
    assert told["decision"].by == [DBA]
    assert "use the archive" in prompt("audit", "show", hold.id).out


def test_approving_for_a_while_lists_and_revokes_what_was_granted(prompt: Prompt, signed_in: str) -> None:
    hold = prompt.open_hold(grants=Terms(3600.0, 5), shape="s")
    assert "at most 3600 s, 5 runs" in prompt("holds", "show", hold.id).out
    for wrong in (["--uses", "2"], ["--for", "soon"], ["--for", "1m", "--uses", "0"]):
        assert prompt("holds", "approve", hold.id, *wrong).code == Exit.WRONG
    assert prompt("holds", "approve", hold.id, "--for", "2h").code == Exit.NO
    assert prompt("grants", "list").out == "nothing is granted\n"
    assert prompt("holds", "approve", hold.id, "--for", "30m", "--uses", "2").code == Exit.DONE
    [grant] = prompt("grants", "list", "--json").records
    assert (grant["hold"], grant["uses"], grant["used"], grant["by"]) == (hold.id, 2, 0, [DBA])
    assert grant["id"] in prompt("grants", "list").out
    assert prompt("grants", "revoke", "g-none").code == Exit.NOT_THERE
    said = prompt("grants", "revoke", grant["id"], "--reason", "done")
    assert (said.code, said.out) == (Exit.DONE, f"{grant['id']}: revoked by {DBA}, after 0 of 2 runs\n")
    assert prompt("grants", "revoke", grant["id"]).code == Exit.NO
    assert prompt("grants", "list").out == "nothing is granted\n"
    assert "revoked" in prompt("grants", "list", "--all").out


def test_breaking_the_glass_needs_a_reason(prompt: Prompt, signed_in: str) -> None:
    hold = prompt.open_hold(quorum=2, break_glass=("dba",))
    assert prompt("holds", "approve", hold.id, "--break-glass").code == Exit.WRONG
    assert prompt("holds", "approve", hold.id, "--break-glass", "--reason", "it burns").code == Exit.DONE
    assert kinds(prompt)[-3:] == ["vote", "break_glass", "decision"]
    other = prompt.open_hold(quorum=2)
    assert prompt("holds", "approve", other.id, "--break-glass", "--reason", "it burns").code == Exit.NO


def test_the_figures(prompt: Prompt, signed_in: str) -> None:
    assert "nothing was decided" in prompt("holds", "stats").out
    prompt.open_hold()
    prompt("holds", "approve", prompt.open_hold(sql="SELECT 1 -- " + "x" * 4000).id)
    prompt("holds", "deny", prompt.open_hold().id, "--reason", "no")
    document = prompt("holds", "stats", "--json").document
    assert (document["holds"], document["pending"], document["approval_rate"]) == (3, 1, 0.5)
    assert (document["unread"], document["unread_by"]) == (1, [[DBA, 1]])
    said = prompt("holds", "stats", "--since", "1h").out
    assert "changes of rows wait" in said
    assert "50%" in said
    assert prompt("holds", "stats", "--since", "ever").code == Exit.WRONG
