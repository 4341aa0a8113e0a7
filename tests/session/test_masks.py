"""Masks by form, type and format: what they keep, what they hide, and that both formats say the same."""

from __future__ import annotations

from datetime import date
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.pq import Format

from firewall.session.masks import DIGITS, Form, Mask, masker

KEY = bytes(range(32))
TEXT, VARCHAR, CHAR, INT2, INT4, INT8, UUID_, DATE, BYTEA = 25, 1043, 1042, 21, 23, 20, 2950, 1082, 17
HASH = Mask(Form.HASH)


def masked(mask: Mask, oid: int, value: bytes, *, binary: bool = False) -> bytes | None:
    return masker(mask, oid, binary=binary, key=KEY)(value)


def loaded(value: bytes | None, oid: int, *, binary: bool) -> object:
    if value is None:
        return None
    loader = psycopg.adapters.get_loader(oid, Format.BINARY if binary else Format.TEXT)
    assert loader is not None
    return loader(oid).load(value)


@pytest.mark.parametrize("oid", [TEXT, INT4, UUID_, DATE, BYTEA, 0])
@pytest.mark.parametrize("binary", [True, False])
def test_null_is_null_of_every_type(oid, binary):
    assert masked(Mask(Form.NULL), oid, b"anything", binary=binary) is None


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("oid", [BYTEA, 0, 1700, 114, 3802, 1184, 16, 999999])
def test_a_type_that_cannot_show_it_becomes_null(form, oid):
    mask = Mask(form, text="x", first=9, last=9)
    for binary in (True, False):
        assert masked(mask, oid, b"12345678", binary=binary) is None


def test_a_text_stands_for_every_value():
    assert {masked(Mask(Form.TEXT, text="hidden"), TEXT, v) for v in (b"a", b"", b"bcd")} == {b"hidden"}
    assert masked(Mask(Form.TEXT, text="hidden"), INT4, b"7") is None


@pytest.mark.parametrize(
    ("value", "first", "last", "shown"),
    [
        ("4111111111111111", 0, 4, "************1111"),
        ("4111111111111111", 6, 4, "411111******1111"),
        ("ann@example.com", 1, 0, "a**************"),
        ("1234", 0, 4, "****"),
        ("12", 2, 2, "**"),
        ("", 1, 1, ""),
        ("žluťoučký", 1, 1, "ž*******ý"),
    ],
)
def test_some_characters_stay(value, first, last, shown):
    mask = Mask(Form.PARTIAL, first=first, last=last)
    for oid in (TEXT, VARCHAR):
        for binary in (True, False):
            assert masked(mask, oid, value.encode(), binary=binary) == shown.encode()


@given(st.text(max_size=30), st.integers(0, 20), st.integers(0, 20))
def test_a_part_never_is_the_whole(value, first, last):
    shown = masked(Mask(Form.PARTIAL, first=first, last=last), TEXT, value.encode())
    assert shown is not None
    assert len(shown.decode()) == len(value)
    if value.strip("*"):
        hidden = len(value) - first - last
        assert shown.decode() != value or set(value[first : first + max(hidden, 0)]) <= {"*"}


def test_what_is_not_of_the_encoding_is_null():
    assert masked(Mask(Form.PARTIAL, first=1), TEXT, b"\xff\xfe") is None


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_equal_texts_stay_equal_and_no_others(one, other):
    first, second = masked(HASH, TEXT, one), masked(HASH, VARCHAR, other, binary=True)
    assert first is not None
    assert len(first) == DIGITS
    assert (first == second) is (one == other)


def test_padding_is_no_part_of_a_value():
    assert masked(HASH, CHAR, b"ab   ") == masked(HASH, TEXT, b"ab")


def test_another_key_is_another_hash():
    assert masker(HASH, TEXT, binary=False, key=b"other")(b"a") != masked(HASH, TEXT, b"a")


@pytest.mark.parametrize(("oid", "width"), [(INT2, 2), (INT4, 4), (INT8, 8)])
@given(data=st.data())
def test_numbers_stay_numbers_of_their_type_in_both_formats(oid, width, data):
    number = data.draw(st.integers(-(1 << (8 * width - 1)), (1 << (8 * width - 1)) - 1))
    text = masked(HASH, oid, str(number).encode())
    binary = masked(HASH, oid, number.to_bytes(width, "big", signed=True), binary=True)
    assert text is not None
    assert loaded(text, oid, binary=False) == loaded(binary, oid, binary=True) == int(text)
    assert 0 <= int(text) < 1 << (8 * width - 1)


@pytest.mark.parametrize("value", [b"", b"\0", b"\0" * 9])
def test_a_number_of_a_wrong_length_is_null(value):
    assert masked(HASH, INT4, value, binary=True) is None
    assert masked(HASH, INT4, b"no number") is None


def test_uuids_stay_uuids_in_both_formats():
    value = uuid4()
    text = masked(HASH, UUID_, str(value).encode())
    binary = masked(HASH, UUID_, value.bytes, binary=True)
    assert loaded(text, UUID_, binary=False) == loaded(binary, UUID_, binary=True) != value
    assert isinstance(loaded(text, UUID_, binary=False), UUID)
    assert masked(HASH, UUID_, b"no uuid") is None
    assert masked(HASH, UUID_, b"short", binary=True) is None


@given(st.dates())
def test_of_a_date_the_year_stays(value):
    mask = Mask(Form.PARTIAL, first=4)
    first = date(value.year, 1, 1)
    raw = (value - date(2000, 1, 1)).days.to_bytes(4, "big", signed=True)
    assert loaded(masked(mask, DATE, raw, binary=True), DATE, binary=True) == first
    assert masked(mask, DATE, value.isoformat().encode()) == first.isoformat().encode()


@pytest.mark.parametrize("value", [b"infinity", b"03/05/1980", b"1980-05-03 BC", b"12345-01-01"])
def test_a_date_of_another_style_is_null(value):
    assert masked(Mask(Form.PARTIAL, first=4), DATE, value) is None


@pytest.mark.parametrize("raw", [b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\0\0"])
def test_a_binary_date_without_a_year_is_null(raw):
    assert masked(Mask(Form.PARTIAL, first=4), DATE, raw, binary=True) is None
    assert masked(Mask(Form.PARTIAL, first=3), DATE, b"1980-05-03") is None
    assert masked(Mask(Form.PARTIAL, first=4, last=2), DATE, b"1980-05-03") is None
