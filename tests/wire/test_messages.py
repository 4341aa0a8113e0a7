"""Every message: what is encoded decodes to the same, and malformed bodies are violations, nothing else."""

from __future__ import annotations

import struct
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import wire
from firewall.errors import ProtocolViolation
from firewall.wire import responses
from firewall.wire.body import Body

text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
name = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=20)
data = st.binary(max_size=40)
uint16 = st.integers(0, 0xFFFF)
int16 = st.integers(-0x8000, 0x7FFF)
uint32 = st.integers(0, 0xFFFF_FFFF)
int32 = st.integers(-0x8000_0000, 0x7FFF_FFFF)
formats = st.lists(uint16, max_size=5).map(tuple)
oids = st.lists(uint32, max_size=5).map(tuple)
values = st.lists(st.none() | data, max_size=5).map(tuple)
kind = st.sampled_from("SP")
key = st.binary(min_size=4, max_size=256)
report = st.lists(
    st.tuples(st.characters(min_codepoint=1, max_codepoint=0x7E), text),
    max_size=6,
).map(tuple)
field = st.builds(wire.Field, text, uint32, int16, uint32, int16, int32, uint16)

FRONTEND = {
    wire.Query: st.builds(wire.Query, text),
    wire.Parse: st.builds(wire.Parse, text, text, oids),
    wire.Bind: st.builds(wire.Bind, text, text, formats, values, formats),
    wire.Describe: st.builds(wire.Describe, kind, text),
    wire.Execute: st.builds(wire.Execute, text, int32),
    wire.Close: st.builds(wire.Close, kind, text),
    wire.Flush: st.just(wire.Flush()),
    wire.Sync: st.just(wire.Sync()),
    wire.Terminate: st.just(wire.Terminate()),
    wire.CopyData: st.builds(wire.CopyData, data),
    wire.CopyDone: st.just(wire.CopyDone()),
    wire.CopyFail: st.builds(wire.CopyFail, text),
    wire.FunctionCall: st.builds(wire.FunctionCall, uint32, formats, values, uint16),
    wire.PasswordMessage: st.builds(wire.PasswordMessage, text),
    wire.SASLInitialResponse: st.builds(wire.SASLInitialResponse, text, st.none() | data),
    wire.SASLResponse: st.builds(wire.SASLResponse, data),
}
BACKEND = {
    wire.AuthenticationOk: st.just(wire.AuthenticationOk()),
    wire.AuthenticationCleartextPassword: st.just(wire.AuthenticationCleartextPassword()),
    wire.AuthenticationMD5Password: st.builds(
        wire.AuthenticationMD5Password, st.binary(min_size=4, max_size=4)
    ),
    wire.AuthenticationSASL: st.builds(wire.AuthenticationSASL, st.lists(name, max_size=3).map(tuple)),
    wire.AuthenticationSASLContinue: st.builds(wire.AuthenticationSASLContinue, data),
    wire.AuthenticationSASLFinal: st.builds(wire.AuthenticationSASLFinal, data),
    wire.AuthenticationOther: st.builds(
        wire.AuthenticationOther, int32.filter(lambda k: k not in {0, 3, 5, 10, 11, 12}), data
    ),
    wire.ParameterStatus: st.builds(wire.ParameterStatus, text, text),
    wire.BackendKeyData: st.builds(wire.BackendKeyData, int32, key),
    wire.ReadyForQuery: st.builds(wire.ReadyForQuery, st.sampled_from("ITE")),
    wire.ErrorResponse: st.builds(wire.ErrorResponse, report),
    wire.NoticeResponse: st.builds(wire.NoticeResponse, report),
    wire.RowDescription: st.builds(wire.RowDescription, st.lists(field, max_size=4).map(tuple)),
    wire.DataRow: st.builds(wire.DataRow, values),
    wire.ParameterDescription: st.builds(wire.ParameterDescription, oids),
    wire.CommandComplete: st.builds(wire.CommandComplete, text),
    wire.NegotiateProtocolVersion: st.builds(
        wire.NegotiateProtocolVersion, uint16, st.lists(text, max_size=3).map(tuple)
    ),
    wire.NotificationResponse: st.builds(wire.NotificationResponse, int32, text, text),
    wire.CopyInResponse: st.builds(wire.CopyInResponse, st.integers(0, 255), formats),
    wire.CopyOutResponse: st.builds(wire.CopyOutResponse, st.integers(0, 255), formats),
    wire.CopyBothResponse: st.builds(wire.CopyBothResponse, st.integers(0, 255), formats),
    wire.CopyData: st.builds(wire.CopyData, data),
    wire.CopyDone: st.just(wire.CopyDone()),
    wire.FunctionCallResponse: st.builds(wire.FunctionCallResponse, st.none() | data),
    wire.ParseComplete: st.just(wire.ParseComplete()),
    wire.BindComplete: st.just(wire.BindComplete()),
    wire.CloseComplete: st.just(wire.CloseComplete()),
    wire.NoData: st.just(wire.NoData()),
    wire.EmptyQueryResponse: st.just(wire.EmptyQueryResponse()),
    wire.PortalSuspended: st.just(wire.PortalSuspended()),
}
SASL = {wire.PasswordMessage, wire.SASLInitialResponse, wire.SASLResponse}


def whole(message: bytes) -> wire.Frame:
    (frame,) = wire.Framer(1 << 20).feed(message)
    return frame


def read(decode, given):
    """What is decoded, or the violation: any other exception is a failure."""
    try:
        return decode(given)
    except ProtocolViolation as violation:
        return violation


def test_no_message_is_forgotten():
    assert set(FRONTEND) == set(get_args(wire.FrontendMessage))
    assert set(BACKEND) == set(get_args(wire.BackendMessage))


@given(st.one_of(*FRONTEND.values()))
def test_what_a_frontend_says_is_read_as_said(message):
    frame = whole(message.encode())
    assert type(message).decode(frame.body) == message
    if type(message) not in SASL:
        assert wire.decode_frontend(frame) == message


@given(st.one_of(*BACKEND.values()))
def test_what_a_backend_says_is_read_as_said(message):
    frame = whole(message.encode())
    assert type(message).decode(frame.body) == message
    assert wire.decode_backend(frame) == message


@given(st.one_of(*FRONTEND.values(), *BACKEND.values()))
def test_what_is_read_is_written_as_it_was(message):
    encoded = message.encode()
    assert type(message).decode(whole(encoded).body).encode() == encoded


@given(st.integers(0, 255), st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_violation(code, body):
    frame = wire.Frame(code, struct.pack("!BI", code, len(body) + 4) + body)
    for decode in (wire.decode_frontend, wire.decode_backend):
        message = read(decode, frame)
        if isinstance(message, ProtocolViolation):
            assert message.sqlstate == ("22021" if isinstance(message, wire.TextError) else "08P01")
        else:
            assert type(message).decode(whole(message.encode()).body) == message


@given(
    st.one_of(*FRONTEND.values(), *BACKEND.values()),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=4),
    st.booleans(),
)
def test_a_damaged_message_is_a_message_or_a_violation(message, at, patch, cut):
    body = message.encode()[5:]
    at %= len(body) + 1
    damaged = body[:at] + (b"" if cut else patch + body[at + len(patch) :])
    assert read(type(message).decode, damaged) is not None


@given(st.one_of(*FRONTEND.values(), *BACKEND.values()), st.binary(min_size=1, max_size=3))
def test_bytes_too_many_are_refused(message, more):
    open_ended = {
        *(wire.CopyData, wire.SASLResponse, wire.BackendKeyData, wire.AuthenticationOther),
        *(wire.AuthenticationSASLContinue, wire.AuthenticationSASLFinal),
    }
    if type(message) in open_ended:
        return
    with pytest.raises(ProtocolViolation, match="malformed"):
        type(message).decode(message.encode()[5:] + more)


MALFORMED = {
    "no NUL": (wire.Query, b"select 1"),
    "empty": (wire.Query, b""),
    "after the NUL": (wire.Query, b"select 1\0drop table t\0"),
    "missing second string": (wire.Parse, b"s\0select 1"),
    "more types than bytes": (wire.Parse, b"\0\0\xff\xff\0\0\0\x17"),
    "a type cut short": (wire.Parse, b"\0\0\0\x01\0\0\0"),
    "length -2": (wire.Bind, b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"),
    "length of 2 GB": (wire.Bind, b"\0\0\0\0\0\x01\x7f\xff\xff\xffab\0\0"),
    "65,535 values of nothing": (wire.Bind, b"\0\0\0\0\xff\xff\0\0"),
    "no result formats": (wire.Bind, b"\0\0\0\0\0\0"),
    "neither statement nor portal": (wire.Describe, b"Xs\0"),
    "no kind": (wire.Close, b""),
    "a row count cut short": (wire.Execute, b"\0\0\0"),
    "a body where there is none": (wire.Sync, b"\0"),
    "a status that is none": (wire.ReadyForQuery, b"X"),
    "a key too short": (wire.BackendKeyData, b"\0\0\0\x01abc"),
    "a key too long": (wire.BackendKeyData, b"\0\0\0\x01" + b"k" * 257),
    "more columns than bytes": (wire.RowDescription, b"\xff\xff"),
    "four thousand million options": (wire.NegotiateProtocolVersion, b"\0\3\0\0\xff\xff\xff\xff"),
    "another major version": (wire.NegotiateProtocolVersion, b"\0\4\0\0\0\0\0\0"),
    "no end": (wire.ErrorResponse, b"SERROR\0"),
    "a salt of three": (wire.AuthenticationMD5Password, b"\0\0\0\5abc"),
    "another request": (wire.AuthenticationOk, b"\0\0\0\3"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case):
    message, body = MALFORMED[case]
    with pytest.raises(ProtocolViolation, match=f"malformed `{message.__name__}` message") as caught:
        message.decode(body)
    assert caught.value.sqlstate == "08P01"
    assert not isinstance(caught.value, wire.TextError)


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("length -2", "cannot be -2 bytes long"),
        ("length of 2 GB", "2147483647 bytes expected where 4 are left"),
        ("65,535 values of nothing", "65535 items cannot stand in the 2 bytes left"),
        ("more columns than bytes", "65535 items cannot stand in the 0 bytes left"),
        ("four thousand million options", "4294967295 items cannot stand"),
    ],
)
def test_hostile_counts_and_lengths_are_refused_before_anything_is_made_of_them(case, why):
    message, body = MALFORMED[case]
    with pytest.raises(ProtocolViolation, match=why):
        message.decode(body)


def test_a_cursor_does_not_go_back():
    with pytest.raises(ProtocolViolation, match="-1 bytes expected"):
        Body(b"abc", "Query").take(-1)


@pytest.mark.parametrize(
    "body",
    [b"select '\xff'\0", b"\xc0\x80\0", b"\xed\xa0\x80\0", b"\xf4\x90\x80\x80\0", b"\xe2\x82\0"],
    ids=["no lead byte", "overlong NUL", "surrogate", "past U+10FFFF", "cut short"],
)
def test_text_that_is_not_utf8_leaves_the_framing_intact(body):
    with pytest.raises(wire.TextError, match="not valid UTF-8") as caught:
        wire.decode_frontend(wire.Frame(ord("Q"), struct.pack("!BI", ord("Q"), len(body) + 4) + body))
    assert caught.value.sqlstate == "22021"


def test_text_of_a_server_may_be_in_any_encoding():
    body = b"SFATAL\0C28000\0Mr\xf4le inconnu\0\0"
    assert wire.ErrorResponse.decode(body).message == "r\\xf4le inconnu"


def test_unknown_codes_are_violations():
    for decode in (wire.decode_frontend, wire.decode_backend):
        with pytest.raises(ProtocolViolation, match="message type 33") as caught:
            decode(wire.Frame(ord("!"), b"!\0\0\0\4"))
        assert caught.value.sqlstate == "08P01"


@pytest.mark.parametrize(
    "message",
    [wire.Query("a\0b"), wire.Parse("a\0", ""), wire.CommandComplete("\0"), wire.BackendKeyData(1, b"abc")],
)
def test_what_cannot_be_written_is_a_bug_of_ours(message):
    with pytest.raises(ValueError, match=r"NUL|4 to 256"):
        message.encode()


@pytest.mark.parametrize(
    "message",
    [
        wire.PasswordMessage("hunter2"),
        wire.SASLInitialResponse("SCRAM-SHA-256", b"hunter2"),
        wire.SASLResponse(b"hunter2"),
        wire.BackendKeyData(7, b"hunter2"),
        wire.CancelRequest(7, b"hunter2"),
    ],
)
def test_secrets_do_not_print_themselves(message):  # INVARIANT: 10
    assert "hunter2" not in repr(message)
    assert "hunter2" not in f"{message}"


def test_an_error_of_our_own():
    error = wire.error(sqlstate="42501", message="no\0t\udcff", detail="d", hint="h", position=3)
    assert wire.decode_backend(whole(error.encode())) == error
    assert dict(error.fields) == {
        "S": "ERROR",
        "V": "ERROR",
        "C": "42501",
        "M": "no␀t\\udcff",
        "D": "d",
        "H": "h",
        "P": "3",
    }
    assert (error.severity, error.sqlstate, error.detail, error.hint, error.position) == (
        *("ERROR", "42501", "d", "h"),
        3,
    )
    assert [code for code, _ in wire.notice(message="held").fields] == ["S", "V", "C", "M"]
    assert wire.error(severity="FATAL", sqlstate="57P01", message="").message


def test_severity_is_the_untranslated_one():
    assert wire.ErrorResponse((("S", "FEHLER"), ("V", "ERROR"))).severity == "ERROR"
    assert wire.ErrorResponse((("S", "FEHLER"),)).severity == "FEHLER"
    assert wire.ErrorResponse(()).severity == ""


@pytest.mark.parametrize("said", ["", "x", "²", "-1", "9" * 5000])
def test_a_position_that_is_no_number_is_none(said):
    assert wire.ErrorResponse((("P", said),)).position == 0


def test_fields_are_replaced_in_place_added_and_dropped():
    error = responses.error(sqlstate="42601", message="syntax error", hint="h", position=1)
    changed = error.replace(C="42501", P="", D="more")
    assert changed.fields == (
        *(("S", "ERROR"), ("V", "ERROR"), ("C", "42501"), ("M", "syntax error"), ("H", "h"), ("D", "more")),
    )


@pytest.mark.parametrize(
    ("tag", "rows"),
    [("SELECT 3", 3), ("INSERT 0 7", 7), ("BEGIN", None), ("COPY 0", 0), ("", None), ("X ²", None)],
)
def test_rows_of_a_tag(tag, rows):
    assert wire.CommandComplete(tag).rows == rows


def test_a_bare_minor_version_is_understood():
    assert wire.NegotiateProtocolVersion.decode(b"\0\0\0\2\0\0\0\0") == wire.NegotiateProtocolVersion(2)
