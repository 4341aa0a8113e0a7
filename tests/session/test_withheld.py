"""Errors of statements under masks: drivers still know what they are, and no value is quoted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from firewall import wire
from firewall.session import withheld

VALUE = "ann@example.com"
codes = st.sampled_from("SVCMDHPpqWstcdnFLR")


@given(st.lists(codes.filter(lambda code: code not in "SVC"), unique=True))
def test_no_field_quotes_a_value(others):
    fields = (("S", "ERROR"), ("V", "ERROR"), ("C", "22P02"), *((code, VALUE) for code in others))
    for told in (
        withheld.error(wire.ErrorResponse(fields)),
        withheld.notice(wire.NoticeResponse(fields)),
    ):
        assert VALUE not in str(told.fields)
        assert (told.severity, told.sqlstate) == ("ERROR", "22P02")
        assert told.message
        assert type(told).decode(told.encode()[5:]) == told


def test_an_sqlstate_that_nobody_knows_is_named():
    told = withheld.error(wire.ErrorResponse((("C", "XY123"), ("M", VALUE))))
    assert "XY123" in told.message
