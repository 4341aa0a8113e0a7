"""What is written straight is what the models give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import audit

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
    assert written.data == audit.encode(record)
    assert audit.decode(written.data) == record
    assert (written.kind, written.hold) == (record.kind, record.hold)


def test_what_the_form_cannot_hold_is_an_error():
    with pytest.raises(ValueError, match="too large"):
        audit.runs.run(2**53, "", "", [])
    with pytest.raises(ValueError, match="too large"):
        audit.runs.end(1, "", tag="", rows=2**53, size=0, micros=0)
    with pytest.raises(ValueError, match="surrogates"):
        audit.runs.runs(id="", at="", session="\ud800", statement="", agent="", released=[], ended=[])
