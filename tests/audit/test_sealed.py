"""Values beside their record: what is committed to, what is kept, and what is left when they are erased."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import audit
from firewall.audit import Flaw, Keep, StoredRecord, sealed
from firewall.audit.erased import Gone
from firewall.audit.traces import trace_id, traceparent
from firewall.sql.redacted import redacted

KEY = audit.SigningKey("log.test", bytes(range(32)))
SALT = bytes(range(16))
COMMON = {"id": "r-1", "at": "2030-01-01T00:00:00.000000Z"}
SECRET = "0555-SECRET"
RECORDS: list[audit.Record] = [
    audit.Judgement(
        **COMMON, agent="a", owner="o", database="d", environment="e", role="r", verdict="allow", risk="low",
        enforced=True, rule="", reasons=[], effects=[], relations=[], revision="", catalog="",
        sql=f"SELECT * FROM t WHERE phone = '{SECRET}' -- {SECRET}",
    ),
    audit.HoldOpened(
        **COMMON, agent="a", digest="", rule="", risk="", parameters=[SECRET, None, ""], groups=[], quorum=1,
        requesters=[], expires="", claims=[f"intent: {SECRET}"], impact=[f"ran before: {SECRET}"],
    ),
    audit.Release(**COMMON, agent="a", digest="", leave="rule x", parameters=[SECRET]),
    audit.Outcome(**COMMON, agent="a", tag="", rows=0, bytes=0, micros=0, message=f"no `{SECRET}`"),
    audit.Runs(
        **COMMON, agent="a",
        released=[
            {"number": n, "at": "", "digest": "", "parameters": p} for n, p in enumerate(([], [SECRET]))
        ],
        ended=[{"number": 1, "at": "", "tag": "", "rows": 0, "bytes": 0, "micros": 0, "sqlstate": "",
                "message": SECRET}],
    ),
]  # fmt: skip
KINDS = [record.kind for record in RECORDS]


def _seal(record: audit.Record, keep: Keep = Keep.FULL) -> tuple[bytes, bytes | None]:
    bare, private = sealed.seal(record.model_dump(mode="json"), keep, SALT, redacted)
    return audit.canonical(bare), private


@pytest.mark.parametrize("record", RECORDS, ids=KINDS)
@pytest.mark.parametrize("keep", Keep)
def test_no_value_is_in_a_records_bytes(record: audit.Record, keep: Keep) -> None:
    data, private = _seal(record, keep)
    assert SECRET.encode() not in data
    assert private is not None
    assert sealed.holds(json.loads(data)["sealed"], private)
    assert (SECRET.encode() in private) is (keep is Keep.FULL)
    # without them it is the same record without values, and says so
    bare = audit.decode(data)
    assert bare.sealed.startswith(f"{keep}:")
    assert sealed.withheld(json.loads(data))
    opened = audit.decode(data, private)
    if keep is Keep.FULL:
        assert opened == record
        assert json.loads(sealed.opened(data, private)) == record.model_dump(mode="json")
    else:
        assert opened.sealed == bare.sealed


def test_redacted_values_keep_their_shape() -> None:
    shown = [audit.decode(*_seal(record, Keep.REDACTED)) for record in RECORDS]
    judgement, hold, _, _, runs = shown
    assert isinstance(judgement, audit.Judgement)
    assert judgement.sql == "SELECT * FROM t WHERE phone = $1 "
    assert isinstance(hold, audit.HoldOpened)
    assert hold.parameters == ["…", None, ""]
    assert isinstance(runs, audit.Runs)
    assert [run["parameters"] for run in runs.released] == [[], ["…"]]


@pytest.mark.parametrize("record", RECORDS, ids=KINDS)
@given(data=st.data())
def test_other_values_do_not_pass_for_them(record: audit.Record, data: st.DataObject) -> None:
    for keep in Keep:
        raw, private = _seal(record, keep)
        assert private is not None
        bit = data.draw(st.integers(0, len(private) * 8 - 1))
        changed = bytearray(private)
        changed[bit // 8] ^= 1 << bit % 8
        wrong = [private + b" ", private[:-1], b"", SALT if keep is not Keep.DIGEST else SALT + b"{}"]
        # of a digest only the salt is there: another one is found by whoever has the values
        for other in [*wrong, *([] if keep is Keep.DIGEST else [bytes(changed)])]:
            assert not sealed.holds(json.loads(raw)["sealed"], other)
            with pytest.raises(ValueError, match="not those that it commits to"):
                audit.decode(raw, other)
    assert not sealed.holds("", SALT)
    assert not sealed.holds("other:AAAA", SALT)


def test_whoever_has_the_values_can_show_that_a_digest_is_theirs() -> None:
    raw, salt = _seal(RECORDS[2], Keep.DIGEST)
    values = json.dumps({"parameters": [SECRET]}, separators=(",", ":")).encode()
    assert salt is not None
    assert sealed.commitment(Keep.DIGEST, salt, values) == json.loads(raw)["sealed"]
    assert sealed.commitment(Keep.DIGEST, salt, values + b" ") != json.loads(raw)["sealed"]


def test_a_record_without_values_commits_to_nothing() -> None:
    for record in (
        audit.Fault(**COMMON, where="sql", error="boom"),
        audit.Release(**COMMON, agent="a", digest="", leave="rule x"),
        audit.Outcome(**COMMON, agent="a", tag="SELECT 1", rows=1, bytes=0, micros=0),
        audit.Runs(**COMMON, agent="a", ended=[],
                   released=[{"number": 0, "at": "", "digest": "", "parameters": []}]),
    ):  # fmt: skip
        data, private = _seal(record)
        assert private is None
        assert data == audit.encode(record)


CONSTANTS = [
    f"SELECT '{SECRET}'",
    f"SELECT E'\\n{SECRET}', U&'{SECRET}', $${SECRET}$$, $a${SECRET}$a$",
    f"SELECT 1 /* {SECRET} /* {SECRET} */ */ -- {SECRET}",
    f"SELECT 'a'\n   '{SECRET}'",
    f"DO $$ BEGIN PERFORM '{SECRET}'; END $$",
    f"COPY t FROM STDIN WITH (NULL '{SECRET}')",
    f"SELECT 'né', '{SECRET}'",
    f"SELECT 'open {SECRET}",
    f"SELECT \x00'{SECRET}'",
    "SELECT X'0555', B'0555', 0555, 05.55, 0555e5, 0x0555",
    f"SELECT '{SECRET}'" * 20_000,
]


@pytest.mark.parametrize("text", CONSTANTS, ids=lambda text: text[:30].encode("unicode_escape").decode())
def test_no_constant_survives_redaction(text: str) -> None:
    assert "0555" not in redacted(text)
    assert "SECRET" not in redacted(text)


def test_redaction_leaves_the_rest_as_it_was() -> None:
    assert redacted("") == ""
    text = "SELECT a.\"B c\",\n\t $2::text FROM é.t WHERE x = -1.5 AND y IN ('a', 3) LIMIT $1"
    shown = 'SELECT a."B c",\n\t $2::text FROM é.t WHERE x = -$3 AND y IN ($4, $5) LIMIT $1'
    assert redacted(text) == shown
    assert redacted(shown) == shown


def _log(records: list[audit.Record]) -> tuple[list[StoredRecord], list[str]]:
    rows: list[StoredRecord] = []
    for index, record in enumerate(records):
        data, private = _seal(record)
        rows.append(StoredRecord(KEY.name, index, record.id, data, audit.leaf_hash(data), private))
    frontier = audit.Frontier().extend(row.leaf_hash for row in rows)
    head = audit.Checkpoint(KEY.name, frontier.size, frontier.root())
    return rows, [audit.sign_checkpoint(KEY, head)]


def _releases(many: int, *spans: tuple[int, int]) -> list[audit.Record]:
    made: list[audit.Record] = [
        audit.Release(id=f"r-{n}", at="", agent="a", digest="", leave="", parameters=["v"])
        for n in range(many)
    ]
    erasure = audit.Erasure(
        id="r-e", at="", by="ann", why="asked to", records=0,
        spans=[audit.Span(first=first, last=last) for first, last in spans],
    )  # fmt: skip
    return [*made, erasure]


@given(st.sets(st.integers(0, 19)), st.sets(st.integers(0, 19)))
def test_values_that_are_gone_are_explained_or_found(gone: set[int], left: set[int]) -> None:
    rows, heads = _log(_releases(20, *((index, index) for index in sorted(left))))
    cut = [replace(row, private=None) if row.index in gone else row for row in rows]
    report = audit.verify(cut, heads, [KEY.public])
    assert report.logs[0].erased == len(gone & left)
    missing = sorted(gone - left)
    starts = [index for index in missing if index - 1 not in missing]
    assert [(f.flaw, f.index) for f in report.findings] == [(Flaw.ERASED, index) for index in starts]
    assert report.logs[0].size == 21


def test_changed_and_added_values_are_found() -> None:
    rows, heads = _log(_releases(4))
    assert audit.verify(rows, heads, [KEY.public]).sound
    other = replace(rows[1], private=SALT + b'{"parameters":["w"]}')
    added = replace(rows[4], private=SALT)
    for index, row in ((1, other), (4, added)):
        report = audit.verify([*rows[:index], row, *rows[index + 1 :]], heads, [KEY.public])
        assert [(f.flaw, f.index) for f in report.findings] == [(Flaw.CHANGED, index)]


def test_an_erasure_cannot_be_forged() -> None:
    rows, heads = _log(_releases(4))
    cut = [replace(row, private=None) for row in rows]
    forged = audit.encode(_releases(4, (0, 3))[-1])
    cut[4] = replace(rows[4], bytes=forged, leaf_hash=audit.leaf_hash(forged))
    flaws = {finding.flaw for finding in audit.verify(cut, heads, [KEY.public]).findings}
    assert Flaw.CHANGED in flaws


@given(
    st.sets(st.integers(0, 20_000), max_size=40),
    st.lists(st.tuples(st.integers(-5, 20_000), st.integers(-5, 20_000)), max_size=5),
)
def test_many_gone(indexes: set[int], spans: list[tuple[int, int]]) -> None:
    gone = Gone()
    for index in indexes:
        gone.gone(index)
    gone.leave([{"first": first, "last": last} for first, last in spans])
    excused = {i for i in indexes if any(0 <= first <= i <= last for first, last in spans)}
    assert gone.by_leave() == len(excused)
    left = [start + n for start, many in gone.without_leave() for n in range(many)]
    assert left == sorted(indexes - excused)


@pytest.mark.parametrize("spans", [None, 1, "x", [1], [{}], [{"first": "0", "last": 1}], [{"first": 0}]])
def test_spans_that_are_none_excuse_nothing(spans: Any) -> None:
    gone = Gone()
    gone.gone(0)
    gone.leave(spans)
    assert gone.by_leave() == 0


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_trace_is_read_where_it_is_one() -> None:
    assert trace_id(TRACE) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert traceparent(f"SELECT 1 /*app='x',traceparent='{TRACE}'*/") == TRACE
    assert traceparent("SELECT 1") == ""
    assert traceparent(f"/*traceparent='{TRACE}'*/ SELECT 1 /*traceparent='{TRACE[:-2]}00'*/") == ""


@pytest.mark.parametrize(
    "wrong",
    ["", "x", TRACE.upper(), f"ff{TRACE[2:]}", TRACE[:-1], f"{TRACE}0", TRACE.replace("-", "_"),
     f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01"],
)  # fmt: skip
def test_what_is_no_trace(wrong: str) -> None:
    assert trace_id(wrong) == ""
    assert traceparent(f"SELECT 1 /*traceparent='{wrong}'*/") == ""
