"""The application put together: routes, shield, and how each refusal is answered."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from firewall.errors import StoreError
from firewall.web import api, browse, decisions, events, link, overview, pages, problems, signin, together
from firewall.web.render import STATIC, answer
from firewall.web.session import Seal
from firewall.web.shield import Shield
from firewall.web.throttle import Throttle
from firewall.web.who import SignInNeeded

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from firewall.web.house import House

DESCRIPTION = """\
Holds and the query log of a Postgres firewall. Every call but the health checks needs a person's token. A
vote counts only if the policy lets that person decide that hold, and nobody decides what they asked for.
"""
# what a status of the framework means here, where its own phrase would not help
DETAILS = {
    HTTPStatus.NOT_FOUND: "there is no page at this address",
    HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take that method",
}


def create_app(house: House) -> FastAPI:
    """The console and its API. Serve it with uvicorn; before stopping, call `app.state.streams.close()`."""
    app = FastAPI(
        title="query firewall",
        version="1",
        description=DESCRIPTION,
        openapi_url=f"{api.PREFIX}/openapi.json",
        docs_url=None,  # the stock pages load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.house = house
    app.state.seal = Seal(house.cookie_key)
    app.state.throttle = Throttle()
    app.state.streams = events.Streams()
    app.include_router(api.router)
    app.include_router(api.health, prefix=api.PREFIX)
    app.include_router(api.health, include_in_schema=False)
    app.include_router(signin.router)
    app.include_router(link.router)
    app.include_router(events.router)
    app.include_router(pages.router)
    app.include_router(browse.router)
    app.include_router(overview.router)
    app.include_router(decisions.router)
    app.include_router(together.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(problems.Trouble, _trouble)
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(StoreError, _store)
    app.add_middleware(Shield)
    return app


async def _trouble(request: Request, error: Exception) -> Response:
    assert isinstance(error, problems.Trouble)
    return answer(request, error.status, error.detail, headers=error.headers)


async def _sign_in(request: Request, _error: Exception) -> Response:
    return signin.to_the_door(request)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = problems.fields(error.errors())
    return answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, problems.in_words(wrong), wrong=wrong)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return answer(request, status, DETAILS.get(status, status.phrase.lower()), headers=error.headers)


async def _store(request: Request, error: Exception) -> Response:
    structlog.get_logger("firewall.web").error("store unavailable", error=str(error))
    detail = "the store cannot be read or written; nothing was decided, try again when it can"
    return answer(request, HTTPStatus.SERVICE_UNAVAILABLE, detail)
