"""A snapshot as JSON, for `firewall catalog dump` and for explaining statements without a database.

Members that have their default value are left out. What is read back comes from a file that anybody may
have edited, so it is validated, and its version is worked out anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, fields, replace
from typing import Any, Final, Literal

import pydantic

from firewall.catalog.snapshot import (
    Cast,
    Column,
    EventTrigger,
    ForeignKey,
    Function,
    Operator,
    OperatorClass,
    Own,
    Policy,
    Relation,
    Snapshot,
    Trigger,
    Type,
)
from firewall.errors import CatalogError

FORMAT = 1


class _Document(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")  # plain dataclasses inside inherit it

    format: Literal[1]
    snapshot: Snapshot


def dump(snapshot: Snapshot) -> str:
    """The snapshot as a JSON text that `load` reads."""
    document = {"format": FORMAT, "snapshot": snapshot}
    return json.dumps(document, default=_plain, ensure_ascii=False, indent=1) + "\n"


def load(text: str) -> Snapshot:
    """The snapshot that `dump` wrote; `CatalogError` names the first member that is wrong."""
    try:
        snapshot = _Document.model_validate_json(text).snapshot
    except pydantic.ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in wrong["loc"]) or "the file"
        raise CatalogError(
            f"`{where}` in the catalog file: {wrong['msg'].lower()}",
            hint="write the file anew with `firewall catalog dump`",
        ) from None
    return replace(snapshot, version=digest(snapshot))


def digest(snapshot: Snapshot) -> str:
    """Hex SHA-256 of all that a snapshot says, row estimates (which change with every ANALYZE) excepted."""
    constant = [replace(relation, rows=-1.0) for relation in snapshot.relations]
    members = {**_plain(snapshot), "version": "", "relations": constant}
    canonical = json.dumps(members, default=_plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(thing: Any) -> dict[str, Any]:
    """A dataclass as the members that differ from their defaults."""
    return {
        name: value
        for name, default in _MEMBERS[type(thing)]
        if (value := getattr(thing, name)) is not default and value != default
    }


_MEMBERS: Final = {
    kind: tuple((f.name, None if f.default is MISSING else f.default) for f in fields(kind))
    for kind in (
        *(Snapshot, Relation, Column, Trigger, ForeignKey, Policy),
        *(Function, Operator, OperatorClass, Cast, Type, EventTrigger, Own),
    )
}
