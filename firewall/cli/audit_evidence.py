"""`firewall audit evidence` and `check-evidence`: one hold, for whoever has to believe it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firewall import audit, clock, ids, policy
from firewall.channels import dossier, visible
from firewall.cli import house, keys
from firewall.cli.audit import Keys, app
from firewall.cli.command import As, command
from firewall.cli.exits import Declined, NotThere, Usage
from firewall.errors import ConfigurationError
from firewall.evidence import bundle

if TYPE_CHECKING:
    from firewall.approval import Hold
    from firewall.cli.terminal import Terminal
    from firewall.store import Store

_MODE_PRIVATE = 0o600

HoldId = Annotated[str, typer.Argument(metavar="HOLD", help="a hold's id (h-…)")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="a new file (default: HOLD.zip)", show_default=False),
]
Bundle = Annotated[Path, typer.Argument(metavar="FILE", help="the bundle")]


@command(app, "evidence")
async def evidence(terminal: Terminal, hold: HoldId, out: Out = None, by: As = None) -> None:
    """One hold in one signed file: what was asked, shown, decided and done, and the proofs of it."""
    wanted = hold.strip()
    wanted = f"h-{wanted[2:].upper()}" if wanted[:2].lower() == "h-" else wanted
    path = out or Path(f"{wanted}.zip")
    if path.exists():
        raise Usage(f"`{path}` is there already", hint="name another file; evidence is not overwritten")
    who = house.issuer(terminal, by)
    key = audit.SigningKey.load(terminal.settings.key)
    async with house.store_to_write(terminal, create=False) as store:
        found = await store.hold(wanted)
        if found is None:
            raise NotThere(f"there is no hold `{hold}`", hint="`firewall holds list --all` shows them")
        proofs = await _proofs(store, found, key.public)
        try:
            made = bundle.make(found.id, proofs, dossier.text(found), _policy(terminal, found), key)
            # what is handed out must hold
            bundle.check(made, [key.public])
        except bundle.EvidenceError as error:
            raise Declined(str(error), hint="`firewall audit verify` says more") from None
        # INVARIANT: 5. nothing is handed out before the log says so
        said = {"by": who, "form": "evidence", "filter": [f"hold={found.id}"], "count": len(proofs)}
        await store.append([audit.Export(id=ids.record_id(), at=clock.stamp(clock.now()), **said)])
    _write(path, made)
    if terminal.as_json:
        terminal.document({"hold": found.id, "file": str(path), "records": len(proofs)})
    terminal.say(f"{path}: hold {found.id} with {len(proofs)} records and their proofs")


@command(app, "check-evidence")
def check_evidence(terminal: Terminal, file: Bundle, key: Keys = None) -> None:
    """Check a bundle with nothing but the log's public key: no settings, no store, no network."""
    if not key:
        raise Usage(
            "the log's public key is not given",
            hint="give it with --key; `firewall audit key` shows it where the firewall runs",
        )
    known = keys.given(key)
    try:
        with file.open("rb") as stream:
            data = stream.read(bundle.MAX_BYTES)
    except OSError as error:
        raise Usage(f"`{file}` cannot be read ({error.strerror})") from None
    try:
        found = bundle.check(data, known)
    except bundle.EvidenceError as error:
        raise Declined(f"the evidence does not hold: {error}") from None
    if terminal.as_json:
        records = [record.model_dump(mode="json") for record in found.records]
        told = {"proven": True, "hold": found.hold, "origin": found.origin, "size": found.size}
        terminal.document({**told, "withheld": found.withheld, "records": records})
        return
    terminal.say("proven", style="bold green")
    terminal.facts([("hold", found.hold), ("origin", found.origin), ("size", str(found.size))])
    if found.withheld:
        lacking = f"{found.withheld} of {len(found.records)} records"
        terminal.say(f"{lacking} lack their values, which were erased or are not kept", style="yellow")
    for record in found.records:
        terminal.ready(visible.line(f"{record.at}  {record.kind}: {bundle.says(record)}"))


async def _proofs(store: Store, hold: Hold, key: audit.VerifyingKey) -> list[audit.Inclusion]:
    """Of everything that is said of the hold, its session's beginning and the policy that judged it."""
    said = await store.hold_records(hold.id)
    try:
        judged = bundle.judgement_of(hold.id, said)
    except bundle.EvidenceError:
        raise NotThere(f"the log has no judgement of hold `{hold.id}`: there is nothing to prove") from None
    before = [
        one
        for one in await store.policy_records("")
        if (one.database, one.revision) == (judged.database, judged.revision)
        and not one.refused
        and one.at <= judged.at
    ]
    begun = await store.session_opened(judged.session)
    records = [*before[-1:], *([begun] if begun else []), *said]
    head: str | None = None
    proofs: list[audit.Inclusion] = []
    for record in records:
        place = await store.place(record.id)
        if place is None or place[0] != key.name:
            continue  # of another firewall on this store, whose log has another key
        proof = await store.prove(record.id, head)
        head = proof.checkpoint
        proofs.append(proof)
    return proofs


def _policy(terminal: Terminal, hold: Hold) -> str | None:
    """The text of the policy that judged it, if it still stands in its file."""
    database = terminal.settings.databases.get(hold.database)
    if database is None:
        return None
    try:
        if policy.load(database.policy).revision != hold.revision:
            return None
        return database.policy.read_text(encoding="utf-8")
    except (ConfigurationError, OSError, UnicodeDecodeError):
        return None


def _write(path: Path, data: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE_PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise Usage(f"`{path}` cannot be written ({(error.strerror or 'i/o error').lower()})") from None
