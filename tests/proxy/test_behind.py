"""Runs on their way to the log: in order, within bounds, and none passes once the log has failed."""

from __future__ import annotations

import asyncio
from time import monotonic as now
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import approval, audit, wire
from firewall.errors import StoreError
from firewall.proxy import behind, text
from firewall.proxy.behind import Behind, Run
from firewall.proxy.standing import Leave
from firewall.season import Season
from firewall.session import Act, Done
from firewall.store.rows import entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CIRCUMSTANCES = approval.Circumstances("shopper", "shop", "login", ("public",), "r", "c")
DONE = Done(0, None, ("SELECT 3",), 120)
AT = 1_700_000_000_000_000_000


def leave(statement: str = "s-1.1") -> Leave:
    digester = approval.digester("SELECT $1", CIRCUMSTANCES)
    return Leave("s-1", statement, "shopper", None, digester, float("inf"), Season())


def run(number: int, *values: bytes | None, of: Leave | None = None) -> Run:
    return Run(of or leave(), number, AT, Act("SELECT $1", values))


class Disk:
    """A log that fails while `broken`, waits while `stuck` is not set, and remembers what it was given."""

    def __init__(self) -> None:
        self.records: list[audit.Runs] = []
        self.commits = 0
        self.broken = False
        self.stuck = asyncio.Event()
        self.stuck.set()

    async def append(self, records: Sequence[audit.Record]) -> None:
        await self.append_made(lambda: records)

    async def append_made(self, make: Callable[[], Sequence[audit.Record | audit.Written]]) -> None:
        made = await asyncio.to_thread(make)
        await self.stuck.wait()
        if self.broken:
            raise StoreError("the disk is full")
        self.commits += 1
        for record in made:
            assert isinstance(record, audit.Written)
            columns = entry(record).columns
            decoded = audit.decode(columns["bytes"], columns["private"])
            assert isinstance(decoded, audit.Runs)
            self.records.append(decoded)

    def story(self) -> list[tuple[str, int]]:
        """Numbers of all runs and ends, as they stand in the log."""
        found: list[tuple[str, int]] = []
        for record in self.records:
            found += [("run", run["number"]) for run in record.released]
            found += [("end", end["number"]) for end in record.ended]
        return found


async def test_runs_share_records_and_commits_and_say_what_was_bound():
    disk = Disk()
    written = Behind(disk)
    first, second = leave("s-1.1"), leave("s-1.2")
    for number in range(5, 9):
        one = run(number, b"%d" % number, None, of=first)
        written.released(one)
        one.answered(DONE)
        one.ended = AT + 70_999
        written.ended(one)
    written.released(run(9, b"x" * 3000, of=second))
    await written.written()
    told, other = disk.records
    assert disk.commits == 1
    assert [run["parameters"] for run in told.released] == [[str(n), None] for n in range(5, 9)]
    assert {(end["tag"], end["rows"], end["bytes"], end["micros"]) for end in told.ended} == {
        ("SELECT 3", 3, 120, 70)
    }
    assert (told.statement, told.session, told.agent, other.statement) == ("s-1.1", "s-1", "shopper", "s-1.2")
    executed = approval.Execution("SELECT $1", (b"x" * 3000,))
    assert other.released[0]["digest"] == approval.digest([executed], CIRCUMSTANCES)
    assert (other.released[0]["parameters"][0] or "").endswith("1000 characters more")
    assert other.ended == []


async def test_what_came_as_bytes_is_taken_down_as_what_came_apart():
    disk = Disk()
    written = Behind(disk)
    bind = wire.Bind(
        "", "name", formats=(1, 0, 0), values=(b"\0\0\0\7", None, b"caf\xc3\xa9"), result_formats=(1,)
    )
    types = (23, 25, 25)
    lasting = leave()
    by_bytes = Run(lasting, 1, AT, bind.encode(), types)
    apart = Run(lasting, 2, AT, Act("SELECT $1", bind.values, bind.formats, types))
    no_values = Run(lasting, 3, AT, b"")
    for one in (by_bytes, apart, no_values):
        written.released(one)
        one.tag, one.ended, one.size = b"INSERT 0 5\0", AT + 1, 7
        written.ended(one)
    await written.written()
    (told,) = disk.records
    first, second, third = told.released
    assert first["parameters"] == ["7", None, "café"]
    assert {**first, "number": 2} == second
    assert third["parameters"] == []
    assert third["digest"] == approval.digest([approval.Execution("SELECT $1")], CIRCUMSTANCES)
    assert {(end["tag"], end["rows"], end["bytes"]) for end in told.ended} == {("INSERT 0 5", 5, 7)}


async def test_a_crowd_closes_it_until_it_is_written(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(behind, "MAX_UNWRITTEN", 10)
    disk = Disk()
    disk.stuck.clear()
    written = Behind(disk)
    for number in range(10):
        assert written.open(now())
        written.released(run(number))
    assert not written.open(now())
    disk.stuck.set()
    await written.written()
    assert written.open(now())
    assert len(disk.story()) == 10


async def test_large_values_close_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(behind, "MAX_BYTES", 1000)
    disk = Disk()
    written = Behind(disk)
    written.released(run(1, b"x" * 999, None))
    assert written.open(now())
    written.released(run(2, b"x"))
    assert not written.open(now())
    await written.written()
    assert written.open(now())


async def test_a_slow_disk_closes_it(monkeypatch: pytest.MonkeyPatch):
    disk = Disk()
    disk.stuck.clear()
    written = Behind(disk)
    written.released(run(1))
    assert written.open(now())
    monkeypatch.setattr(behind, "MAX_AGE", 0.0)
    assert not written.open(now())
    disk.stuck.set()
    await written.written()
    assert written.open(now())


async def test_a_disk_that_fails_closes_it_and_loses_nothing(monkeypatch: pytest.MonkeyPatch):
    # INVARIANT: 5. no release without a durable record
    monkeypatch.setattr(behind, "RETRY", 0.001)
    disk = Disk()
    disk.broken = True
    written = Behind(disk)
    one = run(1)
    written.released(one)
    with pytest.raises(StoreError, match="disk is full"):
        await written.written()
    assert not written.open(now())
    one.answered(DONE)
    written.ended(one)
    with pytest.raises(StoreError):
        await written.written()
    assert not written.open(now())
    disk.broken = False
    async with asyncio.timeout(10):
        while not written.open(now()):
            await asyncio.sleep(0.001)
    assert disk.story() == [("run", 1), ("end", 1)]


async def test_closing_writes_what_is_left_or_gives_up():
    disk = Disk()
    written = Behind(disk)
    written.released(run(1))
    await written.close()
    assert disk.story() == [("run", 1)]
    disk.broken = True
    written.released(run(2))
    await asyncio.wait_for(written.close(), 10)
    assert disk.story() == [("run", 1)]


@given(st.lists(st.sampled_from(["run", "end", "break", "mend", "write", "breathe"]), max_size=40))
def test_whatever_happens_nothing_is_lost_twice_or_out_of_order(steps: list[str]):
    # INVARIANT: 5. no release without a durable record: what was let through comes into the log, once

    async def play() -> None:
        disk = Disk()
        written = Behind(disk)
        lasting = leave()
        under_way: list[Run] = []
        runs = ends = 0
        for step in steps:
            match step:
                case "run" if written.open(now()):
                    runs += 1
                    under_way.append(run(runs, of=lasting))
                    written.released(under_way[-1])
                case "end" if ends < runs:
                    under_way[ends].answered(DONE)
                    written.ended(under_way[ends])
                    ends += 1
                case "break" | "mend":
                    disk.broken = step == "break"
                case "write":
                    try:
                        await written.written()
                    except StoreError:
                        assert disk.broken
                        assert not written.open(now())
                    else:
                        assert len(disk.story()) == runs + ends
                case _:
                    await asyncio.sleep(0)
        disk.broken = False
        for _ in range(2):  # the first may hear of the failure before
            try:
                await written.written()
            except StoreError:
                continue
        story = disk.story()
        assert [number for kind, number in story if kind == "run"] == list(range(1, runs + 1))
        assert [number for kind, number in story if kind == "end"] == list(range(1, ends + 1))
        assert written.open(now())

    asyncio.run(play())


async def test_what_cannot_be_written_down_closes_it_for_good() -> None:
    disk = Disk()
    written = Behind(disk)
    written.released(Run(leave(), 2**60, AT, b""))
    with pytest.raises(StoreError, match="ValueError"):
        await written.written()
    assert not written.open(now())
    await written.close()
    assert disk.records == []


async def test_many_are_made_into_text_a_slice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "SLICE", 3)
    disk = Disk()
    written = Behind(disk)
    others = 0
    for number in range(10):
        written.released(run(number))
    writing = asyncio.ensure_future(written.written())
    while not writing.done():
        await asyncio.sleep(0)
        others += 1
    assert disk.story() == [("run", number) for number in range(10)]
    assert others > 4


@given(
    st.lists(st.none() | st.binary(max_size=40), max_size=5),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    st.data(),
)
def test_a_bind_is_read_as_the_decoder_reads_it(
    values: list[bytes | None], name: str, data: st.DataObject
) -> None:
    count = data.draw(st.sampled_from(sorted({0, 1, len(values)})))
    formats = tuple(data.draw(st.integers(0, 1)) for _ in range(count))
    bind = wire.Bind("", name, formats, tuple(values), (1,))
    assert text.bound(bind.encode()) == (tuple(values), formats)
