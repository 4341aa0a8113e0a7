"""One hold's evidence in one file that stands by itself: a zip with a manifest that the log's key has signed.

What counts are the records with their proofs, and the values that they commit to: they are in the log,
whoever made the bundle. The other files are made from them, or beside them (the card, the policy), and the
manifest says that the log's owner stands by all of it. That nothing was left out only the whole
log can prove.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firewall import audit
from firewall.audit import sealed
from firewall.audit.note import open_note
from firewall.audit.proof import parse
from firewall.evidence.page import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

TYPE = "query-firewall/evidence@v1"
MANIFEST = "MANIFEST"
STATEMENT = "statement.sql"
PROOFS = "proofs/"
# what a person is to read is never larger; a zip may claim anything
MAX_BYTES = 256 * 1024 * 1024
MAX_FILES = 10_000
# any moment, the same for everyone: the zip of the same files is the same
_EPOCH = (1980, 1, 1, 0, 0, 0)
_README = """\
Evidence of hold {hold}, from the log `{origin}`.

Check it, offline, with the public key that you were given another way than with this file:

    firewall audit check-evidence FILE --key KEY

index.html     to be read and printed
statement.sql  what was asked for, as far as the log keeps it; it is not there if it was erased
card.txt       what approvers were shown
proofs/        each record of the hold with its proof that it is in the log's tree, and the values that it
               commits to (`private`: a salt, then the values), unless they were erased or are not kept
checkpoint     the signed head of that tree (C2SP tlog-checkpoint)
log.pub        the key that signed it
policy.yaml    the policy that judged, if it is still the one in force
MANIFEST       SHA-256 of every file, signed by the log's key (C2SP signed-note)

`firewall audit check-proof` checks each proof by itself. That no record of the hold was left out, the whole
log proves: `firewall audit export` and `firewall audit verify --export`.
"""


class EvidenceError(ValueError):
    """A bundle that is malformed, or does not prove what it says."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a checked bundle proves."""

    hold: str
    origin: str
    size: int
    records: tuple[audit.Record, ...]

    @property
    def withheld(self) -> int:
        """How many records lack the values that they commit to."""
        return sum(sealed.withheld(record.model_dump(mode="json")) for record in self.records)


def make(
    hold: str,
    proofs: Sequence[audit.Inclusion],
    card: str,
    policy: str | None,
    key: audit.SigningKey,
) -> bytes:
    """The bundle. proofs: of the hold's records, oldest first, all for one checkpoint.

    Raises EvidenceError if there is no judgement among them.
    """
    try:
        records = [audit.decode((proof.opened() or "").encode()) for proof in proofs]
    except ValueError as error:
        raise EvidenceError(str(error)) from None
    judged = judgement_of(hold, records)
    head = proofs[0].check([key.public])
    note = proofs[0].checkpoint
    files = {
        "README.txt": _README.format(hold=hold, origin=head.origin),
        "index.html": _page(hold, proofs, records, card, key.public, head),
        **({STATEMENT: judged.sql} if judged.sql else {}),
        "card.txt": card,
        "checkpoint": note,
        "log.pub": f"{key.public}\n",
        **({} if policy is None else {"policy.yaml": policy}),
        **{
            f"{PROOFS}{number:03}-{record.kind}.json": proof.to_json() + "\n"
            for number, (proof, record) in enumerate(zip(proofs, records, strict=True))
        },
    }
    named = {name: text.encode() for name, text in files.items()}
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in sorted(named.items())]
    manifest = key.sign("".join(f"{line}\n" for line in (TYPE, hold, *lines)))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {MANIFEST: manifest.encode(), **named}.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def check(data: bytes, keys: Iterable[audit.VerifyingKey]) -> Evidence:
    """What a bundle proves to whoever has the log's public key. Raises EvidenceError."""
    known = tuple(keys)
    files = _unpacked(data)
    # 1. the manifest is signed, and 2. says of every file what is in it
    try:
        manifest = open_note(_text(files, MANIFEST), known)
    except audit.NoteError as error:
        raise EvidenceError(f"`{MANIFEST}`: {error}") from None
    kind, hold, *lines = manifest.removesuffix("\n").split("\n")
    if kind != TYPE:
        raise EvidenceError(f"`{MANIFEST}` does not begin with `{TYPE}`")
    _same({name: digest for digest, _, name in (line.partition("  ") for line in lines)}, files)
    # 3. every record is in the log, as of the one checkpoint
    note = _text(files, "checkpoint")
    records: list[audit.Record] = []
    head: audit.Checkpoint | None = None
    for name in sorted(name for name in files if name.startswith(PROOFS)):
        head, record = _proven(name, _text(files, name), note, known)
        records.append(record)
    if head is None:
        raise EvidenceError("the bundle has no proof")
    # 4. the records are of this hold, and of one thing
    _agree(hold, records)
    if judgement_of(hold, records).sql != (_text(files, STATEMENT) if STATEMENT in files else ""):
        raise EvidenceError(f"`{STATEMENT}` is not the statement of the proven judgement")
    return Evidence(hold, head.origin, head.size, tuple(records))


def _unpacked(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _plain(entries)
            # no more than it claims is unpacked: zipfile stops there
            return {entry.filename: archive.read(entry) for entry in entries}
    except EvidenceError:
        raise
    except (zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, OSError, EOFError):
        raise EvidenceError("not a zip file, or a damaged one") from None


def _plain(entries: Sequence[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if len(names) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise EvidenceError("the bundle is too large to be one")
    if len(set(names)) != len(names):
        raise EvidenceError("the bundle has two files of one name")


def _text(files: Mapping[str, bytes], name: str) -> str:
    try:
        return files[name].decode()
    except KeyError:
        raise EvidenceError(f"the bundle has no `{name}`") from None
    except UnicodeDecodeError:
        raise EvidenceError(f"`{name}` is not text") from None


def _same(said: Mapping[str, str], files: Mapping[str, bytes]) -> None:
    there = files.keys() - {MANIFEST}
    if missing := sorted(said.keys() - there):
        raise EvidenceError(f"`{missing[0]}` is missing")
    if added := sorted(there - said.keys()):
        raise EvidenceError(f"`{added[0]}` is not in the manifest")
    for name, digest in sorted(said.items()):
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise EvidenceError(f"`{name}` was changed")


def _proven(
    name: str, text: str, note: str, keys: Sequence[audit.VerifyingKey]
) -> tuple[audit.Checkpoint, audit.Record]:
    try:
        proof = parse(text)
    except audit.ProofError as error:
        raise EvidenceError(f"`{name}`: {error}") from None
    if not isinstance(proof, audit.Inclusion) or proof.record is None:
        raise EvidenceError(f"`{name}` does not show its record")
    if proof.checkpoint != note:
        raise EvidenceError(f"`{name}` is for another checkpoint")
    try:
        # the values beside it are those that it commits to, or this fails
        return proof.check(keys), audit.decode((proof.opened() or "").encode())
    except ValueError as error:
        raise EvidenceError(f"`{name}`: {error}") from None


def _agree(hold: str, records: Sequence[audit.Record]) -> None:
    opened = [one for one in records if isinstance(one, audit.HoldOpened) and one.hold == hold]
    if len(opened) != 1:
        raise EvidenceError(f"the bundle has no record of how hold `{hold}` was opened")
    judged = judgement_of(hold, records)
    # a hold that was left may be waited for by a statement that was sent again
    statements = {record.statement for record in records if record.hold == hold} - {""}
    for record in records:
        match record:
            case audit.Session():
                fits = record.session == judged.session
            case audit.Policy():
                fits = record.revision == judged.revision
            case _:
                fits = record.hold == hold or record.statement in statements
        if not fits:
            raise EvidenceError(f"record `{record.id}` is not of hold `{hold}`")
        match record:
            case audit.Decision(digest=digest) | audit.Release(digest=digest) if record.hold == hold:
                if digest != opened[0].digest:
                    raise EvidenceError(f"record `{record.id}` is of another digest than the hold")
            case _:
                pass


def judgement_of(hold: str, records: Iterable[audit.Record]) -> audit.Judgement:
    """The one by which the hold was opened: of records, oldest first, the last of its statement until then.

    A statement has another one if its approval was void, and it was judged anew. Raises EvidenceError.
    """
    known = list(records)
    for place, opened in enumerate(known):
        if isinstance(opened, audit.HoldOpened) and opened.hold == hold:
            # times of two hands need not agree: what stands behind it is better than nothing
            for record in (*reversed(known[:place]), *known[place:]):
                if isinstance(record, audit.Judgement) and record.statement == opened.statement:
                    return record
    raise EvidenceError("the log has no judgement of the hold's statement")


def _ran(records: Sequence[audit.Record]) -> Iterator[audit.Judgement]:
    """What has run ahead of a COMMIT."""
    ran = {one.statement for one in records if isinstance(one, audit.Waiting) and one.event == "ahead"}
    return (one for one in records if isinstance(one, audit.Judgement) and one.statement in ran)


def _page(
    hold: str,
    proofs: Sequence[audit.Inclusion],
    records: Sequence[audit.Record],
    card: str,
    key: audit.VerifyingKey,
    head: audit.Checkpoint,
) -> str:
    judged = judgement_of(hold, records)
    mine = [one for one in records if one.hold == hold]
    opened = next((one for one in mine if isinstance(one, audit.HoldOpened)), None)
    last = next((one for one in reversed(mine) if isinstance(one, audit.Decision)), None)
    facts = [
        ("verdict", judged.verdict),
        ("decision", last.state if last else "none"),
        ("by", ", ".join(last.by) if last else ""),
        ("agent", f"{judged.agent} of {judged.owner}"),
        ("database", f"{judged.database} ({judged.environment}) as {judged.role}"),
        ("risk", judged.risk),
        ("rule", judged.rule),
        ("policy revision", judged.revision),
        ("catalog version", judged.catalog),
        ("digest", opened.digest if opened else ""),
        ("asked by", ", ".join(opened.requesters) if opened else ""),
        ("may decide", f"{opened.quorum} of {', '.join(opened.groups)}" if opened else ""),
    ]
    rows = [
        {"at": r.at, "kind": r.kind, "id": r.id, "index": proof.index, "says": says(r)}
        for proof, r in zip(proofs, records, strict=True)
    ]
    return render(
        "evidence.html",
        hold=hold,
        origin=head.origin,
        size=head.size,
        records=rows,
        facts=[(name, value) for name, value in facts if value],
        sql=";\n".join([*(one.sql for one in _ran(records)), judged.sql]),
        kept=_kept(judged),
        parameters=opened.parameters if opened else [],
        reasons=judged.reasons,
        effects=judged.effects,
        card=card,
        checkpoint=proofs[0].checkpoint,
        key=key,
    )


def _kept(judged: audit.Judgement) -> str:
    """What the log has of the statement, in words, unless that is all of it."""
    keep = judged.sealed.partition(":")[0]
    match keep:
        case "":
            return ""
        case audit.Keep.REDACTED if judged.sql:
            return "The log keeps statements without their literals."
        case audit.Keep.DIGEST:
            return f"The log keeps no statements, only commitments to them; this one's is {judged.sealed}."
        case _:
            return f"The statement was erased. The record commits to it: {judged.sealed}."


def says(record: audit.Record) -> str:
    """A record in one line, for reading."""
    match record:
        case audit.Vote():
            word = "approves" if record.approve else "denies"
            counted = "" if record.counted else f" (not counted: {record.why})"
            reason = f": {record.reason}" if record.reason else ""
            return f"{record.person} {word} by {record.channel}{reason}{counted}"
        case audit.Decision():
            by = f" by {', '.join(record.by)}" if record.by else ""
            return f"{record.state}{by}{': ' if record.why else ''}{record.why}"
        case audit.Outcome():
            done = record.tag or f"{record.sqlstate} {record.message}"
            return f"{done}; {record.rows} rows, {record.bytes} bytes, {record.micros / 1000:.1f} ms"
        case audit.Release():
            return f"released by leave of {record.leave}"
        case audit.Refusal():
            return f"{record.sqlstate} {record.message}"
        case audit.Judgement():
            return f"{record.verdict} by rule {record.rule}, {record.risk} risk"
        case audit.HoldOpened():
            return f"waits until {record.expires} for {record.quorum} of {', '.join(record.groups)}"
        case audit.Session():
            return f"{record.event}: {record.agent} from {record.address or 'an unknown place'}"
        case audit.Policy():
            return f"revision {record.revision} of {record.path} in force, mode {record.mode}"
        case _:
            apart = {"v", "id", "at", "kind", "session", "statement", "hold"}
            fields: dict[str, Any] = record.model_dump(mode="json", exclude=apart)
            return json.dumps(fields, ensure_ascii=False)
