"""Looks through the books afterwards: what was done, what was decided, what the log says."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firewall import audit
from firewall.approval import Hold, State
from firewall.store import Reader

if TYPE_CHECKING:
    from .play import Play
    from .stage import Stage

MOST = 10_000_000


@dataclass
class Books:
    """wrong: what must not be, one line each."""

    holds: int = 0
    states: Counter[str] = field(default_factory=Counter)
    records: int = 0
    double: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)


async def audit_all(stage: Stage, play: Play) -> Books:
    """Every hold, every act and the whole log, when nothing runs any more."""
    books = Books()
    settings = stage.settings
    key = audit.SigningKey.load(settings.key)
    async with await Reader.open_reader(settings.store) as store:
        holds = await store.holds(limit=MOST)
        records = [audit.decode(row.bytes) async for row in store.records()]
        report = await store.verify([key.public])
    books.holds, books.records = len(holds), len(records)
    books.states.update(hold.state.value for hold in holds)
    if not report.sound:
        books.wrong.append(f"the log does not verify: {report.findings[:3]}")
    _holds(books, holds, records)
    _acts(books, holds, stage.done(), play)
    for number in play.unheard:
        books.lost += 1
        books.wrong.append(f"act {number} was never answered")
    return books


def _holds(books: Books, holds: list[Hold], records: list[audit.Record]) -> None:
    """Each has one beginning, one decision and one release, or none."""
    of: dict[str, list[audit.Record]] = {}
    for record in records:
        of.setdefault(record.hold, []).append(record)
    kept = {hold.id: hold for hold in holds}
    for hold_id in {r.hold for r in records if isinstance(r, audit.HoldOpened)} - kept.keys():
        books.lost += 1
        books.wrong.append(f"hold {hold_id} is in the log and nowhere else")
    for hold in holds:
        mine = of.get(hold.id, [])
        kinds = Counter(record.kind for record in mine)
        if kinds["hold"] != 1:
            books.wrong.append(f"hold {hold.id} has {kinds['hold']} beginnings in the log")
        if kinds["release"] > 1:
            books.double += 1
            books.wrong.append(f"hold {hold.id} was released {kinds['release']} times")
        if (kinds["release"] == 1) is not (hold.state is State.CONSUMED):
            books.wrong.append(f"hold {hold.id} is {hold.state} and was released {kinds['release']} times")
        decided = [record.state for record in mine if isinstance(record, audit.Decision)]
        if len(decided) > 2 or (len(decided) == 2 and decided != ["approved", "lapsed"]):
            books.wrong.append(f"hold {hold.id} was decided several times: {decided}")
        if hold.awaited and hold.state in {State.PENDING, State.APPROVED}:
            books.lost += 1
            books.wrong.append(f"hold {hold.id} is {hold.state}, and who waits for it is gone")


def _acts(books: Books, holds: list[Hold], done: dict[int, int], play: Play) -> None:
    """None was done more often than it was let, or less often than its agent was told."""
    let = Counter(_number(hold) for hold in holds if hold.state is State.CONSUMED)
    for number, times in done.items():
        if times > let[number]:
            books.double += 1
            books.wrong.append(f"act {number} was done {times} times, and let {let[number]} times")
    for number, times in play.seen.items():
        if done.get(number, 0) < times:
            books.lost += 1
            books.wrong.append(f"act {number} was answered, and not done")


def _number(hold: Hold) -> int:
    if hold.ran:
        return int(hold.ran[0].parameters[0] or -1)
    if hold.parameters:
        return int(hold.parameters[0] or -1)
    found = re.search(r"\((\d+)\)$", hold.sql)
    return int(found[1]) if found else -1
