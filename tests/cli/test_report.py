"""`firewall report` on a real store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from firewall import audit, ids
from firewall.audit import published
from firewall.cli.exits import Exit

from .test_audit import damage, judged, write

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Prompt


def soc2(prompt: Prompt, *more: str) -> Any:
    return prompt("report", "--framework", "soc2", "--from", "1d", *more)


def test_a_report_of_what_happened(prompt: Prompt):
    hold = prompt.open_hold()
    write(prompt, judged("SELECT 1"), judged("DROP TABLE x", verdict="deny", rule="no drops"))
    write(prompt, judged("SELECT long ago", ago=3 * 86400))
    answer = soc2(prompt, "--json", "--html", "r.html", "--pdf", "r.pdf")
    assert answer.code == Exit.DONE, answer.err
    told = answer.document
    assert told["log"]["proof"] == "verified"
    assert told["log"]["checked"] == told["log"]["heads"][0]["size"] == told["figures"]["records"] + 1
    assert (told["figures"]["statements"], told["figures"]["denied"]) == (2, 1)
    assert told["figures"]["holds"] == 1
    assert told["denials_by_rule"] == {"no drops": 1}
    assert hold.sql not in answer.out
    assert "CC8.1" in (prompt.folder / "r.html").read_text()
    assert (prompt.folder / "r.pdf").read_bytes().startswith(b"%PDF-")


def test_people_are_told_the_figures_and_where_the_files_are(prompt: Prompt):
    write(prompt, judged("SELECT 1"))
    answer = soc2(prompt, "--html", "r.html")
    assert "the log verifies" in answer.out.lower()
    assert "wrote r.html" in answer.out
    assert "statements judged" in answer.out


def test_a_changed_log_is_reported_as_not_sound(prompt: Prompt):
    write(prompt, judged("SELECT 1"), judged("SELECT 2"))
    damage(
        prompt.folder,
        "UPDATE records SET bytes = CAST(replace(bytes, 'shopper', 'sheriff') AS BLOB) WHERE idx = 1",
    )
    answer = soc2(prompt, "--json")
    assert answer.code == Exit.NO
    assert answer.document["log"]["proof"] == "not sound"
    assert answer.document["log"]["findings"]
    assert soc2(prompt, "--json", "--no-verify").document["log"]["proof"] == "not verified"


def test_a_log_cut_back_with_its_heads_is_betrayed_by_a_published_checkpoint(prompt: Prompt, tmp_path: Path):
    write(prompt, judged("SELECT 1"), judged("SELECT 2"))
    place = tmp_path / "elsewhere"
    place.write_text("".join(map(published.joined, prompt.in_store(lambda store: store.heads()))))
    answer = soc2(prompt, "--against", str(place))
    assert answer.code == Exit.DONE
    assert "It goes on from 1 checkpoint that was published elsewhere." in answer.out
    for statement in (
        "DELETE FROM records WHERE idx >= 1",
        "DELETE FROM checkpoints WHERE size > 1",
        "UPDATE heads SET size = 1, note = (SELECT note FROM checkpoints WHERE size = 1)",
    ):
        damage(prompt.folder, statement)
    assert soc2(prompt, "--json").code == Exit.DONE
    answer = soc2(prompt, "--json", "--against", str(place))
    assert answer.code == Exit.NO
    assert (answer.document["log"]["proof"], answer.document["log"]["published"]) == ("not sound", 1)
    assert "cut tail" in answer.document["log"]["findings"][0]
    assert soc2(prompt, "--no-verify", "--against", str(place)).code == Exit.WRONG


def test_records_of_kinds_to_come_are_counted(prompt: Prompt):
    write(prompt, judged("SELECT 1"), judged("SELECT 2"))
    damage(
        prompt.folder,
        "UPDATE records SET bytes = CAST(replace(bytes, '\"judgement\"', '\"later\"') AS BLOB) WHERE idx = 1",
    )
    answer = soc2(prompt, "--json", "--no-verify")
    assert answer.code == Exit.DONE, answer.err
    told = answer.document
    assert (told["figures"]["records"], told["figures"]["statements"]) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--framework", "soc2", "--from", "2030-01-02", "--to", "2030-01-01"), "ends before it begins"),
        (("--framework", "pci", "--from", "1d"), "pci"),
        (("--framework", "soc2", "--from", "someday"), "is no time"),
        (("--framework", "soc2"), "--from"),
    ],
)
def test_nonsense_is_told(prompt: Prompt, arguments: tuple[str, ...], word: str):
    answer = prompt("report", *arguments)
    assert answer.code == Exit.WRONG
    assert word in answer.err


def test_a_period_without_records_is_no_report(prompt: Prompt):
    write(prompt, judged("SELECT 1"))
    answer = prompt("report", "--framework", "soc2", "--from", "2020-01-01", "--to", "2020-01-31")
    assert answer.code == Exit.NOT_THERE
    assert "2020-01-01T00:00:00 to 2020-02-01" in answer.err
    assert not answer.out


def test_a_file_that_cannot_be_written_is_named(prompt: Prompt):
    write(prompt, judged("SELECT 1"))
    answer = soc2(prompt, "--html", "nowhere/r.html")
    assert answer.code == Exit.WRONG
    assert "`nowhere/r.html` cannot be written" in answer.err


def test_sign_ins_and_credentials_are_figures(prompt: Prompt):
    prompt.person()
    at = judged("x").at
    failed = audit.SignIn(id=ids.record_id(), at=at, person="eve", channel="web", succeeded=False, why="no")
    write(prompt, failed)
    figures = soc2(prompt, "--json").document
    assert figures["failed_sign_ins"] == {"eve": 1}
    assert figures["figures"]["issued"] == 1
