"""What the console needs of the rest of the house, as callables that `app.py` fills in.

The web room knows the desk and the records; it never sees the store, the proxy or a channel. Everything a
page shows arrives through one of these fields, so a page is tested with the fields it reads and no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from firewall import audit
    from firewall.desk import Desk
    from firewall.explaining import Explained
    from firewall.policy import Policy
    from firewall.web.oidc import Oidc
    from firewall.web.roles import Role


class Judged(Protocol):
    """A judgement as a search finds it, with what came of it as far as that is known."""

    @property
    def record(self) -> audit.Judgement: ...
    @property
    def outcome(self) -> audit.Outcome | None: ...
    @property
    def refusal(self) -> audit.Refusal | None: ...


class Page(Protocol):
    """A page of the query log. older: the `before` of the next one; a short page may have one, too."""

    @property
    def found(self) -> Sequence[Judged]: ...
    @property
    def older(self) -> str | None: ...


class Search(Protocol):
    """The query log: judgements, newest first, at most `limit`. None means the filter is not set.

    effect: the kind of one of its effects; relation: with its schema, or the bare name; by: who decided its
    hold; text: anywhere in the statement, in any case. `since <= at < until`.
    """

    def __call__(  # noqa: PLR0913 — each filter of the page is one keyword
        self,
        *,
        agent: str | None = None,
        owner: str | None = None,
        database: str | None = None,
        verdict: str | None = None,
        rule: str | None = None,
        session: str | None = None,
        effect: str | None = None,
        label: str | None = None,
        relation: str | None = None,
        by: str | None = None,
        text: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Awaitable[Page]: ...


class Views(Protocol):
    """Filters that a person keeps under a name, as the query part of the log page's address."""

    async def of(self, person: str) -> dict[str, str]: ...
    async def keep(self, person: str, name: str, query: str) -> bool: ...
    async def drop(self, person: str, name: str) -> None: ...


class Agent(Protocol):
    """An agent as its operator registered it."""

    @property
    def name(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def team(self) -> str: ...
    @property
    def disabled(self) -> bool: ...


class Day(Protocol):
    """Judgements of one agent on one UTC day."""

    @property
    def agent(self) -> str: ...
    @property
    def day(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def count(self) -> int: ...


class Spoken(Protocol):
    """How often a rule gave the verdict, in all databases, and when last."""

    @property
    def rule(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def last(self) -> str: ...


class Summaries(Protocol):
    """What the log comes to. Sessions: oldest record first."""

    async def session(self, session: str) -> Sequence[audit.Record]: ...
    async def days(self, since: datetime, agent: str | None = None) -> Sequence[Day]: ...
    async def rules(self) -> Sequence[Spoken]: ...


@dataclass(frozen=True, slots=True)
class Database:
    """One guarded database and the policy in force for it.

    catalog: the version of what is known of it, of so many relations, read then; unread: why it is not now.
    """

    name: str
    environment: str
    revision: str
    mode: str
    catalog: str = ""
    relations: int = 0
    read_at: datetime | None = None
    unread: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointPlace:
    """Where checkpoints are published: how many records the newest counts, since when, and what fails."""

    place: str
    size: int
    at: str
    failing: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where everything is, and what it takes. keep, retention: what of values, for how many days."""

    place: str
    bytes: int
    records: int
    keep: str
    retention: int | None


@dataclass(frozen=True, slots=True)
class Reached:
    """A channel: why it cannot be reached, and how many of its messages are due."""

    name: str
    failing: str
    behind: int


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes that analyse: how many there are to be, and are. busy: texts in hand. lost: texts that
    had no answer since the start.
    """

    number: int
    alive: int
    busy: int
    lost: int


@dataclass(frozen=True, slots=True)
class Status:
    """How the house stands at this moment. oldest: since when the first of the pending holds waits."""

    databases: tuple[Database, ...]
    sessions: int
    pending: int
    oldest: datetime | None = None
    version: str = ""
    began: datetime | None = None
    log: Kept | None = None
    places: tuple[CheckpointPlace, ...] = ()
    channels: tuple[Reached, ...] = ()
    workers: Workers | None = None

    @property
    def troubles(self) -> tuple[tuple[str, str], ...]:
        """What somebody should see to: what it is about, and what is wrong."""
        return (
            *((f"catalog of {one.name}", one.unread) for one in self.databases if one.unread),
            *((f"checkpoints at {one.place}", one.failing) for one in self.places if one.failing),
            *((f"channel {one.name}", one.failing) for one in self.channels if one.failing),
        )


@dataclass(frozen=True, slots=True)
class House:
    """The console's view of the house.

    person_by_token: whose raw token this is, or None; agents' credentials are none of its answers.
    is_person: whether the person still holds a credential that is in force; asked at every request of a
        signed-in browser, so that a disabled person is out at once and not when the cookie expires.
    whose_link: whose raw secret of a sign-in link this is, or None; asked once, it is nobody's any more.
    is_named: whether policy or settings name the person, with a credential or without one.
    is_approver: whether policy knows the person as one who may decide something, for what a page offers;
        the desk alone says whether a vote counts.
    roles: what else the person may do; none is for a person who may not even look. Asked at every request.
    statement: every record of one statement, oldest first; empty when there is none.
    policies: those in force, by database.
    prove: that the record of that id is in its log as signed last. Raises StoreError, ProofError.
    explain: what an agent's text would do in a database, as policy and catalog are now; None for a database
        that is not guarded. Raises CatalogError, StoreError. Nothing is run.
    log_key: the public key of the log, as `name+hash+key`.
    status: raises `StoreError` when the store cannot be read, which makes the firewall not ready.
    oidc: who else says who somebody is; a person of its has to be one by `is_person`, too.
    cookie_key: at least 32 random bytes, kept across restarts; whoever knows it can sign in as anyone.
    """

    desk: Desk
    person_by_token: Callable[[str], Awaitable[str | None]]
    is_person: Callable[[str], Awaitable[bool]]
    whose_link: Callable[[str], Awaitable[str | None]]
    is_named: Callable[[str], bool]
    is_approver: Callable[[str], bool]
    roles: Callable[[str], Collection[Role]]
    search: Search
    statement: Callable[[str], Awaitable[Sequence[audit.Record]]]
    views: Views
    summaries: Summaries
    agents: Callable[[], Awaitable[Sequence[Agent]]]
    policies: Callable[[], Mapping[str, Policy]]
    prove: Callable[[str], Awaitable[audit.Inclusion]]
    explain: Callable[[str, str, str], Awaitable[Explained | None]]
    log_key: str
    verify_log: Callable[[], Awaitable[audit.Report]]
    status: Callable[[], Awaitable[Status]]
    record: Callable[[audit.Record], Awaitable[None]]
    cookie_key: bytes = field(repr=False)
    oidc: Oidc | None = None
