"""One way to give a person's word, for the API and the pages alike; the desk counts it or says why not."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, assert_never

from pydantic import BaseModel, ConfigDict, StringConstraints

from firewall import clock
from firewall.approval import Counted, Refused, State
from firewall.web.problems import Trouble

if TYPE_CHECKING:
    from firewall.approval import Hold
    from firewall.web.house import House

MAX_REASON = 2000
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Approval(BaseModel):
    """`digest`: of the hold as it was shown; a hold with another digest is then not approved."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Annotated[str, StringConstraints(max_length=MAX_REASON)] = ""
    digest: Digest | None = None


class Denial(BaseModel):
    """A denial says why: the agent and the log get the reason."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Annotated[str, StringConstraints(min_length=1, max_length=MAX_REASON)]
    digest: Digest | None = None


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
    answer = await house.desk.vote(hold.id, person, approve=approve, reason=word.reason, channel=channel)
    match answer:
        case Counted(after):
            return after
        case Refused(why):
            raise Trouble(_status(await find(house, hold_id), person), why)
        case _:
            assert_never(answer)


def _status(hold: Hold, person: str) -> HTTPStatus:
    """Whether the hold's state stood against the vote (409) or the person (403), in the desk's own order."""
    if hold.state is not State.PENDING or clock.now() >= hold.expires_at:
        return HTTPStatus.CONFLICT
    if person not in hold.requesters and any(vote.person == person for vote in hold.votes):
        return HTTPStatus.CONFLICT
    return HTTPStatus.FORBIDDEN
