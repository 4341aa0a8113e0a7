"""Values that must be erasable, kept beside the record that commits to them.

A record's bytes are for ever, and so is what is in them. Texts and parameters of statements, and what
Postgres says in an error, are therefore not in them: `sealed` is a commitment to them, a hash with a salt,
and salt and values stand beside the record. Both together can be erased; the tree and every proof stay as
they are, and without the salt nobody can try out what the values were.
"""

from __future__ import annotations

import base64
import hashlib
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SALT_BYTES = 16
# what stands for a redacted parameter
REDACTED = "…"
# kind → fields with values. Of `runs`, see below
_PRIVATE: Mapping[str, tuple[str, ...]] = {
    "judgement": ("sql",),
    "hold": ("claims", "impact", "parameters"),
    "release": ("parameters",),
    "outcome": ("message",),
    "runs": ("messages", "parameters"),
}
# made once: `json.dumps` would make one each time
_encode = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode
_TEXTS = frozenset({"sql", "message"})


class Keep(StrEnum):
    """What is kept of values.

    FULL: as they were. REDACTED: statements without their literals, and how many parameters there were.
    DIGEST: nothing but the commitment and its salt; whoever has the values can show that it was these.
    """

    FULL = "full"
    REDACTED = "redacted"
    DIGEST = "digest"


def seal(
    fields: dict[str, Any], keep: Keep, salt: bytes, redact: Callable[[str], str]
) -> tuple[dict[str, Any], bytes | None]:
    """A record's fields without its values but with a commitment to them, and what stands beside it.

    None where the record has no values. Raises ValueError for values that have no canonical form.
    """
    values = _taken(fields)
    if not _any(values):
        return fields, None
    if keep is Keep.REDACTED:
        values = _redacted(values, redact)
    data = _dump(values)
    bare = _put(fields, {name: _blank(name, value) for name, value in values.items()})
    bare["sealed"] = commitment(keep, salt, data)
    return bare, salt if keep is Keep.DIGEST else salt + data


def commitment(keep: Keep, salt: bytes, values: bytes) -> str:
    """What a record says of its values: how they are kept, and SHA-256(salt || their JSON) in base64."""
    return f"{keep}:{base64.b64encode(hashlib.sha256(salt + values).digest()).decode()}"


def holds(sealed: str, private: bytes) -> bool:
    """Is `private`, which stands beside a record, what its commitment says? Of a digest, it is the salt."""
    salt, values = private[:SALT_BYTES], private[SALT_BYTES:]
    if len(salt) < SALT_BYTES:
        return False
    keep, _, _ = sealed.partition(":")
    if keep == Keep.DIGEST:
        return not values
    return keep in set(Keep) and commitment(Keep(keep), salt, values) == sealed


def unseal(fields: dict[str, Any], private: bytes | None) -> dict[str, Any]:
    """Undo `seal`, as far as the values are there. Raises ValueError if they are not those committed to."""
    sealed = fields.get("sealed", "")
    if private is None:
        return fields
    if not isinstance(sealed, str) or not holds(sealed, private):
        raise ValueError("its values are not those that it commits to")
    return unsealed(fields, private)


def unsealed(fields: dict[str, Any], private: bytes | None) -> dict[str, Any]:
    """The same of a record of which it is known that its values hold."""
    values = b"" if private is None else private[SALT_BYTES:]
    if not values:
        return fields
    sealed = fields["sealed"]
    whole = _put(fields, json.loads(values))
    # a record that has all its values is as it was before it was sealed
    return {**whole, "sealed": ""} if sealed.startswith(f"{Keep.FULL}:") else whole


def opened(data: bytes, private: bytes | None) -> bytes:
    """The record's JSON with its values, as far as they are there. Raises ValueError."""
    return data if private is None else _dump(unseal(json.loads(data), private))


def withheld(fields: Mapping[str, Any]) -> bool:
    """Does the record, unsealed, lack its values: are they erased, or were they never kept?"""
    return bool(fields.get("sealed")) and not _any(_taken(fields))


def without_values(values: bytes) -> bytes:
    """The values of a `runs` record as `seal` redacts them."""
    return _dump({name: _shape(value) for name, value in json.loads(values).items()})


def _taken(fields: Mapping[str, Any]) -> dict[str, Any]:
    if fields["kind"] == "runs":
        return {
            "messages": [end["message"] for end in fields["ended"]],
            "parameters": [run["parameters"] for run in fields["released"]],
        }
    return {name: fields[name] for name in _PRIVATE.get(fields["kind"], ()) if name in fields}


def _put(fields: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    if fields["kind"] != "runs":
        return {**fields, **{name: values[name] for name in _PRIVATE[fields["kind"]] if name in values}}
    pairs = zip(fields["ended"], values["messages"], strict=True)
    released = zip(fields["released"], values["parameters"], strict=True)
    return {
        **fields,
        "ended": [{**end, "message": message} for end, message in pairs],
        "released": [{**run, "parameters": parameters} for run, parameters in released],
    }


def _any(values: Mapping[str, Any]) -> bool:
    """Is there any value? A parameter that is empty is one, a message that is empty is none."""
    parameters = any(one != [] for one in values.get("parameters", ()))
    return parameters or any(any(value) for name, value in values.items() if name != "parameters")


def _blank(name: str, value: Any) -> Any:
    if name in _TEXTS:
        return ""
    if name == "messages":
        return [""] * len(value)
    # of a run's parameters there is a list for each run
    return [[] for _ in value] if any(isinstance(one, list) for one in value) else []


def _redacted(values: Mapping[str, Any], redact: Callable[[str], str]) -> dict[str, Any]:
    return {name: redact(value) if name == "sql" else _shape(value) for name, value in values.items()}


def _shape(value: Any) -> Any:
    if isinstance(value, list):
        return [_shape(one) for one in value]
    return REDACTED if value else value


def _dump(fields: Mapping[str, Any]) -> bytes:
    return _encode(fields).encode()
