"""`firewall labels`: what is sensitive and why, what may be, and taking a label away.

Labels that a policy's patterns give are changed in the policy. What comments and copies gave stays until a
person drops it here, with their token and a reason; both are recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from firewall import audit, config, policy
from firewall.catalog.labels import EVERY, misspelt, of_comments
from firewall.cli import catalogs, house, origins
from firewall.cli.command import command, group
from firewall.cli.exits import Declined, NotThere, Usage
from firewall.cli.holds import TokenFile, signed_in, token_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall.catalog import Snapshot
    from firewall.catalog.labels import Mark
    from firewall.catalog.labels_suggest import Suggestion
    from firewall.cli.origins import Origin
    from firewall.cli.terminal import Terminal
    from firewall.policy import Policy
    from firewall.policy.labels import Views
    from firewall.store import Store

app = group("labels", "What is sensitive: labels on columns, and where they come from.")

MAX_SAMPLE = 10_000

Place = Annotated[str, typer.Argument(metavar="SCHEMA.TABLE.COLUMN", help="as `firewall labels list` has it")]
LabelName = Annotated[str, typer.Argument(metavar="LABEL", help="the label to take away")]
Why = Annotated[str, typer.Option("--reason", help="why; the log is told")]
Sample = Annotated[
    int,
    typer.Option(
        "--sample", min=0, max=MAX_SAMPLE, help="rows of each table to look at; 0 looks at names only"
    ),
]
Everything = Annotated[bool, typer.Option("--all", help="columns that have such a label already as well")]


@command(app, "list")
async def list_labels(
    terminal: Terminal, name: catalogs.DatabaseName = None, catalog: catalogs.CatalogFile = None
) -> None:
    """Each labelled column, its labels, and where each of them comes from."""
    chosen, place = catalogs.database(terminal, name)
    rules = policy.load(place.policy)
    snapshot = catalogs.load(catalog) if catalog else await catalogs.read(chosen, place)
    async with house.store_to_read(terminal) as store:
        marks = await store.marked(chosen)
    found = origins.of(rules, snapshot, marks, await _views(snapshot))
    if rules.document.label_comments:
        for relation, column, word in misspelt(snapshot):
            where = relation if column == EVERY else f"{relation}.{column}"
            terminal.note(f"the comment on {where} says `{word}`, which is no label", style="yellow")
    if terminal.as_json:
        terminal.records(
            {
                "database": chosen,
                "relation": one.relation,
                "column": one.column,
                "label": one.label,
                "from": [_public(origin) for origin in one.origins],
            }
            for one in found
        )
    elif found:
        rows = [
            (f"{one.relation}.{one.column}", one.label, "; ".join(o.words for o in one.origins))
            for one in found
        ]
        terminal.table(("column", "label", "from"), rows)
    else:
        terminal.say("no column is labelled")


@command(app, "drop")
async def drop(
    terminal: Terminal,
    place: Place,
    label: LabelName,
    reason: Why,
    name: catalogs.DatabaseName = None,
    token_file: TokenFile = None,
) -> None:
    """Take away a label that a comment or a copy gave. What the policy's patterns give stays."""
    if not reason.strip():
        raise Usage("dropping a label needs a reason", hint="the log is told it: --reason 'test data only'")
    secret = token_of(token_file)
    chosen, database = catalogs.database(terminal, name)
    rules = policy.load(database.policy)
    async with house.store_to_write(terminal, create=False) as store:
        person = await signed_in(store, secret)
        marks = [m for m in await store.marked(chosen) if f"{m.relation}.{m.column}" == place]
        marks = [m for m in marks if m.label == label]
        if not marks:
            raise NotThere(
                f"no comment and no copy put `{label}` on `{place}` in `{chosen}`",
                hint="`firewall labels list` says where labels come from",
            )
        await _may_drop(store, rules, person, marks)
        from firewall.labelling import dropped  # noqa: PLC0415 — the parsers; not every command waits for them

        record = dropped(chosen, marks, by=person, why=reason.strip())
        if not await store.marks(chosen).drop(marks, [record]):
            raise NotThere(f"`{label}` on `{place}` has just been dropped by somebody else")
    if terminal.as_json:
        terminal.document({"database": chosen, "column": place, "label": label, "dropped_by": person})
    terminal.say(f"{label} is taken off {place} by {person}; firewalls on this store follow within seconds")
    if any(mark.commented for mark in marks):
        terminal.note(
            "if a comment still says it, it comes back when the catalog is read: change the comment"
        )


@command(app, "suggest")
async def suggest(
    terminal: Terminal,
    name: catalogs.DatabaseName = None,
    sample: Sample = 200,
    everything: Everything = False,  # noqa: FBT002 — typer's way
) -> None:
    """Propose labels by columns' names and by samples of their values, ready to be put into a policy.

    Rows are read with the firewall's own login, read only, a few of each table. No value is shown or kept.
    """
    chosen, place = catalogs.database(terminal, name)
    rules = policy.load(place.policy)
    found = await _suggestions(terminal, chosen, place, rules, sample, everything=everything)
    from firewall.catalog.labels_suggest import as_yaml  # noqa: PLC0415 — phone books of all countries

    if terminal.as_json:
        terminal.records(
            {
                "database": chosen,
                "relation": one.relation,
                "column": one.column,
                "label": one.label,
                "by_name": one.by_name,
                "values": one.values,
                "share": one.share,
            }
            for one in found
        )
        return
    if found and terminal.out.is_terminal:
        rows = [
            (
                *(f"{one.relation}.{one.column}", one.label, "yes" if one.by_name else ""),
                "" if one.share is None else f"{one.share:.0%} of {one.values}",
            )
            for one in found
        ]
        terminal.table(("column", "label", "by its name", "values that fit"), rows)
        terminal.say()
    terminal.say(as_yaml(found).rstrip("\n"))
    terminal.note("look through it, then put what is right under `labels:` in the policy")


async def _suggestions(
    terminal: Terminal, name: str, place: config.Database, rules: Policy, rows: int, *, everything: bool
) -> list[Suggestion]:
    # seconds that not every command has to wait
    from firewall.app import connected  # noqa: PLC0415
    from firewall.catalog import Labels  # noqa: PLC0415
    from firewall.catalog.introspect import introspect  # noqa: PLC0415
    from firewall.catalog.labels_suggest import suggestions  # noqa: PLC0415
    from firewall.catalog.sample import sample  # noqa: PLC0415

    async with connected(name, place, config.password(name, place)) as connection:
        snapshot = await introspect(connection)
        sampled = await sample(connection, snapshot, rows, terminal.note) if rows else {}
    labels = Labels() if everything else rules.labels(snapshot, of_comments(snapshot))
    return suggestions(snapshot, labels, sampled)


async def _may_drop(store: Store, rules: Policy, person: str, marks: Sequence[Mark]) -> None:
    """An approver may, but nobody for what their own agent has copied."""
    if rules.person(person) is None:
        raise Declined(f"`{person}` is not an approver in the policy")
    for statement in sorted({mark.statement for mark in marks if mark.statement}):
        for record in await store.statement_records(statement):
            if isinstance(record, audit.Judgement):
                agent = await store.agent(record.agent)
                if person in {record.agent, record.owner, agent.issuer if agent else ""}:
                    # INVARIANT: 7. a requester has no say about what they asked for
                    raise Declined(
                        f"`{record.agent}` copied it, which is your agent: another approver decides"
                    )


async def _views(snapshot: Snapshot) -> Views:
    from firewall.shown import Shown  # noqa: PLC0415 — the parsers; not every command has to wait for them
    from firewall.workers import Analysts  # noqa: PLC0415 — as above

    analysts = Analysts(1)
    try:
        analysts.publish(snapshot)
        return await Shown(analysts).views(snapshot)
    finally:
        analysts.close()


def _public(origin: Origin) -> dict[str, Any]:
    return {"kind": origin.kind, "what": origin.what, "statement": origin.statement, "at": origin.at}
