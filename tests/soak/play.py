"""The play: a hundred sessions ask, people decide in haste, and somebody pulls the plug."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from firewall.approval import Counted, Hold, Person, State
from firewall.audit import SigningKey
from firewall.desk import Desk
from firewall.errors import StoreError
from firewall.store import Store

from .stage import PEOPLE

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from .stage import Stage

SESSIONS = 100
# holds that people look at in one go
AT_ONCE = 50
# an act that nobody has heard of for so long is lost
LOST_SECONDS = 600
COME_BACK = "QF010"


@dataclass
class Play:
    """What happened, in numbers; `seen` are the acts that their agent was told are done."""

    stage: Stage
    acts: int
    dice: random.Random
    seen: Counter[int] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    cancels: int = 0
    clicks: int = 0
    counted: int = 0
    unheard: list[int] = field(default_factory=list)
    over: bool = False

    async def run(self) -> None:
        self.stage.opens.set()
        numbers = iter(range(self.acts))
        others = [asyncio.create_task(self.decide()), asyncio.create_task(self.pull_the_plug())]
        agents = [asyncio.create_task(self.ask(numbers)) for _ in range(min(SESSIONS, self.acts))]
        try:
            await asyncio.gather(*agents)
        finally:
            self.over = True
            await asyncio.gather(*others)

    # --- agents

    async def ask(self, numbers: Iterator[int]) -> None:
        connection = None
        for number in numbers:
            try:
                async with asyncio.timeout(LOST_SECONDS):
                    connection = await self._act(number, connection)
            except TimeoutError:
                self.unheard.append(number)
        if connection is not None:
            await connection.close()

    async def _act(
        self, number: int, connection: psycopg.AsyncConnection[tuple[object, ...]] | None
    ) -> psycopg.AsyncConnection[tuple[object, ...]]:
        """Ask until it is answered; who loses the connection comes back with the identical statement."""
        while True:
            if connection is None or connection.closed:
                connection = await self.stage.connect()
            asking = asyncio.create_task(_run(connection, number))
            if self.dice.random() < 0.05:
                await asyncio.wait([asking], timeout=self.dice.random())
                self.cancels += 1
                with contextlib.suppress(psycopg.Error, OSError):
                    await connection.cancel_safe(timeout=5)
            try:
                await asking
            except psycopg.Error as error:
                state = error.sqlstate or "lost"
                self.told[state] += 1
                if state == COME_BACK:
                    continue
                if state in {"lost", "57P01", "08006"} or connection.closed:
                    with contextlib.suppress(psycopg.Error):
                        await connection.close()
                    continue
                return connection
            self.seen[number] += 1
            return connection

    # --- people

    async def decide(self) -> None:
        """In a process of its own: this one, beside the firewall, on the same store."""
        settings = self.stage.settings
        store = await Store.open(settings.store, origin=settings.origin, key=SigningKey.load(settings.key))
        desk = Desk(store, lambda name, _: Person(name, frozenset({"dba"})))
        async with store:
            while not self.over:
                try:
                    # any of them: the newest alone would leave the oldest to wait for ever
                    pending = await store.holds([State.PENDING], limit=2 * SESSIONS)
                    chosen = self.dice.sample(pending, min(len(pending), AT_ONCE))
                    await asyncio.gather(*(self._click(desk, hold) for hold in chosen))
                except StoreError as error:
                    self.told[error.message] += 1
                await asyncio.sleep(0.05)

    async def _click(self, desk: Desk, hold: Hold) -> None:
        """Two at once, of one person or of two, who agree or not."""
        one, other = self.dice.choice(PEOPLE), self.dice.choice(PEOPLE)
        yes = self.dice.random() < 0.85
        clicks = [(one, yes), (other, yes if self.dice.random() < 0.8 else not yes)]
        self.clicks += len(clicks)
        words = await asyncio.gather(
            *(desk.vote(hold.id, who, approve=how, reason="", channel="cli") for who, how in clicks)
        )
        self.counted += sum(isinstance(word, Counted) for word in words)

    # --- and the machine

    async def pull_the_plug(self) -> None:
        """After every so many acts that were answered, at any moment."""
        every = max(20, min(250, self.acts // 4))
        next_at = every
        while not self.over:
            if sum(self.seen.values()) + self.told["QF001"] >= next_at:
                await asyncio.sleep(self.dice.random() / 2)
                await self.stage.kill()
                next_at += every
            await asyncio.sleep(0.05)


async def _run(connection: psycopg.AsyncConnection[tuple[object, ...]], number: int) -> None:
    """The act: by one statement or another, or in a transaction that is decided at its COMMIT."""
    match number % 4:
        case 0:
            async with connection.transaction():
                await connection.execute("INSERT INTO later (n) VALUES (%s)", [number])
        case 1:
            await connection.execute("INSERT INTO acts (n) VALUES (%s)", [number])
        case _:
            await connection.execute(f"INSERT INTO acts (n) VALUES ({number})")
