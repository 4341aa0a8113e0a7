"""Checkpoints reach every place, and come back from there; no failure of a place harms anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from firewall import audit
from firewall.config import Checkpoints
from firewall.errors import FirewallError
from firewall.publishing import Bucket, File, Hook, Publisher, PublishError, Slack, configured, read
from firewall.publishing.publisher import MAX_RETRY_SECONDS, RETRY_SECONDS
from tests.slack_emulator import SlackEmulator

from .s3 import KEY_ID, REGION, SECRET, storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ORIGIN = "log.test"
KEY = audit.SigningKey(ORIGIN, bytes(range(32)))


class Log:
    """A log as its publisher sees it."""

    def __init__(self) -> None:
        self.size = 0
        self.recorded: list[audit.Published] = []

    def note(self) -> str:
        return audit.sign_checkpoint(KEY, audit.Checkpoint(ORIGIN, self.size, bytes([self.size]) * 32))

    async def head(self) -> str:
        return self.note()

    async def record(self, record: audit.Record) -> None:
        assert isinstance(record, audit.Published)
        self.recorded.append(record)
        self.size += 1


class Shelf:
    """A place that can be out of order."""

    def __init__(self, name: str = "shelf") -> None:
        self.name = name
        self.sizes: list[int] = []
        self.broken = False

    async def put(self, origin: str, size: int, note: str) -> None:
        assert audit.open_checkpoint(note, [KEY.public]).size == size
        assert origin == ORIGIN
        if self.broken:
            raise PublishError("out of order")
        self.sizes.append(size)


def _publisher(log: Log, *places: Shelf, every: float = 300, records: int = 10) -> Publisher:
    return Publisher(places, log.head, log.record, every=every, records=records)


async def test_on_an_interval_and_on_size_and_not_for_its_own_record() -> None:
    log, shelf = Log(), Shelf()
    publisher = _publisher(log, shelf)
    await publisher.step(0)
    assert shelf.sizes == [0]  # that the log exists
    assert log.size == 1
    for now in (1, 299, 301, 900, 5000):
        await publisher.step(now)  # nothing but its own record has come
    assert shelf.sizes == [0]
    log.size += 1
    await publisher.step(5001)
    assert shelf.sizes == [0, 2]
    log.size += 9
    await publisher.step(5002)
    assert shelf.sizes == [0, 2]
    log.size += 1
    await publisher.step(5003)
    assert shelf.sizes == [0, 2, 13]
    assert [(one.size, one.places[0].failed) for one in log.recorded] == [(0, ""), (2, ""), (13, "")]
    assert log.recorded[-1].root == (bytes([13]) * 32).hex()
    assert publisher.standing[0].size == 13


async def test_a_place_out_of_order_is_tried_again_with_the_newest() -> None:
    log, good, bad = Log(), Shelf("good"), Shelf("bad")
    publisher = _publisher(log, good, bad)
    bad.broken = True
    await publisher.step(0)
    assert [(one.place, one.failing) for one in publisher.standing] == [("good", ""), ("bad", "out of order")]
    assert [(p.place, p.failed) for p in log.recorded[0].places] == [("good", ""), ("bad", "out of order")]
    await publisher.step(RETRY_SECONDS - 1)
    assert publisher.standing[1].failures == 1
    await publisher.step(RETRY_SECONDS)
    assert publisher.standing[1].failures == 2
    await publisher.step(RETRY_SECONDS * 2)
    assert publisher.standing[1].failures == 2
    # a place that goes on failing fills no log
    assert len(log.recorded) == 1
    log.size += 3
    bad.broken = False
    await publisher.step(RETRY_SECONDS * 3)
    assert (good.sizes, bad.sizes) == ([0], [4])
    assert publisher.standing[1].failing == ""
    assert [(p.place, p.failed) for p in log.recorded[1].places] == [("bad", "")]


async def test_it_waits_ever_longer_but_not_for_ever() -> None:
    log, bad = Log(), Shelf()
    bad.broken = True
    publisher = _publisher(log, bad)
    now, last = 0.0, 0.0
    gaps = []
    await publisher.step(now)
    while len(gaps) < 10:
        now += 1
        before = publisher.standing[0].failures
        await publisher.step(now)
        if publisher.standing[0].failures > before:
            gaps.append(now - last)
            last = now
    assert gaps[:4] == [5, 10, 20, 40]
    assert gaps[-1] == MAX_RETRY_SECONDS


async def test_a_file_has_them_all(tmp_path: Path) -> None:
    log, path = Log(), tmp_path / "checkpoints"
    notes = []
    for _ in range(3):
        notes.append(log.note())
        await File(path).put(ORIGIN, log.size, notes[-1])
        log.size += 1
    assert await read(str(path)) == await read(str(tmp_path)) == notes
    with pytest.raises(PublishError, match="cannot be written: no such file"):
        await File(tmp_path / "absent" / "file").put(ORIGIN, 0, notes[0])
    with pytest.raises(PublishError, match="cannot be read"):
        await read(str(tmp_path / "absent"))


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[str, list[str]]]:
    """Takes what is posted to it, and shows it; says no to `/no`."""
    taken: list[str] = []

    async def post(request: web.Request) -> web.Response:
        if request.path == "/no":
            return web.Response(status=500)
        taken.append(await request.text())
        return web.Response()

    async def get(_: web.Request) -> web.Response:
        return web.Response(text="\n".join(taken))

    app = web.Application()
    app.router.add_get("/{name}", get)
    app.router.add_post("/{name}", post)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", taken
    await runner.cleanup()


async def test_a_url_takes_them(receiver: tuple[str, list[str]]) -> None:
    url, taken = receiver
    note = Log().note()
    hook = Hook(f"{url}/secret-path?token=secret")
    await hook.put(ORIGIN, 0, note)
    assert taken == [note]
    assert await read(f"{url}/all") == [note]
    assert "secret" not in hook.name + repr(hook)
    with pytest.raises(PublishError, match="the answer is 500"):
        await Hook(f"{url}/no").put(ORIGIN, 0, note)
    with pytest.raises(PublishError, match="no answer"):
        await Hook("http://127.0.0.1:1/").put(ORIGIN, 0, note)


async def test_object_storage_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    async with storage() as s3:
        bucket = Bucket("s3://bucket/logs/one", s3.endpoint, REGION)
        log = Log()
        notes = []
        for size in (3, 20, 100):
            log.size = size
            notes.append(log.note())
            await bucket.put(ORIGIN, size, notes[-1])
        # a second put of the same is no trouble, and changes nothing
        await bucket.put(ORIGIN, 3, "other")
        assert list(s3.objects) == [f"bucket/logs/one/{ORIGIN}/{size:020}" for size in (3, 20, 100)]
        assert await bucket.notes() == notes
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
        monkeypatch.setenv("AWS_REGION", REGION)
        assert await read("s3://bucket/logs/one") == notes
        s3.broken = True
        with pytest.raises(PublishError, match="did not take it"):
            await bucket.put(ORIGIN, 200, notes[0])
        s3.broken = False
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(PublishError):
            await bucket.put(ORIGIN, 200, notes[0])


async def test_a_slack_channel_shows_them_to_be_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = Log()
    settings = Checkpoints(slack=[SlackEmulator.channel])
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    with pytest.raises(FirewallError, match="no `SLACK_BOT_TOKEN`"):
        configured(settings)
    async with SlackEmulator() as slack:
        monkeypatch.setenv("SLACK_BOT_TOKEN", slack.bot_token)
        monkeypatch.setenv("SLACK_API_URL", slack.base_url)
        (place,) = configured(settings)
        assert isinstance(place, Slack)
        assert slack.bot_token not in repr(place) + place.name
        await place.put(ORIGIN, 0, log.note())
        (message,) = slack.messages.values()
        shown = message.blocks[1]["elements"][0]
        assert shown["type"] == "rich_text_preformatted"
        # what a person copies from there into a file is read like any other
        (tmp_path / "copied").write_text("".join(one["text"] for one in shown["elements"]))
        assert await read(str(tmp_path / "copied")) == [log.note()]
        slack.fail("chat.postMessage", "not_in_channel")
        with pytest.raises(PublishError, match="Slack says `not_in_channel`: invite the app"):
            await place.put(ORIGIN, 0, log.note())
        await slack.go_down()
        with pytest.raises(PublishError, match="no answer"):
            await place.put(ORIGIN, 0, log.note())
