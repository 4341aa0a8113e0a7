"""The pages: what they show, what a form does, and that nothing in a statement becomes markup."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from firewall import audit, clock, ids
from firewall.approval import Earlier, Impact, Ran, Standing, State
from firewall.errors import StoreError
from firewall.policy import Terms
from firewall.store import search
from tests.web.sample import KEY, hold, judgement

if TYPE_CHECKING:
    from tests.web.conftest import Browser
    from tests.web.sample import Sample

EVIL = """<script>alert(1)</script>"'><img src=x onerror=alert(2)></pre>{{ 7*7 }}&lt;b&gt;\u202eeted\u200b"""
# every element that the console's own templates write
OWN = {
    "a",
    "aside",
    "b",
    "bdi",
    "body",
    "br",
    "button",
    "code",
    "dd",
    "dialog",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "head",
    "header",
    "html",
    "i",
    "input",
    "kbd",
    "label",
    "li",
    "link",
    "main",
    "meta",
    "nav",
    "noscript",
    "ol",
    "option",
    "p",
    "pre",
    "progress",
    "q",
    "script",
    "section",
    "select",
    "span",
    "strong",
    "table",
    "tbody",
    "td",
    "textarea",
    "th",
    "thead",
    "time",
    "title",
    "tr",
    "ul",
    "svg",
    "path",
    "circle",
    "g",
    "rect",
    "text",
    "details",
    "datalist",
    "summary",
    "img",
}


class Markup(HTMLParser):
    """Every element with its attributes, and the text of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def clean(text: str) -> Markup:
    """The page, which has no inline script or style, no handler, and nothing from another host."""
    markup = Markup(text)
    for tag, attributes in markup.elements:
        assert tag in OWN, tag
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        for name in ("src", "href", "action"):
            assert re.match(r"[/#](?!/)", attributes.get(name) or "/"), (tag, attributes)
    assert all(
        attributes.get("src", "").startswith("/static/")
        for tag, attributes in markup.elements
        if tag == "script"
    )
    assert sum(tag == "img" for tag, _ in markup.elements) == 1
    return markup


async def test_nothing_waits(dana: Browser) -> None:
    page = await dana.get("/")
    assert "Nothing waits" in clean(page.text).text


async def test_the_queue_has_the_soonest_to_expire_first(sample: Sample, dana: Browser) -> None:
    now = clock.now()
    for minutes in (30, 5, 10):
        await sample.desk.open(hold(agent=f"agent-{minutes}", expires_at=now + timedelta(minutes=minutes)))
    text = clean((await dana.get("/")).text).text
    assert "3 statements waiting" in text
    assert "(3) Approvals" in text
    assert re.findall(r"agent-(\d+)", text) == ["5", "10", "30"]


async def test_a_hold_shows_everything_that_a_decision_needs(sample: Sample, dana: Browser) -> None:
    made = hold(
        "UPDATE orders\n   SET note = $1\n WHERE id = $2",
        parameters=("it's ok", None),
        labels=("pii.email",),
        quorum=2,
        effects=("update public.orders (note)", "read public.orders (id)"),
        reasons=("first reason", "second reason"),
        impact=Impact(
            unestimated="the database did not answer", writes=True, earlier=(Earlier("BEGIN", "done"),)
        ),
    )
    assert made.impact
    await sample.desk.open(made)
    text = clean((await dana.get(f"/holds/{made.id}")).text).text
    for shown in (
        made.id,
        made.agent,
        made.owner,
        made.database,
        made.environment,
        made.digest,
        made.rule,
        made.role,
        made.session,
        made.statement,
        made.revision,
        "high risk",
        "pii.email",
        "0 of 2 approvals",
        "2 people of",
        "dba",
        *made.reasons,
        *made.effects,
        *made.impact.lines,
        "it's ok",
        "NULL",
        *made.sql.split("\n"),
    ):
        assert shown in text, shown


async def test_approving_by_the_button(sample: Sample, dana: Browser) -> None:
    await sample.desk.open(made := hold())
    answer = await dana.decide(made.id, "approve")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/holds/{made.id}")
    kept = await sample.desk.hold(made.id)
    assert (kept.state, kept.votes[0].person, kept.votes[0].channel) == (
        State.APPROVED,
        "dana@example.com",
        "web",
    )
    await sample.desk.consume(made.id, made.digest, [])
    await sample.desk.note_outcome(made.id, "DELETE 3")
    page = (await dana.get(f"/holds/{made.id}")).text
    text = clean(page).text
    assert "Approved and run" in text
    assert "by dana@example.com" in re.sub(r"\s+", " ", text)
    assert "DELETE 3" in text
    assert 'action="/holds/' not in page
    assert "approved and run" in clean((await dana.get("/")).text).text


async def test_denying_needs_a_reason(sample: Sample, dana: Browser) -> None:
    await sample.desk.open(made := hold())
    refused = await dana.decide(made.id, "deny", reason="   ")
    assert refused.status_code == 422
    assert "`reason`" in clean(refused.text).text
    assert (await sample.desk.hold(made.id)).state is State.PENDING
    assert (await dana.decide(made.id, "deny", reason="use the view")).status_code == 303
    kept = await sample.desk.hold(made.id)
    assert (kept.state, kept.votes[0].reason) == (State.REJECTED, "use the view")
    assert "use the view" in (await dana.get(f"/holds/{made.id}")).text


@pytest.mark.parametrize(("token", "says"), [("lena", "asked for this"), ("vera", "no group")])
async def test_who_may_not_decide_gets_no_buttons_and_no_vote(
    sample: Sample, nobody: Browser, token: str, says: str
) -> None:
    await sample.desk.open(made := hold())
    await nobody.sign_in(f"token-{token}")
    page = (await nobody.get(f"/holds/{made.id}")).text
    assert says in clean(page).text
    assert 'action="/holds/' not in page
    answer = await nobody.decide(made.id, "approve", digest=made.digest)
    assert answer.status_code == 403
    assert 'role="alert"' in answer.text
    assert (await sample.desk.hold(made.id)).state is State.PENDING
    assert [record.counted for record in await sample.records("vote")] == [False]


async def test_approving_for_a_while_within_what_policy_grants(sample: Sample, dana: Browser) -> None:
    await sample.desk.open(made := hold(grants=Terms(5400, 5, 100), shape="5a" * 32))
    page = clean((await dana.get(f"/holds/{made.id}")).text)
    fields = {f["name"]: f.get("value") for tag, f in page.elements if tag == "input" and "name" in f}
    assert (fields["for"], fields["uses"], fields["rows"]) == ("90m", "5", "100")
    for wrong in ({"for": "2h"}, {"for": "ever"}, {"uses": "6"}, {"rows": "-1"}):
        terms = {"for": "1h", "uses": "2", "rows": "10"} | wrong
        assert (await dana.decide(made.id, "approve", **terms)).status_code in {403, 409, 422}, wrong
    assert (await sample.desk.hold(made.id)).state is State.PENDING
    assert (
        await dana.decide(made.id, "approve", **{"for": "1h", "uses": "2", "rows": "10"})
    ).status_code == 303
    [grant] = await sample.desk.grants()
    assert (grant.uses, grant.rows, (grant.until - grant.given_at).total_seconds()) == (2, 10, 3600)
    await sample.desk.open(plain := hold())
    assert 'name="for"' not in (await dana.get(f"/holds/{plain.id}")).text


async def test_breaking_the_glass_takes_a_reason(sample: Sample, dana: Browser) -> None:
    await sample.desk.open(made := hold(quorum=2, break_glass=("dba",), claims=(("ticket", EVIL),)))
    page = await dana.get(f"/holds/{made.id}")
    assert "Break the glass" in clean(page.text).text
    assert "nobody has verified it" in page.text
    assert (await dana.decide(made.id, "approve", break_glass="true")).status_code == 403
    assert (await dana.decide(made.id, "approve", break_glass="true", reason="it burns")).status_code == 303
    assert (await sample.desk.hold(made.id)).state is State.APPROVED
    [record] = await sample.records("break_glass")
    assert record.reason == "it burns"


async def test_someone_elses_decision_is_told_on_the_second_click(sample: Sample, dana: Browser) -> None:
    await sample.desk.open(made := hold())
    form_token = await dana.form_token(f"/holds/{made.id}")
    await sample.desk.vote(made.id, "omar@example.com", approve=False, reason="no", channel="slack")
    answer = await dana.post(f"/holds/{made.id}/approve", form_token=form_token, digest=made.digest)
    assert answer.status_code == 409
    assert "already rejected by omar@example.com" in clean(answer.text).text
    # the page stands at the form's address, which cannot be asked for again
    assert f'data-live="/holds/{made.id}"' in answer.text


@pytest.mark.parametrize("digest", ["0" * 64, "", "x"])
async def test_what_was_shown_is_what_is_approved(sample: Sample, dana: Browser, digest: str) -> None:
    await sample.desk.open(made := hold())
    answer = await dana.decide(made.id, "approve", digest=digest)
    assert answer.status_code in {409, 422}
    assert (await sample.desk.hold(made.id)).state is State.PENDING


async def test_a_form_has_no_other_fields(sample: Sample, dana: Browser) -> None:
    await sample.desk.open(made := hold())
    assert (await dana.decide(made.id, "approve", person="omar@example.com")).status_code == 422
    assert (await sample.desk.hold(made.id)).state is State.PENDING


async def test_a_commit_shows_what_has_run_ahead_of_it(sample: Sample, dana: Browser) -> None:
    ran = (
        Ran("s-1.4", "INSERT INTO t VALUES ($1)", "INSERT 0 1", parameters=("<b>",), effects=("insert t",)),
        Ran("s-1.5", "DELETE FROM t", "DELETE 5", Standing.UNDONE, effects=("delete t",)),
    )
    await sample.desk.open(made := hold("INSERT INTO t VALUES ($1);\nCOMMIT", parameters=("<b>",), ran=ran))
    text = clean((await dana.get(f"/holds/{made.id}")).text).text
    for shown in (
        "2 statements have run, and wait for this COMMIT",
        "INSERT 0 1: insert t",
        "undone by ROLLBACK TO: DELETE 5: delete t",
        "Bound values of run 1",
        "<b>",
    ):
        assert shown in text, shown


async def test_nothing_in_a_hold_becomes_markup(sample: Sample, dana: Browser) -> None:
    made = hold(
        EVIL,
        parameters=(EVIL,),
        agent=EVIL,
        owner=EVIL,
        database=EVIL,
        environment=EVIL,
        role=EVIL,
        rule=EVIL,
        reasons=(EVIL,),
        effects=(EVIL,),
        labels=(EVIL,),
        risk=EVIL,
        revision=EVIL,
        session=EVIL,
        groups=("dba", EVIL),
        requesters=frozenset({EVIL}),
        statement=EVIL,
    )
    await sample.desk.open(made)
    await sample.desk.open(hold(id="h-NEXT", agent=EVIL))
    for path in ("/", f"/holds/{made.id}"):
        page = await dana.get(path)
        assert page.status_code == 200
        text = clean(page.text).text
        assert "<script>alert(1)</script>" in text
        assert "{{ 7*7 }}" in text
        assert "\u202e" not in page.text
        assert "\u200b" not in page.text
        assert "U+202E" in text
    await dana.decide(made.id, "deny", reason=EVIL)
    await sample.desk.note_outcome(made.id, EVIL)
    for path in ("/", f"/holds/{made.id}"):
        clean((await dana.get(path)).text)


async def test_nothing_in_the_log_becomes_markup(sample: Sample, dana: Browser) -> None:
    fields = dict.fromkeys(
        ("agent", "owner", "database", "environment", "role", "risk", "rule", "opaque", "hold"), EVIL
    )
    effect = audit.Effect(kind=EVIL, object=EVIL, columns=[EVIL], labels=[EVIL])
    many = {"reasons": [EVIL], "relations": [EVIL], "labels": [EVIL], "effects": [effect]}
    common = {"at": clock.stamp(clock.now()), "statement": "q-1", "session": EVIL, "hold": EVIL}
    made = judgement(EVIL, statement="q-1", verdict="hold", session=EVIL, **fields, **many)
    await sample.store.append(
        [
            made,
            audit.Vote(
                id=ids.record_id(),
                **common,
                person=EVIL,
                approve=True,
                reason=EVIL,
                channel=EVIL,
                counted=False,
                why=EVIL,
            ),
            audit.Decision(id=ids.record_id(), **common, state="approved", by=[EVIL], why=EVIL, digest=EVIL),
            audit.Release(
                id=ids.record_id(), **common, agent=EVIL, digest=EVIL, leave=EVIL, parameters=[EVIL]
            ),
            audit.Refusal(id=ids.record_id(), **common, agent=EVIL, sqlstate=EVIL, message=EVIL),
            audit.Outcome(
                id=ids.record_id(),
                **common,
                agent=EVIL,
                tag=EVIL,
                rows=1,
                bytes=2,
                micros=3,
                sqlstate=EVIL,
                message=EVIL,
            ),
        ]
    )
    for path in ("/log", "/statements/q-1"):
        page = await dana.get(path)
        assert page.status_code == 200
        assert "<script>alert(1)</script>" in clean(page.text).text
        assert "\u202e" not in page.text


@pytest.mark.parametrize("path", ["/log", "/signin", "/holds/x", "/statements/x"])
async def test_nothing_in_an_address_becomes_markup(dana: Browser, path: str) -> None:
    for name in ("text", "agent", "relation", "verdict", "since", "until", "before", "to"):
        page = await dana.http.get(path, params={name: EVIL.replace("\u202e", "").replace("\u200b", "")})
        clean(page.text)
    clean((await dana.http.get("/holds/%3Cscript%3Ealert(1)%3C/script%3E")).text)
    clean((await dana.http.get("/statements/%3Cimg%20src=x%3E")).text)


async def test_a_long_statement_is_shown_whole(sample: Sample, dana: Browser) -> None:
    sql = "SELECT\n" + ",\n".join(f"  column_{n}" for n in range(20_000)) + "\nFROM t -- the end"
    await sample.desk.open(made := hold(sql))
    text = clean((await dana.get(f"/holds/{made.id}")).text).text
    assert sql in text
    assert "20,002 lines" in text


async def test_the_log_filters_and_says_when_nothing_fits(sample: Sample, dana: Browser) -> None:
    assert "Nothing was asked yet" in (await dana.get("/log")).text
    await sample.store.append([judgement("SELECT 1", agent="bot"), judgement("SELECT 2", agent="other")])
    text = clean((await dana.get("/log?agent=bot&text=&verdict=")).text).text
    assert "SELECT 1" in text
    assert "SELECT 2" not in text
    assert "fits these filters" in (await dana.get("/log?agent=nobody")).text
    wrong = await dana.get("/log?since=yesterday")
    assert wrong.status_code == 422
    assert "`since`: not a time" in clean(wrong.text).text


async def test_the_log_goes_on_to_older_pages(sample: Sample, dana: Browser) -> None:
    rows = [judgement(f"SELECT {n}", at=f"2030-01-01T10:{n // 60:02}:{n % 60:02}.000000Z") for n in range(80)]
    await sample.store.append(rows)
    first = (await dana.get("/log?agent=support-agent")).text
    assert first.count("data-row") == 50
    before = re.search(r'name="before" value="([^"]+)"', first)[1]
    second = (await dana.get(f"/log?agent=support-agent&before={before}")).text
    assert second.count("data-row") == 30
    assert 'name="before"' not in second


async def test_filters_are_kept_under_a_name(sample: Sample, dana: Browser) -> None:
    await sample.store.append([judgement("SELECT 1", rule="reads"), judgement("SELECT 2", rule="writes")])
    text = clean((await dana.get("/log?rule=writes&before=")).text).text
    assert "SELECT 2" in text
    assert "SELECT 1" not in text
    token = await dana.form_token("/log")
    kept = await dana.post(
        "/log/views", form_token=token, name="Writes & <b>", query="rule=writes&limit=9&before=x"
    )
    assert (kept.status_code, kept.headers["location"]) == (303, "/log?rule=writes")
    page = clean((await dana.get("/log")).text)
    assert "Writes & <b>" in page.text
    assert ("a", {"href": "/log?rule=writes"}) in page.elements
    nameless = await dana.post("/log/views", form_token=token, name=" ", query="")
    assert nameless.status_code == 422
    await dana.post("/log/views/drop", form_token=token, name="Writes & <b>")
    assert "Writes & " not in (await dana.get("/log")).text
    assert (await dana.http.post("/log/views", data={"name": "x"})).status_code == 403


async def test_a_search_that_found_nothing_yet_goes_on_further_back(
    sample: Sample, dana: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "STRIDES", (2,))
    await sample.store.append(
        [judgement(f"SELECT {n}", at=f"2026-01-0{n}T00:00:00.000000Z") for n in (1, 2, 3)]
    )
    first = (await dana.get("/log?text=select+1")).text
    assert "Look further back" in clean(first).text
    before = re.search(r'name="before" value="([^"]+)"', first)[1]
    assert "SELECT 1" in clean((await dana.get(f"/log?text=select+1&before={before}")).text).text


async def test_of_a_statement_that_was_judged_anew_the_last_word_counts(
    sample: Sample, dana: Browser
) -> None:
    first = judgement("SELECT 1", statement="q-6", verdict="hold", reasons=["asked first"])
    again = judgement("SELECT 1", statement="q-6", verdict="deny", reasons=["by now forbidden"], hold="h-OLD")
    await sample.store.append([first, again])
    page = clean((await dana.get("/statements/q-6")).text)
    why = page.text.partition("Why")[2].partition("What it does")[0]
    assert why.strip() == "by now forbidden"


async def test_a_statement_is_drawn_and_judged_rule_by_rule(sample: Sample, dana: Browser) -> None:
    asked = judgement("SELECT c.email AS contact, 1 AS one FROM customers c", statement="q-7")
    gone = judgement("SELECT 1", statement="q-8", database="left")
    await sample.store.append([asked, gone])
    page = clean((await dana.get("/statements/q-7")).text)
    titles = [text for text in ("contact", "public.customers.email") if text in page.text]
    assert titles == ["contact", "public.customers.email"]
    assert sum(tag == "rect" for tag, _ in page.elements) >= 3
    told = await sample.house.explain("a", "shop", asked.sql)
    assert all(word.rule in page.text for word in told.words)
    assert "not match, and why" in page.text
    assert "they have changed since" in page.text
    assert "`left` is not guarded here any more" in clean((await dana.get("/statements/q-8")).text).text


async def test_a_proof_is_one_of_the_signed_log(sample: Sample, dana: Browser) -> None:
    asked = judgement("SELECT 1", statement="q-7")
    others = [judgement(f"SELECT {n}") for n in range(9)]
    await sample.store.append([*others[:5], asked, *others[5:]])
    answer = await dana.get(f"/statements/q-7/proof/{asked.id}")
    proof = audit.Inclusion.model_validate_json(answer.content)
    assert proof.check([KEY.public]).size == 11
    # its values are there as commitments
    assert audit.decode(proof.record.encode()).id == asked.id
    assert f'data-key="{KEY.public}"' in (await dana.get("/statements/q-7")).text
    assert (await dana.get(f"/statements/q-7/proof/{others[0].id}")).status_code == 404
    assert (await dana.get(f"/statements/q-9/proof/{asked.id}")).status_code == 404


async def test_a_session_is_a_timeline(sample: Sample, dana: Browser) -> None:
    common = {"session": "s-7", "agent": "bot"}
    opened = audit.Session(
        id=ids.record_id(), at="2030-01-01T10:00:00.000000Z", event="opened", database="shop", **common
    )
    first = judgement("SELECT 1", at="2030-01-01T10:00:01.000000Z", statement="q-1", **common)
    second = judgement("DROP TABLE x", at="2030-01-01T10:00:02.000000Z", verdict="deny", **common)
    other = judgement("SELECT 'elsewhere'", session="s-8")
    await sample.store.append([opened, second, first, other])
    text = clean((await dana.get("/sessions/s-7")).text).text
    assert text.index("opened") < text.index("SELECT 1") < text.index("DROP TABLE x")
    assert "2 statements, 3 records" in text
    assert "elsewhere" not in text
    assert (await dana.get("/sessions/s-9")).status_code == 404


async def test_agents_by_day(sample: Sample, dana: Browser) -> None:
    now = clock.now()
    rows = [
        judgement("SELECT 1", agent="bot", at=clock.stamp(now - timedelta(days=days)))
        for days in (0, 1, 1, 30)
    ]
    await sample.store.append([*rows, judgement("SELECT 2", agent="bot", verdict="deny")])
    await sample.store.add_agent("quiet", "lena@example.com", "root", "v", [])
    page = clean((await dana.get("/agents")).text)
    assert {"bot", "quiet"} <= set(page.text.split())
    page = clean((await dana.get("/agents/bot")).text)
    yesterday = f"{now - timedelta(days=1):%Y-%m-%d}: 2 allow, 0 hold, 0 deny"
    assert yesterday in page.text
    assert f"{now:%Y-%m-%d}: 1 allow, 0 hold, 1 deny" in page.text
    assert sum(tag == "rect" and "bar-" in (found["class"] or "") for tag, found in page.elements) == 3
    assert (await dana.get("/agents/quiet")).status_code == 200
    assert (await dana.get("/agents/nobody")).status_code == 404


async def test_the_policy_says_how_often_its_rules_decided(sample: Sample, dana: Browser) -> None:
    rule = sample.house.policies()["shop"].document.rules[0]
    await sample.store.append([judgement("SELECT 1", rule=rule.name), judgement("SELECT 2", rule=rule.name)])
    text = clean((await dana.get("/policy")).text).text
    assert re.search(rf"{re.escape(rule.name)}\s*{rule.action}.*2 times", text.replace("\n", " "))
    assert text.count("never") == len(sample.house.policies()["shop"].document.rules)


async def test_what_if_judges_and_leaves_no_trace(sample: Sample, dana: Browser) -> None:
    before = len(await sample.records())
    token = await dana.form_token("/policy")

    async def ask(**values: str) -> tuple[int, str]:
        answer = await dana.post("/policy", form_token=token, **values)
        return answer.status_code, clean(answer.text).text

    status, text = await ask(sql="SELECT email FROM customers -- <b>", database="shop", agent="bot")
    assert status == 200
    assert "read public.customers (email)" in text
    assert "labelled reads wait" in text
    status, text = await ask(sql="SELEC 1", database="shop", agent="")
    assert (status, "Not understood in full" in text) == (200, True)
    assert (await ask(sql=" ", database="shop"))[0] == 422
    assert (await ask(sql="SELECT 1", database="other"))[0] == 422
    assert len(await sample.records()) == before


async def test_the_log_is_verified_on_demand(sample: Sample, dana: Browser) -> None:
    await sample.store.append([judgement("SELECT 1")])
    answer = await dana.post("/status/verify", form_token=await dana.form_token("/status"))
    assert "Whole." in answer.text
    assert "relays everything" in answer.text


async def test_an_unknown_page_is_404_and_a_wrong_method_405(dana: Browser, nobody: Browser) -> None:
    for browser in (dana, nobody):
        missing = await browser.get("/nothing/here")
        assert missing.status_code == 404
        assert "Nothing here" in clean(missing.text).text
    assert (await dana.get("/holds/h-UNKNOWN")).status_code == 404
    assert (await dana.get("/statements/q-UNKNOWN")).status_code == 404
    wrong = await dana.http.delete("/log")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    assert (
        await dana.post("/holds/h-UNKNOWN/approve", form_token=await dana.form_token())
    ).status_code == 404


async def test_the_store_gone_is_said_plainly(
    sample: Sample, dana: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(sample.store, "holds", gone)
    page = await dana.get("/")
    assert page.status_code == 503
    assert "nothing was decided" in clean(page.text).text
