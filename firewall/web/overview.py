"""Pages that sum up: a session as a timeline, agents by day, the policy with what its rules came to."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from firewall import audit, clock
from firewall.errors import FirewallError
from firewall.web import chart
from firewall.web.browse import rule_by_rule
from firewall.web.lineage import picture
from firewall.web.problems import Trouble
from firewall.web.render import page
from firewall.web.who import OPERATORS, Form, TheHouse, Visitor

if TYPE_CHECKING:
    from firewall.web.house import House
    from firewall.web.session import Visit

MAX_SQL = 20_000

router = APIRouter(include_in_schema=False)
Name = Annotated[str, Path(max_length=200)]


@router.get("/sessions/{session}")
async def show_session(request: Request, house: TheHouse, visit: Visitor, session: Name) -> Response:
    """What an agent did from sign-in to goodbye, in order."""
    records = await house.summaries.session(session)
    if not records:
        raise Trouble(HTTPStatus.NOT_FOUND, f"the log has no session `{session[:64]}`")
    judged = {r.statement: r for r in records if isinstance(r, audit.Judgement)}
    opened = next((r for r in records if isinstance(r, audit.Session)), None)
    context = {
        "session": session,
        "records": records,
        "judged": judged,
        "opened": opened,
        "agent": opened.agent if opened else next((r.agent for r in judged.values()), ""),
    }
    return page(request, "session.html", visit, context)


@router.get("/agents")
async def show_agents(request: Request, house: TheHouse, visit: Visitor) -> Response:
    """Every agent and its last two weeks."""
    now = clock.now()
    by_agent = defaultdict(list)
    for day in await house.summaries.days(_since()):
        by_agent[day.agent].append(day)
    known = {agent.name: agent for agent in await house.agents()}
    names = sorted({*known, *by_agent})
    lines = [(name, known.get(name), chart.of(by_agent[name], now)) for name in names]
    return page(request, "agents.html", visit, {"lines": lines})


@router.get("/agents/{name}")
async def show_agent(request: Request, house: TheHouse, visit: Visitor, name: Name) -> Response:
    """One agent: its two weeks drawn, and what it asked last."""
    known = next((agent for agent in await house.agents() if agent.name == name), None)
    found = await house.search(agent=name, limit=20)
    if known is None and not found.found:
        raise Trouble(HTTPStatus.NOT_FOUND, f"there is no agent `{name[:64]}`")
    drawn = chart.of(await house.summaries.days(_since(), name), clock.now())
    context = {"name": name, "known": known, "chart": drawn, "latest": [j.record for j in found.found]}
    return page(request, "agent.html", visit, context)


@router.get("/policy")
async def show_policy(request: Request, house: TheHouse, visit: Visitor) -> Response:
    return await _policy(request, house, visit)


@router.post("/policy", dependencies=OPERATORS)
async def what_if(request: Request, house: TheHouse, posted: Form) -> Response:
    """What a statement would do and why, if an agent asked for it now. Nothing is run or recorded."""
    asked = {name: posted.values.get(name, "") for name in ("agent", "database", "sql")}
    if len(asked["sql"]) > MAX_SQL or not asked["sql"].strip():
        wrong = f"write a statement of 1 to {MAX_SQL:,} characters"
        return await _policy(request, house, posted.visit, asked, wrong)
    try:
        told = await house.explain(asked["agent"], asked["database"], asked["sql"])
    except FirewallError as error:
        return await _policy(request, house, posted.visit, asked, error.message)
    if told is None:
        wrong = f"`{asked['database'][:64]}` is not a guarded database"
        return await _policy(request, house, posted.visit, asked, wrong)
    judgement = told.judgement
    opaque = judgement.analysis.error.message if judgement.analysis.error else judgement.analysis.opaque
    answer = {
        "verdict": judgement.verdict,
        "effects": judgement.effects,
        "opaque": opaque,
        "missing": judgement.analysis.missing,
        "rules": rule_by_rule(told.words),
        "picture": picture(told.columns),
    }
    return await _policy(request, house, posted.visit, asked, answer=answer)


async def _policy(
    request: Request,
    house: House,
    visit: Visit,
    asked: dict[str, str] | None = None,
    wrong: str = "",
    answer: dict[str, Any] | None = None,
) -> Response:
    spoken = {each.rule: each for each in await house.summaries.rules()}
    policies = [
        (
            name,
            policy,
            [
                (rule.name, rule.action.value, rule.why, spoken.get(rule.name))
                for rule in policy.document.rules
            ],
        )
        for name, policy in house.policies().items()
    ]
    context = {
        "policies": policies,
        "agents": [agent.name for agent in await house.agents()],
        "asked": asked or {"agent": "", "database": "", "sql": ""},
        "wrong": wrong,
        "answer": answer,
        "by_default": spoken.get("default"),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if wrong else HTTPStatus.OK
    return page(request, "policy.html", visit, context, status=status)


def _since() -> Any:
    return clock.now() - timedelta(days=chart.DAYS)
