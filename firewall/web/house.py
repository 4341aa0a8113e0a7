"""What the console needs of the rest of the house, as callables that `app.py` fills in.

The web room knows the desk and the records; it never sees the store, the proxy or a channel. Everything a
page shows arrives through one of these fields, so a page is tested with the fields it reads and no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from firewall import audit
    from firewall.desk import Desk


class Judged(Protocol):
    """A judgement as a search finds it, with what came of it as far as that is known."""

    @property
    def record(self) -> audit.Judgement: ...
    @property
    def outcome(self) -> audit.Outcome | None: ...
    @property
    def refusal(self) -> audit.Refusal | None: ...


class Search(Protocol):
    """The query log: judgements, newest first, at most `limit`. None means the filter is not set.

    relation: with its schema, or the bare name; text: anywhere in the statement, in any case.
    `since <= at < until`; before: the id of the last record of the page before.
    """

    def __call__(  # noqa: PLR0913 — each filter of the page is one keyword
        self,
        *,
        agent: str | None = None,
        relation: str | None = None,
        verdict: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        text: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Awaitable[Sequence[Judged]]: ...


@dataclass(frozen=True, slots=True)
class Database:
    """One guarded database and the policy in force for it."""

    name: str
    environment: str
    revision: str
    mode: str


@dataclass(frozen=True, slots=True)
class Status:
    """How the house stands at this moment."""

    databases: tuple[Database, ...]
    sessions: int
    pending: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class House:
    """The console's view of the house.

    person_by_token: whose raw token this is, or None; agents' credentials are none of its answers.
    is_person: whether the person still holds a credential that is in force; asked at every request of a
        signed-in browser, so that a disabled person is out at once and not when the cookie expires.
    is_approver: whether policy knows the person as one who may decide something, for what a page offers;
        the desk alone says whether a vote counts.
    statement: every record of one statement, oldest first; empty when there is none.
    status: raises `StoreError` when the store cannot be read, which makes the firewall not ready.
    cookie_key: at least 32 random bytes, kept across restarts; whoever knows it can sign in as anyone.
    """

    desk: Desk
    person_by_token: Callable[[str], Awaitable[str | None]]
    is_person: Callable[[str], Awaitable[bool]]
    is_approver: Callable[[str], bool]
    search: Search
    statement: Callable[[str], Awaitable[Sequence[audit.Record]]]
    verify_log: Callable[[], Awaitable[audit.Report]]
    status: Callable[[], Awaitable[Status]]
    record: Callable[[audit.Record], Awaitable[None]]
    cookie_key: bytes = field(repr=False)
