"""`firewall explain`: what a statement would do, and why it would be allowed, held or denied.

The verdict is made where every verdict is made, by a `Gate`; nothing is run.
"""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from firewall import policy
from firewall.cli import catalogs, explained, house
from firewall.cli.command import command
from firewall.cli.exits import Usage
from firewall.cli.explain_lines import Line, answered
from firewall.cli.policy import app as policy_app
from firewall.errors import StoreError
from firewall.policy.trace import trace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from firewall.catalog import Snapshot
    from firewall.catalog.labels import Mark
    from firewall.cli.terminal import Terminal
    from firewall.gate import Gate
    from firewall.judgement import Judgement
    from firewall.masking import Masks
    from firewall.policy import Moment, Policy, Subject

app = typer.Typer()

LINES = "-"

Sql = Annotated[
    str | None,
    typer.Argument(
        metavar="[SQL|-]",
        help='a text (default: stdin), or - for lines of {"sql": …} on stdin',
        show_default=False,
    ),
]
Agent = Annotated[str, typer.Option("--agent", help="who would ask")]
Owner = Annotated[
    str | None,
    typer.Option("--owner", help="whose agent it is (default: as in the store)", show_default=False),
]
Team = Annotated[
    str | None, typer.Option("--team", help="its team (default: as in the store)", show_default=False)
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="another policy than the database's", show_default=False),
]
Quiet = Annotated[bool, typer.Option("--matching", help="leave out the rules that do not match")]


@dataclass(frozen=True, slots=True)
class Bench:
    """What statements are judged by.

    known: agents of the store, as owner and team by name. marks: labels that no policy says, from the store.
    """

    name: str
    environment: str
    rules: Policy
    snapshot: Snapshot
    known: dict[str, tuple[str, str]]
    marks: Sequence[Mark] = ()


@command(app, "explain")
async def explain(  # noqa: PLR0913, PLR0917 — one option for each thing that decides
    terminal: Terminal,
    text: Sql = None,
    agent: Agent = "agent",
    owner: Owner = None,
    team: Team = None,
    catalog: catalogs.CatalogFile = None,
    name: catalogs.DatabaseName = None,
    rules: PolicyFile = None,
) -> None:
    """Say what a statement would do, and why it would be allowed, held or denied. Nothing is run.

    With --catalog and --policy neither settings nor a database are needed. Several statements in one text are
    judged together, as Postgres would run them together. With --json: one line for each text; a line of stdin
    that is wrong is answered with what is wrong about it.
    """
    bench = await bench_of(terminal, catalog, name, rules)

    def say(judgement: Judgement, moment: Moment, masked: Masks | None) -> None:
        if terminal.as_json:
            terminal.document(explained.public(judgement))
        else:
            explained.tell(terminal, judgement, moment, masked)

    await _answer(terminal, bench, text, lambda line: _subject(bench, line.agent or agent, owner, team), say)


@command(policy_app, "explain")
async def explain_rules(  # noqa: PLR0913, PLR0917 — as above
    terminal: Terminal,
    text: Sql = None,
    agent: Agent = "agent",
    owner: Owner = None,
    team: Team = None,
    catalog: catalogs.CatalogFile = None,
    name: catalogs.DatabaseName = None,
    rules: PolicyFile = None,
    quiet: Quiet = False,  # noqa: FBT002 — typer's way
) -> None:
    """Say of every rule why it speaks on a statement, or what of it is not true. Nothing is run.

    The same as `firewall explain`, and all rules. What only a session knows (its transaction, what the agent
    has run before, what is left of budgets) is not known here.
    """
    bench = await bench_of(terminal, catalog, name, rules)

    def say(judgement: Judgement, moment: Moment, masked: Masks | None) -> None:
        words = trace(bench.rules, judgement.subject, judgement.effects, moment)
        if terminal.as_json:
            terminal.document(explained.public_with_rules(judgement, moment, words, masked))
        else:
            explained.tell(terminal, judgement, moment, masked)
            explained.tell_rules(terminal, words, quiet=quiet)

    await _answer(terminal, bench, text, lambda line: _subject(bench, line.agent or agent, owner, team), say)


async def _answer(
    terminal: Terminal,
    bench: Bench,
    text: str | None,
    whose: Callable[[Line], Subject],
    say: Callable[[Judgement, Moment, Masks | None], None],
) -> None:
    """Say something of the text, or of each line of stdin."""
    from firewall.masking import masked_of  # noqa: PLC0415 — as below

    workers = len(os.sched_getaffinity(0)) if text == LINES else 1
    async with gate_of(bench, workers) as gate:

        async def judge(line: Line) -> Judgement:
            return await _judge(gate, bench, whose(line), line)

        if text != LINES:
            judgement = await judge(Line(sql=_text(text)))
            say(judgement, gate.at(), masked_of(gate, judgement))
            return
        async for answer in answered(_stdin(), judge):
            if not isinstance(answer, Usage):
                say(answer, gate.at(), masked_of(gate, answer))
            elif terminal.as_json:
                terminal.document({"error": answer.message, "hint": answer.hint})
            else:
                raise answer


async def bench_of(terminal: Terminal, catalog: Path | None, name: str | None, rules: Path | None) -> Bench:
    if catalog and rules and not name:
        snapshot = catalogs.load(catalog)
        return Bench(snapshot.database, "production", policy.load(rules), snapshot, {})
    chosen, place = catalogs.database(terminal, name)
    loaded = policy.load(rules or place.policy)
    snapshot = catalogs.load(catalog) if catalog else await catalogs.read(chosen, place)
    try:
        async with house.store_to_read(terminal) as store:
            known = {agent.name: (agent.owner, agent.team) for agent in await store.agents()}
            marks = await store.marked(chosen)
    except StoreError:
        # what cannot be looked up is not needed to explain
        known, marks = {}, []
    return Bench(chosen, place.environment, loaded, snapshot, known, marks)


@asynccontextmanager
async def gate_of(bench: Bench, workers: int = 1) -> AsyncIterator[Gate]:
    from firewall.gate import Gate  # noqa: PLC0415 — the parsers; not every command has to wait for them
    from firewall.labelling import Remembered  # noqa: PLC0415 — as below
    from firewall.workers import Analysts  # noqa: PLC0415 — as above

    async def read() -> Snapshot:
        return bench.snapshot

    analysts = Analysts(workers)
    try:
        gate = Gate(bench.rules, analysts, read, Remembered(bench.name, bench.marks))
        await analysts.warm(await gate.refresh())
        yield gate
    finally:
        analysts.close()


def _subject(bench: Bench, agent: str, owner: str | None, team: str | None) -> Subject:
    known_owner, known_team = bench.known.get(agent, ("", ""))
    return policy.Subject(
        agent=agent,
        owner=known_owner if owner is None else owner,
        database=bench.name,
        environment=bench.environment,
        team=known_team if team is None else team,
    )


async def _judge(gate: Gate, bench: Bench, subject: Subject, line: Line) -> Judgement:
    """The verdict on a line's text, in a session that has run its set-up."""
    from firewall import sql  # noqa: PLC0415 — as above

    facts = sql.Facts(database=bench.name, role=bench.snapshot.role, search_path=bench.snapshot.search_path)
    prepared: dict[str, str | None] = {}
    in_doubt = False
    for text in line.setup:
        before = await gate.judge(subject, text, facts, in_doubt=in_doubt, prepared=prepared)
        after = before.analysis.after
        facts = replace(after, prepared=())
        prepared |= dict(after.prepared)
        # it was not run, so that the catalog is not as it would be
        in_doubt = in_doubt or before.loses_names
    return await gate.judge(subject, line.sql, facts, in_doubt=in_doubt, prepared=prepared)


def _text(text: str | None) -> str:
    return text if text is not None else _stdin().read()


def _stdin() -> TextIO:
    if sys.stdin.isatty():
        raise Usage("there is nothing to explain", hint="write the statement behind the command, or on stdin")
    return sys.stdin
