"""The HTTP API. Every answer is described in `/api/v1/openapi.json`; every refusal is problem details."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from firewall import clock
from firewall.approval import State  # noqa: TC001 — FastAPI resolves the routes' annotations
from firewall.errors import StoreError
from firewall.web import decide, decisions, log, problems
from firewall.web.models import (
    Grants,
    GrantView,
    Health,
    Holds,
    HoldStats,
    HoldView,
    Statements,
    StatementStory,
)
from firewall.web.problems import Trouble
from firewall.web.who import Caller, TheHouse  # noqa: TC001 — likewise

PREFIX = "/api/v1"
CHANNEL = "api"
MAX_HOLDS = 500

router = APIRouter(
    prefix=PREFIX, responses={status: problems.RESPONSES[status] for status in (401, 422, 503)}
)
health = APIRouter(tags=["health"])
Id = Annotated[str, Path(max_length=64)]
MISSING: problems.Responses = {404: problems.RESPONSES[404]}
DECIDING: problems.Responses = {status: problems.RESPONSES[status] for status in (403, 404, 409, 413)}


@router.get("/holds", tags=["holds"])
async def list_holds(
    house: TheHouse,
    _caller: Caller,
    state: Annotated[list[State] | None, Query(description="Only these; repeat it for several.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_HOLDS)] = 200,
) -> Holds:
    """Holds, newest first."""
    found = await house.desk.holds(state or (), limit=limit)
    return Holds(holds=[HoldView.of(hold) for hold in found])


@router.get("/holds/stats", tags=["holds"])
async def hold_stats(
    house: TheHouse,
    _caller: Caller,
    days: Annotated[int, Query(ge=1, le=366, description="Opened within so many days.")] = 7,
) -> HoldStats:
    """How people decide: how fast, how often yes, whether they can have read it, and the busiest rules."""
    return HoldStats.model_validate(await decisions.figures(house, days))


@router.get("/holds/{hold_id}", tags=["holds"], responses=MISSING)
async def get_hold(house: TheHouse, _caller: Caller, hold_id: Id) -> HoldView:
    """One hold, with everything that an approver must see to decide."""
    return HoldView.of(await decide.find(house, hold_id))


@router.post("/holds/{hold_id}/approve", tags=["holds"], responses=DECIDING)
async def approve(
    house: TheHouse, caller: Caller, hold_id: Id, word: decide.Approval | None = None
) -> HoldView:
    """Approve as the token's person. Send `digest` to approve only what you were shown."""
    said = word or decide.Approval()
    return HoldView.of(await decide.decide(house, hold_id, caller, said, CHANNEL))


@router.post("/holds/{hold_id}/deny", tags=["holds"], responses=DECIDING)
async def deny(house: TheHouse, caller: Caller, hold_id: Id, word: decide.Denial) -> HoldView:
    """Deny as the token's person, with a reason that the agent is told."""
    return HoldView.of(await decide.decide(house, hold_id, caller, word, CHANNEL))


@router.get("/grants", tags=["grants"])
async def list_grants(house: TheHouse, _caller: Caller) -> Grants:
    """Leave for more than one run that has not ended."""
    now = clock.now()
    return Grants(grants=[GrantView.of(grant, now) for grant in await house.desk.grants()])


@router.post("/grants/{grant_id}/revoke", tags=["grants"], responses=DECIDING)
async def revoke(house: TheHouse, caller: Caller, grant_id: Id, word: decide.Revocation) -> GrantView:
    """Take a grant back: nothing more runs by it."""
    return GrantView.of(await decide.revoke(house, grant_id, caller, word.reason), clock.now())


@router.get("/statements", tags=["log"])
async def list_statements(
    house: TheHouse, _caller: Caller, filters: Annotated[log.Filters, Query()]
) -> Statements:
    """Judged statements, newest first."""
    return await log.search(house, filters)


@router.get("/statements/{statement_id}", tags=["log"], responses=MISSING)
async def get_statement(house: TheHouse, _caller: Caller, statement_id: Id) -> StatementStory:
    """Every record of one statement, oldest first."""
    records = await house.statement(statement_id)
    if not records:
        raise Trouble(HTTPStatus.NOT_FOUND, f"the log has no statement `{statement_id}`")
    return StatementStory(
        statement=statement_id, records=[record.model_dump(mode="json") for record in records]
    )


@health.get("/health")
async def alive() -> Health:
    """Whether the process answers; says nothing about the store."""
    return Health(status="ok")


@health.get("/ready", responses={503: {"model": Health, "description": "the store cannot be read"}})
async def ready(house: TheHouse, response: Response) -> Health:
    """Whether statements can be judged and decided now."""
    try:
        await house.status()
    except StoreError:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Health(status="unavailable")
    return Health(status="ok")
