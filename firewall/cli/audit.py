"""`firewall audit`: find what was asked and prove that the log is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from firewall import audit, clock, publishing
from firewall.audit import lines
from firewall.channels import visible
from firewall.cli import house, keys
from firewall.cli.command import command, group
from firewall.cli.counting import counting
from firewall.cli.exits import Declined, Exit, NotThere, Usage
from firewall.cli.terminal import brief
from firewall.cli.when import moment
from firewall.store import Judged, Reader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from firewall.cli.counting import Counted
    from firewall.cli.terminal import Terminal


app = group("audit", "Find what was asked, and prove that the log is whole.")

MAX_SHOWN = 50  # findings; --json has them all
MAX_FOUND = 10_000
BRIEF = 70

StoreUrl = Annotated[
    str | None,
    typer.Option("--store", metavar="URL", help="another store than the settings'", show_default=False),
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="VKEY|FILE",
        help="the log's public key, or a file with it; may be repeated",
        show_default=False,
    ),
]
Export = Annotated[
    Path | None,
    typer.Option(
        "--export", metavar="FILE", help="an export (JSON lines) instead of a store", show_default=False
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        metavar="PLACE",
        help="published checkpoints to compare with: a file, a folder, https://… or s3://…; may be repeated",
        show_default=False,
    ),
]
Agent = Annotated[str | None, typer.Option("--agent", help="who asked", show_default=False)]
Relation = Annotated[str | None, typer.Option("--relation", help="what was touched", show_default=False)]
Word = Annotated[
    Literal["allow", "hold", "deny"] | None,
    typer.Option("--verdict", help="the machine's word", show_default=False),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="2h, yesterday, RFC 3339", show_default=False)
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="the same", show_default=False)]
Words = Annotated[str | None, typer.Option("--text", help="anywhere in the statement", show_default=False)]
Limit = Annotated[int, typer.Option("--limit", min=1, max=MAX_FOUND, help="at most so many")]
Id = Annotated[str, typer.Argument(metavar="ID", help="a statement, a hold (h-…) or a record (r-…)")]


@command(app, "verify")
async def verify(
    terminal: Terminal,
    store: StoreUrl = None,
    key: Keys = None,
    export: Export = None,
    against: Against = None,
) -> Exit:
    """Prove that no record was changed, left out, added or moved since it was signed.

    With --against, that no record is gone either that a published checkpoint counts.
    """
    if export and store:
        raise Usage("an export is verified without a store", hint="leave out --store or --export")
    if export and not key:
        raise Usage("the log's public key is not given", hint="give it with --key, as you have it")
    url = "" if export else store or terminal.settings.store
    known = keys.given(key) if key else keys.beside(url) if store else [keys.own(terminal)]
    notes = await published(against)
    with counting(terminal, "verifying") as progress:
        if export:
            report = _verify_export(export, known, notes, progress)
        else:
            async with await Reader.open_reader(url) as reader:
                progress(0, await reader.size())
                report = await reader.verify(known, published=notes, progress=progress)
    if against and not terminal.as_json:
        terminal.note(f"compared with {len(notes)} published checkpoints")
    # a log that is gone altogether has no record that could be wrong
    gone = sorted({one.name for one in known} - {log.origin for log in report.logs})
    sound = report.sound and not gone
    if terminal.as_json:
        terminal.document(_report(report, gone, sound=sound))
    else:
        _tell(terminal, report, gone)
    return Exit.DONE if sound else Exit.NO


@command(app, "search")
async def search(  # noqa: PLR0913, PLR0917 — one option for each thing to search by
    terminal: Terminal,
    agent: Agent = None,
    relation: Relation = None,
    verdict: Word = None,
    since: Since = None,
    until: Until = None,
    text: Words = None,
    limit: Limit = 100,
) -> None:
    """Statements that meet every condition, newest first, with what came of them."""
    now = clock.now()
    async with house.store_to_read(terminal) as store:
        found = await store.search(
            agent=agent,
            relation=relation,
            verdict=verdict,
            since=moment(since, now) if since else None,
            until=moment(until, now) if until else None,
            text=text,
            limit=limit,
        )
    if terminal.as_json:
        terminal.records(map(_judged, found))
    elif found:
        rows = [
            (
                *(j.record.at[:19], j.record.verdict, j.record.agent, j.record.database),
                brief(j.record.sql or "(erased)", BRIEF),
                brief(_came(j), BRIEF),
                j.record.statement,
            )
            for j in found
        ]
        terminal.table(("at (UTC)", "verdict", "agent", "database", "statement", "outcome", "id"), rows)
    else:
        terminal.say("nothing was found")


@command(app, "show")
async def show(terminal: Terminal, statement: Id) -> None:
    """Every record of one statement or hold, oldest first, in full."""
    async with house.store_to_read(terminal) as store:
        records = await _story(store, statement.strip())
    if not records:
        raise NotThere(f"the log has nothing about `{statement}`", hint="`firewall audit search` shows ids")
    contents = [record.model_dump(mode="json") for record in records]
    if terminal.as_json:
        terminal.records(contents)
        return
    for content in contents:
        terminal.say(f"{content.pop('at')}  {content.pop('kind')}", style="bold")
        terminal.facts([(f"  {name}", _plain(value)) for name, value in content.items() if name != "v"])


@command(app, "key")
def show_key(terminal: Terminal) -> None:
    """The log's public key: give it to whoever is to verify the log, over a way that you trust."""
    key = str(keys.own(terminal))
    if terminal.as_json:
        terminal.document({"origin": terminal.settings.origin, "key": key})
    terminal.say(key)


async def published(against: Sequence[str] | None) -> list[str]:
    """The checkpoints of all these places."""
    places = [await publishing.read(place) for place in against or ()]
    return [note for place in places for note in place]


def _verify_export(
    path: Path, known: Sequence[audit.VerifyingKey], notes: Sequence[str], progress: Counted
) -> audit.Report:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:

            def again() -> BinaryIO:
                file.seek(0)
                return file

            def tell(done: int) -> None:
                progress(done, done * size // max(file.tell(), 1))

            return lines.verify(again, notes, known, tell)
    except OSError as error:
        raise Usage(f"`{path}` cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise Declined(f"`{path}`: {error}", hint="it was changed or torn, or it is no export") from None


def _tell(terminal: Terminal, report: audit.Report, gone: Sequence[str]) -> None:
    flawed = {finding.origin for finding in report.findings}
    for log in report.logs:
        good = log.origin not in flawed
        line = Text(
            visible.line(f"{log.origin}: {log.size} of {log.records} records proven, root {log.root.hex()}: ")
        )
        if log.erased:
            lacking = "them without its" if log.erased == 1 else "them without their"
            line.append(f"{log.erased} of {lacking} values, which were erased: ")
        terminal.out.print(
            line.append("OK" if good else "NOT SOUND", style="bold green" if good else "bold red")
        )
    for origin in gone:
        terminal.say(f"{origin}: there is no such log in the store", style="red")
    for finding in report.findings[:MAX_SHOWN]:
        terminal.ready(visible.line(str(finding)), style="red")
    more = len(report.findings) + report.more - MAX_SHOWN
    if more > 0:
        terminal.say(f"and {more} findings more", style="red")


def _report(report: audit.Report, gone: Sequence[str], *, sound: bool) -> dict[str, Any]:
    return {
        "sound": sound,
        "records": report.records,
        "logs": [
            {"origin": log.origin, "records": log.records, "size": log.size, "root": log.root.hex()}
            | {"erased": log.erased}
            for log in report.logs
        ],
        "missing": list(gone),
        "findings": [
            {"flaw": f.flaw.value, "origin": f.origin, "index": f.index, "id": f.id, "message": f.message}
            for f in report.findings
        ],
        "more": report.more,
    }


def _judged(judged: Judged) -> dict[str, Any]:
    return {
        "origin": judged.origin,
        "index": judged.index,
        **judged.record.model_dump(mode="json"),
        "outcome": judged.outcome and judged.outcome.model_dump(mode="json"),
        "refusal": judged.refusal and judged.refusal.model_dump(mode="json"),
    }


def _came(judged: Judged) -> str:
    if judged.outcome is not None:
        return judged.outcome.tag or f"{judged.outcome.sqlstate} {judged.outcome.message}"
    return f"refused: {judged.refusal.message}" if judged.refusal else ""


async def _story(store: Reader, given: str) -> Sequence[audit.Record]:
    match given[:2].lower():
        case "h-":
            return await store.hold_records(f"h-{given[2:].upper()}")
        case "r-":
            record = await store.record(f"r-{given[2:].upper()}")
            return [record] if record else []
        case _:
            head, dot, tail = given.partition(".")
            return await store.statement_records(f"{head[:2].lower()}{head[2:].upper()}{dot}{tail}")


def _plain(value: object) -> str:
    match value:
        case None | "" | []:
            return ""
        case list():
            return "; ".join(
                _plain(one) if not isinstance(one, dict) else " ".join(map(_plain, one.values()))
                for one in value
            )
        case _:
            return str(value)
