"""Proofs that stand by themselves: a record is in a log, one log continues another. For whoever has the key.

They travel as JSON, and an inclusion proof also as C2SP tlog-proof text (https://c2sp.org/tlog-proof), which
other tools check as well. Nothing in a proof is believed before `check` has returned.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from firewall.audit import merkle, sealed
from firewall.audit.keys import NoteError, unbase64
from firewall.audit.note import Checkpoint, open_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firewall.audit.keys import VerifyingKey

TLOG_HEADER = "c2sp.org/tlog-proof@v1"
# a tree of 2**63 leaves has paths of 63 nodes; a consistency proof has one more
_MAX_PATH = 64
_MAX_DIGITS = 20


class ProofError(ValueError):
    """A proof that is malformed, or does not prove what it says."""


def _hash(text: str) -> str:
    if len(unbase64(text)) != merkle.HASH_BYTES:
        raise ValueError(f"a hash has {merkle.HASH_BYTES} bytes")
    return text


# a hash of the tree, in base64
Hash = Annotated[str, AfterValidator(_hash)]
Path = Annotated[list[Hash], Field(max_length=_MAX_PATH)]


class _Proof(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        """One line that `parse` reads."""
        return self.model_dump_json()


class Inclusion(_Proof):
    """The leaf is record `index` of the log that `checkpoint`, a signed note, is a head of.

    record: its canonical bytes as text; None where only the leaf hash is shown. private: the salt and the
    values that the record commits to (`sealed.py`), in base64; None where they are not shown.
    """

    type: Literal["query-firewall/inclusion@v1"] = "query-firewall/inclusion@v1"
    record: str | None = None
    private: str | None = None
    leaf_hash: Hash
    index: Annotated[int, Field(ge=0)]
    path: Path
    checkpoint: str

    def check(self, keys: Iterable[VerifyingKey]) -> Checkpoint:
        """The head that the proof leads to, signed by one of `keys`; ProofError if it proves nothing."""
        # 1. the bytes are those of the leaf
        leaf = unbase64(self.leaf_hash)
        if self.record is not None and merkle.leaf_hash(_utf8(self.record)) != leaf:
            raise ProofError("the record is not the one that the leaf hash stands for")
        if self.private is not None:
            self.opened()
        # 2. the head is signed, and 3. the path leads from the leaf to it
        head = _signed(self.checkpoint, keys)
        if not merkle.verify_inclusion(leaf, self.index, head.size, _decoded(self.path), head.root):
            raise ProofError(
                f"the path does not lead from record {self.index} to the head of {head.size} records: "
                "this record is not there"
            )
        return head

    def opened(self) -> str | None:
        """The record with its values, as far as the proof shows them; ProofError if they are not its own."""
        if self.record is None or self.private is None:
            return self.record
        try:
            return sealed.opened(_utf8(self.record), unbase64(self.private)).decode()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ProofError("the values are not those that the record commits to") from None

    def to_tlog(self) -> str:
        """As tlog-proof text; the record, if it is shown, is its extra data. Values are left out."""
        extra = [] if self.record is None else [f"extra {_encode(self.record.encode())}"]
        return "\n".join([TLOG_HEADER, *extra, f"index {self.index}", *self.path, "", self.checkpoint])


class Consistency(_Proof):
    """The log of the head `new` continues that of the head `old`: nothing was changed or taken away."""

    type: Literal["query-firewall/consistency@v1"] = "query-firewall/consistency@v1"
    old: str
    new: str
    path: Path

    def check(self, keys: Iterable[VerifyingKey]) -> tuple[Checkpoint, Checkpoint]:
        """Both heads, signed by `keys`; ProofError if the newer does not continue the older."""
        known = tuple(keys)
        old, new = _signed(self.old, known), _signed(self.new, known)
        if old.origin != new.origin:
            raise ProofError(f"`{old.origin}` and `{new.origin}` are two logs")
        path = _decoded(self.path)
        if not merkle.verify_consistency(old.size, new.size, old.root, new.root, path):
            raise ProofError(
                f"the log of {new.size} records is not proven to continue that of {old.size}: "
                "the log was changed or forked in between"
            )
        return old, new


Proof = Inclusion | Consistency
_ADAPTER: TypeAdapter[Proof] = TypeAdapter(Annotated[Proof, Field(discriminator="type")])


def prove_inclusion(
    record: bytes, index: int, leaves: Iterable[bytes], checkpoint: str, *, private: bytes | None = None
) -> Inclusion:
    """`leaves`: the log's leaf hashes from the first on, at least as many as the checkpoint counts.

    The checkpoint's signature is not looked at: whoever checks the proof has the key. Raises ProofError.
    """
    try:
        path = merkle.inclusion_proof(leaves, index, head_of(checkpoint).size)
    except ValueError as error:
        raise ProofError(str(error)) from None
    return Inclusion(
        record=record.decode(),
        private=None if private is None else _encode(private),
        leaf_hash=_encode(merkle.leaf_hash(record)),
        index=index,
        path=[_encode(node) for node in path],
        checkpoint=checkpoint,
    )


def prove_consistency(leaves: Iterable[bytes], old: str, new: str) -> Consistency:
    """`leaves` as in `prove_inclusion`, for the newer of the two signed heads. Raises ProofError."""
    try:
        path = merkle.consistency_proof(leaves, head_of(old).size, head_of(new).size)
    except ValueError as error:
        raise ProofError(str(error)) from None
    return Consistency(old=old, new=new, path=[_encode(node) for node in path])


def parse(text: str) -> Proof:
    """A proof in either of its forms. Raises ProofError."""
    if text.startswith(TLOG_HEADER):
        return parse_tlog(text)
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProofError(f"not a proof: {where + ': ' if where else ''}{first['msg']}") from None


def parse_tlog(text: str, record: bytes | None = None) -> Inclusion:
    """A tlog-proof of this record; of its extra data, if it is not given. Raises ProofError."""
    head, blank, checkpoint = text.partition("\n\n")
    header, *lines = head.split("\n")
    if header != TLOG_HEADER:
        raise ProofError(f"a tlog-proof begins with the line `{TLOG_HEADER}`")
    extra: bytes | None = None
    try:
        if lines and lines[0].startswith("extra "):
            extra = unbase64(lines.pop(0).removeprefix("extra "))
        index = lines.pop(0).removeprefix("index ") if lines and lines[0].startswith("index ") else ""
        if not _is_number(index):
            raise ProofError("a tlog-proof has a line `index N`, a decimal number without leading zeros")
        if not blank or not checkpoint:
            raise ProofError("a tlog-proof ends with an empty line and a checkpoint")
        shown = extra if record is None else record
        if shown is None:
            raise ProofError("the tlog-proof does not show its record; give the record beside it")
        return Inclusion(
            record=shown.decode(),
            leaf_hash=_encode(merkle.leaf_hash(shown)),
            index=int(index),
            path=lines,
            checkpoint=checkpoint,
        )
    except ValidationError as error:
        raise ProofError(f"not a tlog-proof: {error.errors()[0]['msg']}") from None
    except (NoteError, UnicodeDecodeError) as error:
        raise ProofError(f"not a tlog-proof: {error}") from None


def _signed(note: str, keys: Iterable[VerifyingKey]) -> Checkpoint:
    try:
        return open_checkpoint(note, keys)
    except NoteError as error:
        raise ProofError(f"the checkpoint proves nothing: {error}") from None


def head_of(note: str) -> Checkpoint:
    """What a checkpoint says, whoever signed it. Raises ProofError."""
    text, separator, _ = note.rpartition("\n\n")
    try:
        return Checkpoint.parse(f"{text}\n" if separator else note)
    except NoteError as error:
        raise ProofError(f"not a checkpoint: {error}") from None


def _is_number(text: str) -> bool:
    digits = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    return digits and (text == "0" or text[0] != "0")


def _decoded(path: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(unbase64(node) for node in path)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ProofError("the record is not Unicode text") from None
