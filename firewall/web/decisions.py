"""How people decide, for who answers for it: how fast, how often yes, and whether they can have read it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response

from firewall import clock
from firewall.approval import stats
from firewall.web import chart
from firewall.web.render import page
from firewall.web.who import TheHouse, Visitor  # noqa: TC001 — FastAPI resolves the routes' annotations

if TYPE_CHECKING:
    from firewall.approval import Stats
    from firewall.web.house import House

# more than are decided in any month that anyone could live with
MAX_COUNTED = 100_000
SPANS = (7, 14, 30)

router = APIRouter(include_in_schema=False)


async def figures(house: House, days: int) -> Stats:
    """Of the holds that were opened within so many days."""
    return stats(await house.desk.holds(limit=MAX_COUNTED, since=clock.now() - timedelta(days=days)))


@router.get("/decisions")
async def show_decisions(
    request: Request, house: TheHouse, visit: Visitor, days: Annotated[int, Query(ge=1, le=90)] = 14
) -> Response:
    found = await figures(house, days)
    context = {
        "days": days,
        "spans": SPANS,
        "stats": found,
        "by_day": chart.by_day(found, clock.now(), days),
        "by_speed": chart.by_speed(found),
        "words": chart.WORDS,
    }
    return page(request, "decisions.html", visit, context)
