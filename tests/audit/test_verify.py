"""Whatever is done to a log is found, and its place is named."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from firewall import audit
from firewall.audit import Flaw, StoredRecord, merkle

if TYPE_CHECKING:
    import pytest

ORIGIN = "log.test"
KEY = audit.SigningKey(ORIGIN, bytes(range(32)))


@dataclass(frozen=True)
class Log:
    rows: list[StoredRecord]
    heads: list[str]


def _data(number: int, where: str = "sql") -> bytes:
    fault = audit.Fault(
        id=f"r-{number:04}", at=f"2030-01-01T00:00:00.{number:06}Z", where=where, error="boom"
    )
    return audit.encode(fault)


def _row(index: int, data: bytes, origin: str = ORIGIN) -> StoredRecord:
    return StoredRecord(origin, index, audit.decode(data).id, data, merkle.leaf_hash(data))


def _log(commits: list[int], key: audit.SigningKey = KEY) -> Log:
    """A log whose commits had so many records each."""
    rows: list[StoredRecord] = []
    heads, frontier = [], audit.Frontier()
    for commit in (0, *commits):
        for _ in range(commit):
            rows.append(_row(len(rows), _data(len(rows)), key.name))
            frontier = frontier.append(rows[-1].leaf_hash)
        heads.append(audit.sign_checkpoint(key, audit.Checkpoint(key.name, frontier.size, frontier.root())))
    return Log(rows, heads)


def _found(rows: list[StoredRecord], heads: list[str]) -> list[tuple[Flaw, int, str]]:
    report = audit.verify(rows, heads, [KEY.public])
    assert report.sound is not bool(report.findings)
    assert all(finding.origin == ORIGIN for finding in report.findings)
    return [(finding.flaw, finding.index, finding.id) for finding in report.findings]


def _renumbered(rows: list[StoredRecord]) -> list[StoredRecord]:
    return [replace(row, index=index) for index, row in enumerate(rows)]


SINGLE = _log([1] * 12)
MIXED = _log([3, 1, 5, 2, 1])
COMMITS = st.lists(st.integers(1, 6), min_size=1, max_size=8)


@given(COMMITS)
def test_a_log_as_it_was_signed_is_sound(commits: list[int]) -> None:
    log = _log(commits)
    seen: list[int] = []
    report = audit.verify(log.rows, log.heads, [KEY.public], seen.append)
    assert report.sound
    size = sum(commits)
    assert report.logs == (audit.Proven(ORIGIN, size, size, merkle.root(r.leaf_hash for r in log.rows)),)
    assert seen[-1] == report.records == size
    # the newest head is enough to know that, and heads may come in any order
    assert audit.verify(log.rows, log.heads[-1:], [KEY.public]).sound
    assert audit.verify(log.rows, reversed(log.heads), [KEY.public]).sound


def test_nothing_at_all_is_sound() -> None:
    assert audit.verify([], [], []).sound
    assert audit.verify([], _log([]).heads, [KEY.public]).sound


@given(st.integers(0, 11), st.data())
def test_a_flipped_bit_of_any_column_is_found_there(index: int, data: st.DataObject) -> None:
    for log in (SINGLE, MIXED):
        row = log.rows[index]
        column = data.draw(st.sampled_from(["id", "bytes", "leaf_hash"]))
        value = row.id.encode() if column == "id" else getattr(row, column)
        bit = data.draw(st.integers(0, len(value) * 8 - 1))
        changed = bytearray(value)
        changed[bit // 8] ^= 1 << bit % 8
        new = changed.decode("latin-1") if column == "id" else bytes(changed)
        forged = replace(row, **{column: new})
        rows = [*log.rows[:index], forged, *log.rows[index + 1 :]]
        assert _found(rows, log.heads) == [(Flaw.CHANGED, index, forged.id)]
        assert _found(rows, log.heads[-1:]) == [(Flaw.CHANGED, index, forged.id)]


@given(st.integers(0, 11))
def test_a_record_rewritten_with_its_hash_is_found_in_its_commit(index: int) -> None:
    forged = _row(index, _data(index, where="elsewhere"))
    rows = [*SINGLE.rows[:index], forged, *SINGLE.rows[index + 1 :]]
    assert _found(rows, SINGLE.heads) == [(Flaw.CHANGED, index, forged.id)]
    # with larger commits, the commit is named
    rows = [*MIXED.rows[:index], forged, *MIXED.rows[index + 1 :]]
    start = max(s for s in (0, 3, 4, 9, 11) if s <= index)
    assert _found(rows, MIXED.heads) == [(Flaw.CHANGED, start, rows[start].id)]


@given(st.integers(0, 10), st.integers(1, 11))
def test_dropped_records_are_missing(first: int, many: int) -> None:
    for log in (SINGLE, MIXED):
        rows = log.rows[:first] + log.rows[first + many :]
        flaw = Flaw.MISSING if first + many < len(log.rows) else Flaw.CUT
        assert _found(rows, log.heads) == [(flaw, first, "")]


@given(st.integers(0, 11))
def test_a_dropped_record_is_missed_though_the_rest_is_renumbered(index: int) -> None:
    rows = _renumbered(SINGLE.rows[:index] + SINGLE.rows[index + 1 :])
    found = _found(rows, SINGLE.heads)
    if index == 11:
        assert found == [(Flaw.CUT, 11, "")]
    else:
        assert found == [(Flaw.CHANGED, index, rows[index].id), (Flaw.CUT, 11, "")]


@given(st.integers(0, 11), st.integers(0, 12))
def test_a_row_that_comes_twice_is_found(index: int, place: int) -> None:
    for log in (SINGLE, MIXED):
        rows = log.rows.copy()
        rows.insert(place, rows[index])
        flaws = _found(rows, log.heads)
        if place <= index and place != index:
            # it came too early, and then again
            assert {flaw for flaw, _, _ in flaws} <= {Flaw.DUPLICATED, Flaw.REORDERED}
        assert (Flaw.DUPLICATED, index, log.rows[index].id) in flaws


@given(st.integers(0, 10))
def test_a_record_copied_into_a_new_place_is_found(index: int) -> None:
    rows = _renumbered([*SINGLE.rows[: index + 1], *SINGLE.rows[index:]])
    found = _found(rows, SINGLE.heads)
    assert found[0] == (Flaw.DUPLICATED, index + 1, SINGLE.rows[index].id)
    # under a name of its own it is found as well
    copy = replace(rows[index + 1], id="r-new")
    assert _found([*rows[: index + 1], copy, *rows[index + 2 :]], SINGLE.heads)[0][:2] == (
        Flaw.CHANGED,
        index + 1,
    )


@given(st.permutations(range(12)))
def test_rows_in_another_order_are_found(order: list[int]) -> None:
    for log in (SINGLE, MIXED):
        rows = [log.rows[index] for index in order]
        found = _found(rows, log.heads)
        assert {flaw for flaw, _, _ in found} == ({Flaw.REORDERED} if order != sorted(order) else set())
        # and every record named came behind one that belongs behind it
        for _, index, record in found:
            assert record == log.rows[index].id
            assert any(other > index for other in order[: order.index(index)])


@given(st.integers(0, 10), st.integers(1, 11))
def test_records_that_changed_places_are_found(left: int, right: int) -> None:
    if left >= right:
        return
    rows = SINGLE.rows.copy()
    rows[left], rows[right] = rows[right], rows[left]
    assert _found(_renumbered(rows), SINGLE.heads) == [(Flaw.CHANGED, left, SINGLE.rows[right].id)]
    # within a commit both are named
    log = _log([12])
    assert _found(_renumbered(rows), log.heads) == [(Flaw.REORDERED, left, SINGLE.rows[right].id)]
    assert str(right) in str(audit.verify(_renumbered(rows), log.heads, [KEY.public]).findings[0])


@given(st.integers(0, 11))
def test_a_cut_tail_is_found_with_its_newest_head_kept_elsewhere(size: int) -> None:
    rows = SINGLE.rows[:size]
    assert _found(rows, SINGLE.heads) == [(Flaw.CUT, size, "")]
    # cut together with its heads, it is betrayed by one that was published
    assert _found(rows, [*SINGLE.heads[: size + 1], SINGLE.heads[-1]]) == [(Flaw.CUT, size, "")]


def test_records_behind_the_last_head_are_unsigned() -> None:
    assert _found(SINGLE.rows, SINGLE.heads[:10]) == [(Flaw.UNSIGNED, 9, "r-0009")]
    assert _found(SINGLE.rows, []) == [(Flaw.UNSIGNED, 0, "")]


def test_a_forged_head_is_a_bad_signature() -> None:
    stranger = audit.SigningKey(ORIGIN, bytes(32))
    rows = [*SINGLE.rows[:-1], _row(11, _data(11, "elsewhere"))]
    root = merkle.root(row.leaf_hash for row in rows)
    forged = audit.sign_checkpoint(stranger, audit.Checkpoint(ORIGIN, 12, root))
    assert _found(rows, [*SINGLE.heads[:-1], forged]) == [
        (Flaw.SIGNATURE, 12, ""),
        (Flaw.UNSIGNED, 11, "r-0011"),
    ]
    text, _, signature = SINGLE.heads[-1].rpartition("\n\n")
    edited = text.replace("\n12\n", "\n11\n") + "\n\n" + signature
    assert (Flaw.SIGNATURE, 11, "") in _found(SINGLE.rows[:-1], [edited])


def test_two_heads_of_one_size_are_a_fork() -> None:
    other = _log([1] * 12, KEY).heads
    rows = [*SINGLE.rows[:6], *(_row(i, _data(i, "elsewhere")) for i in range(6, 12))]
    root = merkle.root(row.leaf_hash for row in rows)
    fork = audit.sign_checkpoint(KEY, audit.Checkpoint(ORIGIN, 12, root))
    assert (Flaw.FORKED, 12, "") in _found(SINGLE.rows, [*other, fork])
    # a fork at a size of its own is found by the tree
    assert _found(rows, [SINGLE.heads[8], fork]) == [(Flaw.CHANGED, 0, "r-0000")]
    assert _found(rows, [*SINGLE.heads[:9], fork]) == [(Flaw.CHANGED, 6, "r-0006")]


def test_logs_are_told_apart() -> None:
    second = audit.SigningKey("second.test", bytes(32))
    both = [_log([2, 3]), _log([4], second)]
    rows, heads = [r for log in both for r in log.rows], [h for log in both for h in log.heads]
    assert audit.verify(rows, heads, [KEY.public, second.public]).sound
    lost = audit.verify(both[0].rows, heads, [KEY.public, second.public])
    assert [(f.flaw, f.origin, f.index) for f in lost.findings] == [(Flaw.CUT, "second.test", 0)]
    # a key signs for the log of its own name only
    usurped = audit.sign_checkpoint(second, audit.Checkpoint(ORIGIN, 5, bytes(32)))
    report = audit.verify(both[0].rows, [usurped], [KEY.public, second.public])
    assert [f.flaw for f in report.findings] == [Flaw.SIGNATURE, Flaw.UNSIGNED]


@given(
    st.lists(st.tuples(st.sampled_from("cdxrt"), st.integers(0, 11), st.integers(0, 11)), max_size=4), COMMITS
)
def test_no_mixture_of_changes_passes(changes: list[tuple[str, int, int]], commits: list[int]) -> None:
    log = _log(commits)
    rows = log.rows.copy()
    for what, a, b in changes:
        if not rows:
            break
        i, j = a % len(rows), b % len(rows)
        if what == "c":
            rows[i] = _row(rows[i].index, _data(5000 + b))
        elif what == "d":
            del rows[i]
        elif what == "x":
            rows[i], rows[j] = rows[j], rows[i]
        elif what == "r":
            rows.insert(j, rows[i])
        else:
            rows = rows[:i]
    for kept in (rows, _renumbered(rows)):
        assert audit.verify(kept, log.heads, [KEY.public]).sound is (kept == log.rows)


def test_memory_is_bounded_and_findings_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # `audit.verify` is the function
    module = sys.modules["firewall.audit.verify"]
    monkeypatch.setattr(module, "MEMORY", 3)
    monkeypatch.setattr(module, "MAX_FINDINGS", 2)
    log = _log([1] * 20)
    # record 1 comes after more others than are remembered
    moved = [log.rows[0], *log.rows[2:], log.rows[1]]
    assert _found(moved, log.heads) == [(Flaw.MISSING, 1, ""), (Flaw.REORDERED, 1, "r-0001")]
    report = audit.verify([replace(row, id="x") for row in log.rows], log.heads, [KEY.public])
    assert (len(report.findings), report.more, report.sound) == (2, 18, False)
