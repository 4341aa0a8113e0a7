"""The auditor's pages: the query log, one statement with its proof."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import ValidationError

from firewall import audit
from firewall.errors import FirewallError
from firewall.sql import Kind
from firewall.web import log, problems
from firewall.web.lineage import picture
from firewall.web.problems import Trouble
from firewall.web.render import page
from firewall.web.who import AUDITORS, Form, TheHouse, Visitor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.explaining import Explained
    from firewall.policy.trace import Word
    from firewall.web.house import House

FILTERS = tuple(name for name in log.Filters.model_fields if name != "limit")
# of these the form shows the fields only to who asks for more
MORE = ("owner", "database", "effect", "label", "rule", "by", "session", "since", "until")
ROWS = 50
MAX_NAME = 60

router = APIRouter(include_in_schema=False)
Id = Annotated[str, Path(max_length=64)]


@router.get("/log")
async def show_log(request: Request, house: TheHouse, visit: Visitor) -> Response:
    """The query log. A filter that cannot be taken is said beside the form, and nothing is searched."""
    given = _given(request.query_params)
    wrong, statements, older = "", [], None
    try:
        filters = log.Filters.model_validate({name: v for name, v in given.items() if v} | {"limit": ROWS})
    except ValidationError as error:
        wrong = problems.of_form(error)
    else:
        found = await log.search(house, filters)
        statements, older = found.statements, found.older
    context = {
        "given": given,
        "wrong": wrong,
        "statements": statements,
        "older": older,
        "here": _query(given),
        "views": await house.views.of(visit.person),
        "kinds": [kind.value for kind in Kind],
        "more": any(given[name] for name in MORE),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if wrong else HTTPStatus.OK
    return page(request, "log.html", visit, context, status=status)


@router.post("/log/views")
async def keep_view(house: TheHouse, posted: Form) -> Response:
    """Keep the filters of the page that the form was on under a name."""
    name = posted.values.get("name", "").strip()
    if not 0 < len(name) <= MAX_NAME:
        raise Trouble(HTTPStatus.UNPROCESSABLE_ENTITY, f"a view has a name of 1 to {MAX_NAME} characters")
    query = _query(_given(dict(parse_qsl(posted.values.get("query", "")))))
    if not await house.views.keep(posted.visit.person, name, query):
        raise Trouble(HTTPStatus.CONFLICT, "you have kept as many views as one person can; drop one first")
    return RedirectResponse(f"/log?{query}", HTTPStatus.SEE_OTHER)


@router.post("/log/views/drop")
async def drop_view(house: TheHouse, posted: Form) -> Response:
    await house.views.drop(posted.visit.person, posted.values.get("name", ""))
    return RedirectResponse("/log", HTTPStatus.SEE_OTHER)


@router.get("/statements/{statement_id}")
async def show_statement(request: Request, house: TheHouse, visit: Visitor, statement_id: Id) -> Response:
    """One statement from its judgement to its outcome, and its analysis drawn."""
    records = await _records(house, statement_id)
    # what was asked for anew is what the last word on it says
    latest = records[::-1]
    judged = next((record for record in latest if isinstance(record, audit.Judgement)), None)
    told, untold = await _explained(house, judged) if judged else (None, "")
    context = {
        "statement": statement_id,
        "records": records,
        "judged": judged,
        "hold_id": next((record.hold for record in latest if record.hold), ""),
        "picture": picture(told.columns) if told else None,
        "rules": rule_by_rule(told.words) if told else [],
        "untold": untold,
        "changed": bool(told and judged and _judged_by(told) != (judged.catalog, judged.revision)),
        "key": house.log_key,
    }
    return page(request, "statement.html", visit, context)


@router.get("/statements/{statement_id}/proof/{record_id}", dependencies=AUDITORS)
async def prove(house: TheHouse, _visit: Visitor, statement_id: Id, record_id: Id) -> Response:
    """The proof that the record is in the log, as `firewall audit prove` gives it."""
    if record_id not in {record.id for record in await _records(house, statement_id)}:
        raise Trouble(HTTPStatus.NOT_FOUND, f"the statement has no record `{record_id}`")
    try:
        proof = await house.prove(record_id)
    except audit.proof.ProofError as error:
        raise Trouble(HTTPStatus.NOT_FOUND, str(error)) from error
    return JSONResponse(proof.model_dump(mode="json"))


def rule_by_rule(words: tuple[Word, ...]) -> list[dict[str, Any]]:
    """Each rule once: the effects on which it speaks, or what of it is true of none."""
    by_rule: dict[str, list[Word]] = {}
    for word in words:
        by_rule.setdefault(word.rule, []).append(word)
    told = []
    for rule, said in by_rule.items():
        matching = [f"{word.effect}{' in part' if word.partly else ''}" for word in said if word.matches]
        # what is missing everywhere tells more than what is missing somewhere
        everywhere = [missed for missed in said[0].missed if all(missed in word.missed for word in said)]
        missed = everywhere or list(dict.fromkeys(missed for word in said for missed in word.missed))
        told.append({"rule": rule, "action": said[0].action.value, "matching": matching, "missed": missed})
    return told


async def _explained(house: House, judged: audit.Judgement) -> tuple[Explained | None, str]:
    """As it would be judged now; or why it cannot be."""
    try:
        told = await house.explain(judged.agent, judged.database, judged.sql)
    except FirewallError as error:
        return None, error.message
    return told, "" if told else f"`{judged.database}` is not guarded here any more"


def _judged_by(told: Explained) -> tuple[str, str]:
    return told.judgement.catalog, told.judgement.verdict.revision


async def _records(house: House, statement_id: str) -> list[audit.Record]:
    records = list(await house.statement(statement_id))
    if not records:
        raise Trouble(
            HTTPStatus.NOT_FOUND, f"the log has no statement `{statement_id}`; look in the query log"
        )
    return records


def _given(values: Mapping[str, str]) -> dict[str, str]:
    return {name: values.get(name, "")[:400] for name in FILTERS}


def _query(given: Mapping[str, str]) -> str:
    """The part of the address that a view is; pages go on from a record, and a view does not."""
    return urlencode({name: value for name, value in given.items() if value and name != "before"})
