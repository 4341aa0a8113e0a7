"""COPY's data under masks: values are told apart as they were written, at any cut; what is not is stopped."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.session.copied import SIGNATURE, Binary, Copied, Copying, Format
from firewall.session.copied_lines import Lines

HEAD = SIGNATURE + bytes(8)
CSV = Copying("q", Format.CSV, delimiter=",", null="")
TEXT = Copying("q", Format.TEXT)
HOSTILE = st.text(alphabet="ab\\N\n\r\t\b\f\v.,;\"'|", max_size=6)


def fixed(_: bytes) -> bytes | None:
    return b"m"


def hidden(_: bytes) -> bytes | None:
    return None


def same(value: bytes) -> bytes | None:
    return value


def copied(copying: Copying, *maskers, most: int = 1 << 20) -> Copied:
    names = tuple(f"c{n}" for n in range(1, len(maskers) + 1))
    rows = Binary(maskers) if copying.format is Format.BINARY else Lines(copying, maskers, names, "utf-8")
    return Copied(rows, most)


def passed(copying: Copying, data: bytes, *maskers, size: int = 0) -> bytes:
    """All of it, cut into CopyData of that size; as one stream again."""
    found = copied(copying, *maskers)
    size = size or max(len(data), 1)
    sent = b"".join(found.pass_on(data[at : at + size]) for at in range(0, len(data), size))
    found.end()
    return b"".join(wire.CopyData.decode(frame.body).data for frame in wire.Framer(1 << 20).feed(sent))


def escaped(value: str | None) -> str:
    """A value as text format writes it."""
    if value is None:
        return r"\N"
    value = value.replace("\\", "\\\\")
    for char, letter in zip("\b\f\n\r\t\v", "bfnrtv", strict=True):
        value = value.replace(char, f"\\{letter}")
    return value


def quoted(values: tuple[str | None, ...]) -> str:
    return ",".join("" if v is None else '"' + v.replace('"', '""') + '"' for v in values)


@given(st.lists(st.tuples(st.none() | HOSTILE, st.none() | HOSTILE), max_size=4), st.integers(1, 9))
def test_values_of_text_are_found_at_any_cut(rows, size):
    data = "".join(f"{escaped(a)}\t{escaped(b)}\n" for a, b in rows).encode()
    expected = "".join(f"{escaped(a)}\t{escaped(b if b is None else 'm')}\n" for a, b in rows)
    assert passed(TEXT, data, None, fixed, size=size).decode() == expected
    assert passed(TEXT, data, same, same, size=size) == data


@given(st.lists(st.tuples(st.none() | HOSTILE, st.none() | HOSTILE), max_size=4), st.integers(1, 9))
def test_values_of_csv_are_found_at_any_cut(rows, size):
    data = "".join(f"{quoted(row)}\n" for row in rows).encode()
    expected = "".join(f"{quoted((a, b if b is None else 'm'))}\n" for a, b in rows)
    assert passed(CSV, data, None, fixed, size=size).decode() == expected
    assert passed(CSV, data, same, same, size=size) == data


@given(st.lists(HOSTILE, min_size=2, max_size=2), st.sampled_from('"\\,'))
def test_what_is_written_into_csv_is_read_as_it_was(values, escape):
    copying = Copying("q", Format.CSV, delimiter=",", null="nil", escape=escape)
    first, second = (value.encode() for value in values)
    sent = passed(copying, b"x,y\n", lambda _: first, lambda _: second)
    if escape == '"':
        assert next(csv.reader(io.StringIO(sent.decode(), newline=""), strict=True)) == values
    seen = []
    passed(copying, sent, seen.append, seen.append)
    assert seen == [first, second]


@given(st.lists(st.none() | st.binary(max_size=5), max_size=5), st.integers(1, 20))
def test_values_of_binary_are_found_at_any_cut(values, size):
    def row(*given: bytes | None) -> bytes:
        return wire.DataRow(given).encode()[5:]

    data = HEAD + b"".join(row(b"id", value) for value in values) + b"\xff\xff"
    expected = HEAD + b"".join(row(b"id", value and None) for value in values) + b"\xff\xff"
    if b"" not in values:
        assert passed(Copying("q", Format.BINARY), data, None, hidden, size=size) == expected
    assert passed(Copying("q", Format.BINARY), data, same, same, size=size) == data


@pytest.mark.parametrize(
    ("copying", "data", "sent"),
    [
        (TEXT, b"\\N\n", b"\\N\n"),
        (Copying("q", Format.TEXT, null=""), b"\nx\n", b"m\nm\n"),  # NULL, or a value
        (Copying("q", Format.TEXT, header=True), b"c1\nc1\n", b"c1\nm\n"),
        (CSV, b'\n""\n"x"\nx\n', b'\n"m"\n"m"\nm\n'),
        (Copying("q", Format.CSV, null="m"), b"x\nm\n", b'"m"\nm\n'),  # what looks like NULL has quotes
        (Copying("q", Format.CSV, quote="m", escape="m"), b"x\n", b"mmmm\n"),
    ],
)
def test_null_stays_null_and_nothing_else_does(copying, data, sent):
    assert passed(copying, data, fixed) == sent


def test_what_ends_a_file_is_quoted():
    assert passed(CSV, b"x\n", lambda _: b"\\.") == b'"\\."\n'


@pytest.mark.parametrize(
    ("copying", "data"),
    [
        (TEXT, b"a\tb\n"),
        (TEXT, b"a"),
        (TEXT, b"a\\\n"),
        (CSV, b'"a\n'),
        (CSV, b'"a"b\n'),
        (CSV, b"a\r\n"),
        (Copying("q", Format.TEXT, header=True), b"secret\n"),
        (Copying("q", Format.BINARY), b"secret\n"),
        (Copying("q", Format.BINARY), SIGNATURE + bytes(7) + b"\1"),
        (Copying("q", Format.BINARY), HEAD + b"\0\1\xff\xff\xff\xff"),
        (Copying("q", Format.BINARY), HEAD + b"\0\1\xff\xff\xff\xfe\xff\xff"),
        (Copying("q", Format.BINARY), HEAD + b"\0\2\xff\xff\xff\xff"),
        (Copying("q", Format.BINARY), HEAD + b"\xff\xffx"),
        (Copying("q", Format.BINARY), b""),
    ],
)
def test_what_is_not_as_judged_does_not_pass(copying, data):
    with pytest.raises(ProtocolViolation):
        passed(copying, data, fixed)


def test_of_a_row_only_so_much_is_kept():
    found = copied(TEXT, fixed, most=10)
    with pytest.raises(ProtocolViolation):
        found.pass_on(b"x" * 11)
