"""The query log's filters, for the API and the page: checked once, searched once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from firewall.sql import Kind
from firewall.web.models import Statements, StatementView

if TYPE_CHECKING:
    from firewall.web.house import House

MAX_LIMIT = 500


def _moment(value: object) -> object:
    """A time of day without a zone is UTC, as everything on the pages is."""
    if value == "" or value is None:
        return None
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("not a time; write it like 2026-03-01T14:30 (UTC)") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


# an empty field of a form is a filter that is not set
Blank = BeforeValidator(lambda value: None if value == "" else value)
Text = Annotated[str | None, Blank, Field(default=None, max_length=400)]
Time = Annotated[datetime | None, BeforeValidator(_moment), Field(default=None)]


class Filters(BaseModel):
    """Which judged statements. Times are ISO 8601, UTC unless they name a zone: `since <= at < until`.

    effect: the kind of one of its effects. by: who decided its hold. before: the `older` of the page before.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    agent: Text
    owner: Text
    database: Text
    rule: Text
    session: Text
    effect: Annotated[Kind | None, Blank] = None
    label: Text
    relation: Text
    by: Text
    verdict: Annotated[Literal["allow", "hold", "deny"] | None, Blank] = None
    text: Text
    since: Time
    until: Time
    before: Annotated[str | None, Blank, Field(default=None, max_length=64)]
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 100


async def search(house: House, filters: Filters) -> Statements:
    """One page of the log."""
    page = await house.search(**filters.model_dump())
    return Statements(statements=[StatementView.of(row) for row in page.found], older=page.older)
