"""Between rows and the values that the rest of the firewall works with."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from firewall import audit, clock
from firewall.approval import Grant, Hold, State, Vote
from firewall.audit import sealed, traces
from firewall.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Row

_GRANT = TypeAdapter(Grant)
_HOLD = TypeAdapter(Hold)
_VOTES = TypeAdapter(tuple[Vote, ...])
# what is searched by is cut there: Postgres indexes no more than a third of a page (manual 64.1.4)
MAX_SEARCHED = 500
# columns that say something of judgements only
_OF_JUDGEMENTS = ("verdict", "text", "owner", "database", "rule")


@dataclass(frozen=True, slots=True)
class Entry:
    """A record ready to be written: everything but its place in the log."""

    columns: dict[str, str | bytes | None]
    relations: tuple[dict[str, str], ...]
    facets: tuple[dict[str, str], ...]
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement as search finds it, with what came of it as far as that is known."""

    origin: str
    index: int
    record: audit.Judgement
    outcome: audit.Outcome | None = None
    refusal: audit.Refusal | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a search. older: the record that the next one goes on from, absent on the last one.

    A page may be short, or empty, and have an `older` all the same: so far was looked, and not further.
    """

    found: list[Judged]
    older: str | None


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent as the store knows it. `verifier` is its SCRAM verifier; times are RFC 3339.

    certificate: the name in a client certificate that opens the door as well; empty for none.
    """

    name: str
    owner: str
    team: str
    issuer: str
    verifier: str
    disabled: bool
    created_at: str
    valid_until: str | None = None
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A person's bearer token, by its hash."""

    token_hash: str
    person: str
    issuer: str
    created_at: str
    revoked: bool


def entry(record: audit.Record | audit.Written, keep: audit.Keep = audit.Keep.FULL) -> Entry:
    """Make a record ready; StoreError if it has no canonical bytes (it is then not stored at all)."""
    if isinstance(record, audit.Written):
        return _written(record, keep)
    try:
        fields = record.model_dump(mode="json")
        public, beside = sealed.seal(fields, keep, secrets.token_bytes(sealed.SALT_BYTES), redacted)
        data = audit.canonical(public)
    except ValueError as error:
        raise StoreError(f"a {record.kind} record cannot be written: {error}") from error
    # what is not kept is not searched by
    shown = fields if keep is audit.Keep.FULL else sealed.unseal(public, beside)
    columns, relations, facets = searchable(shown)
    leaf = audit.leaf_hash(data)
    key = {"record": record.id, "at": record.at}
    return Entry(
        {**columns, "leaf_hash": leaf, "bytes": data, "private": beside},
        tuple({**key, "relation": name, "name": bare(name)} for name in relations),
        tuple({**key, "facet": facet, "value": value} for facet, value in facets),
        leaf,
    )


def redacted(text: str) -> str:
    """A statement without its constants."""
    from firewall.sql.redacted import redacted as without  # noqa: PLC0415 — the grammar; few ask for it

    return without(text)


def _written(record: audit.Written, keep: audit.Keep) -> Entry:
    private, commitment = _sealed(record, keep)
    try:
        data = f"{record.before}{commitment}{record.after}".encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"a {record.kind} record cannot be written: {error}") from error
    columns: dict[str, str | bytes | None] = {
        "id": record.id,
        "kind": record.kind,
        "at": record.at,
        "session": _searched(record.session),
        "statement": _searched(record.statement),
        "hold": _searched(record.hold),
        "agent": _searched(record.agent),
        **dict.fromkeys(_OF_JUDGEMENTS, ""),
        "trace": "",
    }
    leaf = audit.leaf_hash(data)
    return Entry({**columns, "leaf_hash": leaf, "bytes": data, "private": private}, (), (), leaf)


def _sealed(record: audit.Written, keep: audit.Keep) -> tuple[bytes | None, str]:
    """What stands beside the record, and its commitment to that."""
    if not record.values:
        return None, ""
    salt = secrets.token_bytes(sealed.SALT_BYTES)
    try:
        values = record.values.encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"a {record.kind} record cannot be written: {error}") from error
    if keep is audit.Keep.REDACTED:
        values = sealed.without_values(values)
    private = salt if keep is audit.Keep.DIGEST else salt + values
    return private, sealed.commitment(keep, salt, values)


def searchable(
    fields: Mapping[str, Any],
) -> tuple[dict[str, str], tuple[str, ...], tuple[tuple[str, str], ...]]:
    """What a record is found by, from its canonical JSON: columns of `records`, relations, facets."""
    judged = fields["kind"] == "judgement"
    columns = {
        "id": fields["id"],
        "kind": fields["kind"],
        "at": fields["at"],
        "session": _searched(fields["session"]),
        "statement": _searched(fields["statement"]),
        "hold": _searched(fields["hold"]),
        "agent": _searched(fields.get("agent", "")),
        "verdict": fields["verdict"] if judged else "",
        "text": _storable(fields["sql"]) if judged else "",
        **{name: _searched(fields[name]) if judged else "" for name in ("owner", "database", "rule")},
        "trace": traces.trace_id(fields.get("trace", "")),
    }
    relations = tuple(dict.fromkeys(_searched(name) for name in fields["relations"])) if judged else ()
    return columns, relations, tuple(dict.fromkeys(_facets(fields)))


def _facets(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if fields["kind"] == "judgement":
        for effect in fields["effects"]:
            yield "effect", _searched(effect["kind"])
            for label in effect["labels"]:
                yield "label", _searched(label)
        for label in fields["labels"]:
            yield "label", _searched(label)
    elif fields["kind"] == "decision":
        for person in fields["by"]:
            yield "by", _searched(person)


def misfiled(
    row: Row[Any],
    inside: audit.Inside,
    relations: Collection[str],
    facets: Collection[tuple[str, str]] = (),
) -> list[str]:
    """The columns by which a record is found that do not say what its bytes say; empty for other bytes."""
    if not inside.holds:
        # found as such: there is nothing to compare with
        return []
    fields = inside.fields
    try:
        # of values, search has the statement alone
        whole = sealed.unsealed(fields, row.private) if fields["kind"] == "judgement" else fields
        columns, named, found = searchable(whole)
    except (ValueError, KeyError, TypeError, AttributeError):
        # no record of this version: its place in the tree is looked at elsewhere
        return []
    wrong = [name for name, value in columns.items() if getattr(row, name) != value]
    if set(named) != set(relations):
        wrong.append("relations")
    if set(found) != set(facets):
        wrong.append("facets")
    return wrong


def bare(relation: str) -> str:
    """The name without its schema: `customers` of `public.customers`."""
    return relation.rpartition(".")[2]


def stored(row: Row[Any]) -> audit.StoredRecord:
    """A row of origin, idx, id, bytes, leaf_hash, private, exactly as it stands: nothing is checked here."""
    return audit.StoredRecord(
        row.origin, row.idx, row.id, bytes(row.bytes), bytes(row.leaf_hash), private(row)
    )


def private(row: Row[Any]) -> bytes | None:
    """What stands beside a record."""
    return None if row.private is None else bytes(row.private)


def record(row: Row[Any]) -> audit.Record:
    """The record that a row's bytes stand for, with its values as far as they are there."""
    try:
        return audit.decode(bytes(row.bytes), private(row))
    except ValueError as error:
        raise StoreError(
            f"record `{row.id}` is damaged: {error}", hint="`firewall audit verify` says what else is"
        ) from error


def hold_columns(hold: Hold) -> dict[str, str | bool]:
    """A hold as a row."""
    try:
        body = _HOLD.dump_json(hold).decode()
        votes = votes_text(hold.votes)
    except PydanticSerializationError as error:
        raise StoreError(f"hold `{hold.id}` cannot be written: it is not Unicode text") from error
    return {
        "id": hold.id,
        "state": hold.state.value,
        "opened_at": clock.stamp(hold.opened_at),
        "votes": votes,
        "outcome": _storable(hold.outcome),
        "body": body,
        "digest": hold.digest,
        "awaited": hold.awaited,
        "agent": hold.agent,
        "database": hold.database,
    }


def without_values(hold: Hold) -> str:
    """The body of a hold that is over, without its statement, its parameters, claims and impact."""
    ran = tuple(replace(each, sql="", parameters=(), outcome="") for each in hold.ran)
    return _HOLD.dump_json(replace(hold, sql="", parameters=(), claims=(), impact=None, ran=ran)).decode()


def grant_columns(grant: Grant) -> dict[str, str | int]:
    """A grant as a row."""
    try:
        body = _GRANT.dump_json(grant).decode()
    except PydanticSerializationError as error:
        raise StoreError(f"grant `{grant.id}` cannot be written: it is not Unicode text") from error
    return {
        "id": grant.id,
        "shape": grant.shape,
        "agent": grant.agent,
        "database": grant.database,
        "until": clock.stamp(grant.until),
        "used": grant.used,
        "spent": grant.spent,
        "revoked_by": grant.revoked_by,
        "body": body,
    }


def grant(row: Row[Any]) -> Grant:
    """Undo `grant_columns`."""
    try:
        return replace(
            _GRANT.validate_json(row.body), used=row.used, spent=row.spent, revoked_by=row.revoked_by
        )
    except (ValidationError, ValueError) as error:
        raise StoreError(f"grant `{row.id}` is damaged: its row cannot be read") from error


def votes_text(votes: Sequence[Vote]) -> str:
    """Votes as JSON; equal votes give equal text, which is how a changed hold is noticed."""
    # what is as ever is left out, so that votes of an earlier version are written as they were then
    return _VOTES.dump_json(tuple(votes), exclude_defaults=True).decode()


def hold(row: Row[Any]) -> Hold:
    """Undo `hold_columns`."""
    try:
        return replace(
            _HOLD.validate_json(row.body),
            state=State(row.state),
            votes=_VOTES.validate_json(row.votes),
            outcome=row.outcome,
            awaited=row.awaited,
        )
    except (ValidationError, ValueError) as error:
        raise StoreError(f"hold `{row.id}` is damaged: its row cannot be read") from error


def _storable(text: str) -> str:
    """Postgres's text holds no NUL; the record's bytes and the hold's body keep it, escaped."""
    return text.replace("\x00", "�")


def _searched(text: str) -> str:
    return _storable(text)[:MAX_SEARCHED]
