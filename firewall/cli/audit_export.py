"""`firewall audit export`: the log, or a part of it, for other programs."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from firewall import audit, clock, ids
from firewall.cli import house
from firewall.cli.audit import app
from firewall.cli.command import As, command
from firewall.cli.counting import counting
from firewall.cli.exits import Usage
from firewall.cli.when import moment
from firewall.evidence.export import Csv, Form, JsonLines, Parquet
from firewall.evidence.ocsf import Ocsf
from firewall.store.exporting import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from firewall.cli.terminal import Terminal


class Format(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    OCSF = "ocsf"


KINDS = tuple(sorted(one.model_fields["kind"].default for one in get_args(get_args(audit.Record)[0])))
_MODE_PRIVATE = 0o600

As_ = Annotated[Format, typer.Option("--format", help="the form of it")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="a new file (default: stdout)", show_default=False),
]
From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="2h, yesterday, RFC 3339", show_default=False)
]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="the same", show_default=False)]
Agent = Annotated[str | None, typer.Option("--agent", help="of this agent", show_default=False)]
Database = Annotated[str | None, typer.Option("--database", help="of this database", show_default=False)]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", help=f"of this kind; may be repeated: {', '.join(KINDS)}", show_default=False),
]


@command(app, "export")
async def export(  # noqa: PLR0913, PLR0917 — one option for each thing to choose by
    terminal: Terminal,
    form: As_ = Format.JSONL,
    out: Out = None,
    since: From = None,
    until: To = None,
    agent: Agent = None,
    database: Database = None,
    kind: Kinds = None,
    by: As = None,
) -> None:
    """Hand out records: JSON lines that `audit verify --export` proves, CSV, Parquet, or OCSF events.

    That it was done, by whom and for what, becomes a record itself.
    """
    now = clock.now()
    if unknown := sorted(set(kind or ()) - set(KINDS)):
        raise Usage(f"`{unknown[0]}` is no kind of record", hint=f"kinds: {', '.join(KINDS)}")
    if form is Format.PARQUET and out is None:
        raise Usage("Parquet goes to a file, not to stdout", hint="name the file with --out FILE")
    wanted = Wanted(
        since=moment(since, now) if since else None,
        until=moment(until, now) if until else None,
        agent=agent,
        database=database,
        kinds=tuple(sorted(set(kind or ()))),
    )
    who = house.issuer(terminal, by)
    async with house.store_to_write(terminal, create=False) as store:
        heads = await store.exporting.heads()
        sizes = {origin: size for origin, (size, _) in heads.items()}
        count = await store.exporting.count(wanted, sizes)
        # of a part, no head says anything: what was left out cannot be told from what is missing
        notes = [] if wanted.words() else [note for _, note in heads.values()]
        with _opened(out, form, notes) as writer:
            # INVARIANT: 5. nothing is handed out before the log says so
            said = {"by": who, "form": form.value, "filter": wanted.words(), "count": count}
            await store.append([audit.Export(id=ids.record_id(), at=clock.stamp(clock.now()), **said)])
            with counting(terminal, "exporting", count) as progress:
                done = 0
                async for page in store.exporting.pages(wanted, sizes, context=writer.context):
                    writer.write(page)
                    done += len(page)
                    progress(done)
            writer.close()
    where = str(out) if out else "stdout"
    terminal.note(f"{count} records exported to {where} as {form.value}; the log says so")
    if form is Format.JSONL and wanted.words():
        terminal.note("a part of the log cannot be verified by itself; `audit prove` proves single records")
    if isinstance(writer, Ocsf) and writer.left_out:
        kinds = ", ".join(f"{number} {name}" for name, number in sorted(writer.left_out.items()))
        terminal.note(f"left out, as they are of no database: {kinds}; JSON lines have them")


@contextmanager
def _opened(out: Path | None, form: Format, notes: Sequence[str]) -> Iterator[Form]:
    """Where it goes; a file is there when all of it is, and only then."""
    if out is None:
        yield _form(sys.stdout, form, notes)
        sys.stdout.flush()
        return
    part = out.with_name(f"{out.name}.part")
    if out.exists():
        raise Usage(f"`{out}` is there already", hint="name another file; exports are not overwritten")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE_PRIVATE)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="", errors="backslashreplace") as stream:
            yield Parquet(part) if form is Format.PARQUET else _form(stream, form, notes)
        part.replace(out)
    except OSError as error:
        raise Usage(f"`{out}` cannot be written ({(error.strerror or 'i/o error').lower()})") from None
    finally:
        part.unlink(missing_ok=True)


def _form(stream: TextIO, form: Format, notes: Sequence[str]) -> Form:
    match form:
        case Format.CSV:
            return Csv(stream)
        case Format.OCSF:
            return Ocsf(stream)
        case _:
            return JsonLines(stream, notes)
