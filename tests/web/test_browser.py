"""What a person does, in Debian's Chromium, by keyboard and pointer, against a console that really serves.

Skipped, and said so, where there is no `chromium`; Playwright's own browsers are never fetched.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from firewall.approval import State
from firewall.policy import Terms
from firewall.web import create_app
from firewall.web.server import Server
from tests.web.sample import hold, judgement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from tests.web.sample import Sample

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no `chromium` here; on Debian: apt-get install chromium"),
    pytest.mark.timeout(240),
]
# without these it asks its maker's servers for this and that
FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-gpu"]


@pytest.fixture
async def url(sample: Sample) -> AsyncIterator[str]:
    server = Server(create_app(sample.house), "127.0.0.1", 0)
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.close()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    playwright = pytest.importorskip(
        "playwright.async_api", reason="no Playwright here: pip install playwright"
    )
    async with playwright.async_playwright() as driver:
        chromium = await driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--no-sandbox"])
        yield chromium
        await chromium.close()


@pytest.fixture
async def page(browser: Browser, url: str) -> AsyncIterator[Page]:
    """Signed in as dana. Whatever the browser complains of (the CSP, a script) fails the test."""
    context = await browser.new_context(base_url=url)
    context.set_default_timeout(60_000)
    opened = await context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    await opened.goto("/")
    await opened.get_by_label("Your token").fill("token-dana")
    await opened.get_by_role("button", name="Sign in").click()
    await opened.get_by_role("navigation", name="Main").wait_for()
    yield opened
    await context.close()
    assert complaints == []


async def test_a_hold_appears_by_itself_and_is_decided_by_keyboard(page: Page, sample: Sample) -> None:
    await page.get_by_role("heading", name="Nothing waits").wait_for()
    await page.get_by_text("live", exact=True).wait_for()
    first, second = hold("DELETE FROM orders"), hold("DROP TABLE carts", agent="tidy-agent")
    await sample.desk.open(first)
    await page.get_by_role("heading", name="1 statement waiting").wait_for()
    await page.keyboard.press("j")
    await page.keyboard.press("a")
    await page.get_by_role("heading", name="Your decision").wait_for()
    assert "DELETE FROM orders" in await page.get_by_label("the statement in full").inner_text()
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Approved").wait_for()
    assert (await sample.desk.hold(first.id)).state is State.APPROVED
    await sample.desk.open(second)
    await page.goto(f"/holds/{second.id}")
    await page.keyboard.press("d")
    await page.keyboard.type("not in working hours")
    await page.get_by_role("button", name="Deny").click()
    await page.get_by_role("heading", name="Denied").wait_for()
    decided = await sample.desk.hold(second.id)
    assert (decided.state, decided.votes[0].reason) == (State.REJECTED, "not in working hours")


async def test_what_is_being_written_outlives_what_happens_meanwhile(page: Page, sample: Sample) -> None:
    made = hold(quorum=2, grants=Terms(3600, 5, 100), shape="5a" * 32)
    await sample.desk.open(made)
    await page.goto(f"/holds/{made.id}")
    await page.get_by_text("live", exact=True).wait_for()
    await page.get_by_text("Approve for a while …").click()
    await page.get_by_label("For how long").fill("30m")
    await page.locator("#reason").fill("not on a Fri")
    await sample.desk.vote(made.id, "omar@example.com", approve=True, reason="", channel="slack")
    await page.get_by_text("1 of 2 approvals given").wait_for()
    assert await page.get_by_label("For how long").is_visible()
    assert await page.get_by_label("For how long").input_value() == "30m"
    assert await page.locator("#reason").input_value() == "not on a Fri"


async def test_a_statement_is_found_as_one_types_and_its_proof_is_verified(
    page: Page, sample: Sample
) -> None:
    sought = judgement("SELECT c.email AS contact FROM customers c WHERE id = 4711", statement="q-7")
    others = [judgement(f"SELECT {n} FROM orders") for n in range(20)]
    await sample.store.append([*others[:13], sought, *others[13:]])
    await page.get_by_role("link", name="Log").click()
    await page.get_by_label("Text").press_sequentially("Id = 4711")
    await page.locator("#announce", has_text="1 found").wait_for(state="attached")
    assert "text=Id+%3D+4711" in page.url
    await page.get_by_role("link", name="SELECT c.email").click()
    drawn = page.get_by_role("img", name="lineage of the result")
    assert {"contact", "public.customers.email"} <= set(re.findall(r"[\w.]+", await drawn.inner_html()))
    await page.get_by_role("button", name="Verify here").click()
    await page.get_by_text("proven: 1 of 1 records are in the signed log").wait_for()
    facts = await page.locator("#proof-facts").inner_text()
    assert (await sample.house.verify_log()).logs[0].root.hex() in facts
    assert "checked here" in facts


FORGERIES = {
    "proof.path[0] = btoa('\\0'.repeat(32))": "does not lead to the signed root",
    "proof.index += 1": "does not lead to the signed root",
    "proof.record = proof.record.replace('judgement', 'Judgement')": "does not lead to the signed root",
    "proof.checkpoint = proof.checkpoint.replace(/— (\\S+) (.{12})./, '— $1 $2A')": "not signed by the log",
    "proof.private = btoa(atob(proof.private).replace('SELECT', 'DELETE'))": "not those that it commits to",
    "proof.private = null": "shows another `sql`",
    "document.querySelector('code .line').lastChild.before('0')": "shows another `sql`",
    "document.querySelector('[data-value=verdict]').textContent = 'deny'": "shows another `verdict`",
}


async def test_a_forged_proof_is_seen_and_a_page_that_shows_something_else(
    page: Page, sample: Sample
) -> None:
    asked = judgement("SELECT '\u202e\r\n 1'", statement="q-7")
    await sample.store.append([judgement("SELECT 0"), asked, judgement("SELECT 2")])
    for change, said in FORGERIES.items():
        script = f"""() => {{
            const honest = globalThis.fetch;
            globalThis.fetch = async (...asked) => {{
                const proof = await (await honest(...asked)).json();
                {change};
                return new Response(JSON.stringify(proof));
            }};
        }}"""
        await page.goto("/statements/q-7")
        await page.evaluate(script)
        await page.get_by_role("button", name="Verify here").click()
        await page.get_by_text("1 of 1 records are not proven").wait_for()
        assert said in await page.locator("[data-proven=no]").inner_text(), change
    await page.goto("/statements/q-7")
    await page.get_by_role("button", name="Verify here").click()
    await page.get_by_text("proven: 1 of 1 records are in the signed log, as this page shows them").wait_for()
