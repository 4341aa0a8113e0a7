"""`firewall audit prove`, `consistency` and `check-proof`: proofs for whoever does not trust the operator."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firewall import audit
from firewall.audit.proof import parse, parse_tlog
from firewall.channels import visible
from firewall.cli import keys
from firewall.cli.audit import Keys, StoreUrl, app
from firewall.cli.command import command
from firewall.cli.exits import Declined, NotThere, Usage
from firewall.store import Reader

if TYPE_CHECKING:
    from firewall.cli.terminal import Terminal

# a proof has one record, and records have what a statement and its parameters have
MAX_BYTES = 256 * 1024 * 1024
STDIN = "-"

Record = Annotated[str, typer.Argument(metavar="RECORD", help="a record's id (r-…)")]
Older = Annotated[
    str, typer.Argument(metavar="OLD", help="a file with a published checkpoint, or a number of records")
]
Newer = Annotated[
    str | None,
    typer.Argument(metavar="NEW", help="the same; the log's newest if left out", show_default=False),
]
At = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="a published checkpoint to prove it for (default: the newest)",
        show_default=False,
    ),
]
Tlog = Annotated[bool, typer.Option("--tlog", help="as a C2SP tlog-proof, which other tools read")]
HashOnly = Annotated[bool, typer.Option("--hash-only", help="leave the record out: show its leaf hash alone")]
NoValues = Annotated[
    bool, typer.Option("--without-values", help="leave out text and parameters: show the commitment to them")
]
ProofFile = Annotated[str, typer.Argument(metavar="FILE", help="the proof; `-` reads it from stdin")]
RecordFile = Annotated[
    Path | None,
    typer.Option(
        "--record", metavar="FILE", help="the record, if a tlog-proof does not show it", show_default=False
    ),
]


@command(app, "prove")
async def prove(
    terminal: Terminal,
    record: Record,
    checkpoint: At = None,
    tlog: Tlog = False,  # noqa: FBT002 — typer's way
    hash_only: HashOnly = False,  # noqa: FBT002 — typer's way
    without_values: NoValues = False,  # noqa: FBT002 — typer's way
    store: StoreUrl = None,
) -> None:
    """Prove that a record is in the log. The proof, one JSON document, is checked by `audit check-proof`."""
    if tlog and terminal.as_json:
        raise Usage("a tlog-proof is not JSON", hint="leave out --tlog or --json")
    head = _text(checkpoint) if checkpoint else None
    wanted = record.strip()
    wanted = f"r-{wanted[2:].upper()}" if wanted[:2].lower() == "r-" else wanted
    async with await Reader.open_reader(store or terminal.settings.store) as reader:
        if await reader.place(wanted) is None:
            raise NotThere(
                f"the log has no record `{record}`", hint="`firewall audit show STATEMENT` shows the ids"
            )
        try:
            found = await reader.prove(wanted, head)
        except audit.ProofError as error:
            raise Declined(str(error)) from None
    if hash_only or without_values:
        found = found.model_copy(update={"private": None} | ({"record": None} if hash_only else {}))
    print(found.to_tlog() if tlog else found.to_json(), end="" if tlog else "\n", file=terminal.out.file)


@command(app, "consistency")
async def consistency(
    terminal: Terminal, old: Older, new: Newer = None, key: Keys = None, store: StoreUrl = None
) -> None:
    """Prove that the log has only grown since a checkpoint: nothing in it was changed or taken away."""
    url = store or terminal.settings.store
    known = keys.given(key) if key else keys.beside(url) if store else [keys.own(terminal)]
    async with await Reader.open_reader(url) as reader:
        origin = known[0].name
        older = await _checkpoint(reader, origin, old)
        newer = await _checkpoint(reader, origin, new) if new is not None else None
        try:
            found = await reader.prove_consistency(origin, older, newer)
            # what is handed out must hold: the log may have been changed behind the firewall's back
            found.check(known)
        except audit.ProofError as error:
            raise Declined(str(error), hint="`firewall audit verify --against FILE` says where") from None
    print(found.to_json(), file=terminal.out.file)


@command(app, "check-proof")
def check_proof(terminal: Terminal, file: ProofFile, key: Keys = None, record: RecordFile = None) -> None:
    """Check a proof with nothing but the log's public key: no settings, no store, no network."""
    if not key:
        raise Usage(
            "the log's public key is not given",
            hint="give it with --key; `firewall audit key` shows it where the firewall runs",
        )
    known = keys.given(key)
    text = sys.stdin.read(MAX_BYTES) if file == STDIN else _text(Path(file))
    try:
        found = parse_tlog(text, _text(record).encode()) if record else parse(text)
        told = _checked(found, known)
    except audit.ProofError as error:
        raise Declined(f"the proof does not hold: {error}") from None
    if terminal.as_json:
        terminal.document({"proven": True, **told})
        return
    shown = told.pop("record", None)
    terminal.say("proven", style="bold green")
    terminal.facts([(name.replace("_", " "), str(value)) for name, value in told.items()])
    if shown is not None:
        terminal.ready(visible.line(str(shown)))


def _checked(found: audit.Proof, known: list[audit.VerifyingKey]) -> dict[str, Any]:
    match found:
        case audit.Inclusion():
            head = found.check(known)
            told = {"origin": head.origin, "index": found.index, "size": head.size, "root": head.root.hex()}
            return told | {"leaf_hash": found.leaf_hash, "record": found.opened()}
        case audit.Consistency():
            old, new = found.check(known)
            return {
                "origin": new.origin,
                "old_size": old.size,
                "size": new.size,
                "old_root": old.root.hex(),
                "root": new.root.hex(),
            }


async def _checkpoint(reader: Reader, origin: str, given: str) -> str:
    if given.isascii() and given.isdigit() and len(given) < 19:
        note = await reader.checkpoint(origin, int(given))
        if note is None:
            raise NotThere(
                f"there is no signed head of {given} records",
                hint="a head is signed where a commit ends; give another number, or a checkpoint's file",
            )
        return note
    return _text(Path(given))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Usage(f"`{path}` cannot be read ({reason})") from None
