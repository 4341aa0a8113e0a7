"""Evidence: made where the firewall is, checked where only the key is; whatever is done to it is found."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import re
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from firewall import audit, clock, ids
from firewall.approval import Ran
from firewall.cli.exits import Exit
from firewall.desk import Desk
from firewall.evidence import bundle
from firewall.keyfile import signing_key
from firewall.store import Store

from .conftest import DBA, a_hold
from .test_audit import damage, judged, write

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Prompt

SQL = "DELETE FROM orders WHERE id = $1 -- <script>alert(1)</script> \u202e"


def _said(hold: str = "", **fields: Any) -> dict[str, Any]:
    return {"id": ids.record_id(), "at": clock.stamp(clock.now()), "session": "s-1", "hold": hold, **fields}


@pytest.fixture
def decided(prompt: Prompt) -> tuple[Prompt, str]:
    """A hold that was approved and run, and its id."""
    digest = a_hold().digest
    write(
        prompt,
        audit.Session(**_said(event="opened", agent="shopper", database="shop", address="10.0.0.7")),
        judged(SQL, session="s-1", statement="s-1.1", verdict="hold", revision=a_hold().revision),
    )
    hold = prompt.open_hold(sql=SQL, parameters=("7<i>",)).id
    first = {"hold": hold, "statement": "s-1.1"}
    write(
        prompt,
        audit.Vote(**_said(**first, person=DBA, approve=True, reason="fine", channel="api", counted=True)),
        audit.Decision(**_said(**first, state="approved", by=[DBA], digest=digest)),
        audit.Release(
            **_said(**first, agent="shopper", digest=digest, leave=f"hold {hold}", parameters=["7<i>"])
        ),
        audit.Outcome(**_said(**first, agent="shopper", tag="DELETE 1", rows=1, bytes=9, micros=2500)),
        judged("SELECT 1", session="s-2", statement="s-2.1"),
    )
    return prompt, hold


@pytest.fixture
def made(decided: tuple[Prompt, str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    prompt, hold = decided
    path = tmp_path_factory.mktemp("out") / "evidence.zip"
    said = prompt("audit", "evidence", hold.lower(), "--out", str(path), "--as", "auditor@example.com")
    assert said.code == Exit.DONE, said.err
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_bytes()


def _files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_the_auditor_checks_it_offline(
    decided: tuple[Prompt, str], made: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt, _ = decided
    key = prompt("audit", "key").out
    elsewhere = tmp_path / "auditor"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (elsewhere / "log.pub").write_text(key)
    (elsewhere / "it.zip").write_bytes(made)
    said = prompt("audit", "check-evidence", "it.zip", "--key", "log.pub")
    assert said.code == Exit.DONE, said.err
    assert f"{DBA} approves by api: fine" in said.out
    told = prompt("audit", "check-evidence", "it.zip", "--key", "log.pub", "--json").document
    kinds = [record["kind"] for record in told["records"]]
    assert kinds == ["session", "judgement", "hold", "vote", "decision", "release", "outcome"]
    (elsewhere / "log.pub").write_text(str(audit.SigningKey.generate("query-firewall").public))
    assert prompt("audit", "check-evidence", "it.zip", "--key", "log.pub").code == Exit.NO
    assert prompt("audit", "check-evidence", "it.zip").code == Exit.WRONG
    assert prompt("audit", "check-evidence", "absent", "--key", key).code == Exit.WRONG


def test_what_is_in_it(decided: tuple[Prompt, str], made: bytes) -> None:
    prompt, hold = decided
    files = _files(made)
    assert files["statement.sql"].decode() == SQL
    page = files["index.html"].decode()
    # a page shows what strangers wrote, and is not moved by it
    assert "<script>" not in page
    assert "\u202e" not in page
    assert "⟨U+202E⟩" in page
    assert "http" not in page
    assert "DELETE FROM orders WHERE id = $1" in page
    assert "<tr><td>$1</td><td><code>7&lt;i&gt;</code></td></tr>" in page
    for word in (hold, a_hold().digest, DBA, "DELETE 1; 1 rows", "unlabelled reads flow: nothing"):
        assert word in page
    # that it was handed out is a record
    export = json.loads(prompt("audit", "export", "--kind", "export", "--as", "auditor").out)
    assert json.loads(export["record"])["filter"] == [f"hold={hold}"]


def test_a_statement_that_was_judged_anew_is_shown_as_it_was_held_each_time(
    prompt: Prompt, tmp_path: Path
) -> None:
    """The first approval was void, as the policy had changed; for the second hold, the agent came back."""
    holds, digests = [], ("ab" * 32, "ba" * 32)
    for revision, digest in zip(("old", "new"), digests, strict=True):
        before = holds[0] if holds else ""
        write(prompt, judged(SQL, statement="s-1.1", hold=before, verdict="hold", revision=revision))
        holds.append(prompt.open_hold(sql=SQL, revision=revision, digest=digest).id)
    again = _said(holds[1], statement="s-2.1", agent="shopper", digest=digests[1], leave=f"hold {holds[1]}")
    write(prompt, judged(SQL, statement="s-2.1", verdict="hold", revision="new"), audit.Release(**again))
    key = prompt("audit", "key").out.strip()
    for hold, revision, digest in zip(holds, ("old", "new"), digests, strict=True):
        path = tmp_path / f"{hold}.zip"
        assert prompt("audit", "evidence", hold, "--out", str(path), "--as", "auditor").code == Exit.DONE
        said = prompt("audit", "check-evidence", str(path), "--key", key)
        assert said.code == Exit.DONE, said.err
        page = _files(path.read_bytes())["index.html"].decode()
        facts = re.sub(r"\s+", "", page)
        assert f'<th>policyrevision</th><tdclass="">{revision}</td>' in facts
        assert f'<th>digest</th><tdclass="">{digest}</td>' in facts


@pytest.mark.parametrize("end", ["flip", "drop"])
def test_no_file_of_it_can_be_changed_or_left_out(decided: tuple[Prompt, str], made: bytes, end: str) -> None:
    key = signing_key(decided[0].settings()).public
    files = _files(made)
    assert bundle.check(_zip(files), [key]).hold == decided[1]
    for name, data in files.items():
        changed = {**files, name: bytes([data[0] ^ 1]) + data[1:]}
        if end == "drop":
            del changed[name]
        with pytest.raises(bundle.EvidenceError):
            bundle.check(_zip(changed), [key])
    with pytest.raises(bundle.EvidenceError, match="`more` is not in the manifest"):
        bundle.check(_zip({**files, "more": b""}), [key])
    for nonsense in (b"", b"PK", made[:-30], made[:200] + bytes(100) + made[300:]):
        with pytest.raises(bundle.EvidenceError):
            bundle.check(nonsense, [key])


def test_who_has_the_key_cannot_make_up_records(decided: tuple[Prompt, str], made: bytes) -> None:
    """The manifest may be signed anew: the records are still those of the tree, and of this hold."""
    prompt, hold = decided
    key = signing_key(prompt.settings())

    def check(files: dict[str, bytes]) -> None:
        del files["MANIFEST"]
        lines = [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in sorted(files.items())]
        text = "".join(f"{line}\n" for line in (bundle.TYPE, hold, *lines))
        bundle.check(_zip({**files, "MANIFEST": key.sign(text).encode()}), [key.public])

    check(_files(made))
    vote = "proofs/003-vote.json"
    files = _files(made)
    files[vote] = files[vote].replace(b"first.dba", b"other.dba")
    with pytest.raises(bundle.EvidenceError, match="not the one that the leaf hash stands for"):
        check(files)
    with pytest.raises(bundle.EvidenceError, match="not the statement of the proven judgement"):
        check({**_files(made), "statement.sql": b"SELECT 1"})

    async def other(store: Any) -> audit.Inclusion:
        found = (await store.statement_records("s-2.1"))[0]
        return await store.prove(found.id, files["checkpoint"].decode())

    # 3. values are those that the record commits to, or none: then the statement is not there, either
    judgement = "proofs/001-judgement.json"
    whole = json.loads(_files(made)[judgement])
    assert SQL not in whole["record"]
    salted = base64.b64decode(whole["private"])
    for private in (
        salted.replace(b"DELETE", b"SELECT"),
        salted[:-1],
        bytes([salted[0] ^ 1]) + salted[1:],
        b"",
    ):
        changed = whole | {"private": base64.b64encode(private).decode()}
        with pytest.raises(bundle.EvidenceError, match="not those that the record commits to"):
            check({**_files(made), judgement: json.dumps(changed).encode()})
    bare = {**_files(made), judgement: json.dumps(whole | {"private": None}).encode()}
    with pytest.raises(bundle.EvidenceError, match="not the statement of the proven judgement"):
        check(dict(bare))
    del bare["statement.sql"]
    check(bare)

    stranger = prompt.in_store(other).to_json().encode()
    with pytest.raises(bundle.EvidenceError, match="not of hold"):
        check({**_files(made), vote: stranger})


def test_what_was_erased_is_committed_to(decided: tuple[Prompt, str], tmp_path: Path) -> None:
    prompt, hold = decided
    damage(prompt.folder, "UPDATE holds SET state = 'rejected'")
    said = prompt("audit", "erase", hold, "--why", "request 7", "--as", "auditor", "--yes")
    assert said.code == Exit.DONE, said.err
    path = tmp_path / "evidence.zip"
    assert prompt("audit", "evidence", hold, "--out", str(path), "--as", "auditor").code == Exit.DONE
    files = _files(path.read_bytes())
    assert "statement.sql" not in files
    assert not [name for name, data in files.items() if b"DELETE FROM orders" in data]
    assert "The statement was erased" in files["index.html"].decode()
    key = prompt("audit", "key").out.strip()
    said = prompt("audit", "check-evidence", str(path), "--key", key)
    assert said.code == Exit.DONE, said.err
    assert "3 of 7 records lack their values" in said.out
    assert prompt("audit", "check-evidence", str(path), "--key", key, "--json").document["withheld"] == 3


@pytest.mark.parametrize(
    ("keep", "sql", "told"),
    [
        ("redacted", "DELETE FROM orders WHERE id = $1 ", "without their literals"),
        ("digest", None, "only commitments"),
    ],
)
def test_what_is_not_kept_is_not_in_it(
    prompt: Prompt, tmp_path: Path, keep: str, sql: str | None, told: str
) -> None:
    settings, hold = prompt.settings(), replace(a_hold(), sql=SQL)

    async def write_so() -> None:
        key = signing_key(settings)
        async with await Store.open(
            settings.store, origin=settings.origin, key=key, keep=audit.Keep(keep)
        ) as store:
            await store.append([judged(SQL, session="s-1", statement="s-1.1", verdict="hold")])
            await Desk(store, lambda *_: None).open(hold)

    asyncio.run(write_so())
    path = tmp_path / "evidence.zip"
    said = prompt("audit", "evidence", hold.id, "--out", str(path), "--as", "auditor")
    assert said.code == Exit.DONE, said.err
    files = _files(path.read_bytes())
    assert files.get("statement.sql") == (None if sql is None else sql.encode())
    assert told in files["index.html"].decode()


def test_a_hold_that_is_not_there(prompt: Prompt) -> None:
    write(prompt, judged("SELECT 1"))
    said = prompt("audit", "evidence", "h-NONE", "--as", "auditor")
    assert said.code == Exit.NOT_THERE
    hold = prompt.open_hold(statement="s-9.9").id
    said = prompt("audit", "evidence", hold, "--as", "auditor")
    assert said.code == Exit.NOT_THERE
    assert "nothing to prove" in said.err
    (prompt.folder / "there").write_text("")
    assert prompt("audit", "evidence", hold, "--as", "auditor", "--out", "there").code == Exit.WRONG


def test_of_a_commit_all_that_has_run_ahead_is_in_it(prompt: Prompt, tmp_path: Path) -> None:
    sql = "INSERT INTO orders VALUES (1)"
    write(
        prompt,
        audit.Session(**_said(event="opened", agent="shopper", database="shop", address="10.0.0.7")),
        judged(sql, session="s-1", statement="s-1.7", verdict="hold", revision=a_hold().revision),
        judged("COMMIT", session="s-1", statement="s-1.1", verdict="hold", revision=a_hold().revision),
        judged("SELECT 1", session="s-1", statement="s-1.8"),
    )
    hold = prompt.open_hold(sql=f"{sql};\nCOMMIT", ran=(Ran("s-1.7", sql, "INSERT 0 1"),)).id
    path = tmp_path / "evidence.zip"
    assert prompt("audit", "evidence", hold, "--out", str(path), "--as", "auditor").code == Exit.DONE
    files = _files(path.read_bytes())
    assert f"{sql};\nCOMMIT" in files["index.html"].decode()
    assert "Statement 1 of 1, counts" in files["card.txt"].decode()
    told = prompt(
        "audit", "check-evidence", str(path), "--key", prompt("audit", "key").out, "--json"
    ).document
    assert [(r["kind"], r["statement"]) for r in told["records"]] == [
        *(("session", ""), ("judgement", "s-1.7"), ("judgement", "s-1.1"), ("hold", "s-1.1")),
        ("waiting", "s-1.7"),
    ]
