"""The one byte string that stands for a record: its JSON in the canonical form of RFC 8785.

Whoever has the record can make the bytes again, in any language, and so check its leaf hash. Bytes that are
not canonical are not a record of this log, even if they parse.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import rfc8785
from pydantic import ValidationError

from firewall.audit import sealed
from firewall.audit.records import ADAPTER, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the standard library writes in C is the canonical form wherever it agrees with RFC 8785. Keys are
# ASCII (field names; code points sort as UTF-16 does), escapes are the short ones and lower case (3.2.2.2),
# and there are no floats. Integers of 16 digits and more may be too large (3.2.2.3): then the library looks.
_dumps = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode
_LARGE = re.compile(rb"[:,\[]-?\d{16}")


def encode(record: Record) -> bytes:
    """RFC 8785 bytes (UTF-8, keys sorted, no white space).

    Raises ValueError for what the form cannot hold: a lone surrogate, an integer beyond ±(2**53 - 1).
    """
    return canonical(record.model_dump(mode="json"))


def canonical(fields: Mapping[str, Any]) -> bytes:
    """The same of a record that is dumped already: strings, integers, booleans, lists and maps."""
    data = _dumps(fields).encode()
    return rfc8785.dumps(dict(fields)) if _LARGE.search(data) else data


def decode(data: bytes, private: bytes | None = None) -> Record:
    """The record that `data` stands for; ValueError if it is none, or its bytes are not canonical.

    private: what stands beside it; without that, its values are empty.
    """
    try:
        fields = json.loads(data, parse_float=_no_float)
        same = isinstance(fields, dict) and canonical(fields) == data
        record = ADAPTER.validate_python(sealed.unseal(fields, private) if same else fields)
    except RecursionError:
        raise ValueError("not a record: it is nested too deeply") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"not a record: {where}: {first['msg']}") from None
    except ValueError as error:
        raise ValueError(f"not a record: {error}") from None
    if not same:
        raise ValueError("not a record: the bytes are not in the canonical form of RFC 8785")
    return record


def _no_float(text: str) -> float:
    raise ValueError(f"`{text[:40]}` is not an integer")
