"""What goes wrong, told to programs as RFC 9457 problem details and to people as a page.

One exception type for everything the routes refuse; which of the two shapes it takes depends on who asked.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import ValidationError

API_PREFIX = "/api/"
MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """One field that cannot be taken as it is."""

    model_config = ConfigDict(extra="forbid")

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457. `title` is the status in words, `detail` what happened and what to do next."""

    model_config = ConfigDict(extra="forbid")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    problems: list[FieldProblem] = []


class Trouble(Exception):
    """A request that is refused; `detail` is for the person or program that made it."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def document(
    status: HTTPStatus,
    detail: str,
    *,
    problems: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The problem as a response."""
    problem = Problem(title=status.phrase, status=status, detail=detail, problems=list(problems))
    content = problem.model_dump(exclude_defaults=True) | {"type": problem.type}
    return JSONResponse(content, status, dict(headers or {}), MEDIA_TYPE)


def fields(errors: Sequence[Mapping[str, object]]) -> list[FieldProblem]:
    """Pydantic's errors without their input: what was sent may be a secret in the wrong field."""
    found = []
    for error in errors:
        place = error.get("loc")
        parts = [str(part) for part in place] if isinstance(place, (list, tuple)) else []
        name = ".".join(parts[1:]) or ".".join(parts)
        found.append(FieldProblem(field=name, message=_lower(str(error.get("msg", "not valid")))))
    return found


def in_words(problems: Sequence[FieldProblem]) -> str:
    """All of them in one line."""
    return "; ".join(f"`{p.field}`: {p.message}" for p in problems) or "the request cannot be read"


def of_form(error: ValidationError) -> str:
    """What is wrong with the fields of a form, in one line."""
    return in_words(
        [
            FieldProblem(field=".".join(map(str, problem["loc"])), message=_lower(problem["msg"]))
            for problem in error.errors(include_url=False)
        ]
    )


def _lower(message: str) -> str:
    return re.sub(r"^(?:Value error, )?(\w)", lambda m: m.group(1).lower(), message)


# what a route may answer besides its model, for the API's description
Responses = dict[int | str, dict[str, Any]]
RESPONSES: Responses = {
    status.value: {"model": Problem, "description": why, "content": {MEDIA_TYPE: {}}}
    for status, why in (
        (HTTPStatus.UNAUTHORIZED, "no token, or one that belongs to no person"),
        (HTTPStatus.FORBIDDEN, "this person may not do that"),
        (HTTPStatus.NOT_FOUND, "there is no such thing"),
        (HTTPStatus.CONFLICT, "it is decided already, expired, or not what was shown"),
        (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is over the limit"),
        (HTTPStatus.UNPROCESSABLE_ENTITY, "a field cannot be taken as it is"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "the store cannot be read or written"),
    )
}
