"""An export that proves itself, and checkpoints as they are published."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import audit
from firewall.audit import lines, published

KEY = audit.SigningKey("log.test", bytes(range(32)))
DATA = [audit.encode(audit.Fault(id=f"r-{n}", at="", where="né \u2028", error=str(n))) for n in range(5)]
ROWS = [audit.StoredRecord(KEY.name, n, f"r-{n}", data, audit.leaf_hash(data)) for n, data in enumerate(DATA)]
NOTE = audit.sign_checkpoint(
    KEY, audit.Checkpoint(KEY.name, 5, audit.Frontier().extend(row.leaf_hash for row in ROWS).root())
)
EXPORT = [*map(lines.record_line, ROWS), lines.checkpoint_line(NOTE)]


def _verified(text: str) -> audit.Report:
    found = list(lines.read(line.encode() for line in text.splitlines()))
    rows = [one for one in found if not isinstance(one, str)]
    return audit.verify(rows, [one for one in found if isinstance(one, str)], [KEY.public])


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
        sound = _verified(changed).sound
    except ValueError:
        return
    # white space between JSON's tokens says nothing, and a name that is not asked for neither
    same = list(lines.read(line.encode() for line in changed.splitlines())) == [*ROWS, NOTE]
    assert sound is same


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
