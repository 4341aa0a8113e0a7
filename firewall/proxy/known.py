"""What the firewall knows of one agent in one database, as rows of `firewall.holds` and `firewall.grants`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall import clock

if TYPE_CHECKING:
    from datetime import datetime

    from firewall.approval import Grant, Hold
    from firewall.desk import Desk

    Row = tuple[str | None, ...]

# the newest ones; who wants older ones asks the console
MOST = 200
LONGEST = 1000  # characters of a statement


async def rows(view: str, desk: Desk, agent: str, database: str) -> list[Row]:
    """The agent's own and nobody else's, newest first."""
    if view == "grants":
        return [_grant(grant) for grant in await desk.grants(agent=agent, database=database)]
    holds = await desk.holds(limit=MOST, agent=agent, database=database)
    return [_hold(hold) for hold in holds]


def _hold(hold: Hold) -> Row:
    last = hold.votes[-1].reason if hold.votes else ""
    return (
        *(hold.id, hold.state.value, "true" if hold.awaited else "false", _moment(hold.opened_at)),
        *(_moment(hold.expires_at), _moment(hold.lapses_at), _brief(hold.sql)),
        *(hold.rule, hold.risk, ", ".join(hold.groups), str(hold.quorum)),
        str(sum(vote.approve for vote in hold.votes)),
        *(hold.decided_by or None, last or None, hold.outcome or None),
    )


def _grant(grant: Grant) -> Row:
    return (
        *(grant.id, grant.hold, grant.state(clock.now()), _brief(grant.sql), grant.rule, ", ".join(grant.by)),
        *(_moment(grant.given_at), _moment(grant.until), str(grant.uses), str(grant.used)),
        None if grant.rows is None else str(grant.rows),
        str(grant.spent),
    )


def _brief(sql: str) -> str:
    more = len(sql) - LONGEST
    return f"{sql[:LONGEST]} … {more} characters more" if more > 0 else sql


def _moment(at: datetime | None) -> str | None:
    return None if at is None else clock.stamp(at)
