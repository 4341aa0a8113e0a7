"""The API: whose token, whose vote, what is refused and in which words."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from firewall import audit, clock, ids
from firewall.approval import Ran, State
from firewall.errors import StoreError
from firewall.policy import Terms
from firewall.web import browse, create_app, events, overview, signin
from firewall.web import pages as approvals
from tests.web.sample import hold, judgement

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

    from tests.web.sample import Sample

DANA = {"authorization": "Bearer token-dana"}
OMAR = {"authorization": "Bearer token-omar"}
LENA = {"authorization": "Bearer token-lena"}
SAM = {"authorization": "Bearer token-sam"}
VERA = {"authorization": "Bearer token-vera"}
# the paths that anyone may see, and nothing of the house is on them
OPEN = {"/signin/provider", "/signin/back"} | {
    "/health",
    "/ready",
    "/api/v1/health",
    "/api/v1/ready",
    "/api/v1/openapi.json",
    "/signin",
    "/static",
}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem details of a refusal, checked for their shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["status"] == status
    assert found["type"] == "about:blank"
    assert found["detail"]
    return found


async def test_every_route_but_the_open_ones_wants_a_person(app: FastAPI, http: httpx.AsyncClient) -> None:
    paths = await _paths(app)
    assert {"/holds/{hold_id}/approve", "/api/v1/holds/{hold_id}/deny", "/events", "/log"} <= {
        p for p, _ in paths
    }
    for path, method in paths:
        if path in OPEN:
            continue
        url = re.sub(r"{\w+}", "x-1", path)
        response = await http.request(method, url, headers={"origin": "http://console.test"})
        if path.startswith("/api/"):
            assert response.headers["www-authenticate"].startswith("Bearer"), path
            problem(response, 401)
        else:
            assert response.status_code == 303, path
            assert response.headers["location"].startswith("/signin?to="), path


async def _paths(app: FastAPI) -> list[tuple[str, str]]:
    schema = app.openapi()["paths"]
    described = [(path, method.upper()) for path, methods in schema.items() for method in methods]
    pages = [
        (route.path, method)
        for router in (signin.router, events.router, browse.router, overview.router, approvals.router)
        for route in router.routes
        for method in route.methods
    ]
    assert len(pages) > 12
    return described + pages


@pytest.mark.parametrize(
    "header", ["Bearer ", "Bearer nope", "Basic dG9rZW4=", "token-dana", f"Bearer {'x' * 9000}"]
)
async def test_a_wrong_token_opens_nothing(sample: Sample, http: httpx.AsyncClient, header: str) -> None:
    await sample.desk.open(hold())
    problem(await http.get("/api/v1/holds", headers={"authorization": header}), 401)


async def test_a_revoked_token_is_out_at_once(sample: Sample, http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/v1/holds", headers=DANA)).status_code == 200
    del sample.tokens["token-dana"]
    problem(await http.get("/api/v1/holds", headers=DANA), 401)


async def test_a_cookie_is_no_credential_for_the_api(dana: Any) -> None:
    problem(await dana.get("/api/v1/holds"), 401)


async def test_guessing_is_recorded_and_then_not_even_looked_at(
    sample: Sample, http: httpx.AsyncClient
) -> None:
    for guess in range(12):
        last = await http.get("/api/v1/holds", headers={"authorization": f"Bearer guess-{guess}"})
    assert int(last.headers["retry-after"]) > 0
    problem(last, 429)
    failures = await sample.records("sign_in")
    assert len(failures) == 10
    assert all(not record.succeeded and record.channel == "api" for record in failures)
    assert not any("guess" in audit.encode(record).decode() for record in failures)


async def test_holds_are_listed_and_shown_whole(sample: Sample, http: httpx.AsyncClient) -> None:
    waits = hold("SELECT $1", parameters=("a", None), labels=("pii.email",))
    await sample.desk.open(waits)
    await sample.desk.open(over := hold("SELECT 2"))
    await sample.desk.withdraw(over.id, "gone")
    listed = (await http.get("/api/v1/holds", params={"state": "pending"}, headers=DANA)).json()
    assert [one["id"] for one in listed["holds"]] == [waits.id]
    both = (await http.get("/api/v1/holds?state=pending&state=withdrawn", headers=DANA)).json()
    assert {one["id"] for one in both["holds"]} == {waits.id, over.id}
    shown = (await http.get(f"/api/v1/holds/{waits.id}", headers=DANA)).json()
    assert shown == listed["holds"][0]
    assert shown["parameters"] == ["a", None]
    assert (shown["digest"], shown["sql"], shown["labels"]) == (waits.digest, waits.sql, ["pii.email"])


async def test_what_has_run_ahead_of_a_commit_is_shown(sample: Sample, http: httpx.AsyncClient) -> None:
    ran = Ran("s-1.4", "INSERT INTO t VALUES ($1)", "INSERT 0 1", parameters=("a",), effects=("insert t",))
    await sample.desk.open(made := hold("INSERT INTO t VALUES ($1);\nCOMMIT", parameters=("a",), ran=(ran,)))
    shown = (await http.get(f"/api/v1/holds/{made.id}", headers=DANA)).json()
    assert shown["ran"] == [
        {
            "statement": "s-1.4",
            "sql": ran.sql,
            "parameters": ["a"],
            "executions": 1,
            "outcome": "INSERT 0 1",
            "standing": "counts",
            "effects": ["insert t"],
        }
    ]


async def test_approving_is_one_vote_of_that_person(sample: Sample, http: httpx.AsyncClient) -> None:
    await sample.desk.open(made := hold())
    body = {"reason": " looked at it ", "digest": made.digest}
    answer = await http.post(f"/api/v1/holds/{made.id}/approve", json=body, headers=DANA)
    assert (answer.status_code, answer.json()["state"]) == (200, "approved")
    kept = await sample.desk.hold(made.id)
    assert kept.state is State.APPROVED
    assert [(v.person, v.channel, v.reason) for v in kept.votes] == [
        ("dana@example.com", "api", "looked at it")
    ]
    assert [record.kind for record in await sample.records()] == ["hold", "vote", "decision"]


async def test_approving_needs_no_body(sample: Sample, http: httpx.AsyncClient) -> None:
    await sample.desk.open(made := hold())
    assert (await http.post(f"/api/v1/holds/{made.id}/approve", headers=DANA)).json()["state"] == "approved"


async def test_a_quorum_is_distinct_people(sample: Sample, http: httpx.AsyncClient) -> None:
    await sample.desk.open(made := hold(quorum=2))
    path = f"/api/v1/holds/{made.id}/approve"
    assert (await http.post(path, headers=DANA)).json()["state"] == "pending"
    assert "voted" in problem(await http.post(path, headers=DANA), 409)["detail"]
    assert (await http.post(path, headers=OMAR)).json()["state"] == "approved"


async def test_a_denial_says_why(sample: Sample, http: httpx.AsyncClient) -> None:
    await sample.desk.open(made := hold())
    path = f"/api/v1/holds/{made.id}/deny"
    for body in ({}, {"reason": ""}, {"reason": "  \n "}, {"reason": None}, {"reason": "x" * 2001}):
        refused = problem(await http.post(path, json=body, headers=DANA), 422)
        assert refused["problems"][0]["field"] == "reason"
    answer = await http.post(path, json={"reason": "not today"}, headers=DANA)
    assert (answer.status_code, answer.json()["state"]) == (200, "rejected")
    assert (await sample.desk.hold(made.id)).votes[0].reason == "not today"


@pytest.mark.parametrize(
    ("who", "says"),
    [(LENA, "requester"), (SAM, "groups"), (VERA, "not an approver")],
    ids=["requester", "group", "stranger"],
)
@pytest.mark.parametrize("word", ["approve", "deny"])
async def test_who_may_not_decide_is_told_so_and_recorded(
    sample: Sample, http: httpx.AsyncClient, who: dict[str, str], says: str, word: str
) -> None:
    await sample.desk.open(made := hold())
    refused = problem(
        await http.post(f"/api/v1/holds/{made.id}/{word}", json={"reason": "x"}, headers=who), 403
    )
    assert says in refused["detail"]
    assert (await sample.desk.hold(made.id)).state is State.PENDING
    (vote,) = await sample.records("vote")
    assert not vote.counted


async def test_a_second_decision_is_refused_with_the_first(sample: Sample, http: httpx.AsyncClient) -> None:
    await sample.desk.open(made := hold())
    await http.post(f"/api/v1/holds/{made.id}/approve", headers=DANA)
    refused = await http.post(f"/api/v1/holds/{made.id}/deny", json={"reason": "no"}, headers=OMAR)
    assert "already approved by dana@example.com" in problem(refused, 409)["detail"]


async def test_two_at_once_are_one_decision(sample: Sample, http: httpx.AsyncClient) -> None:
    await sample.desk.open(made := hold())
    answers = await asyncio.gather(
        *(
            http.post(f"/api/v1/holds/{made.id}/{word}", json={"reason": "x"}, headers=who)
            for word, who in (("approve", DANA), ("deny", OMAR), ("approve", DANA), ("approve", OMAR))
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert len(await sample.records("decision")) == 1


async def test_an_expired_hold_is_not_approved(sample: Sample, http: httpx.AsyncClient) -> None:
    now = clock.now()
    await sample.desk.open(made := hold(opened_at=now - timedelta(hours=1), expires_at=now))
    assert (
        "expired" in problem(await http.post(f"/api/v1/holds/{made.id}/approve", headers=DANA), 409)["detail"]
    )


async def test_another_digest_than_the_holds_is_not_approved(sample: Sample, http: httpx.AsyncClient) -> None:
    await sample.desk.open(made := hold())
    path = f"/api/v1/holds/{made.id}/approve"
    problem(await http.post(path, json={"digest": "0" * 64}, headers=DANA), 409)
    problem(await http.post(path, json={"digest": "short"}, headers=DANA), 422)
    assert (await sample.desk.hold(made.id)).state is State.PENDING


@pytest.mark.parametrize("name", ["h-NOTTHERE00", "%27%20OR%201=1", "x" * 64, "☃"])
async def test_an_unknown_hold_is_404(http: httpx.AsyncClient, name: str) -> None:
    problem(await http.get(f"/api/v1/holds/{name}", headers=DANA), 404)
    problem(await http.post(f"/api/v1/holds/{name}/approve", headers=DANA), 404)


@pytest.mark.parametrize(
    "body",
    [
        b'{"reason": "x", "person": "omar@example.com"}',
        b'{"reason": ',
        b"[]",
        b'"x"',
        b'{"reason": 7}',
        b"\xff\xfe",
    ],
)
async def test_a_body_that_is_not_the_model_is_refused(
    sample: Sample, http: httpx.AsyncClient, body: bytes
) -> None:
    await sample.desk.open(made := hold())
    headers = DANA | {"content-type": "application/json"}
    answer = await http.post(f"/api/v1/holds/{made.id}/deny", content=body, headers=headers)
    assert answer.status_code in {400, 422}
    problem(answer, answer.status_code)
    assert (await sample.desk.hold(made.id)).state is State.PENDING


async def test_what_was_sent_is_not_sent_back(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/api/v1/holds/h-1/deny", json={"reason": ["hunter2"], "tokn": "hunter2"}, headers=DANA
    )
    assert "hunter2" not in answer.text


async def test_statements_are_searched_by_every_filter(sample: Sample, http: httpx.AsyncClient) -> None:
    rows = [
        judgement("SELECT 1", at="2030-01-01T10:00:00.000000Z", relations=[]),
        judgement(
            "DELETE FROM orders",
            at="2030-01-01T11:00:00.000000Z",
            agent="bot",
            verdict="deny",
            relations=["public.orders"],
        ),
        judgement("SELECT name FROM customers", at="2030-01-01T12:00:00.000000Z"),
    ]
    await sample.store.append(rows)

    async def found(**params: str | int) -> list[str]:
        answer = await http.get("/api/v1/statements", params=params, headers=DANA)
        assert answer.status_code == 200, answer.text
        return [one["sql"] for one in answer.json()["statements"]]

    assert await found() == ["SELECT name FROM customers", "DELETE FROM orders", "SELECT 1"]
    assert await found(agent="bot") == ["DELETE FROM orders"]
    assert await found(relation="orders") == ["DELETE FROM orders"]
    assert await found(verdict="deny") == ["DELETE FROM orders"]
    assert await found(text="NAME from") == ["SELECT name FROM customers"]
    assert await found(since="2030-01-01T11:00", until="2030-01-01T13:00+01:00") == ["DELETE FROM orders"]
    assert await found(agent="bot", text="select") == []


async def test_the_log_is_read_page_by_page(sample: Sample, http: httpx.AsyncClient) -> None:
    at = "2030-01-01T10:00:00.000000Z"
    await sample.store.append([judgement(f"SELECT {n}", at=at) for n in range(7)])
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 3}
    for _ in range(3):
        answer = (await http.get("/api/v1/statements", params=params, headers=DANA)).json()
        seen += [one["sql"] for one in answer["statements"]]
        params["before"] = answer.get("older")
    assert params["before"] is None
    assert sorted(seen) == [f"SELECT {n}" for n in range(7)]


@pytest.mark.parametrize(
    "params",
    [
        {"verdict": "maybe"},
        {"since": "yesterday"},
        {"limit": "0"},
        {"limit": "501"},
        {"agent": "x" * 401},
        {"agnt": "x"},
    ],
    ids=str,
)
async def test_a_filter_that_cannot_be_taken_is_named(
    http: httpx.AsyncClient, params: dict[str, str]
) -> None:
    refused = problem(await http.get("/api/v1/statements", params=params, headers=DANA), 422)
    assert refused["problems"][0]["field"] == next(iter(params))


async def test_a_statement_is_told_from_judgement_to_outcome(sample: Sample, http: httpx.AsyncClient) -> None:
    made = judgement("SELECT 1", statement="q-7")
    outcome = audit.Outcome(
        id=ids.record_id(),
        at=clock.stamp(clock.now()),
        statement="q-7",
        agent="bot",
        tag="SELECT 1",
        rows=1,
        bytes=9,
        micros=4,
    )
    await sample.store.append([made, outcome])
    answer = (await http.get("/api/v1/statements/q-7", headers=DANA)).json()
    assert [record["kind"] for record in answer["records"]] == ["judgement", "outcome"]
    listed = (await http.get("/api/v1/statements", headers=DANA)).json()["statements"][0]
    assert listed["outcome"]["tag"] == "SELECT 1"
    problem(await http.get("/api/v1/statements/q-8", headers=DANA), 404)


async def test_health_and_readiness(sample: Sample, http: httpx.AsyncClient) -> None:
    for prefix in ("", "/api/v1"):
        assert (await http.get(f"{prefix}/health")).json() == {"status": "ok"}
        assert (await http.get(f"{prefix}/ready")).json() == {"status": "ok"}


async def test_not_ready_and_no_votes_without_the_store(sample: Sample) -> None:
    import httpx  # noqa: PLC0415 — only here at runtime

    async def broken(*_: object) -> Any:
        raise StoreError("disk full at `/secret/place`")

    house = dataclasses.replace(sample.house, status=broken, person_by_token=broken)
    transport = httpx.ASGITransport(create_app(house))
    async with httpx.AsyncClient(transport=transport, base_url="http://console.test") as http:
        assert (await http.get("/health")).status_code == 200
        ready = await http.get("/ready")
        assert (ready.status_code, ready.json()) == (503, {"status": "unavailable"})
        assert "secret" not in problem(await http.get("/api/v1/holds", headers=DANA), 503)["detail"]


async def test_the_description_covers_every_route_with_its_refusals(
    app: FastAPI, http: httpx.AsyncClient
) -> None:
    described = (await http.get("/api/v1/openapi.json")).json()
    assert set(described["paths"]) == {
        "/api/v1/holds",
        "/api/v1/holds/{hold_id}",
        "/api/v1/holds/{hold_id}/approve",
        "/api/v1/holds/{hold_id}/deny",
        "/api/v1/holds/stats",
        "/api/v1/grants",
        "/api/v1/grants/{grant_id}/revoke",
        "/api/v1/statements",
        "/api/v1/statements/{statement_id}",
        "/api/v1/health",
        "/api/v1/ready",
    }
    deny = described["paths"]["/api/v1/holds/{hold_id}/deny"]["post"]
    assert {"200", "401", "403", "404", "409", "413", "422", "503"} <= set(deny["responses"])
    assert "application/problem+json" in deny["responses"]["409"]["content"]
    assert deny["security"]
    assert described["components"]["schemas"]["Denial"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/api/v1/holds"), ("GET", "/api/v1/holds/h-1/approve"), ("DELETE", "/api/v1/holds/h-1")],
)
async def test_a_wrong_method_is_405(http: httpx.AsyncClient, method: str, path: str) -> None:
    refused = await http.request(method, path, headers=DANA)
    problem(refused, 405)
    assert refused.headers["allow"]


async def test_an_unknown_address_is_404(http: httpx.AsyncClient) -> None:
    problem(await http.get("/api/v1/nothing"), 404)
    problem(await http.get("/api/v1/holds/"), 404)


async def test_a_grant_is_given_within_terms_listed_used_and_taken_back(
    sample: Sample, http: httpx.AsyncClient
) -> None:
    waiting = hold(grants=Terms(3600.0, 5), shape="s")
    await sample.desk.open(waiting)
    at = f"/api/v1/holds/{waiting.id}/approve"
    shown = (await http.get(f"/api/v1/holds/{waiting.id}", headers=DANA)).json()
    assert shown["grants"] == {"seconds": 3600.0, "uses": 5, "rows": None}
    refused = await http.post(at, headers=DANA, json={"grant": {"seconds": 3600, "uses": 6}})
    assert "at most 3600 s, 5 runs" in problem(refused, 403)["detail"]
    for wrong in ({"seconds": 0, "uses": 1}, {"seconds": 60, "uses": 0}, {"seconds": 60}, {"uses": 1}):
        problem(await http.post(at, headers=DANA, json={"grant": wrong}), 422)
    given = await http.post(at, headers=DANA, json={"grant": {"seconds": 60, "uses": 2, "rows": 9}})
    assert given.json()["state"] == "approved"
    [grant] = (await http.get("/api/v1/grants", headers=SAM)).json()["grants"]
    assert (grant["hold"], grant["state"], grant["uses"], grant["rows"]) == (waiting.id, "open", 2, 9)
    revoke = f"/api/v1/grants/{grant['id']}/revoke"
    problem(await http.post("/api/v1/grants/g-none/revoke", headers=DANA, json={}), 404)
    problem(await http.post(revoke, headers=VERA, json={}), 403)
    taken = await http.post(revoke, headers=OMAR, json={"reason": "enough"})
    assert taken.json()["revoked_by"] == "omar@example.com"
    problem(await http.post(revoke, headers=OMAR, json={}), 409)


async def test_the_glass_is_broken_by_who_may(sample: Sample, http: httpx.AsyncClient) -> None:
    waiting = hold(quorum=2, break_glass=("security",))
    await sample.desk.open(waiting)
    at = f"/api/v1/holds/{waiting.id}/approve"
    word = {"break_glass": True, "reason": "it burns"}
    problem(await http.post(at, headers=DANA, json=word), 403)
    problem(await http.post(at, headers=OMAR, json={"break_glass": True}), 403)
    assert (await http.post(at, headers=OMAR, json=word)).json()["state"] == "approved"
    [record] = await sample.records("break_glass")
    assert (record.person, record.reason, record.quorum) == ("omar@example.com", "it burns", 2)


async def test_the_figures_are_those_of_the_holds(sample: Sample, http: httpx.AsyncClient) -> None:
    await sample.desk.open(hold())
    found = (await http.get("/api/v1/holds/stats", headers=SAM)).json()
    assert (found["holds"], found["pending"], found["approval_rate"]) == (1, 1, None)
    assert [of["pending"] for of in found["days"]] == [1]
    old = hold(opened_at=clock.now() - timedelta(days=8))
    await sample.desk.open(old)
    for days, count in ((7, 1), (9, 2)):
        found = (await http.get(f"/api/v1/holds/stats?days={days}", headers=SAM)).json()
        assert found["holds"] == count
    problem(await http.get("/api/v1/holds/stats?days=0", headers=SAM), 422)
