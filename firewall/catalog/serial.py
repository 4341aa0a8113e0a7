"""A snapshot as JSON, for `firewall catalog dump` and for explaining statements without a database.

Members that have their default value are left out. What is read back comes from a file that anybody may
have edited, so it is validated, and its version is worked out anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import pydantic

from firewall.catalog.snapshot import (
    Cast,
    Column,
    EventTrigger,
    Extension,
    ForeignKey,
    Function,
    Membership,
    Operator,
    OperatorClass,
    Own,
    Policy,
    Relation,
    Server,
    Snapshot,
    Trigger,
    Type,
)
from firewall.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from hashlib import _Hash as Hash

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


class Begun(NamedTuple):
    """The digest of a snapshot's first relations and functions, to be continued with the rest."""

    relations: int
    of_relations: Hash
    functions: int
    of_functions: Hash


def begin(relations: Sequence[Relation], functions: Sequence[Function]) -> Begun:
    """Of those that many snapshots begin with."""
    return Begun(
        len(relations),
        _continued(hashlib.sha256(), relations),
        len(functions),
        _continued(hashlib.sha256(), functions),
    )


def digest(snapshot: Snapshot, begun: Begun | None = None) -> str:
    """Hex SHA-256 of all that a snapshot says, row estimates (which change with every ANALYZE) excepted.

    `begun` spares the time for what it has begun with; the digest is the same without it.
    """
    begun = begun or begin((), ())
    relations = _continued(begun.of_relations.copy(), snapshot.relations[begun.relations :])
    functions = _continued(begun.of_functions.copy(), snapshot.functions[begun.functions :])
    parts = {"version": "", "relations": relations.hexdigest(), "functions": functions.hexdigest()}
    return hashlib.sha256(_canonical({**_plain(snapshot), **parts})).hexdigest()


def _continued(state: Hash, things: Sequence[Relation | Function]) -> Hash:
    for thing in things:
        state.update(_canonical(replace(thing, rows=-1.0) if isinstance(thing, Relation) else thing))
    return state


def _canonical(thing: object) -> bytes:
    return json.dumps(thing, default=_plain, sort_keys=True, separators=(",", ":")).encode()


def content(thing: Any) -> str:
    """All that a member of a snapshot says, row estimates excepted; equal for equal ones."""
    constant = replace(thing, rows=-1.0) if isinstance(thing, Relation) else thing
    return json.dumps(
        [type(thing).__name__, _plain(constant)], default=_plain, sort_keys=True, separators=(",", ":")
    )


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
        *(Function, Operator, OperatorClass, Cast, Type, EventTrigger, Own, Membership, Extension, Server),
    )
}
