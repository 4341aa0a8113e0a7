"""The page of how people decide: the figures of `firewall holds stats`, and pictures of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from firewall import clock
from tests.web.sample import hold
from tests.web.test_pages import EVIL, clean

if TYPE_CHECKING:
    from tests.web.conftest import Browser
    from tests.web.sample import Sample

DANA, OMAR = "dana@example.com", "omar@example.com"


async def test_nothing_was_held(dana: Browser) -> None:
    assert "Nothing was held in the last 14 days" in clean((await dana.get("/decisions")).text).text


async def test_the_figures_are_shown_and_drawn(sample: Sample, dana: Browser) -> None:
    now = clock.now()
    long = hold("SELECT 1 -- " + "x" * 4000, rule=EVIL, opened_at=now - timedelta(minutes=4))
    quick = hold(opened_at=now - timedelta(seconds=5))
    old = hold(opened_at=now - timedelta(days=8))
    for each in (long, quick, old, hold()):
        await sample.desk.open(each)
    await sample.desk.vote(long.id, OMAR, approve=True, reason="", channel="cli")
    await sample.desk.vote(quick.id, DANA, approve=False, reason="no", channel="web", opened=True)
    page = clean((await dana.get("/decisions?days=7")).text)
    text = " ".join(page.text.split())
    for said in (
        "50%",
        "1 of 1 approval whoever gave them had not had all of the statement on the screen",
        f"{OMAR} 1 time",
        f"{now:%Y-%m-%d}: 1 approved, 1 denied, 0 not decided, 1 waiting",
        "within 10 s: 0 approved, 1 denied",
        "within 5 min: 1 approved, 0 denied",
        "longer than 1 h: 0 approved, 0 denied",
    ):
        assert said in text, said
    shares = [found["width"] for tag, found in page.elements if tag == "rect" and found.get("height") == "8"]
    # two holds of one rule, one of them denied; one of another, approved
    assert shares == ["100.0", "0.0", "50.0", "50.0", "50.0", "0.0"]


async def test_the_period_is_asked_for(sample: Sample, dana: Browser) -> None:
    await sample.desk.open(replace(hold(), opened_at=clock.now() - timedelta(days=20)))
    assert "Nothing was held" in (await dana.get("/decisions")).text
    page = clean((await dana.get("/decisions?days=30")).text)
    assert "hold, 1 waiting" in " ".join(page.text.split())
    assert ("a", {"href": "/decisions?days=30", "aria-current": "true"}) in page.elements
    assert (await dana.get("/decisions?days=0")).status_code == 422
