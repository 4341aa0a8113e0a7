"""A desk on a real store, an emulated Slack, and the real channel between them."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from firewall import audit, clock, ids
from firewall.approval import Hold, Person, State
from firewall.channels.cards import MemoryCards
from firewall.channels.slack import SlackChannel, SlackSettings
from firewall.desk import Desk
from firewall.store import Store
from tests.slack_emulator import SlackEmulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from firewall.channels.cards import Cards
    from tests.slack_emulator import Message

ORIGIN = "log.test"
KEY = audit.SigningKey(ORIGIN, bytes(range(32)))
GROUPS = {"dora": {"dba"}, "dirk": {"dba"}, "olga": {"dba"}, "sam": {"support"}}
# the Slack user of each person is named after them; eve is in nobody's policy
PEOPLE = {("T0HOME", f"U0{name.upper()}"): name for name in GROUPS}


def make_hold(**fields: object) -> Hold:
    """A pending hold of a DELETE, asked for by olga's agent."""
    now = clock.now()
    defaults = {
        "id": ids.hold_id(),
        "digest": "5e" * 32,
        "state": State.PENDING,
        "opened_at": now,
        "expires_at": now + timedelta(minutes=15),
        "session": "s-1",
        "statement": "q-1",
        "agent": "reporter",
        "owner": "olga",
        "database": "shop",
        "environment": "production",
        "role": "reporter_role",
        "sql": "DELETE FROM orders\nWHERE id = $1",
        "parameters": ("7",),
        "rule": "writes",
        "reasons": ("writes are held: delete public.orders",),
        "effects": ("delete public.orders", "read public.orders (id)"),
        "labels": (),
        "risk": "high",
        "groups": ("dba",),
        "quorum": 1,
        "requesters": frozenset({"olga", "reporter"}),
        "revision": "r1",
    }
    return Hold(**{**defaults, **fields})


@dataclass
class House:
    """What a test has in hand."""

    store: Store
    desk: Desk
    slack: SlackEmulator
    cards: Cards
    agents: Iterator[int] = field(default_factory=itertools.count)

    @asynccontextmanager
    async def channel(self, **settings: object) -> AsyncIterator[SlackChannel]:
        """A running channel; `settings` replace fields of its settings."""
        defaults = SlackSettings(
            bot_token=self.slack.bot_token,
            app_token=self.slack.app_token,
            channel=self.slack.channel,
            api_url=self.slack.base_url,
            ping_seconds=0.1,
            retry_seconds=0.05,
        )
        channel = SlackChannel(
            replace(defaults, **settings),
            self.desk,
            lambda team, user: PEOPLE.get((team or "T0HOME", user)),
            self.cards,
            members=lambda hold, groups: [
                f"U0{name.upper()}"
                for name, own in GROUPS.items()
                if own & set(groups) and name not in hold.requesters
            ],
            origin=ORIGIN,
        )
        await channel.start()
        try:
            yield channel
        finally:
            await channel.close()

    async def held(self, **fields: object) -> tuple[Hold, Message]:
        """A new hold and its card; by an agent of its own, so that no other hold is similar."""
        hold = make_hold(**{"agent": f"reporter-{next(self.agents)}", **fields})
        await self.desk.open(hold)
        return hold, await self.card(hold)

    async def card(self, hold: Hold, *words: str) -> Message:
        """The hold's card once it shows all these words."""
        return await self.slack.wait_message(lambda m: is_card(m, hold) and all(w in m.words for w in words))

    def cards_of(self, hold: Hold) -> list[Message]:
        return [message for message in self.slack.messages.values() if is_card(message, hold)]

    async def votes(self) -> list[audit.Vote]:
        """Every recorded vote, counted or not, in order."""
        records = [audit.decode(row.bytes, row.private) async for row in self.store.records()]
        return [record for record in records if isinstance(record, audit.Vote)]

    async def state(self, hold: Hold) -> State:
        found = await self.store.hold(hold.id)
        assert found is not None
        return found.state


def is_card(message: Message, hold: Hold) -> bool:
    return bool(message.blocks) and message.blocks[0]["block_id"] == f"hold {hold.id}"


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "SLACK_BOT_TOKEN", "SLACK_CLIENT_ID"):
        # slack-sdk takes these from the environment, and loopback has no proxy
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    store = await Store.open(f"sqlite:///{tmp_path}/store.db", origin=ORIGIN, key=KEY)
    async with store, SlackEmulator() as slack:
        desk = Desk(store, lambda name, _: Person(name, frozenset(GROUPS[name])) if name in GROUPS else None)
        yield House(store, desk, slack, MemoryCards())
