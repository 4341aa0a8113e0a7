"""A proof holds for one record in one place of one log, and for nobody's else; in the forms of others too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import audit
from firewall.audit import merkle
from firewall.audit.note import open_checkpoint, open_note
from firewall.audit.proof import parse, parse_tlog, prove_consistency, prove_inclusion

FIXTURES = Path(__file__).parents[2] / "fixtures/audit"
CHECKPOINTS = json.loads((FIXTURES / "checkpoints.json").read_text())
TLOG = json.loads((FIXTURES / "tlog_proofs.json").read_text())
KEY = audit.SigningKey("log.test", bytes(range(32)))
RECORDS = [b'{"kind":"fault","number":%d}' % number for number in range(40)]
LEAVES = [merkle.leaf_hash(record) for record in RECORDS]
SIZES = st.integers(1, len(RECORDS))


def _note(size: int, key: audit.SigningKey = KEY) -> str:
    return audit.sign_checkpoint(key, audit.Checkpoint(key.name, size, merkle.root(LEAVES[:size])))


def _refused(found: audit.Proof, key: audit.SigningKey = KEY) -> bool:
    try:
        found.check([key.public])
    except audit.ProofError:
        return True
    return False


@given(SIZES, st.data())
def test_a_record_is_proven_in_its_place(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    found = prove_inclusion(RECORDS[index], index, LEAVES, _note(size))
    for form in (found, parse(found.to_json()), parse(found.to_tlog())):
        assert form == found
        assert form.check([KEY.public]).size == size
    # the leaf hash alone proves it to whoever has the record
    bare = found.model_copy(update={"record": None})
    assert not _refused(bare)
    assert parse_tlog(bare.to_tlog(), RECORDS[index]) == found
    with pytest.raises(audit.ProofError, match="does not show its record"):
        parse(bare.to_tlog())


@given(SIZES, st.data())
def test_nothing_else_is_proven(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    found = prove_inclusion(RECORDS[index], index, LEAVES, _note(size))
    other = merkle.leaf_hash(b"other")
    encoded = prove_inclusion(b"other", 0, [other], _note(1)).leaf_hash
    wrong: list[dict[str, object]] = [
        {"record": "other"},
        {"record": "other", "leaf_hash": encoded},
        {"record": None, "leaf_hash": encoded},
        {"index": index + 1},
        {"path": [*found.path, encoded]},
        {"record": "\ud800"},
    ]
    wrong += [{"path": [*found.path[:i], encoded, *found.path[i + 1 :]]} for i in range(len(found.path))]
    wrong += [{"checkpoint": _note(n)} for n in {1, size - 1, size + 1, 40} - {0, 41, size}]
    for change in wrong:
        assert _refused(found.model_copy(update=change)), change
    assert _refused(found, audit.SigningKey("log.test", bytes(32)))
    assert _refused(found, audit.SigningKey("other.test", bytes(range(32))))


@given(st.integers(0, 40), st.data())
def test_a_log_continues_what_it_was(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, new))
    found = prove_consistency(LEAVES, _note(old), _note(new))
    assert parse(found.to_json()) == found
    assert [head.size for head in found.check([KEY.public])] == [old, new]
    # a log that was written anew from some record on does not
    if old:
        forged = [*LEAVES[: old - 1], *(merkle.leaf_hash(b"forged %d" % i) for i in range(new - old + 1))]
        head = audit.Checkpoint(KEY.name, new, merkle.root(forged))
        note = audit.sign_checkpoint(KEY, head)
        assert _refused(prove_consistency(forged, _note(old), note))


def test_two_logs_do_not_continue_each_other() -> None:
    second = audit.SigningKey("second.test", bytes(32))
    found = audit.Consistency(old=_note(3), new=_note(3, second), path=[])
    with pytest.raises(audit.ProofError, match="are two logs"):
        found.check([KEY.public, second.public])


def test_what_cannot_be_proven_is_said() -> None:
    with pytest.raises(audit.ProofError, match="there is no record 7 in a log of 7"):
        prove_inclusion(RECORDS[7], 7, LEAVES, _note(7))
    with pytest.raises(audit.ProofError, match="leaf hashes 10 to 15 are missing"):
        prove_consistency(LEAVES[:10], _note(3), _note(40))
    with pytest.raises(audit.ProofError, match="a log of 3 cannot extend one of 5"):
        prove_consistency(LEAVES, _note(5), _note(3))
    with pytest.raises(audit.ProofError, match="not a checkpoint"):
        prove_consistency(LEAVES, "nonsense", _note(3))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"type":"query-firewall/inclusion@v2"}',
        '{"type":"query-firewall/inclusion@v1","leaf_hash":"AAAA","index":0,"path":[],"checkpoint":""}',
        '{"type":"query-firewall/inclusion@v1","leaf_hash":"?","index":0,"path":[],"checkpoint":""}',
        '{"type":"query-firewall/consistency@v1","old":"","new":"","path":[],"more":1}',
    ],
)
def test_what_is_no_proof(text: str) -> None:
    with pytest.raises(audit.ProofError, match="not a proof"):
        parse(text)


@given(st.text(max_size=300))
def test_any_text_is_refused_kindly(text: str) -> None:
    for tried in (text, f"c2sp.org/tlog-proof@v1\n{text}", f"c2sp.org/tlog-proof@v1\nindex 0\n\n{text}"):
        try:
            parse_tlog(tried, b"record").check([KEY.public])
        except audit.ProofError:
            continue
        raise AssertionError(tried)


@pytest.mark.parametrize("case", TLOG["well_formed"].values(), ids=TLOG["well_formed"])
def test_proofs_of_others_are_read_and_written_the_same(case: dict[str, object]) -> None:
    extra = case["extra"]
    record = None if isinstance(extra, str) else b"record"
    found = parse_tlog(str(case["text"]), record)
    assert (found.index, found.path) == (case["index"], case["path"])
    shown = found if isinstance(extra, str) else found.model_copy(update={"record": None})
    assert shown.to_tlog() == case["text"]
    assert _refused(found)


@pytest.mark.parametrize("text", TLOG["malformed"].values(), ids=TLOG["malformed"])
def test_what_others_refuse_is_refused(text: str) -> None:
    with pytest.raises(audit.ProofError, match="tlog-proof"):
        parse_tlog(text, b"record")


@pytest.mark.parametrize("case", CHECKPOINTS["notes"], ids=lambda case: str(case["size"]))
def test_checkpoints_that_another_log_signed(case: dict[str, object]) -> None:
    key = audit.VerifyingKey.parse(CHECKPOINTS["key"])
    text = open_note(str(case["note"]), [key])
    head = audit.Checkpoint.parse(text)
    assert (head.origin, head.size, head.text()) == ("go.sum database tree", case["size"], text)
    with pytest.raises(audit.NoteError, match="does not match"):
        open_note(str(case["note"]).replace(str(case["size"]), "1"), [key])
    # its key has another name than its log, which ours never has
    with pytest.raises(audit.NoteError, match="known key"):
        open_checkpoint(str(case["note"]), [key])
