"""Who asks, as dependencies of the routes. Nothing is shown or decided before one of these has answered.

Browsers come with the sealed cookie, programs with a bearer token; both belong to a person. An agent's
credential opens neither door: `House.person_by_token` knows people only.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from firewall import audit, clock, ids
from firewall.web.house import House
from firewall.web.problems import Trouble
from firewall.web.roles import Role
from firewall.web.session import SESSION_COOKIE, Seal, Visit, cookie, same_origin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.datastructures import FormData

    from firewall.web.throttle import Throttle

# longer than any token; what is longer is not looked up
MAX_TOKEN = 512
MAX_FIELDS = 12
LINK_CHANNEL = "link"

_bearer = HTTPBearer(
    auto_error=False,
    description="A person's token. Agents' credentials are for the database port and open nothing here.",
)


class SignInNeeded(Exception):
    """A page that wants a person; answered by the way to the sign-in page."""


def get_house(request: Request) -> House:
    house: House = request.app.state.house
    return house


def get_seal(request: Request) -> Seal:
    seal: Seal = request.app.state.seal
    return seal


async def get_visit(request: Request) -> Visit:
    """The signed-in browser's session, of a person who is still one."""
    visit = get_seal(request).read(cookie(request, SESSION_COOKIE))
    if visit is None or not visit.person or not await still(get_house(request), visit):
        raise SignInNeeded
    return visit


async def still(house: House, visit: Visit) -> bool:
    """Whether the session's person is still let in, by the way that the person came in."""
    by_name = visit.by == LINK_CHANNEL and house.is_named(visit.person)
    return by_name or await house.is_person(visit.person)


async def get_visitor(request: Request) -> Visit:
    """A signed-in person's session, who may look."""
    visit = await get_visit(request)
    admitted(get_house(request), visit.person)
    return visit


class Needs:
    """A dependency of routes that are for one role: whoever looks, and has it."""

    def __init__(self, role: Role) -> None:
        self._role = role

    async def __call__(self, request: Request) -> None:
        visit = await get_visit(request)
        if self._role not in get_house(request).roles(visit.person):
            detail = (
                f"this is for people with the role `{self._role}`; your operator gives it, in the settings"
            )
            raise Trouble(HTTPStatus.FORBIDDEN, detail)


def admitted(house: House, person: str) -> None:
    """Raises if the person has no role at all."""
    if not house.roles(person):
        detail = (
            "you are known here, but have no role; your operator gives one, in the settings (`web.roles`)"
        )
        raise Trouble(HTTPStatus.FORBIDDEN, detail)


async def get_caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> str:
    """The person whose bearer token it is."""
    challenge = {"www-authenticate": 'Bearer realm="query-firewall"'}
    if credentials is None:
        detail = "this needs a person's token; send it as `Authorization: Bearer TOKEN`"
        raise Trouble(HTTPStatus.UNAUTHORIZED, detail, challenge)
    person = await admit(request, credentials.credentials, "api")
    if person is None:
        raise Trouble(HTTPStatus.UNAUTHORIZED, "this token belongs to no person, or not any more", challenge)
    admitted(get_house(request), person)
    return person


async def admit(request: Request, token: str, channel: str) -> str | None:
    """Whose token it is."""
    whose = get_house(request).person_by_token
    return await tried(request, token, whose, channel, "the token belongs to no person")


async def tried(
    request: Request, secret: str, whose: Callable[[str], Awaitable[str | None]], channel: str, why: str
) -> str | None:
    """Whose secret it is. A wrong one is recorded, and too many from one address are not even looked at."""
    throttle: Throttle = request.app.state.throttle
    address = request.client.host if request.client else ""
    if wait := throttle.wait(address, clock.now()):
        detail = f"too many wrong attempts from this address; wait {wait} s"
        raise Trouble(HTTPStatus.TOO_MANY_REQUESTS, detail, {"retry-after": str(wait)})
    person = await whose(secret) if secret and len(secret) <= MAX_TOKEN else None
    if person is None:
        throttle.failed(address, clock.now())
        await note_sign_in(get_house(request), "", channel, why=why)
    return person


async def note_sign_in(house: House, person: str, channel: str, *, why: str = "") -> None:
    await house.record(
        audit.SignIn(
            id=ids.record_id(),
            at=clock.stamp(clock.now()),
            person=person,
            channel=channel,
            succeeded=not why,
            why=why,
        )
    )


@dataclass(frozen=True, slots=True)
class Posted:
    """A form that came from this session's own page."""

    visit: Visit
    values: dict[str, str]


async def get_posted(request: Request) -> Posted:
    """A signed-in person's form, checked for origin and form token, in that order."""
    if not same_origin(request):
        raise Trouble(HTTPStatus.FORBIDDEN, "this form was sent from another site; open the console itself")
    visit = await get_visit(request)
    values = await read_form(request)
    if not get_seal(request).form_token_fits(visit, values.pop("form_token", "")):
        raise Trouble(
            HTTPStatus.FORBIDDEN, "this form is from another session; go back, reload the page, try again"
        )
    return Posted(visit, values)


async def read_form(request: Request) -> dict[str, str]:
    """The text fields of a form; files and repeated fields have no place here."""
    try:
        form: FormData = await request.form(max_files=0, max_fields=MAX_FIELDS)
    except HTTPException as error:
        raise Trouble(HTTPStatus.BAD_REQUEST, "the form cannot be read") from error
    return {name: value for name, value in form.items() if isinstance(value, str)}


async def get_form(posted: Annotated[Posted, Depends(get_posted)], request: Request) -> Posted:
    """A form of a person who may look."""
    admitted(get_house(request), posted.visit.person)
    return posted


TheHouse = Annotated[House, Depends(get_house)]
Visitor = Annotated[Visit, Depends(get_visitor)]
Caller = Annotated[str, Depends(get_caller)]
Form = Annotated[Posted, Depends(get_form)]
# the way out is open to whoever came in
Leaving = Annotated[Posted, Depends(get_posted)]
AUDITORS = [Depends(Needs(Role.AUDITOR))]
OPERATORS = [Depends(Needs(Role.OPERATOR))]
