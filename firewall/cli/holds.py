"""`firewall holds`: what waits, and deciding it. The same desk and the same rules as in every other channel.

Whoever decides proves who they are with their token, from the environment or a file: everybody who can list
processes would see an argument.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firewall import audit, clock, credentials, ids
from firewall.approval import Counted, Hold, Person, Refused, State, Stats, stats
from firewall.channels import dossier
from firewall.cli import house
from firewall.cli.command import command, group
from firewall.cli.exits import Declined, Exit, NotThere, Usage
from firewall.cli.terminal import brief
from firewall.desk import Desk
from firewall.policy import Terms
from firewall.policy.fields import seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from firewall.cli.terminal import Terminal
    from firewall.store import Reader, Store

app = group("holds", "What waits for a person, and deciding it.")

TOKEN = "FIREWALL_TOKEN"  # noqa: S105 — the variable's name
MAX_TOKEN = 512  # longer than any
SHORTEST_PREFIX = 3  # characters that tell holds apart; with fewer, a slip of the finger decides another one
MAX_LISTED = 10_000
MAX_COUNTED = 100_000

Id = Annotated[str, typer.Argument(metavar="ID", help="the hold, or the beginning of its id")]
All = Annotated[bool, typer.Option("--all", help="decided and expired ones as well")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=MAX_LISTED, help="at most so many")]
Reason = Annotated[str, typer.Option("--reason", help="why; the agent and the log are told")]
Glass = Annotated[bool, typer.Option("--break-glass", help="alone, in an emergency; raises an alarm")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help=f"file with your token, - for stdin (default: the token itself in ${TOKEN})",
        show_default=False,
    ),
]


@command(app, "list")
async def list_holds(terminal: Terminal, everything: All = False, limit: Limit = 200) -> None:  # noqa: FBT002 — typer's way
    """What waits, newest first."""
    async with house.store_to_read(terminal) as store:
        holds = await store.holds(() if everything else (State.PENDING,), limit=limit)
    if terminal.as_json:
        terminal.records(map(public, holds))
    elif holds:
        now = clock.now()
        rows = [
            (
                *(hold.id, hold.state.value, hold.risk, hold.agent, hold.database, dossier.verb(hold)),
                dossier.remaining(hold, now) if hold.state is State.PENDING else hold.decided_by,
                brief(hold.sql, 60),
            )
            for hold in holds
        ]
        terminal.table(
            ("hold", "state", "risk", "agent", "database", "would", "expires / by", "statement"), rows
        )
    else:
        terminal.say("nothing waits" if not everything else "there are no holds")


@command(app, "show")
async def show(terminal: Terminal, hold_id: Id) -> None:
    """Everything there is to know before deciding: the whole statement, why it waits, what it would do."""
    async with house.store_to_read(terminal) as store:
        hold = await find(store, hold_id)
    if terminal.as_json:
        terminal.document(public(hold))
        return
    for line in dossier.lines(hold, clock.now()):
        terminal.ready(line, style="bold" if line.endswith(":") and not line.startswith(" ") else "")
    terminal.say()
    terminal.facts(
        [
            ("who may decide", _deciders(hold)),
            *([("alone, in need", ", ".join(hold.break_glass))] if hold.break_glass else []),
            *([("may be granted", f"at most {hold.grants}")] if hold.grants and hold.shape else []),
            ("who may not", ", ".join(sorted(hold.requesters))),
            ("opened", clock.stamp(hold.opened_at)),
            ("expires", clock.stamp(hold.expires_at)),
            ("session", hold.session),
            ("statement", hold.statement),
            ("runs", str(hold.executions)),
            ("digest", hold.digest),
        ]
    )


@command(app, "approve")
async def approve(  # noqa: PLR0913, PLR0917 — one for each option
    terminal: Terminal,
    hold_id: Id,
    reason: Reason = "",
    token_file: TokenFile = None,
    lasting: Annotated[
        str,
        typer.Option("--for", help="statements of its shape as well, for so long: 30m, 8h", metavar="TIME"),
    ] = "",
    uses: Annotated[int, typer.Option("--uses", min=1, help="with --for: so many runs")] = 1,
    rows: Annotated[
        int | None, typer.Option("--rows", min=0, help="with --for: so many rows by all of them")
    ] = None,
    break_glass: Glass = False,  # noqa: FBT002 — typer's way
) -> Exit:
    """Let it run, once; with --for, statements of its shape too."""
    terms = None
    if lasting:
        try:
            terms = Terms(seconds(lasting), uses, rows)
        except ValueError as error:
            raise Usage(f"--for: {error}") from None
    elif rows is not None or uses != 1:
        raise Usage("--uses and --rows say how far a grant goes", hint="say how long it lasts: --for 1h")
    if break_glass and not reason.strip():
        raise Usage("to break the glass needs a reason", hint="--reason 'the shop is down, nobody is there'")
    return await _decide(
        terminal, hold_id, token_file, approve=True, reason=reason, terms=terms, break_glass=break_glass
    )


@command(app, "deny")
async def deny(
    terminal: Terminal,
    hold_id: Id,
    reason: Annotated[str, typer.Option("--reason", help="why; the agent and the log are told")],
    token_file: TokenFile = None,
) -> Exit:
    """Refuse it, and say why."""
    if not reason.strip():
        raise Usage("a denial needs a reason", hint="the agent is told it: --reason 'use the archive table'")
    return await _decide(terminal, hold_id, token_file, approve=False, reason=reason)


def people(terminal: Terminal) -> Callable[[str, str], Person | None]:
    """Who a name is to the policy of a database."""
    known = house.policies(terminal.settings)

    def person(name: str, database: str) -> Person | None:
        approver = known[database].person(name) if database in known else None
        return Person(approver.name, approver.groups) if approver else None

    return person


@command(app, "stats")
async def show_stats(
    terminal: Terminal,
    since: Annotated[
        str, typer.Option("--since", help="opened within so long: 24h, 7d", metavar="TIME")
    ] = "7d",
) -> None:
    """How people decide: how fast, how often yes, whether they can have read it, and the busiest rules."""
    try:
        begin = clock.now() - timedelta(seconds=seconds(since))
    except ValueError as error:
        raise Usage(f"--since: {error}") from None
    async with house.store_to_read(terminal) as store:
        found = stats(await store.holds(limit=MAX_COUNTED, since=begin))
    if terminal.as_json:
        terminal.document({**asdict(found), "approval_rate": found.approval_rate})
        return
    rate = found.approval_rate
    terminal.facts(
        [
            ("holds", f"{found.holds}, of which {found.pending} wait"),
            ("decided", f"{found.approved} approved, {found.rejected} denied"),
            ("approval rate", "nothing was decided" if rate is None else f"{rate:.0%}"),
            ("nobody decided", str(found.undecided)),
            ("time to decision", _times(found)),
            ("long, approved unopened", f"{found.unread} of {found.approvals} approvals"),
            *((f"  by {person}", str(number)) for person, number in found.unread_by),
            ("broken glass", str(found.glass)),
        ]
    )
    if found.busiest:
        terminal.table(
            ("rule", "holds", "approved", "denied"),
            [(of.rule, str(of.holds), str(of.approved), str(of.rejected)) for of in found.busiest],
        )


def _times(of: Stats) -> str:
    if of.seconds_median is None or of.seconds_p90 is None:
        return "nothing was decided"
    return f"{of.seconds_median:.0f} s in the middle, {of.seconds_p90:.0f} s for the slowest tenth"


async def _decide(
    terminal: Terminal,
    hold_id: str,
    token_file: Path | None,
    *,
    approve: bool,
    reason: str,
    terms: Terms | None = None,
    break_glass: bool = False,
) -> Exit:
    secret = token_of(token_file)
    person = people(terminal)
    async with house.store_to_write(terminal, create=False) as store:
        name = await signed_in(store, secret)
        hold = await find(store, hold_id, pending_first=True)
        desk = Desk(store, person)
        word = await desk.vote(
            hold.id,
            name,
            approve=approve,
            reason=reason.strip(),
            channel="cli",
            digest=hold.digest,
            terms=terms,
            break_glass=break_glass,
        )
    match word:
        case Refused(why):
            if not terminal.as_json:
                raise Declined(why)
            terminal.document({"id": hold.id, "counted": False, "why": why, "state": hold.state.value})
            return Exit.NO
        case Counted(after):
            if terminal.as_json:
                terminal.document({"id": after.id, "counted": True, "why": "", "state": after.state.value})
            terminal.say(f"{after.id}: {_standing(after, name, approve=approve)}")
            return Exit.DONE


def _deciders(hold: Hold) -> str:
    if hold.parts:
        return " and ".join(f"{quorum} of {', '.join(groups)}" for groups, quorum in hold.parts)
    return f"{hold.quorum} of {', '.join(hold.groups)}"


def _standing(hold: Hold, name: str, *, approve: bool) -> str:
    if hold.state is not State.PENDING:
        return f"{'approved' if approve else 'denied'} by {name}"
    given = len({vote.person for vote in hold.votes if vote.approve})
    return f"{name} approves: {given} of {hold.quorum} that are needed"


async def signed_in(store: Store, secret: str) -> str:
    """Whose token this is; a wrong one is recorded. Raises Declined."""
    name = await store.person_by_token(credentials.token_hash(secret)) if len(secret) <= MAX_TOKEN else None
    if name is None:
        why = "the token belongs to no person"
        record = audit.SignIn(
            id=ids.record_id(),
            at=clock.stamp(clock.now()),
            person="",
            channel="cli",
            succeeded=False,
            why=why,
        )
        await store.append([record])
        raise Declined(f"{why}, or not any more", hint="`firewall people token PERSON` makes one")
    return name


def token_of(path: Path | None) -> str:
    """The token in the file, or in the environment. Raises Usage."""
    if path is None:
        secret = os.environ.get(TOKEN, "")
        if not secret.strip():
            raise Usage(
                f"deciding needs your token, and the environment has no `{TOKEN}`",
                hint="set it, or name a file with --token-file; `firewall people token PERSON` makes one",
            )
        return secret.strip()
    try:
        secret = sys.stdin.readline() if path == Path("-") else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Usage(f"the token file `{path}` cannot be read ({reason})") from None
    if not secret.strip():
        raise Usage(f"the token file `{path}` is empty")
    return secret.strip()


async def find(store: Reader, given: str, *, pending_first: bool = False) -> Hold:
    """The hold of this id, in any case, with or without `h-`, or of the only id that begins so."""
    # what people misread is what Crockford's alphabet leaves out
    bare = given.strip().upper().removeprefix("H-").translate(str.maketrans("ILO", "110"))
    if hold := await store.hold(f"h-{bare}"):
        return hold
    if len(bare) >= SHORTEST_PREFIX:
        choices = [(State.PENDING,), ()] if pending_first else [()]
        for states in choices:
            holds = await store.holds(states, limit=MAX_LISTED)
            found = [hold for hold in holds if hold.id.startswith(f"h-{bare}")]
            if len(found) > 1:
                names = ", ".join(hold.id for hold in found[:5])
                raise Usage(
                    f"`{given}` is the beginning of {len(found)} holds: {names}", hint="write more of it"
                )
            if found:
                return found[0]
    raise NotThere(f"there is no hold `{given}`", hint="`firewall holds list --all` shows them")


def public(hold: Hold) -> dict[str, Any]:
    """A hold for programs: what the HTTP API calls a hold, field by field."""
    return {
        **{name: getattr(hold, name) for name in _PLAIN},
        "state": hold.state.value,
        "opened_at": clock.stamp(hold.opened_at),
        "expires_at": clock.stamp(hold.expires_at),
        "requesters": sorted(hold.requesters),
        "votes": [
            {
                "person": vote.person,
                "approve": vote.approve,
                "reason": vote.reason,
                "channel": vote.channel,
                "at": clock.stamp(vote.at),
                "terms": terms(vote.terms),
                "break_glass": vote.break_glass,
            }
            for vote in hold.votes
        ],
        "decided_by": hold.decided_by,
        "parts": [[list(groups), quorum] for groups, quorum in hold.parts],
        "grants": terms(hold.grants),
        "claims": [list(claim) for claim in hold.claims],
        "impact": hold.impact and {**asdict(hold.impact), "lines": hold.impact.lines},
    }


def terms(of: Terms | None) -> dict[str, Any] | None:
    """What may be, or was, let pass beyond one run."""
    return None if of is None else {"seconds": of.seconds, "uses": of.uses, "rows": of.rows}


_PLAIN = (
    *("id", "digest", "session", "statement", "agent", "owner", "database", "environment", "role", "sql"),
    *(
        "parameters",
        "executions",
        "rule",
        "reasons",
        "effects",
        "labels",
        "risk",
        "groups",
        "quorum",
        "revision",
        "outcome",
    ),
    *("executions", "origin", "break_glass", "awaited", "kin"),
)
