"""An export that proves itself, and checkpoints as they are published."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import audit
from firewall.audit import lines, published, sealed

KEY = audit.SigningKey("log.test", bytes(range(32)))
DATA = [audit.encode(audit.Fault(id=f"r-{n}", at="", where="né \u2028", error=str(n))) for n in range(5)]
ROWS = [audit.StoredRecord(KEY.name, n, f"r-{n}", data, audit.leaf_hash(data)) for n, data in enumerate(DATA)]
NOTE = audit.sign_checkpoint(
    KEY, audit.Checkpoint(KEY.name, 5, audit.Frontier().extend(row.leaf_hash for row in ROWS).root())
)
EXPORT = [*map(lines.record_line, ROWS), lines.checkpoint_line(NOTE)]


def _verified(data: bytes) -> audit.Report:
    return lines.verify(lambda: BytesIO(data), [], [KEY.public])


def _whole() -> list[bytes]:
    """As `firewall audit export` writes it: the newest head, and behind each record its commit's."""
    fault = {"at": "", "where": "é\u2028", "sealed": ""}
    made, frontier = [], audit.Frontier()
    for n in range(3):
        private = bytes(range(sealed.SALT_BYTES)) + b'{"message":"boom"}' if n == 1 else None
        bare = audit.Fault(id=f"r-{n}", error=str(n), **fault)
        if private:
            salt, values = private[: sealed.SALT_BYTES], private[sealed.SALT_BYTES :]
            commitment = sealed.commitment(sealed.Keep.FULL, salt, values)
            bare = bare.model_copy(update={"sealed": commitment})
        data = audit.encode(bare)
        leaf = audit.leaf_hash(data)
        frontier = frontier.append(leaf)
        head = audit.sign_checkpoint(KEY, audit.Checkpoint(KEY.name, n + 1, frontier.root()))
        made.append(lines.record_line(audit.StoredRecord(KEY.name, n, f"r-{n}", data, leaf, private)))
        made.append(lines.checkpoint_line(head))
    return [line.encode() for line in (made[-1], *made)]


def test_an_export_proves_itself() -> None:
    found = list(lines.read(line.encode() for line in EXPORT))
    assert found == [*ROWS, NOTE]
    with_values = replace(ROWS[0], private=bytes(range(20)))
    assert list(lines.read([lines.record_line(with_values).encode()])) == [with_values]


@given(st.integers(0, sum(map(len, EXPORT)) - 1), st.sampled_from(list('x0"{}\\ \n')))
def test_no_change_of_it_passes(place: int, new: str) -> None:
    text = "".join(EXPORT)
    if text[place] == new:
        return
    changed = text[:place] + new + text[place + 1 :]
    try:
        sound = _verified(changed.encode()).sound
    except ValueError:
        return
    # white space between JSON's tokens says nothing, and a name that is not asked for neither
    same = list(lines.read(line.encode() for line in changed.splitlines())) == [*ROWS, NOTE]
    assert sound is same


def test_a_flipped_bit_of_any_byte_is_found_in_its_record() -> None:
    told = _whole()
    data = b"".join(told)
    assert _verified(data).sound
    same = list(lines.read(BytesIO(data)))
    record = [-1] * len(told[0])
    for number, line in enumerate(told[1:]):
        record += [number // 2 if number % 2 == 0 else -1] * len(line)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        try:
            found = _verified(bytes(changed)).findings
        except ValueError as error:
            assert f"line {data[:place].count(10) + 1} " in str(error)  # noqa: PT017 — most are no error
            continue
        if not found:
            # a name that nobody asks for says nothing
            assert list(lines.read(BytesIO(changed))) == same, place
        elif record[place] >= 0:
            assert any(finding.index == record[place] for finding in found), place


def test_whatever_is_left_out_or_moved_is_found() -> None:
    told = _whole()
    for end in range(1, len(told) - 1):
        cut = _verified(b"".join(told[:end]))
        assert [(one.flaw, one.index) for one in cut.findings] == [(audit.Flaw.CUT, end // 2)]
    for place in (1, 3, 5):
        without = told[:place] + told[place + 1 :]
        flaw = audit.Flaw.CUT if place == 5 else audit.Flaw.MISSING
        assert (flaw, place // 2) in [(f.flaw, f.index) for f in _verified(b"".join(without)).findings]
    swapped = b"".join([told[0], told[3], *told[1:3], *told[4:]])
    assert [(f.flaw, f.index) for f in _verified(swapped).findings] == [(audit.Flaw.REORDERED, 0)]
    # a checkpoint further behind than what it counts is compared all the same
    assert _verified(b"".join([*told[1::2], *told[2::2]])).sound
    fork = audit.sign_checkpoint(KEY, audit.Checkpoint(KEY.name, 2, bytes(32)))
    forked = b"".join([*told, lines.checkpoint_line(fork).encode()])
    assert [(f.flaw, f.index) for f in _verified(forked).findings] == [(audit.Flaw.FORKED, 2)]


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b"nonsense", b'{"checkpoint": 1}', b"\xff", b"1", b"null", b"[" * 10_000,
     b'{"origin": "a", "index": "1", "id": "b", "record": "c"}',
     b'{"origin": "a", "index": -1, "id": "b", "record": "c"}',
     b'{"origin": "a", "index": 1, "id": "b", "record": "c", "private": "?"}'],
    ids=lambda line: line[:40].decode(errors="replace"),
)  # fmt: skip
def test_other_lines_are_refused_with_their_number(line: bytes) -> None:
    with pytest.raises(ValueError, match="line 2 is neither"):
        list(lines.read([EXPORT[0].encode(), line]))


@given(st.lists(st.integers(0, 9), max_size=5))
def test_published_notes_are_told_apart(sizes: list[int]) -> None:
    made = [audit.sign_checkpoint(KEY, audit.Checkpoint(KEY.name, size, bytes(32))) for size in sizes]
    assert published.notes("".join(map(published.joined, made))) == made


def test_a_torn_note_is_no_reason_to_miss_the_others() -> None:
    torn = NOTE[: len(NOTE) // 2]
    found = published.notes(f"{NOTE}\n{torn}\n\n{NOTE}\n")
    assert found[0] == found[-1] == NOTE
    assert len(found) == 3
    report = audit.verify(ROWS, found, [KEY.public])
    assert [finding.flaw for finding in report.findings] == [audit.Flaw.SIGNATURE]
