"""The one byte string that stands for a record: its JSON in the canonical form of RFC 8785.

Whoever has the record can make the bytes again, in any language, and so check its leaf hash. Bytes that are
not canonical are not a record of this log, even if they parse.
"""

from __future__ import annotations

import rfc8785
from pydantic import ValidationError

from firewall.audit.records import ADAPTER, Record


def encode(record: Record) -> bytes:
    """RFC 8785 bytes (UTF-8, keys sorted, no white space).

    Raises ValueError for what the form cannot hold: a lone surrogate, an integer beyond ±(2**53 - 1).
    """
    return rfc8785.dumps(record.model_dump(mode="json"))


def decode(data: bytes) -> Record:
    """The record that `data` stands for; ValueError if it is none, or its bytes are not canonical."""
    try:
        record = ADAPTER.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"not a record: {where}: {first['msg']}") from None
    if encode(record) != data:
        raise ValueError("not a record: the bytes are not in the canonical form of RFC 8785")
    return record
