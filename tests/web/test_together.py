"""Similar holds of one agent: one entry in the queue, one page, and a vote on each that was chosen."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from firewall.approval import State
from tests.web.sample import hold
from tests.web.test_pages import EVIL, clean

if TYPE_CHECKING:
    from firewall.approval import Hold
    from tests.web.conftest import Browser
    from tests.web.sample import Sample

DANA = "dana@example.com"


async def like(sample: Sample, *numbers: int) -> list[Hold]:
    """Similar holds, opened."""
    texts = [f"DELETE FROM orders WHERE id = {number}" for number in numbers]
    found = [hold(text, digest=hashlib.sha256(text.encode()).hexdigest()) for text in texts]
    for each in found:
        await sample.desk.open(each)
    return found


async def states(sample: Sample, holds: list[Hold]) -> list[State]:
    return [(await sample.desk.hold(each.id)).state for each in holds]


def chosen(*holds: Hold) -> dict[str, str]:
    return {f"hold:{each.id}": each.digest for each in holds}


async def test_the_queue_has_them_in_one_entry_and_they_are_approved_together(
    sample: Sample, dana: Browser
) -> None:
    holds = await like(sample, 1, 2, 3)
    await sample.desk.open(other := hold("DROP TABLE carts", agent="tidy-agent"))
    queue = clean((await dana.get("/")).text)
    assert "4 statements waiting" in queue.text
    assert "3 similar" in queue.text
    entries = [found["data-row"] for tag, found in queue.elements if tag == "li" and "data-say" in found]
    assert sorted(entries) == sorted([" ".join(each.id for each in sorted(holds, key=_order)), other.id])
    assert "2 more like it" in (await dana.get(f"/holds/{holds[0].id}")).text
    page = clean((await dana.get(f"/holds/{holds[0].id}/similar")).text)
    assert all(each.sql in page.text for each in holds)
    assert other.sql not in page.text
    fields = {
        found["name"]: found["value"] for tag, found in page.elements if found.get("type") == "checkbox"
    }
    assert fields == chosen(*holds)
    token = await dana.form_token()
    answer = await dana.post(f"/holds/{holds[0].id}/similar/approve", form_token=token, **fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert await states(sample, [*holds, other]) == [*[State.APPROVED] * 3, State.PENDING]
    votes = await sample.records("vote")
    assert {(vote.hold, vote.person, vote.counted) for vote in votes} == {
        (each.id, DANA, True) for each in holds
    }
    assert [(await sample.desk.hold(each.id)).votes[0].opened for each in holds] == [True] * 3


async def test_some_are_denied_and_what_came_later_is_not(sample: Sample, dana: Browser) -> None:
    first, second, third = holds = await like(sample, 1, 2, 3)
    token = await dana.form_token()
    late = (await like(sample, 4))[0]
    at = f"/holds/{first.id}/similar/deny"
    unsaid = await dana.post(at, form_token=token, reason=" ", **chosen(first))
    assert unsaid.status_code == 422
    assert await states(sample, holds) == [State.PENDING] * 3
    answer = await dana.post(at, form_token=token, reason="not on a Friday", **chosen(first, third))
    assert answer.status_code == 303
    assert answer.headers["location"].removesuffix("/similar").rpartition("/")[2] in {second.id, late.id}
    assert await states(sample, [*holds, late]) == [
        State.REJECTED,
        State.PENDING,
        State.REJECTED,
        State.PENDING,
    ]


async def test_what_does_not_count_is_told_and_stops_no_other(sample: Sample, dana: Browser) -> None:
    first, second, third = holds = await like(sample, 1, 2, 3)
    await sample.desk.vote(first.id, "omar@example.com", approve=False, reason="no", channel="slack")
    token = await dana.form_token()
    at = f"/holds/{first.id}/similar/approve"
    wrong = chosen(first, second) | {f"hold:{third.id}": "0" * 64}
    answer = await dana.post(at, form_token=token, **wrong)
    assert answer.status_code == 409
    text = clean(answer.text).text
    assert f"{first.id}: hold {first.id} is already rejected by omar@example.com" in text
    assert f"{third.id}: hold {third.id} is not what you were shown" in text
    assert await states(sample, holds) == [State.REJECTED, State.APPROVED, State.PENDING]


async def test_nothing_that_is_not_like_it_is_decided_with_it(sample: Sample, dana: Browser) -> None:
    first, second = holds = await like(sample, 1, 2)
    await sample.desk.open(other := hold("DROP TABLE carts", agent="tidy-agent"))
    await sample.desk.open(long := hold("SELECT 1 -- " + "x" * 900))
    token = await dana.form_token()
    for at, fields, status in (
        (first, chosen(first, second, other), 409),
        (first, chosen(first) | {"hold:h-none": "0" * 64}, 404),
        (first, {}, 422),
        (first, {f"hold:{first.id}": "x"}, 422),
        (long, chosen(long), 422),
    ):
        answer = await dana.post(f"/holds/{at.id}/similar/approve", form_token=token, **fields)
        assert answer.status_code == status, fields
        clean(answer.text)
    assert set(await states(sample, [*holds, other, long])) == {State.PENDING}
    assert (await dana.post(f"/holds/{first.id}/similar/approve", **chosen(first))).status_code == 403


async def test_the_owner_is_offered_no_form_and_a_voter_not_again(sample: Sample, nobody: Browser) -> None:
    first, second = await like(sample, 1, 2)
    await nobody.sign_in("token-lena")
    page = await nobody.get(f"/holds/{first.id}/similar")
    assert "someone else must decide" in page.text
    assert 'type="checkbox"' not in page.text
    token = await nobody.form_token()
    answer = await nobody.post(
        f"/holds/{first.id}/similar/approve", form_token=token, **chosen(first, second)
    )
    assert answer.status_code == 409
    assert await states(sample, [first, second]) == [State.PENDING] * 2
    assert [record.counted for record in await sample.records("vote")] == [False, False]


async def test_nothing_in_them_becomes_markup(sample: Sample, dana: Browser) -> None:
    for number in (1, 2):
        await sample.desk.open(
            made := hold(f"{EVIL} {number}", agent=EVIL, parameters=(EVIL,), reasons=(EVIL,), labels=(EVIL,))
        )
    for path in ("/", f"/holds/{made.id}/similar"):
        page = await dana.get(path)
        assert "<script>alert(1)</script>" in clean(page.text).text
        assert "\u202e" not in page.text


def _order(each: Hold) -> tuple[object, str]:
    return each.expires_at, each.id
