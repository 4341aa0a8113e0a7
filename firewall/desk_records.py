"""What the desk writes into the log, and the grants that approvals give."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from firewall import audit, clock, ids
from firewall.approval import Grant, Hold, State, Vote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def correlation(hold: Hold, at: datetime) -> dict[str, str]:
    return {
        "id": ids.record_id(),
        "at": clock.stamp(at),
        "session": hold.session,
        "statement": hold.statement,
        "hold": hold.id,
    }


def vote(hold: Hold, vote: Vote, *, counted: bool, why: str = "") -> audit.Vote:
    return audit.Vote(
        **correlation(hold, vote.at),
        person=vote.person,
        approve=vote.approve,
        reason=vote.reason,
        channel=vote.channel,
        counted=counted,
        why=why,
        terms="" if vote.terms is None else str(vote.terms),
    )


def broken_glass(hold: Hold, vote: Vote) -> audit.BreakGlass:
    return audit.BreakGlass(
        **correlation(hold, vote.at),
        person=vote.person,
        reason=vote.reason,
        channel=vote.channel,
        agent=hold.agent,
        digest=hold.digest,
        groups=list(hold.groups),
        quorum=hold.quorum,
    )


def waiting(hold: Hold, event: Literal["left", "resumed"], why: str) -> audit.Waiting:
    return audit.Waiting(**correlation(hold, clock.now()), event=event, agent=hold.agent, why=why)


def ahead(hold: Hold) -> Iterator[audit.Waiting]:
    """Of what has run ahead of a COMMIT that is held: the log knows it as a part of that hold from now on."""
    for ran in hold.ran:
        said = {**correlation(hold, hold.opened_at), "statement": ran.statement}
        yield audit.Waiting(**said, event="ahead", agent=hold.agent, why=ran.standing.value)


def granted(hold: Hold, at: datetime) -> Grant | None:
    """What those who approved let pass beyond one run."""
    terms = hold.granted
    if terms is None or not hold.shape:
        return None
    return Grant(
        id=ids.grant_id(),
        hold=hold.id,
        shape=hold.shape,
        agent=hold.agent,
        database=hold.database,
        sql=hold.sql,
        rule=hold.rule,
        by=tuple(vote.person for vote in hold.votes if vote.approve),
        groups=hold.groups,
        given_at=at,
        until=at + timedelta(seconds=terms.seconds),
        uses=terms.uses,
        rows=terms.rows,
    )


def grant(of: Grant, event: Literal["given", "revoked"], at: datetime, why: str = "") -> audit.Grant:
    return audit.Grant(
        id=ids.record_id(),
        at=clock.stamp(at),
        hold=of.hold,
        event=event,
        grant=of.id,
        agent=of.agent,
        shape=of.shape,
        by=[of.revoked_by] if event == "revoked" else list(of.by),
        until=clock.stamp(of.until),
        uses=of.uses,
        rows=of.rows,
        why=why,
    )


def decision(hold: Hold, at: datetime, *, why: str) -> audit.Decision:
    wanted = hold.state is not State.REJECTED
    return audit.Decision.model_validate(
        {
            **correlation(hold, at),
            "state": hold.state.value,
            "by": [v.person for v in hold.votes if v.approve is wanted] if hold.decided_by else [],
            "why": why,
            "digest": hold.digest,
        }
    )
