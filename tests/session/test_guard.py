"""Rows under masks, at any chunking: masked by their types, and never in part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session import Form, Mask, Masking
from firewall.session.guard import Guard

KEY = b"k" * 32
NULL, LAST, HASH = Mask(Form.NULL), Mask(Form.PARTIAL, last=2), Mask(Form.HASH)
TABLE = 7


def masking(*columns: Mask | None, stored: bool = True) -> Masking:
    """Each masked column is one of TABLE, by its place in the result."""
    places = frozenset((TABLE, n) for n, mask in enumerate(columns, 1) if mask is not None)
    return Masking(columns, places, places if stored else frozenset(), KEY)


def row(*values: bytes | None) -> bytes:
    return wire.DataRow(values).encode()


def described(*oids: int, binary: bool = False, table: int = TABLE) -> wire.Frame:
    fields = tuple(
        wire.Field(name="c", table=table, column=n, type=oid, size=-1, modifier=-1, format=int(binary))
        for n, oid in enumerate(oids, 1)
    )
    return wire.Frame(wire.RowDescription.CODE, wire.RowDescription(fields).encode())


def guard_of(found: Masking, frame: wire.Frame, encoding: str = "UTF8") -> Guard:
    guard = Guard(found)
    guard.described(frame, encoding)
    return guard


def rows_of(data: bytes) -> list[tuple[bytes | None, ...]]:
    return [wire.DataRow.decode(frame.body).values for frame in wire.Framer(1 << 20).feed(data)]


def test_each_column_has_its_mask():
    guard = guard_of(masking(None, LAST, NULL), described(23, 25, 25))
    out = guard.pass_on(row(b"1", b"secret", b"x") + row(None, None, None))
    assert rows_of(out) == [(b"1", b"****et", None), (None, None, None)]


@pytest.mark.parametrize(("binary", "value"), [(False, b"7"), (True, b"\0\0\0\7")])
def test_the_format_of_a_portal_counts(binary, value):
    ((found,),) = rows_of(guard_of(masking(HASH), described(23, binary=binary)).pass_on(row(value)))
    assert found is not None
    number = int.from_bytes(found) if binary else int(found)
    ((other,),) = rows_of(guard_of(masking(HASH), described(23)).pass_on(row(b"7")))
    assert number == int(other or b"")


@pytest.mark.parametrize("mask", [LAST, HASH])
def test_of_what_is_computed_nothing_is_left(mask):
    for found in (
        guard_of(masking(mask), described(25, table=0)),  # an expression
        guard_of(masking(mask, stored=False), described(25)),  # a view, or a copy
    ):
        assert rows_of(found.pass_on(row(b"secret"))) == [(None,)]
    fixed = guard_of(masking(Mask(Form.TEXT, text="hidden")), described(25, table=0))
    assert rows_of(fixed.pass_on(row(b"secret"))) == [(b"hidden",)]


def test_the_same_characters_have_one_hash_in_any_encoding():
    found = {
        rows_of(guard_of(masking(HASH), described(25), name).pass_on(row("é".encode(codec))))[0][0]
        for name, codec in (("UTF8", "utf-8"), ("LATIN1", "latin-1"), ("WIN1252", "cp1252"))
    }
    assert len(found) == 1


@given(st.lists(st.binary(max_size=20), max_size=10), st.integers(1, 17))
def test_any_chunking_gives_the_same(values, size):
    data = b"".join(row(b"id", value) for value in values)

    def passed(chunk: int) -> bytes:
        guard = guard_of(masking(None, LAST), described(25, 25))
        return b"".join(guard.pass_on(data[at : at + chunk]) for at in range(0, len(data), chunk))

    assert passed(size) == passed(max(len(data), 1))


@given(st.binary(min_size=4, max_size=30), st.integers(1, 40))
def test_nothing_of_a_value_passes_before_all_of_it_was_seen(value, cut):
    guard = guard_of(masking(LAST), described(25))
    data = row(value)
    assert guard.pass_on(data[: min(cut, len(data) - 1)]) == b""


@given(st.binary(max_size=60))
def test_what_is_no_row_never_passes(body):
    guard = guard_of(masking(None, NULL), described(25, 25))
    frame = b"D" + (len(body) + 4).to_bytes(4) + body
    try:
        values = wire.DataRow.decode(body).values
    except ProtocolViolation:
        values = ()
    if len(values) == 2:
        assert rows_of(guard.pass_on(frame)) == [(values[0], None)]
        return
    with pytest.raises(ProtocolViolation):
        guard.pass_on(frame)


def test_rows_that_nobody_has_described_do_not_pass():
    with pytest.raises(ProtocolViolation):
        Guard(masking(None)).pass_on(row(b"1"))


@pytest.mark.parametrize(
    ("found", "frame"),
    [
        (masking(LAST), described(25, 25)),  # another number of columns
        (Masking((None, LAST), frozenset({(TABLE, 1)}), frozenset(), KEY), described(25, 25)),  # others
        (Masking((), frozenset({(TABLE, 1)}), frozenset(), KEY), described(25)),  # none was expected
    ],
)
def test_other_columns_than_were_judged_do_not_pass(found, frame):
    with pytest.raises(ProtocolViolation) as caught:
        Guard(found).described(frame, "UTF8")
    assert caught.value.sqlstate == "QF004"


def test_copied_data_is_no_row():
    copied = wire.CopyData(b"secret\n").encode()
    with pytest.raises(ProtocolViolation):
        guard_of(masking(LAST), described(25)).pass_on(copied)
