"""Similar holds of one agent on one page: those that are chosen are decided together, by a vote on each."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from firewall import clock
from firewall.approval import State, similar
from firewall.web import decide, problems
from firewall.web.pages import CHANNEL, obstacle, voted, waiting
from firewall.web.problems import Trouble
from firewall.web.render import page
from firewall.web.who import Form, TheHouse, Visitor  # noqa: TC001 — FastAPI resolves the annotations

if TYPE_CHECKING:
    from firewall.approval import Hold
    from firewall.web.house import House
    from firewall.web.session import Visit

# as many as are read in one go, and as a form has fields for; further ones are on the next such page
MAX_TOGETHER = 8
# of the field that chooses a hold; its value is the digest of what was shown
CHOICE = "hold:"

router = APIRouter(include_in_schema=False)
Id = Annotated[str, Path(max_length=64)]


@router.get("/holds/{hold_id}/similar")
async def show_similar(request: Request, house: TheHouse, visit: Visitor, hold_id: Id) -> Response:
    return await _page(request, house, visit, await decide.find(house, hold_id))


@router.post("/holds/{hold_id}/similar/approve")
async def approve_chosen(request: Request, house: TheHouse, posted: Form, hold_id: Id) -> Response:
    return await _decided(request, house, posted, hold_id, decide.Approval)


@router.post("/holds/{hold_id}/similar/deny")
async def deny_chosen(request: Request, house: TheHouse, posted: Form, hold_id: Id) -> Response:
    return await _decided(request, house, posted, hold_id, decide.Denial)


async def _decided(
    request: Request, house: House, posted: Form, hold_id: str, kind: type[decide.Approval | decide.Denial]
) -> Response:
    """A vote on each chosen hold; one that does not count is told and keeps no other from counting."""
    first = await decide.find(house, hold_id)
    values = dict(posted.values)
    chosen = {name.removeprefix(CHOICE): values.pop(name) for name in list(values) if name.startswith(CHOICE)}
    like = similar.similarity(first)
    try:
        words = {one: kind.model_validate(values | {"digest": digest}) for one, digest in chosen.items()}
    except ValidationError as error:
        wrong = problems.of_form(error)
        return await _page(request, house, posted.visit, first, [wrong], HTTPStatus.UNPROCESSABLE_ENTITY)
    if not words or like is None:
        wrong = "choose at least one statement"
        return await _page(request, house, posted.visit, first, [wrong], HTTPStatus.UNPROCESSABLE_ENTITY)
    for one in words:
        # nobody decides together what was not shown together
        if similar.similarity(await decide.find(house, one)) != like:
            raise Trouble(HTTPStatus.CONFLICT, f"hold `{one[:40]}` is not like {first.id}; look at it again")
    refused = []
    for one, word in words.items():
        try:
            await decide.decide(house, one, posted.visit.person, word, CHANNEL)
        except Trouble as trouble:
            refused.append(f"{one}: {trouble.detail}")
    if refused:
        return await _page(request, house, posted.visit, first, refused, HTTPStatus.CONFLICT)
    rest = [hold for hold in await _like(house, first) if not voted(hold, posted.visit.person)]
    return RedirectResponse(f"/holds/{rest[0].id}/similar" if rest else "/", HTTPStatus.SEE_OTHER)


async def _page(
    request: Request,
    house: House,
    visit: Visit,
    first: Hold,
    wrong: list[str] | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    found = await _like(house, first)
    context = {
        "first": first,
        "holds": found[:MAX_TOGETHER],
        "more": found[MAX_TOGETHER:],
        "voted": {hold.id for hold in found if voted(hold, visit.person)},
        "obstacle": obstacle(house, first, visit.person),
        "wrong": wrong or [],
        "choice": CHOICE,
    }
    return page(request, "similar.html", visit, context, status=status)


async def _like(house: House, first: Hold) -> list[Hold]:
    """Those like it that wait, soonest to expire first; itself among them if it waits."""
    like, now = similar.similarity(first), clock.now()
    if like is None:
        return [first] if first.state is State.PENDING and now < first.expires_at else []
    return [
        hold for hold in await waiting(house) if now < hold.expires_at and similar.similarity(hold) == like
    ]
