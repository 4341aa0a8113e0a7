"""One record, one byte string, and nothing else is a record."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from firewall import audit

FAULT = audit.Fault(id="r-1", at="2030-01-01T00:00:00.000000Z", where="sql", error="boom")
# what UTF-8 can carry
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def test_bytes_are_sorted_and_bare() -> None:
    assert audit.encode(FAULT) == (
        b'{"at":"2030-01-01T00:00:00.000000Z","error":"boom","hold":"","id":"r-1","kind":"fault",'
        b'"sealed":"","session":"","statement":"","v":1,"where":"sql"}'
    )


@given(
    st.lists(TEXT | st.sampled_from(["\x7f\x1f\b\u2028\ue000\U0001f600", '"\\/', "1234567890123456"])),
    st.integers(-(2**53) + 1, 2**53 - 1),
)
def test_bytes_are_those_of_the_reference(texts: list[str], n: int) -> None:
    run = audit.Run(number=n, at="", digest="", parameters=[*texts, None])
    record = audit.Runs(id="r", at="", agent="a", released=[run], ended=[])
    data = audit.encode(record)
    assert data == rfc8785.dumps(record.model_dump(mode="json"))
    assert audit.decode(data) == record


@given(TEXT, TEXT, st.integers(-(2**53) + 1, 2**53 - 1), st.lists(st.none() | TEXT))
def test_records_come_back_from_their_bytes(a: str, b: str, n: int, parameters: list[str | None]) -> None:
    outcome = audit.Outcome(id=a, at=b, agent=b, tag=a, rows=n, bytes=n, micros=0)
    release = audit.Release(id=a, at=b, agent=a, digest=b, leave="rule x", parameters=parameters)
    for record in (outcome, release):
        data = audit.encode(record)
        assert audit.decode(data) == record
        assert rfc8785.dumps(json.loads(data)) == data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a record"),
        (b"[]", "not a record"),
        (b'{"kind":"fault"}', "id"),
        (b'{"kind":"gossip"}', "gossip"),
        (audit.encode(FAULT) + b" ", "canonical"),
        (audit.encode(FAULT).replace(b"boom", b"\\u0062oom"), "canonical"),
        (audit.encode(FAULT).replace(b'"v":1', b'"v":2'), "v"),
        (audit.encode(FAULT).replace(b'"v":1', b'"v":1,"x":1'), "x"),
    ],
)
def test_other_bytes_are_not_a_record(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match="not a record") as error:
        audit.decode(data)
    assert said in str(error.value)


@pytest.mark.parametrize("bad", [{"rows": 2**53}, {"tag": "\ud800"}])
def test_what_the_form_cannot_hold_is_refused(bad: dict[str, object]) -> None:
    fields = {"id": "r", "at": "", "agent": "", "tag": "", "rows": 0, "bytes": 0, "micros": 0}
    with pytest.raises(ValueError):
        audit.encode(audit.Outcome.model_construct(**{**fields, **bad}))
