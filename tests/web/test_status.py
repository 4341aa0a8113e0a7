"""The health page: what an operator looks at, and what needs somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from firewall.web.render import size
from tests.web.test_pages import EVIL, clean

if TYPE_CHECKING:
    from tests.web.conftest import Browser
    from tests.web.sample import Sample


async def test_everything_that_an_operator_looks_at_is_there(sample: Sample, dana: Browser) -> None:
    page = clean((await dana.get("/status")).text)
    text = " ".join(page.text.split())
    for said in (
        "All is well",
        "query firewall 0.1.0, running for 3 d",
        "sessions open 7",
        "holds wait, the oldest for 9 min 0",
        "records in the log 1,204",
        size(await sample.store.weight()),
        "2 guarded databases",
        "b41f0c2e77d1",
        "91c2a07be5d4 214 relations",
        "observe relays everything",
        "slack answers",
        "webhook pager answers, 3 messages due",
        "4 of 4 workers 1 statement in hand",
        "2 statements had no answer since the start",
        "/mnt/worm/checkpoints a head of 1,200 records, 4 fewer than there are, 2 min ago",
        "texts and parameters are kept in full, for 90 days",
    ):
        assert said in text, said
    # it keeps itself fresh, and what the log was found to be stays
    assert ("div", {"id": "health", "data-live": "/status"}) in page.elements


async def test_what_needs_somebody_is_said_first(sample: Sample, dana: Browser) -> None:
    sample.unread, sample.unreached = "no privilege for pg_authid", EVIL
    sample.unpublished = "the bucket is not there"
    page = await dana.get("/status")
    text = " ".join(clean(page.text).text.split())
    assert "(3) Health" in text
    assert "3 things need somebody" in text
    assert "catalog of warehouse no privilege for pg_authid" in text
    assert "checkpoints at s3://audit/firewall the bucket is not there" in text
    assert "channel webhook pager <script>" in text
    assert "webhook pager does not answer" in text
    assert "\u202e" not in page.text


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (1023, "1,023 bytes"),
        (1024, "1.0 KiB"),
        (150 * 1024, "150 KiB"),
        (5 * 1024**3, "5.0 GiB"),
    ],
)
def test_sizes(count: int, said: str) -> None:
    assert size(count) == said
