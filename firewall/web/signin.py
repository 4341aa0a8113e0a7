"""The way in and out for people with a browser."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from firewall.web.oidc import AWAY_SECONDS, Away, Oidc, OidcError
from firewall.web.problems import Trouble
from firewall.web.render import page
from firewall.web.session import (
    AWAY_COOKIE,
    DOOR_COOKIE,
    DOOR_SECONDS,
    SESSION_COOKIE,
    SESSION_SECONDS,
    cookie,
    drop_cookie,
    same_origin,
    set_cookie,
)
from firewall.web.who import Leaving, TheHouse, admit, get_seal, note_sign_in, read_form

if TYPE_CHECKING:
    from firewall.web.house import House

CHANNEL = "web"
PROVIDER_CHANNEL = "oidc"
# a path of this console and nothing a browser could read as another host
LOCAL = re.compile(r"/(?![/\\])[\w\-./?=&%:+~]{0,400}", re.ASCII)

router = APIRouter(include_in_schema=False)


@router.get("/signin")
async def door(request: Request, to: str = "/") -> Response:
    """The form; its token is bound to a cookie of its own, so that opening it signs nobody out."""
    return _door(request, to)


@router.post("/signin")
async def enter(request: Request, house: TheHouse) -> Response:
    """Trade a person's token for a session; each attempt is on the record before it counts."""
    if not same_origin(request):
        raise Trouble(HTTPStatus.FORBIDDEN, "this form was sent from another site; open the console itself")
    values = await read_form(request)
    seal = get_seal(request)
    opened = seal.read(cookie(request, DOOR_COOKIE))
    to = values.get("to", "/")
    if opened is None or not seal.form_token_fits(opened, values.get("form_token", "")):
        wrong = "this page was open for too long or cookies are off; try once more"
        return _door(request, to, wrong, HTTPStatus.FORBIDDEN)
    person = await admit(request, values.get("token", "").strip(), CHANNEL)
    if person is None:
        return _door(request, to, "this token belongs to no person, or not any more", HTTPStatus.UNAUTHORIZED)
    await note_sign_in(house, person, CHANNEL)
    response = RedirectResponse(local(to), HTTPStatus.SEE_OTHER)
    sealed = seal.write(seal.open(person))
    set_cookie(request, response, SESSION_COOKIE, sealed, SESSION_SECONDS)
    drop_cookie(request, response, DOOR_COOKIE)
    return response


@router.get("/signin/provider")
async def provider(request: Request, house: TheHouse, to: str = "/") -> Response:
    """Off to the provider; nothing of it is believed before the browser has come back."""
    known = _provider(house)
    away = Away.begin(local(to))
    try:
        way = await known.way(away, _back(request))
    except OidcError as error:
        return _door(request, to, f"{known.name}: {error}", HTTPStatus.BAD_GATEWAY)
    response = RedirectResponse(way, HTTPStatus.SEE_OTHER)
    sealed = get_seal(request).put_away(away.dump())
    set_cookie(request, response, AWAY_COOKIE, sealed, AWAY_SECONDS, strict=False)
    return response


@router.get("/signin/back")
async def back(request: Request, house: TheHouse, state: str = "", code: str = "") -> Response:
    """The browser is back: who it is, if the provider says so and the firewall knows the person."""
    known, seal = _provider(house), get_seal(request)
    try:
        person, to = await _returned(request, house, known, state, code)
    except OidcError as error:
        await note_sign_in(house, "", PROVIDER_CHANNEL, why=str(error))
        response = _door(request, "/", f"{known.name}: {error}", HTTPStatus.UNAUTHORIZED)
    else:
        await note_sign_in(house, person, PROVIDER_CHANNEL)
        response = RedirectResponse(to, HTTPStatus.SEE_OTHER)
        set_cookie(request, response, SESSION_COOKIE, seal.write(seal.open(person)), SESSION_SECONDS)
    set_cookie(request, response, AWAY_COOKIE, "", 0, strict=False)
    return response


@router.post("/signout")
async def leave(request: Request, posted: Leaving) -> Response:
    get_seal(request).end(posted.visit)
    response = RedirectResponse("/signin", HTTPStatus.SEE_OTHER)
    drop_cookie(request, response, SESSION_COOKIE)
    return response


def _provider(house: House) -> Oidc:
    if house.oidc is None:
        raise Trouble(HTTPStatus.NOT_FOUND, "no provider is set up; sign in with your token")
    return house.oidc


async def _returned(request: Request, house: House, known: Oidc, state: str, code: str) -> tuple[str, str]:
    """Who came back, and where to. Raises OidcError."""
    kept = get_seal(request).take_back(cookie(request, AWAY_COOKIE), AWAY_SECONDS)
    if kept is None:
        raise OidcError("this took too long or cookies are off; begin again")
    away = Away.load(kept)
    person = await known.person(away, state, code, _back(request))
    if not await house.is_person(person):
        raise OidcError(f"`{person}` is nobody here; your operator names people in policy or settings")
    return person, away.to


def _back(request: Request) -> str:
    return str(request.url_for("back"))


def to_the_door(request: Request) -> Response:
    """Where a browser without a session is sent.

    Following a link from another site (a chat message), the browser keeps a SameSite=Strict cookie back. A
    page that sends it here once more is our own, so that second request carries the cookie if there is one.
    """
    if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        return page(request, "again.html", None, {"to": _here(request)})
    to = _here(request) if request.method == "GET" else "/"
    target = request.url_for("door").include_query_params(to=to)
    return RedirectResponse(f"{target.path}?{target.query}", HTTPStatus.SEE_OTHER)


def local(to: str) -> str:
    """The path if it is one of this console's, else the front page."""
    return to if LOCAL.fullmatch(to) else "/"


def _here(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return local(f"{request.url.path}{query}")


def _door(request: Request, to: str, wrong: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    seal = get_seal(request)
    visit = seal.open("", DOOR_SECONDS)
    known = request.app.state.house.oidc
    context = {"to": local(to), "wrong": wrong, "provider": known.name if known else ""}
    response = page(request, "signin.html", visit, context, status=status)
    set_cookie(request, response, DOOR_COOKIE, seal.write(visit), DOOR_SECONDS)
    return response
