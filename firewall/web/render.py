"""Templates and what they may call. Autoescaping is on for everything; undefined names are errors.

`answer` tells a refusal to whoever asked: a page to a browser, problem details to a program.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from firewall import clock
from firewall.approval import State
from firewall.web import problems, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from firewall.web.session import Visit

HERE = Path(__file__).parent
STATIC = HERE / "static"
# what a person reads for each status that a browser may meet; others get the phrase of the RFC
TITLES = {
    HTTPStatus.FORBIDDEN: "Not yours to do",
    HTTPStatus.NOT_FOUND: "Nothing here",
    HTTPStatus.CONFLICT: "Too late",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Too much",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many attempts",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something broke",
    HTTPStatus.SERVICE_UNAVAILABLE: "The store does not answer",
}
# how each state reads in a sentence
STATES = {
    State.PENDING: "waiting",
    State.APPROVED: "approved",
    State.REJECTED: "denied",
    State.EXPIRED: "expired",
    State.WITHDRAWN: "withdrawn",
    State.CONSUMED: "approved and run",
    State.LAPSED: "approved, never run",
}


# what is kept of statements' texts and parameters
KEPT = {"full": "in full", "redacted": "without literals", "digest": "as salted hashes alone"}


def moment(value: datetime | str) -> datetime:
    """The time in UTC, from a record's stamp or a hold's field."""
    parsed = datetime.fromisoformat(value) if isinstance(value, str) else value
    return parsed.astimezone(UTC)


def spoken(value: timedelta) -> str:
    """A duration as a person would say it: `45 s`, `12 min`, `3 h 20 min`, `4 d`."""
    seconds = max(0, int(value.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d"


def ago(value: datetime | str) -> str:
    """How long since: `just now`, `12 min ago`."""
    passed = clock.now() - moment(value)
    return "just now" if passed < timedelta(seconds=5) else f"{spoken(passed)} ago"


def micros(value: int) -> str:
    """A duration of whole microseconds in the unit that reads best."""
    if value < 1000:
        return f"{value} µs"
    return f"{value / 1000:.1f} ms" if value < 1_000_000 else f"{value / 1_000_000:.2f} s"


def size(count: float) -> str:
    """Bytes in the unit that reads best."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 hold`, `2 holds`, `1,024 holds`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "segments": visible.segments,
        "lines": visible.lines,
        "hidden": visible.hidden,
        "counted": counted,
        "STATES": STATES,
        "KEPT": KEPT,
    }
    environment.filters |= {
        "brief": visible.brief,
        "plain": visible.plain,
        "moment": moment,
        "day": lambda value: f"{moment(value):%-d %b %Y}",
        "time": lambda value: f"{moment(value):%H:%M:%S}",
        "stamp": lambda value: clock.stamp(moment(value)),
        "ago": ago,
        "left": lambda value: spoken(moment(value) - clock.now()),
        "micros": micros,
        "size": size,
        "since": lambda value: spoken(clock.now() - moment(value)),
        "duration": lambda seconds: f"{seconds // 60:.0f}m" if seconds % 60 == 0 else f"{seconds:.0f}s",
        "lasting": lambda seconds: spoken(timedelta(seconds=seconds)),
    }
    return environment


ENVIRONMENT = _environment()


def page(
    request: Request,
    name: str,
    visit: Visit | None,
    context: Mapping[str, Any],
    *,
    status: HTTPStatus = HTTPStatus.OK,
) -> HTMLResponse:
    """A whole page. `visit` is whose it is; None for a page that anyone may see."""
    person = visit.person if visit else ""
    roles = request.app.state.house.roles(person) if person else ()
    token = request.app.state.seal.form_token(visit) if visit else ""
    text = ENVIRONMENT.get_template(name).render(
        {
            "person": person,
            "roles": roles,
            "form_token": token,
            "path": request.url.path,
            "now": clock.now(),
            **context,
        }
    )
    return HTMLResponse(text, status)


def answer(
    request: Request,
    status: HTTPStatus,
    detail: str,
    *,
    wrong: Sequence[problems.FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A refusal in the shape that the asker can read."""
    if request.url.path.startswith(problems.API_PREFIX):
        return problems.document(status, detail, problems=wrong, headers=headers)
    title = TITLES.get(status, status.phrase)
    response = page(request, "trouble.html", None, {"title": title, "detail": detail}, status=status)
    response.headers.update(dict(headers or {}))
    return response
