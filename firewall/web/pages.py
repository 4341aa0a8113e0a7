"""The console's pages. Each is whole without a script; the script only keeps it fresh and takes keys."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from firewall import clock
from firewall.approval import Hold, State, similar
from firewall.errors import StoreError
from firewall.policy.fields import seconds
from firewall.web import decide, problems
from firewall.web.problems import Trouble
from firewall.web.render import page
from firewall.web.who import AUDITORS, Form, TheHouse, Visitor

if TYPE_CHECKING:
    from firewall import audit
    from firewall.web.house import House
    from firewall.web.session import Visit

CHANNEL = "web"
# more waiting than this and the queue is not what needs looking at; the page says that it is cut
MAX_WAITING = 200
# of similar ones, in the queue; all of them are on their own page
MAX_SHOWN = 4
RECENT = 8
DECIDED = tuple(state for state in State if state is not State.PENDING)

router = APIRouter(include_in_schema=False)
Id = Annotated[str, Path(max_length=64)]


@router.get("/")
async def queue(request: Request, house: TheHouse, visit: Visitor) -> Response:
    """What waits, soonest to expire first and similar ones together, and what was decided last."""
    found = await waiting(house)
    recent = await house.desk.holds(DECIDED, limit=RECENT)
    context = {
        "number": len(found[:MAX_WAITING]),
        "groups": similar.grouped(found[:MAX_WAITING]),
        "shown_of_each": MAX_SHOWN,
        "cut": len(found) > MAX_WAITING,
        "recent": recent,
    }
    return page(request, "queue.html", visit, context)


@router.get("/holds/{hold_id}")
async def show_hold(request: Request, house: TheHouse, visit: Visitor, hold_id: Id) -> Response:
    return await _hold_page(request, house, visit, await decide.find(house, hold_id))


@router.post("/holds/{hold_id}/approve")
async def approve(request: Request, house: TheHouse, posted: Form, hold_id: Id) -> Response:
    return await _decided(request, house, posted, hold_id, decide.Approval)


@router.post("/holds/{hold_id}/deny")
async def deny(request: Request, house: TheHouse, posted: Form, hold_id: Id) -> Response:
    return await _decided(request, house, posted, hold_id, decide.Denial)


@router.get("/status")
async def show_status(request: Request, house: TheHouse, visit: Visitor) -> Response:
    return await _status_page(request, house, visit, None)


@router.post("/status/verify", dependencies=AUDITORS)
async def verify(request: Request, house: TheHouse, posted: Form) -> Response:
    """Work the whole log through once; it may take a while, so it is asked for and not done by itself."""
    return await _status_page(request, house, posted.visit, await house.verify_log())


async def waiting(house: House) -> list[Hold]:
    """What waits, soonest to expire first; one more than are shown, so that a cut is seen."""
    found = await house.desk.holds([State.PENDING], limit=MAX_WAITING + 1)
    return sorted(found, key=lambda hold: (hold.expires_at, hold.id))


async def _hold_page(
    request: Request,
    house: House,
    visit: Visit,
    hold: Hold,
    wrong: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    pending = hold.state is State.PENDING
    others = [other for other in await waiting(house) if other.id != hold.id]
    like = similar.similarity(hold) if pending else None
    context: dict[str, Any] = {
        "hold": hold,
        "pending": pending,
        "late": pending and clock.now() >= hold.expires_at,
        "obstacle": obstacle(house, hold, visit.person)
        or ("You have voted; it waits for others." if voted(hold, visit.person) else ""),
        "approvals": sum(1 for vote in hold.votes if vote.approve),
        "deciders": hold.deciders(clock.now()),
        "following": others[0] if others else None,
        "alike": sum(like is not None and similar.similarity(other) == like for other in others),
        "wrong": wrong,
    }
    return page(request, "hold.html", visit, context, status=status)


def obstacle(house: House, hold: Hold, person: str) -> str:
    """Why this person is not offered the buttons; the desk decides, this only spares a refusal."""
    if person in hold.requesters:
        return "You are among those who asked for this, so someone else must decide."
    if not house.is_approver(person):
        return "You may look. The policy names you in no group that decides."
    return ""


def voted(hold: Hold, person: str) -> bool:
    return any(vote.person == person for vote in hold.votes)


async def _decided(
    request: Request, house: House, posted: Form, hold_id: str, kind: type[decide.Approval | decide.Denial]
) -> Response:
    hold = await decide.find(house, hold_id)
    try:
        word = kind.model_validate(_nested(posted.values))
    except ValidationError as error:
        wrong = problems.of_form(error)
        return await _hold_page(request, house, posted.visit, hold, wrong, HTTPStatus.UNPROCESSABLE_ENTITY)
    if word.digest is None:
        wrong = "`digest`: the form must say what was shown; reload the page"
        return await _hold_page(request, house, posted.visit, hold, wrong, HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        await decide.decide(house, hold_id, posted.visit.person, word, CHANNEL)
    except Trouble as trouble:
        hold = await decide.find(house, hold_id)
        return await _hold_page(request, house, posted.visit, hold, trouble.detail, trouble.status)
    return RedirectResponse(f"/holds/{hold.id}", HTTPStatus.SEE_OTHER)


def _nested(values: dict[str, str]) -> dict[str, object]:
    """A form's fields as `decide.Approval` has them: what is granted beyond one run is a part of its own."""
    found: dict[str, object] = dict(values)
    if "for" in values:
        terms = {name: found.pop(name) for name in ("uses", "rows") if values.get(name)}
        found.pop("rows", None)
        try:
            found["grant"] = {"seconds": seconds(str(found.pop("for")).strip()), **terms}
        except ValueError as error:
            raise Trouble(HTTPStatus.UNPROCESSABLE_ENTITY, f"for how long: {error}") from None
    return found


async def _status_page(request: Request, house: House, visit: Visit, report: audit.Report | None) -> Response:
    try:
        status = await house.status()
    except StoreError as error:
        raise Trouble(
            HTTPStatus.SERVICE_UNAVAILABLE, "the store cannot be read; nothing passes until it can"
        ) from error
    return page(request, "status.html", visit, {"status": status, "report": report})
