"""Sign-in by a link that works once, soon, and on the firewall's own machine: `firewall people link PERSON`.

Opening it only shows a button. What signs in is that button's form, with the checks that every form has: no
other site can send a browser in as somebody, and no browser that looks ahead uses the link up.
"""

from __future__ import annotations

import ipaddress
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from firewall.web.problems import Trouble
from firewall.web.render import page
from firewall.web.session import (
    DOOR_COOKIE,
    DOOR_SECONDS,
    SESSION_COOKIE,
    SESSION_SECONDS,
    cookie,
    drop_cookie,
    same_origin,
    set_cookie,
)
from firewall.web.who import (
    LINK_CHANNEL,
    TheHouse,
    get_seal,
    note_sign_in,
    read_form,
    still,
    tried,
)

PATH = "/signin/link"
NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
# what a proxy adds; whoever is behind one is not known to be on this machine
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
WHY = "the link is nobody's, or not any more"
SPENT = "this link was used already or is too old; `firewall people link` makes another"

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def show_link(request: Request, once: str = "") -> Response:
    _on_this_machine(request)
    return _door(request, once)


@router.post(PATH)
async def follow_link(request: Request, house: TheHouse) -> Response:
    """Trade the link for a session; each attempt is on the record before it counts."""
    _on_this_machine(request)
    if not same_origin(request):
        raise Trouble(HTTPStatus.FORBIDDEN, "this form was sent from another site; open the link itself")
    values = await read_form(request)
    seal = get_seal(request)
    opened = seal.read(cookie(request, DOOR_COOKIE))
    once = values.get("once", "")
    if opened is None or not seal.form_token_fits(opened, values.get("form_token", "")):
        wrong = "this page was open for too long or cookies are off; try once more"
        return _door(request, once, wrong, HTTPStatus.FORBIDDEN)
    person = await tried(request, once, house.whose_link, LINK_CHANNEL, WHY)
    if person is None:
        return _door(request, "", SPENT, HTTPStatus.UNAUTHORIZED)
    visit = seal.open(person, by=LINK_CHANNEL)
    if not await still(house, visit):
        why = f"`{person}` is nobody here; your operator names people in policy or settings"
        await note_sign_in(house, person, LINK_CHANNEL, why=why)
        return _door(request, "", why, HTTPStatus.UNAUTHORIZED)
    await note_sign_in(house, person, LINK_CHANNEL)
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    set_cookie(request, response, SESSION_COOKIE, seal.write(visit), SESSION_SECONDS)
    drop_cookie(request, response, DOOR_COOKIE)
    return response


def _on_this_machine(request: Request) -> None:
    """Raises unless the browser came from here, to a name that means here, through nobody."""
    address = request.client.host if request.client else ""
    through = any(name in request.headers for name in FORWARDED)
    if through or not _is_loopback(address) or request.url.hostname not in NAMES:
        detail = "a sign-in link works on the firewall's own machine alone; elsewhere sign in with your token"
        raise Trouble(HTTPStatus.FORBIDDEN, detail)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def _door(request: Request, once: str, wrong: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    seal = get_seal(request)
    visit = seal.open("", DOOR_SECONDS)
    response = page(request, "link.html", visit, {"once": once, "wrong": wrong}, status=status)
    set_cookie(request, response, DOOR_COOKIE, seal.write(visit), DOOR_SECONDS)
    return response
