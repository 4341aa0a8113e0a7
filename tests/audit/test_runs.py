"""What is written straight is what the models give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import audit
from firewall.audit import Keep, sealed
from firewall.errors import StoreError
from firewall.store import rows

numbers = st.integers(0, 2**53 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
plain = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"\\'), max_size=30)


@given(
    st.lists(st.tuples(numbers, plain, plain, st.lists(st.none() | texts, max_size=3)), max_size=3),
    st.lists(st.tuples(numbers, plain, texts, numbers, numbers, numbers, texts, texts), max_size=3),
    st.tuples(texts, texts, texts, texts, texts),
)
def test_it_has_the_canonical_bytes_of_its_record(
    released: list[tuple[int, str, str, list[str | None]]],
    ended: list[tuple[int, str, str, int, int, int, str, str]],
    names: tuple[str, str, str, str, str],
):
    ident, at, session, statement, agent = names
    record = audit.Runs(
        id=ident,
        at=at,
        session=session,
        statement=statement,
        agent=agent,
        released=[audit.Run(number=n, at=t, digest=d, parameters=p) for n, t, d, p in released],
        ended=[
            audit.End(number=n, at=t, tag=g, rows=r, bytes=b, micros=m, sqlstate=s, message=w)
            for n, t, g, r, b, m, s, w in ended
        ],
    )
    written = audit.runs.runs(
        id=ident,
        at=at,
        session=session,
        statement=statement,
        agent=agent,
        released=[audit.runs.run(n, t, d, p) for n, t, d, p in released],
        ended=[
            audit.runs.end(n, t, tag=g, rows=r, size=b, micros=m, sqlstate=s, message=w)
            for n, t, g, r, b, m, s, w in ended
        ],
    )
    entry = rows.entry(written)
    data, private = entry.columns["bytes"], entry.columns["private"]
    assert audit.decode(data, private) == record
    bare, same = sealed.seal(record.model_dump(mode="json"), Keep.FULL, (private or b"")[:16], str)
    assert (audit.canonical(bare), same) == (data, private)
    assert (written.kind, written.hold) == (record.kind, record.hold)


def test_what_the_form_cannot_hold_is_an_error():
    with pytest.raises(ValueError, match="too large"):
        audit.runs.run(2**53, "", "", [])
    with pytest.raises(ValueError, match="too large"):
        audit.runs.end(1, "", tag="", rows=2**53, size=0, micros=0)
    for session, value in (("\ud800", ""), ("", "\ud800")):
        line = audit.runs.run(0, "", "", [value])
        written = audit.runs.runs(
            id="", at="", session=session, statement="", agent="", released=[line], ended=[]
        )
        with pytest.raises(StoreError, match="surrogates"):
            rows.entry(written)
