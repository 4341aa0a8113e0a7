"""Exports: of everything to be proven elsewhere, of a part for spreadsheets, lakes and SIEMs."""

from __future__ import annotations

import base64
import builtins
import csv
import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from firewall import audit, clock, ids
from firewall.audit import lines
from firewall.cli.exits import Exit

from .test_audit import judged, write

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Prompt


def _said(**fields: Any) -> dict[str, Any]:
    return {"id": ids.record_id(), "at": clock.stamp(clock.now()), **fields}


@pytest.fixture
def logged(prompt: Prompt) -> Prompt:
    """Two sessions on two databases, a hold with its vote, a sign-in."""
    first = {"session": "s-ABC", "statement": "s-ABC.1"}
    write(
        prompt,
        audit.Session(**_said(session="s-ABC", event="opened", agent="shopper", database="shop",
                              owner="ola@example.com", address="10.0.0.7")),
        judged("DELETE FROM orders", verdict="hold", risk="high", ago=7200,
               effects=[audit.Effect(kind="delete", object="public.orders")]),
        audit.HoldOpened(**_said(**first, hold="h-1", agent="shopper", digest="ab", rule="r", risk="high",
                                 parameters=[], groups=["dba"], quorum=1, requesters=["ola@example.com"],
                                 expires="2030-01-01T00:00:00Z")),
        audit.Vote(**_said(hold="h-1", person="first.dba@example.com", approve=True, reason="", channel="api",
                           counted=True)),
        audit.Outcome(**_said(**first, hold="h-1", agent="shopper", tag="DELETE 3", rows=3, bytes=9,
                              micros=2500)),
        audit.SignIn(**_said(person="first.dba@example.com", channel="web", succeeded=True)),
        audit.Session(**_said(session="s-DEF", event="refused", agent="=cmd()", database="hr", why="no")),
        judged("SELECT 'é\u2028'", session="s-DEF", statement="s-DEF.1", agent="=cmd()", database="hr"),
    )  # fmt: skip
    return prompt


def _export(prompt: Prompt, *options: str) -> str:
    said = prompt("audit", "export", "--as", "auditor@example.com", *options)
    assert said.code == Exit.DONE, said.err
    return said.out


def _kinds(text: str) -> list[str]:
    return [record["kind"] for record in _records(text)]


def _records(text: str) -> list[dict[str, Any]]:
    rows = lines.read(line.encode() for line in text.splitlines())
    return [json.loads(row.opened()) for row in rows if not isinstance(row, str)]


def test_a_whole_export_proves_itself_to_whoever_has_the_key(
    logged: Prompt, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("auditor")
    (elsewhere / "log.pub").write_text(logged("audit", "key").out)
    _export(logged, "--out", str(elsewhere / "log.jsonl"))
    monkeypatch.chdir(elsewhere)
    file = elsewhere / "log.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600

    def verify(text: str) -> tuple[int, str]:
        (elsewhere / "changed").write_text(text)
        said = logged("audit", "verify", "--export", "changed", "--key", "log.pub")
        return said.code, said.out + said.err

    text = file.read_text()
    assert verify(text) == (Exit.DONE, verify(text)[1])
    assert "8 of 8 records proven" in verify(text)[1]
    assert "DELETE FROM orders" in [record.get("sql") for record in _records(text)]
    # whatever is done to it is found
    # the newest head, then the records, here without the heads in between
    head, *rest = text.splitlines(keepends=True)
    told = [line for line in rest if line.startswith('{"origin"')]
    other = json.loads(told[1])
    other["private"] = base64.b64encode(base64.b64decode(other["private"]).replace(b"orders", b"others"))
    other = {**other, "private": other["private"].decode()}
    for changed, word in (
        (text.replace("DELETE 3", "DELETE 2"), "changed"),
        ("".join([head, told[0], json.dumps(other) + "\n", *told[2:]]), "record 1"),
        ("".join([head, *told[:2], *told[3:]]), "missing"),
        ("".join([head, told[1], told[0], *told[2:]]), "reordered"),
        ("".join([head, *told[:3], *told[2:]]), "duplicated"),
        ("".join([head, *told[:7]]), "cut tail"),
        ("".join(told), "unsigned"),
        (told[0] + '{"record":[]}\n', "line 2 is neither"),
        ("", "no such log"),
    ):
        code, said = verify(changed)
        assert code == Exit.NO
        assert word in said


def test_what_was_erased_is_not_handed_out(logged: Prompt, tmp_path: Path) -> None:
    said = logged("audit", "erase", "s-ABC.1", "--why", "asked to", "--as", "auditor", "--yes")
    assert said.code == Exit.DONE, said.err
    _export(logged, "--out", str(tmp_path / "log.jsonl"))
    text = (tmp_path / "log.jsonl").read_text()
    assert next(r["sql"] for r in _records(text) if r["kind"] == "judgement") == ""
    said = logged(
        "audit", "verify", "--export", str(tmp_path / "log.jsonl"), "--key", logged("audit", "key").out
    )
    assert said.code == Exit.DONE, said.out
    assert "which were erased" in said.out
    rows = list(csv.DictReader(_export(logged, "--format", "csv").splitlines()))
    assert "DELETE FROM" not in str(rows)


def test_an_export_is_a_record(logged: Prompt) -> None:
    text = _export(logged, "--agent", "shopper", "--from", "1h", "--kind", "vote", "--kind", "outcome")
    assert _kinds(text) == ["vote", "outcome"]
    again = _export(logged, "--kind", "export")
    (line,) = _records(again)
    assert (line["by"], line["form"], line["count"]) == ("auditor@example.com", "jsonl", 2)
    assert line["filter"][1:] == ["agent=shopper", "kind=outcome,vote"]
    assert line["filter"][0].startswith("from=20")


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (("--to", "1h"), ["judgement"]),
        (("--agent", "shopper"), ["session", "judgement", "hold", "vote", "outcome"]),
        (("--database", "hr"), ["session", "judgement"]),
        (("--database", "hr", "--kind", "judgement"), ["judgement"]),
        (("--kind", "fault"), []),
    ],
)
def test_a_part_of_it(logged: Prompt, options: tuple[str, ...], kinds: list[str]) -> None:
    text = _export(logged, *options)
    assert _kinds(text) == kinds
    (logged.folder / "part").write_text(text)
    # which proves nothing, and does not seem to
    said = logged("audit", "verify", "--export", "part", "--key", logged("audit", "key").out)
    assert said.code == Exit.NO


def test_csv_reads_back_and_runs_no_formula(logged: Prompt, tmp_path: Path) -> None:
    _export(logged, "--format", "csv", "--out", str(tmp_path / "log.csv"))
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    outcome = rows[4]
    assert (outcome["result"], outcome["rows"], outcome["address"]) == ("DELETE 3", "3", "10.0.0.7")
    assert (outcome["sql"], outcome["verdict"], outcome["risk"]) == ("DELETE FROM orders", "hold", "high")
    assert rows[3]["person"] == "first.dba@example.com"
    assert rows[7]["agent"] == "'=cmd()"
    assert json.loads(rows[7]["record"])["sql"] == "SELECT 'é\u2028'"


def test_parquet_has_types(logged: Prompt, tmp_path: Path) -> None:
    _export(logged, "--format", "parquet", "--out", str(tmp_path / "log.parquet"))
    table = pq.read_table(tmp_path / "log.parquet").to_pylist()
    assert [row["index"] for row in table] == list(range(8))
    assert [row["micros"] for row in table] == [None, None, None, None, 2500, None, None, None]
    assert table[7]["agent"] == "=cmd()"


def test_parquet_says_what_to_install(logged: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    said = logged("audit", "export", "--format", "parquet", "--out", "x", "--as", "auditor")
    assert said.code == Exit.WRONG
    assert "pip install 'query-firewall[parquet]'" in said.err
    assert not list(logged.folder.glob("x*"))


def test_ocsf_events_are_of_their_class(logged: Prompt) -> None:
    said = logged("audit", "export", "--format", "ocsf", "--as", "auditor@example.com")
    events = [json.loads(line) for line in said.out.splitlines()]
    # 1. what the schema requires of Datastore Activity (https://schema.ocsf.io/classes/datastore_activity)
    for event in events:
        assert (event["class_uid"], event["category_uid"]) == (6005, 6)
        assert event["type_uid"] == 600500 + event["activity_id"]
        assert event["activity_id"] in {*range(11), 99}
        assert event["severity_id"] in range(1, 6)
        assert event["status_id"] in {0, 1, 2}
        assert isinstance(event["time"], int)
        assert event["metadata"]["version"]
        assert event["metadata"]["product"]["vendor_name"]
        assert event["actor"]["user"]["name"]
        assert event["src_endpoint"]
        assert event["database"]["name"]
        assert event.get("query_info", {"query_string": "-"})["query_string"]
    # 2. and what it says of ours
    told = [(e["metadata"]["event_code"], e["activity_name"], e["severity"], e["status"]) for e in events]
    assert told == [
        ("session", "Connect", "Informational", "Success"),
        ("judgement", "Delete", "High", "Unknown"),
        ("hold", "Delete", "High", "Unknown"),
        ("outcome", "Delete", "High", "Success"),
        ("session", "Connect", "Informational", "Failure"),
        ("judgement", "Read", "Low", "Success"),
    ]
    assert events[3]["duration"] == 2
    assert events[3]["src_endpoint"] == {"ip": "10.0.0.7"}
    assert "1 sign_in" in said.err


def test_what_cannot_be(logged: Prompt) -> None:
    (logged.folder / "there").write_text("")
    for options, word in (
        (("--kind", "nonsense"), "no kind of record"),
        (("--format", "parquet"), "--out FILE"),
        (("--out", "there"), "there already"),
        (("--out", "no/where"), "cannot be written"),
    ):
        said = logged("audit", "export", "--as", "auditor", *options)
        assert said.code == Exit.WRONG
        assert word in said.err
    # and none of it is said to have happened
    assert _kinds(_export(logged, "--kind", "export")) == []
