"""One way to give a person's word, for the API and the pages alike; the desk counts it or says why not."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, assert_never

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from firewall import clock
from firewall.approval import Counted, Grant, Refused, State
from firewall.policy import Terms
from firewall.web.problems import Trouble

if TYPE_CHECKING:
    from firewall.approval import Hold
    from firewall.web.house import House

MAX_REASON = 2000
MAX_SECONDS = 7 * 24 * 3600.0  # the longest that a policy can say
MAX_USES = 10_000
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class GrantTerms(BaseModel):
    """What is let pass beyond this one run, within what the policy lets be granted."""

    model_config = ConfigDict(extra="forbid")

    seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)]
    uses: Annotated[int, Field(ge=1, le=MAX_USES)]
    rows: Annotated[int, Field(ge=0)] | None = None


class Approval(BaseModel):
    """`digest`: of the hold as it was shown; a hold with another digest is then not approved.

    `grant`: what is let pass beyond this run. `break_glass`: alone, in an emergency; it takes a reason.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Annotated[str, StringConstraints(max_length=MAX_REASON)] = ""
    digest: Digest | None = None
    grant: GrantTerms | None = None
    break_glass: bool = False


class Denial(BaseModel):
    """A denial says why: the agent and the log get the reason."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Annotated[str, StringConstraints(min_length=1, max_length=MAX_REASON)]
    digest: Digest | None = None


class Revocation(BaseModel):
    """Why a grant is taken back; the log keeps it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Annotated[str, StringConstraints(max_length=MAX_REASON)] = ""


async def find(house: House, hold_id: str) -> Hold:
    """The hold, or a 404."""
    hold = await house.desk.hold(hold_id)
    if hold is None:
        raise Trouble(
            HTTPStatus.NOT_FOUND, f"there is no hold `{hold_id[:40]}`; see the queue for what waits"
        )
    return hold


async def decide(house: House, hold_id: str, person: str, word: Approval | Denial, channel: str) -> Hold:
    """The hold after this person's word, or a 403, 404 or 409 that says why the word does not count."""
    hold = await find(house, hold_id)
    # INVARIANT: 6. what the approver saw, what is approved and what runs have one digest
    if word.digest is not None and word.digest != hold.digest:
        detail = f"hold {hold.id} is not what you were shown: its digest is another; look at it again"
        raise Trouble(HTTPStatus.CONFLICT, detail)
    approve = isinstance(word, Approval)
    given = word.grant if isinstance(word, Approval) else None
    answer = await house.desk.vote(
        hold.id,
        person,
        approve=approve,
        reason=word.reason,
        channel=channel,
        digest=hold.digest,
        terms=Terms(given.seconds, given.uses, given.rows) if given else None,
        break_glass=isinstance(word, Approval) and word.break_glass,
        # the page of a hold shows all of it; a program says which one was shown
        opened=word.digest is not None,
    )
    match answer:
        case Counted(after):
            return after
        case Refused(why):
            raise Trouble(_status(await find(house, hold_id), person), why)
        case _:
            assert_never(answer)


async def revoke(house: House, grant_id: str, person: str, reason: str) -> Grant:
    """The grant after this person took it back, or a 403, 404 or 409."""
    answer = await house.desk.revoke(grant_id, person, reason)
    if isinstance(answer, Grant):
        return answer
    if answer.why.startswith("there is no"):
        raise Trouble(HTTPStatus.NOT_FOUND, answer.why)
    stranger = not house.is_approver(person)
    raise Trouble(HTTPStatus.FORBIDDEN if stranger else HTTPStatus.CONFLICT, answer.why)


def _status(hold: Hold, person: str) -> HTTPStatus:
    """Whether the hold's state stood against the vote (409) or the person (403), in the desk's own order."""
    if hold.state is not State.PENDING or clock.now() >= hold.expires_at:
        return HTTPStatus.CONFLICT
    if person not in hold.requesters and any(vote.person == person for vote in hold.votes):
        return HTTPStatus.CONFLICT
    return HTTPStatus.FORBIDDEN
