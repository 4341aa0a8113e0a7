"""Rows under obligations, at any chunking: masked, counted, and never in part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session.guard import Guard, withheld
from firewall.session.masks import Form, Mask

KEY = b"k" * 32
NULL, LAST = Mask(Form.NULL), Mask(Form.PARTIAL, last=2)


def row(*values: bytes | None) -> bytes:
    return wire.DataRow(values).encode()


def field(oid: int, binary: bool = False) -> wire.Field:
    return wire.Field(name="c", table=0, column=0, type=oid, size=-1, modifier=-1, format=int(binary))


def rows_of(data: bytes) -> list[tuple[bytes | None, ...]]:
    return [wire.DataRow.decode(frame.body).values for frame in wire.Framer(1 << 20).feed(data)]


def test_each_column_has_its_mask():
    guard = Guard([None, LAST, NULL], most=None, key=KEY)
    guard.described([field(23), field(25), field(25)])
    out = guard.pass_on(row(b"1", b"secret", b"x") + row(None, None, None))
    assert rows_of(out) == [(b"1", b"****et", None), (None, None, None)]
    assert guard.rows == 2


def test_what_nobody_has_described_is_null():
    assert rows_of(Guard([None, LAST], most=None, key=KEY).pass_on(row(b"1", b"secret"))) == [(b"1", None)]


@pytest.mark.parametrize("formats", [[1, 1], [1]])
def test_formats_that_were_bound_count(formats):
    guard = Guard([Mask(Form.HASH), None], most=None, key=KEY)
    guard.described([field(23), field(25)], formats)
    ((value, _),) = rows_of(guard.pass_on(row(b"\0\0\0\7", b"x")))
    assert value is not None
    assert len(value) == 4


@pytest.mark.parametrize("most", [0, 1, 3, 10])
def test_rows_beyond_the_limit_are_not_passed_on(most):
    guard = Guard([], most=most, key=KEY)
    out = b"".join(guard.pass_on(row(str(n).encode())) for n in range(5))
    assert len(rows_of(out)) == guard.rows == min(most, 5)
    assert guard.exceeded is (most < 5)


@given(st.lists(st.binary(max_size=20), max_size=10), st.integers(1, 17), st.none() | st.integers(0, 12))
def test_any_chunking_gives_the_same(values, size, most):
    data = b"".join(row(b"id", value) for value in values)

    def passed(chunk: int) -> tuple[bytes, int, bool]:
        guard = Guard([None, LAST], most=most, key=KEY)
        guard.described([field(25), field(25)])
        out = b"".join(guard.pass_on(data[at : at + chunk]) for at in range(0, len(data), chunk))
        return out, guard.rows, guard.exceeded

    assert passed(size) == passed(max(len(data), 1))


@given(st.binary(min_size=4, max_size=30), st.integers(1, 40))
def test_nothing_of_a_value_passes_before_all_of_it_was_seen(value, cut):
    guard = Guard([LAST], most=None, key=KEY)
    data = row(value)
    assert guard.pass_on(data[: min(cut, len(data) - 1)]) == b""


def test_other_columns_than_were_judged_end_it():
    with pytest.raises(ProtocolViolation):
        Guard([LAST], most=None, key=KEY).described([field(25), field(25)])
    with pytest.raises(ProtocolViolation):
        Guard([LAST], most=None, key=KEY).pass_on(row(b"a", b"b"))


def test_what_is_no_row_ends_it():
    copied = b"d" + (4 + 1).to_bytes(4, "big") + b"x"
    with pytest.raises(ProtocolViolation):
        Guard([LAST], most=None, key=KEY).pass_on(copied)


def test_an_error_tells_what_kind_it_is_and_quotes_nothing():
    error = wire.error(
        sqlstate="22P02",
        message='invalid input syntax for type integer: "ann@example.com"',
        detail="Key (email)=(ann@example.com) already exists.",
        hint="ann@example.com",
        position=8,
    )
    told = withheld(error)
    assert (told.sqlstate, told.severity, told.position) == ("22P02", "ERROR", 8)
    assert "ann@example.com" not in told.encode().decode()
    assert "withheld" in told.message
