"""Startup packets: in any chunks, within Postgres's bounds, and the negotiation that libpq tests."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.wire import startup

text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
parameters = st.lists(st.tuples(text.filter(bool), text), max_size=6).map(tuple)
packets = st.one_of(
    st.just(wire.SSLRequest()),
    st.just(wire.GSSENCRequest()),
    st.builds(
        wire.CancelRequest, st.integers(-(1 << 31), (1 << 31) - 1), st.binary(min_size=4, max_size=256)
    ),
    st.builds(wire.StartupMessage, st.just(3), st.integers(0, 0xFFFF), parameters),
)


def packet(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack("!I", len(body) + 4) + body


def read(decode, given):
    try:
        return decode(given)
    except ProtocolViolation as violation:
        return violation


@given(packets)
def test_what_is_encoded_is_decoded(sent):
    assert wire.decode_startup(sent.encode()) == sent


@given(packets, st.binary(max_size=40), st.lists(st.integers(0, 500), max_size=12))
def test_any_chunking_gives_the_same_packet(sent, rest, cuts):  # INVARIANT: 2
    data = sent.encode() + rest
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    framer = wire.StartupFramer()
    for start, end in itertools.pairwise(edges):
        cut = framer.feed(data[start:end])
        if cut is not None:
            assert cut.raw == sent.encode()
            assert cut.rest + data[end:] == rest, "what follows is handed over untouched"
            assert framer.pending == 0
            return
    pytest.fail("the packet never came whole")


@given(st.binary(max_size=80), st.integers(0, 80))
def test_any_bytes_are_a_packet_or_a_violation(data, cut):
    framer = wire.StartupFramer()
    read(framer.feed, data[:cut])
    read(framer.feed, data[cut:])
    read(wire.decode_startup, data)
    decoded = read(wire.decode_startup, packet(b"\0\3\0\0", data))
    assert isinstance(decoded, wire.StartupMessage | ProtocolViolation)


@pytest.mark.parametrize("length", [0, 4, 7, startup.LONGEST_PACKET + 5, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_lengths_out_of_bounds_are_refused_at_once(length):
    framer = wire.StartupFramer()
    prefix = struct.pack("!I", length)
    assert framer.feed(prefix[:3]) is None
    with pytest.raises(ProtocolViolation, match="invalid length of startup packet") as caught:
        framer.feed(prefix[3:])
    assert caught.value.sqlstate == "08P01"


def test_the_longest_packet_passes():
    value = "x" * (startup.LONGEST_PACKET - 4 - len("user\0\0\0"))
    sent = wire.StartupMessage(3, 0, (("user", value),))
    cut = wire.StartupFramer().feed(sent.encode())
    assert isinstance(cut, wire.Packet)
    assert len(cut.raw) == startup.LONGEST_PACKET + 4
    assert wire.decode_startup(cut.raw) == sent
    with pytest.raises(ValueError, match="at most"):
        wire.StartupMessage(3, 0, (("user", value + "x"),)).encode()


def test_direct_tls_is_known_by_its_first_byte():
    hello = b"\x16\x03\x01\x02\x00\x01"
    assert wire.StartupFramer().feed(hello) == wire.DirectTLS(hello)
    assert wire.StartupFramer().feed(hello[:1]) == wire.DirectTLS(hello[:1])


def test_requests_for_encryption_follow_each_other():
    framer = wire.StartupFramer()
    hello = wire.StartupMessage(3, 0, (("user", "a"),))
    data = b"".join(sent.encode() for sent in (wire.GSSENCRequest(), wire.SSLRequest(), hello))
    seen = []
    while data:
        cut = framer.feed(data)
        assert isinstance(cut, wire.Packet)
        seen.append(wire.decode_startup(cut.raw))
        data = cut.rest
    assert seen == [wire.GSSENCRequest(), wire.SSLRequest(), hello]


MALFORMED = {
    "nothing": b"",
    "no code": b"\0\0\0\4",
    "a length that is not its own": b"\0\0\0\x09\0\3\0\0",
    "no terminator": packet(b"\0\3\0\0", b"user\0a\0"),
    "no parameters at all": packet(b"\0\3\0\0"),
    "a name without a value": packet(b"\0\3\0\0", b"user\0"),
    "bytes after the terminator": packet(b"\0\3\0\0", b"user\0a\0\0\0"),
    "a key of three bytes": packet(struct.pack("!HHI", 1234, 5678, 1), b"abc"),
    "a key of 257 bytes": packet(struct.pack("!HHI", 1234, 5678, 1), b"k" * 257),
    "no process": packet(struct.pack("!HH", 1234, 5678)),
    "SSL and more": packet(struct.pack("!HH", 1234, 5679), b"\0"),
    "GSS and more": packet(struct.pack("!HH", 1234, 5680), b"\0"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case):
    with pytest.raises(ProtocolViolation, match="malformed") as caught:
        wire.decode_startup(MALFORMED[case])
    assert caught.value.sqlstate == "08P01"


def test_text_that_is_not_utf8():
    with pytest.raises(wire.TextError):
        wire.decode_startup(packet(b"\0\3\0\0", b"user\0\xff\0\0"))


def test_repeats_are_kept_and_the_last_counts():
    message = wire.StartupMessage(3, 0, (("user", "a"), ("user", "b")))
    assert wire.decode_startup(message.encode()) == message
    assert (message.get("user"), message.get("database")) == ("b", None)


def test_libpq_19_is_told_what_is_not_known():
    asked = wire.StartupMessage(3, 9999, (("user", "a"), ("_pq_.test_protocol_negotiation", "")))
    assert wire.negotiate(asked) == wire.NegotiateProtocolVersion(2, ("_pq_.test_protocol_negotiation",))
    assert wire.agreed_minor(asked) == 2


@pytest.mark.parametrize(
    ("minor", "option", "answer"),
    [
        (0, "user", None),
        (2, "user", None),
        (3, "user", wire.NegotiateProtocolVersion(2)),
        (0, "_pq_.x", wire.NegotiateProtocolVersion(0, ("_pq_.x",))),
        (2, "_pq_.x", wire.NegotiateProtocolVersion(2, ("_pq_.x",))),
    ],
)
def test_negotiation(minor, option, answer):
    assert wire.negotiate(wire.StartupMessage(3, minor, ((option, ""),))) == answer


@pytest.mark.parametrize("code", [(2, 0), (4, 0), (1234, 5677), (0, 0)])
def test_another_major_version_is_not_supported(code):
    message = wire.decode_startup(packet(struct.pack("!HH", *code), b"whatever"))
    assert isinstance(message, wire.StartupMessage)
    with pytest.raises(ProtocolViolation, match=f"`{code[0]}.{code[1]}`") as caught:
        wire.negotiate(message)
    assert caught.value.sqlstate == "0A000"


def test_a_parameter_needs_a_name():
    with pytest.raises(ValueError, match="name"):
        wire.StartupMessage(3, 0, (("", "x"),)).encode()
