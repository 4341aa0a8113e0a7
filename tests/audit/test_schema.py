"""The published schema is that of the code, and records of every kind meet it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from firewall import audit
from firewall.audit import records
from firewall.audit.schema import schema

from .test_sealed import RECORDS

PUBLISHED = Path(__file__).parents[2] / "fixtures/audit/records.schema.json"
KINDS = get_args(get_args(records.Record)[0])


def test_the_published_schema_is_that_of_the_code() -> None:
    assert json.loads(PUBLISHED.read_text()) == schema(), (
        "records changed: run `firewall audit schema > fixtures/audit/records.schema.json`, "
        "and see that records of older versions are still read"
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_is_versioned_and_in_it(kind: type[audit.Record]) -> None:
    fields = schema()["$defs"][kind.__name__]["properties"]
    assert fields["v"]["const"] == 1
    assert {"id", "at", "session", "statement", "hold", "sealed"} <= set(fields)
    # whoever reads the schema is told what it is
    assert schema()["$defs"][kind.__name__]["description"]


def test_records_meet_it() -> None:
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    common = {"id": "r-1", "at": "2030-01-01T00:00:00.000000Z", "by": "ann"}
    past = audit.Past(role="r", fingerprint="0123456789abcdef", sql="SELECT $1", calls=2, through=1)
    bare: list[audit.Record] = [
        audit.Export(**common, form="csv", filter=["agent=a"], count=3),
        audit.Watch(
            **common,
            database="d",
            source="pgaudit",
            roles=["r"],
            since="",
            until="",
            statements=1,
            past=[past],
        ),
    ]
    for record in (*RECORDS, *bare):
        fields = record.model_dump(mode="json")
        validator.validate(fields)
        for wrong in ({"kind": "gossip"}, {"v": 2}, {"more": 1}, {"id": None}):
            assert not validator.is_valid(fields | wrong)


def test_records_of_before_a_field_was_added_are_still_read() -> None:
    fields = RECORDS[0].model_dump(mode="json")
    for name in ("sealed", "trace"):
        del fields[name]
    assert audit.decode(audit.canonical(fields)) == RECORDS[0]
