"""`firewall report`: what the log says of a period, laid out by the controls of a framework."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from firewall import audit, clock
from firewall import report as reports
from firewall.cli import keys
from firewall.cli.audit import Against, Keys, StoreUrl, published
from firewall.cli.command import command
from firewall.cli.counting import counting
from firewall.cli.exits import Exit, NotThere, Usage
from firewall.cli.when import moment
from firewall.errors import StoreError
from firewall.report.words import GROUPS, headline, period
from firewall.store import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from firewall.cli.counting import Counted
    from firewall.cli.terminal import Terminal

app = typer.Typer()

MAX_FINDINGS = 20
# the answer, the findings, and how many records were looked at
Verified = tuple[reports.Proof, tuple[str, ...], int]
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}|yesterday")

Framework = Annotated[
    Literal["soc2", "iso27001", "fedramp"], typer.Option("--framework", help="whose controls")
]
From = Annotated[
    str, typer.Option("--from", metavar="DATE", help="the first day, or a time: 2026-01-01, 90d")
]
To = Annotated[str, typer.Option("--to", metavar="DATE", help="the last day, to its end, or a time")]
HtmlFile = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="write a page to read and print", show_default=False),
]
PdfFile = Annotated[
    Path | None, typer.Option("--pdf", metavar="FILE", help="write a PDF", show_default=False)
]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="do not verify the log; the report says so")]


@command(app, "report")
async def report(  # noqa: PLR0913, PLR0917 — one option for each
    terminal: Terminal,
    framework: Framework,
    since: From,
    until: To = "now",
    html: HtmlFile = None,
    pdf: PdfFile = None,
    no_verify: NoVerify = False,  # noqa: FBT002 — typer's way
    against: Against = None,
    store: StoreUrl = None,
    key: Keys = None,
) -> Exit:
    """Evidence for auditors: controls, figures, exceptions and trends of a period.

    The log is verified first. A report of a log that is not sound is made all the same and says so.
    """
    if against and no_verify:
        raise Usage(
            "published checkpoints are compared where the log is verified",
            hint="leave out --against or --no-verify",
        )
    now = clock.now()
    start, end = _period(since, until, now)
    url = store or terminal.settings.store
    known = [] if no_verify else _known(terminal, key, store)
    async with await Reader.open_reader(url) as reader:
        heads = [_head(note) for note in await reader.heads()]
        unverified: Verified = (reports.Proof.SKIPPED, (), 0)
        notes = await published(against)
        proof, findings, checked = unverified if no_verify else await _verify(terminal, reader, known, notes)
        with counting(terminal, "counting") as progress:
            figures = await _count(reader, heads, start, end, progress)
    if not figures.total:
        raise NotThere(
            f"the log has no records from {clock.stamp(start)[:19]} to {clock.stamp(end)[:19]} UTC",
            hint="give another --from and --to; `firewall audit search` shows what there is",
        )
    made = reports.Report(
        framework=reports.FRAMEWORKS[framework],
        since=start,
        until=end,
        made=now,
        version=version("query-firewall"),
        heads=tuple(heads),
        proof=proof,
        findings=findings,
        checked=checked,
        published=len(notes),
        figures=figures,
    )
    if html:
        from firewall.report.html import html as drawn  # noqa: PLC0415 — takes long to load

        _write(html, drawn(made).encode())
    if pdf:
        from firewall.report.pdf import pdf as printed  # noqa: PLC0415 — as above

        _write(pdf, printed(made))
    if terminal.as_json:
        terminal.document(reports.document(made))
    else:
        _tell(terminal, made, [path for path in (html, pdf) if path])
    return Exit.NO if proof is reports.Proof.UNSOUND else Exit.DONE


def _period(since: str, until: str, now: datetime) -> tuple[datetime, datetime]:
    start, end = moment(since, now), moment(until, now)
    if _DAY.fullmatch(until.strip().lower()):
        end += timedelta(days=1)
    if start >= end:
        raise Usage(
            f"the period ends before it begins: --from `{since}` is not before --to `{until}`",
            hint="a day is meant from its beginning in --from, to its end in --to",
        )
    return start, end


def _known(terminal: Terminal, key: Sequence[str] | None, store: str | None) -> list[audit.VerifyingKey]:
    if key:
        return keys.given(key)
    return keys.beside(store) if store else [keys.own(terminal)]


def _head(note: str) -> reports.Head:
    try:
        return reports.Head.parse(note)
    except audit.NoteError as error:
        raise StoreError(
            f"a signed head of the store is damaged: {error}",
            hint="`firewall audit verify` says what else is",
        ) from None


async def _verify(
    terminal: Terminal, reader: Reader, known: Sequence[audit.VerifyingKey], notes: Sequence[str]
) -> Verified:
    with counting(terminal, "verifying", await reader.size()) as progress:
        found = await reader.verify(known, published=notes, progress=progress)
    gone = sorted({one.name for one in known} - {log.origin for log in found.logs})
    told = [f"{origin}: there is no such log in the store" for origin in gone]
    told += [str(finding) for finding in found.findings[:MAX_FINDINGS]]
    more = len(found.findings) + found.more - MAX_FINDINGS
    if more > 0:
        told.append(f"and {more} findings more: `firewall audit verify` names them")
    proof = reports.Proof.SOUND if found.sound and not gone else reports.Proof.UNSOUND
    return proof, tuple(told), found.records


async def _count(
    reader: Reader,
    heads: Sequence[reports.Head],
    since: datetime,
    until: datetime,
    progress: Counted,
) -> reports.Figures:
    figures = reports.Figures()
    for head in heads:
        async for page in reader.during(head.origin, head.size, since, until):
            for record in page:
                if isinstance(record, str):
                    figures.foreign(record)
                else:
                    figures.add(record, head.origin)
            progress(figures.total)
    opened: dict[str, str] = {}
    for hold_id in figures.undated:
        hold = await reader.hold(hold_id)
        if hold is not None:
            opened[hold_id] = clock.stamp(hold.opened_at)
    figures.date(opened)
    return figures


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise Usage(f"`{path}` cannot be written ({error.strerror})") from None


def _tell(terminal: Terminal, made: reports.Report, written: Sequence[Path]) -> None:
    terminal.say(f"{made.framework.name}, {period(made)}", style="bold")
    style = {reports.Proof.SOUND: "green", reports.Proof.UNSOUND: "bold red", reports.Proof.SKIPPED: "yellow"}
    terminal.say(headline(made), style=style[made.proof])
    facts = made.facts
    for title, names in GROUPS:
        terminal.say(f"\n{title}", style="bold")
        terminal.facts([(facts[name].name, facts[name].shown) for name in names])
    terminal.say()
    for path in written:
        terminal.say(f"wrote {path}")
    if not written:
        terminal.note("--html FILE and --pdf FILE write it in full, --json prints it")
