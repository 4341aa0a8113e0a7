"""`firewall policy replay`: what a policy would have said to what the log has recorded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from firewall import clock
from firewall.cli import catalogs, explain, house, when
from firewall.cli.command import command
from firewall.cli.exits import Exit
from firewall.cli.policy import app, there
from firewall.cli.terminal import STYLES, brief

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from firewall.cli.terminal import Terminal
    from firewall.replay import Rejudged, Summary
    from firewall.store import Reader

PolicyFile = Annotated[Path, typer.Argument(metavar="FILE", help="the policy to try")]
Since = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="only what came after: 7d, yesterday, 2026-03-01")
]
Show = Annotated[
    int, typer.Option("--show", metavar="N", help="how many differences to list; all with --json")
]
BRIEF = 80


@command(app, "replay")
async def replay(
    terminal: Terminal,
    rules: PolicyFile,
    catalog: catalogs.CatalogFile = None,
    name: catalogs.DatabaseName = None,
    since: Since = "",
    show: Show = 50,
) -> Exit:
    """Judge the recorded log anew under a policy, and show what would be decided differently.

    Nothing is run. Statements are judged against the catalog and the labels as they are now. Exits with 1 if
    anything would be decided differently. With --json: a line for each difference, the summary as the last.
    """
    from firewall.replay import Replay, Summary  # noqa: PLC0415 — the parsers; not every command waits for them

    after = clock.stamp(when.moment(since, clock.now())) if since else ""
    chosen, _ = catalogs.database(terminal, name)
    bench = await explain.bench_of(terminal, catalog, chosen, there(rules))
    summary, listed = Summary(), 0
    async with house.store_to_read(terminal) as store, explain.gate_of(bench) as gate:
        past = Replay(gate, bench.name, {agent: team for agent, (_, team) in bench.known.items()}, after)
        with _bar(terminal) as bar:
            task = bar.add_task("records", total=await store.size())
            async for one in past.run(_bytes(store), lambda read: bar.advance(task, read)):
                summary.add(one)
                if one.differs and (terminal.as_json or listed < show):
                    listed += 1
                    _tell(terminal, one)
    _sum_up(terminal, summary, listed)
    if past.withheld:
        terminal.note(f"{past.withheld} statements were left out: their text was erased, or never kept")
    return Exit.NO if summary.changed else Exit.DONE


async def _bytes(store: Reader) -> AsyncIterator[bytes]:
    async for stored in store.records():
        yield stored.opened()


def _bar(terminal: Terminal) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=terminal.err, transient=True, disable=not terminal.err.is_terminal)


def _tell(out: Terminal, one: Rejudged) -> None:
    if out.as_json:
        out.document(asdict(one))
        return
    drift = "  (by this very policy: catalog, labels or session are others now)" if one.same_policy else ""
    out.say(f"{one.at[:19]}  {one.agent}  {one.before} → {one.after}{drift}", style=STYLES[one.after])
    out.say(f"    {brief(one.sql, BRIEF)}")
    out.say(f"    was `{one.before_rule}`, would be `{one.after_rule}`: {one.why}", style="dim")


def _sum_up(terminal: Terminal, summary: Summary, listed: int) -> None:
    changes = {f"{before} → {after}": n for (before, after), n in summary.changes.most_common()}
    if terminal.as_json:
        terminal.document(
            {
                "judged": summary.judged,
                "changed": summary.changed,
                "same_policy": summary.same_policy,
                "changes": changes,
                "rules": dict(summary.rules.most_common()),
            }
        )
        return
    if summary.changed > listed:
        terminal.say(
            f"and {summary.changed - listed} more; --show {summary.changed} lists them all", style="dim"
        )
    terminal.say(f"{summary.judged} judgements, {summary.changed} would be others")
    if summary.changed:
        rows = [[change, str(n)] for change, n in changes.items()]
        rows += [[f"by `{rule}`", str(n)] for rule, n in summary.rules.most_common()]
        terminal.table(["change", "judgements"], rows)
    if summary.same_policy:
        terminal.say(
            f"{summary.same_policy} of them were judged by this very policy: what they differ in is the "
            "catalog, the labels, or what their sessions knew",
            style="dim",
        )
