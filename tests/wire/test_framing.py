"""Cutting: the same frames at any chunking, limits from the header alone, work that grows as the bytes do."""

from __future__ import annotations

import itertools
import struct
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.wire import framing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LIMIT = 64


def raw(code: int, body: bytes) -> bytes:
    return struct.pack("!BI", code, len(body) + 4) + body


def chunked(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def outcome(feed: Callable[[bytes], list], chunks: Iterable[bytes]) -> tuple[list, str]:
    """All that comes out, and the SQLSTATE of the violation that ends it, if one does."""
    out: list = []
    for chunk in chunks:
        try:
            out += feed(chunk)
        except framing.BrokenFraming as broken:
            return out + broken.before, broken.sqlstate
    return out, ""


def joined(pieces: list) -> list:
    """Neighbouring runs made one, as they are when no chunk ends between them."""
    whole: list = []
    for piece in pieces:
        if isinstance(piece, wire.Bulk) and whole and isinstance(whole[-1], wire.Bulk):
            whole[-1] = wire.Bulk(whole[-1].data + piece.data, whole[-1].frames + piece.frames)
        else:
            whole.append(piece)
    return whole


codes = st.sampled_from([ord(code) for code in "QPBSDdCZET"]) | st.integers(0, 255)
frames = st.lists(st.builds(raw, codes, st.binary(max_size=LIMIT - 5)), max_size=12)
cuts = st.lists(st.integers(0, 2000), max_size=30)
streams = st.tuples(frames, st.binary(max_size=12)).map(lambda parts: b"".join(parts[0]) + parts[1])


@given(frames, cuts)
def test_any_chunking_gives_the_same_frames(sent, cuts):  # INVARIANT: 2
    framer = wire.Framer(LIMIT)
    got, broken = outcome(framer.feed, chunked(b"".join(sent), cuts))
    assert [frame.raw for frame in got] == sent
    assert [(frame.code, frame.body) for frame in got] == [(one[0], one[5:]) for one in sent]
    assert (broken, framer.pending) == ("", 0)


@given(streams, cuts)
def test_any_chunking_of_any_bytes_ends_alike(data, cuts):  # INVARIANT: 2
    assert outcome(wire.Framer(LIMIT).feed, chunked(data, cuts)) == outcome(wire.Framer(LIMIT).feed, [data])


@given(streams, cuts)
def test_any_chunking_of_what_a_server_sends_ends_alike(data, cuts):  # INVARIANT: 2
    pieces, broken = outcome(wire.BackendCutter(LIMIT).feed, chunked(data, cuts))
    whole, same = outcome(wire.BackendCutter(LIMIT).feed, [data])
    assert (joined(pieces), broken) == (whole, same)
    assert whole == joined(whole), "a run is as long as it can be"


@given(frames, cuts)
def test_cutter_loses_and_invents_nothing(sent, cuts):
    pieces, broken = outcome(wire.BackendCutter(LIMIT).feed, chunked(b"".join(sent), cuts))
    assert broken == ""
    assert b"".join(
        piece.data if isinstance(piece, wire.Bulk) else piece.raw for piece in pieces
    ) == b"".join(
        sent,
    )
    rows = [one for one in sent if one[0] in b"Dd"]
    assert sum(piece.frames for piece in pieces if isinstance(piece, wire.Bulk)) == len(rows)
    assert [piece.raw for piece in pieces if isinstance(piece, wire.Frame)] == [
        one for one in sent if one[0] not in b"Dd"
    ]


@given(st.binary(max_size=200), st.integers(0, 100))
def test_any_bytes_end_in_frames_or_a_violation(data, limit):
    for feed in (wire.Framer(limit).feed, wire.BackendCutter(limit).feed):
        _, broken = outcome(feed, [data])
        assert broken in {"", "08P01", "54000"}
        assert outcome(feed, [b""]) == ([], broken), "what is broken stays broken"


@pytest.mark.parametrize("cut", [wire.Framer, wire.BackendCutter])
@pytest.mark.parametrize("length", [0, 1, 3, 0x8000_0000, 0xFFFF_FFFF])
@pytest.mark.parametrize("code", b"QD")
def test_a_length_that_cannot_be_is_a_protocol_violation(cut, length, code):
    with pytest.raises(ProtocolViolation, match="invalid message length") as caught:
        cut(1 << 40).feed(struct.pack("!BI", code, length))
    assert caught.value.sqlstate == "08P01"


@pytest.mark.parametrize("cut", [wire.Framer, wire.BackendCutter])
def test_too_long_a_frame_is_refused_by_its_header(cut):
    assert cut(10).feed(raw(ord("Q"), b"12345")) == [(ord("Q"), raw(ord("Q"), b"12345"))]
    cutter = cut(10)
    assert cutter.feed(raw(ord("Q"), b"123456")[:4]) == []
    with pytest.raises(ProtocolViolation, match=r"of 11 bytes .* limit of 10 bytes") as caught:
        cutter.feed(raw(ord("Q"), b"123456")[4:5])
    assert caught.value.sqlstate == "54000"


def test_what_stood_before_the_break_is_not_lost():
    good = wire.Sync().encode()
    with pytest.raises(framing.BrokenFraming) as caught:
        wire.Framer(LIMIT).feed(good + good + b"Q\0\0\0\0")
    assert [frame.raw for frame in caught.value.before] == [good, good]
    row = raw(ord("D"), b"row")
    with pytest.raises(framing.BrokenFraming) as caught:
        wire.BackendCutter(LIMIT).feed(good + row + row + b"D\0\0\0\0")
    assert caught.value.before == [wire.Frame(good[0], good), wire.Bulk(row + row, 2)]


def test_a_row_longer_than_the_limit_passes_as_it_comes():
    cutter = wire.BackendCutter(16)
    row = raw(ord("D"), b"x" * 1000)
    assert cutter.feed(row[:7]) == [wire.Bulk(row[:7], 1)]
    assert cutter.feed(row[7:500]) == [wire.Bulk(row[7:500], 0)]
    assert cutter.pending == 0
    end = raw(ord("C"), b"SELECT 1\0")
    assert cutter.feed(row[500:] + end) == [wire.Bulk(row[500:], 0), wire.Frame(ord("C"), end)]


def test_a_chunk_of_rows_alone_is_passed_on_without_a_copy():
    rows = raw(ord("D"), b"one") * 50
    (run,) = wire.BackendCutter(16).feed(rows)
    assert run.data is rows
    rest = rows[:-1]
    cutter = wire.BackendCutter(16)
    (run,) = cutter.feed(rest)
    assert run.data is rest
    assert run.frames == 50


# a module that is compiled does not look at what a test puts in the place of `bytearray`
interpreted = pytest.mark.skipif(
    framing.COMPILED, reason="copies can be counted in the source's own form only"
)


class Counting(bytearray):
    """A buffer that counts the bytes moved through it."""

    moved = 0

    def __iadd__(self, more):
        Counting.moved += len(more)
        return super().__iadd__(more)

    def __bytes__(self):
        Counting.moved += len(self)
        return bytes(memoryview(self))


@interpreted
@pytest.mark.parametrize("cut", [wire.Framer, wire.BackendCutter])
def test_a_large_frame_in_small_chunks_is_not_quadratic(monkeypatch, cut):
    monkeypatch.setattr(framing, "bytearray", Counting, raising=False)
    Counting.moved = 0
    body = bytes(50_000)
    whole = raw(ord("Q"), body) + wire.Sync().encode()
    cutter = cut(len(whole))
    got = [frame for i in range(len(whole)) for frame in cutter.feed(whole[i : i + 1])]
    assert [frame.raw for frame in got] == [raw(ord("Q"), body), wire.Sync().encode()]
    assert len(whole) <= Counting.moved <= 3 * len(whole)


@interpreted
@pytest.mark.parametrize("size", [1, 5, 7, 100])
def test_many_small_frames_are_not_quadratic(monkeypatch, size):
    monkeypatch.setattr(framing, "bytearray", Counting, raising=False)
    Counting.moved = 0
    whole = wire.Query("select 1").encode() * 2000
    framer = wire.Framer(LIMIT)
    got = [frame for i in range(0, len(whole), size) for frame in framer.feed(whole[i : i + size])]
    assert len(got) == 2000
    assert Counting.moved <= 4 * len(whole)


@pytest.mark.parametrize("cut", [wire.Framer, wire.BackendCutter])
def test_four_times_the_bytes_take_no_sixteen_times_the_work(cut):
    """In either form; the least of a few tries is what the work takes, whoever else uses the machine."""

    def work(size: int) -> float:
        whole = raw(ord("Q"), bytes(size))
        pieces = [whole[i : i + 16] for i in range(0, len(whole), 16)]
        least = float("inf")
        for _ in range(5):
            cutter = cut(len(whole) + 1)
            began = time.process_time()
            got = [frame for piece in pieces for frame in cutter.feed(piece)]
            least = min(least, time.process_time() - began)
            assert len(got) == 1
        return least

    assert work(4_000_000) < 10 * work(1_000_000)
