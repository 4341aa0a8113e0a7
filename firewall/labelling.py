"""The labels in force in one database: by policy, by comments, and by what statements have copied.

What the policy does not say is a `Mark`. A mark is in the store before it counts for a release, is shared by
every firewall on that store, and goes only when a person drops it. Marks on temporary relations are the
exception: they live and die with this process, as the sessions do that made them.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from firewall import audit, clock, ids
from firewall.catalog import labels as given
from firewall.catalog.labels import Mark
from firewall.errors import CatalogError, StoreError
from firewall.policy import copies
from firewall.policy.labels import Ways, marked
from firewall.sql import Effect, Kind, ObjectType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

    from firewall.catalog import Labels, Snapshot
    from firewall.policy import Policy
    from firewall.policy.labels import Views
    from firewall.sql import Analysis

    Key = tuple[str, str, str, str]

# Marks on temporary relations; of more only the labels are kept, for all temporary relations together.
MAX_TEMPORARY = 10_000
# A thread builds anew what changed while it built, this often; then the event loop waits for it.
MAX_BUILDS = 3


class Kept(Protocol):
    """What labelling needs of the store. Raises StoreError."""

    @property
    def name(self) -> str: ...
    async def read(self) -> tuple[int, list[Mark]]: ...
    async def changes(self) -> int: ...
    async def keep(self, marks: Sequence[Mark], records: Sequence[audit.Record]) -> None: ...


class Remembered:
    """Marks that are only looked at; what would be added lasts as long as the process."""

    def __init__(self, name: str, marks: Sequence[Mark] = ()) -> None:
        self.name = name
        self._marks = list(marks)

    async def read(self) -> tuple[int, list[Mark]]:
        return await self.changes(), list(self._marks)

    async def changes(self) -> int:
        return len(self._marks)

    async def keep(self, marks: Sequence[Mark], records: Sequence[audit.Record]) -> None:
        del records
        self._marks += marks


class Labelling:
    """trace: what the views of a catalog show. `version` is another whenever the labels may be others;
    changed: told when it has become another.
    """

    def __init__(
        self,
        policy: Policy,
        kept: Kept,
        trace: Callable[[Snapshot], Awaitable[Views]] | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._changed = changed
        self._policy = policy
        self._kept = kept
        self._trace = trace
        self._snapshot: Snapshot | None = None
        self._ways: Ways | None = None
        self._labels: Labels | None = None
        self._marks: dict[Key, Mark] = {}
        self._temporary: dict[Key, Mark] = {}
        self._changes = -1
        # nobody adds marks between another's reading of the store and what it makes of it
        self._lock = asyncio.Lock()
        self.version = 0

    @property
    def labels(self) -> Labels:
        """`read` must have succeeded once."""
        assert self._labels is not None
        return self._labels

    @property
    def marks(self) -> Collection[Mark]:
        """All that count, if comments do."""
        return (*self._marks.values(), *self._temporary.values())

    def govern(self, policy: Policy) -> None:
        """Another policy is in force."""
        self._policy = policy
        if self._ways is not None:
            self._in_force(self._built(self._ways), self._ways)

    async def read(self, snapshot: Snapshot) -> None:
        """The catalog is another, or is looked at again. Raises CatalogError; then nothing has changed."""
        views = await self._trace(snapshot) if self._trace is not None else {}
        async with self._lock:
            known = self._changes
            try:
                await self._take_over()
                found = await asyncio.to_thread(self._found, snapshot)
                await self._keep(found, why="a comment says so")
                moved = await asyncio.to_thread(self._moved, snapshot)
                await self._keep(moved, why="the column was renamed")
            except StoreError as error:
                raise CatalogError(f"the labels cannot be kept: {error.message}", hint=error.hint) from error
            if self._ways is None or snapshot is not self._snapshot or self._changes != known:
                await self._build(await asyncio.to_thread(Ways.of, snapshot, views))
                self._snapshot = snapshot

    async def refresh(self) -> None:
        """See what other firewalls and people have done to the marks. Raises StoreError."""
        async with self._lock:
            if self._ways is not None and await self._kept.changes() != self._changes:
                await self._take_over()
                await self._build(self._ways)

    async def released(self, analysis: Analysis, agent: str, session: str, statement: str) -> None:
        """A statement is about to be released: what it writes is labelled from now on, and for good.

        Raises StoreError, and then it must not be released.
        """
        if not any(self._copied(analysis)):
            return
        async with self._lock:
            why = "a released statement copies labelled data"
            fresh = await self._keep(
                self._copied(analysis), why=why, agent=agent, session=session, statement=statement
            )
            if fresh and self._ways is not None:
                self._in_force(marked(self.labels, fresh, self._ways), self._ways)

    def attach(self, analysis: Analysis) -> tuple[Effect, ...]:
        """The effects with their labels. What a statement copies is labelled for those behind it."""
        labels, found = self.labels, list[Effect]()
        for statement in analysis.statements:
            found += (self._attached(effect, labels) for effect in statement.effects)
            behind = statement is not analysis.statements[-1]
            if behind and self._ways is not None and (fresh := copies.marks(statement.copies, labels)):
                labels = marked(labels, fresh, self._ways)
        return tuple(found)

    def _attached(self, effect: Effect, labels: Labels) -> Effect:
        if effect.type is not ObjectType.RELATION:
            return effect
        if effect.kind is Kind.UNKNOWN:
            known = {mark.relation for mark in self._marks.values()}
            return replace(effect, labels=copies.of_unknown(labels, effect.object, known))
        return replace(
            effect,
            labels=copies.of(labels, effect.object, effect.columns),
            tested_labels=copies.of(labels, effect.object, effect.tested),
        )

    def _copied(self, analysis: Analysis) -> tuple[Mark, ...]:
        """What is new, statement by statement: a text may copy a copy that it made."""
        labels, found = self.labels, list[Mark]()
        for statement in analysis.statements:
            if statement.copies and self._ways is not None:
                fresh = copies.marks(statement.copies, labels)
                found += fresh
                labels = marked(labels, fresh, self._ways)
        return tuple(found)

    def _found(self, snapshot: Snapshot) -> tuple[Mark, ...]:
        if not self._policy.document.label_comments:
            return ()
        return given.unknown_to(self._marks, given.of_comments(snapshot))

    def _moved(self, snapshot: Snapshot) -> tuple[Mark, ...]:
        if self._snapshot is None or self._labels is None:
            return ()
        moved = given.renamed(self._snapshot, self._labels, snapshot)
        return given.unknown_to(self._marks, moved)

    async def _take_over(self) -> None:
        """The store's marks instead of those known so far."""
        self._changes, marks = await self._kept.read()
        self._marks = {mark.key: mark for mark in marks}

    async def _keep(
        self,
        marks: Sequence[Mark],
        *,
        why: str,
        agent: str = "",
        session: str = "",
        statement: str = "",
    ) -> Sequence[Mark]:
        """Make marks durable, with a record of them. Returns what counts from now on."""
        if not marks:
            return marks
        at = clock.stamp(clock.now())
        marks = [replace(mark, statement=statement, at=at) for mark in marks]
        lasting = [mark for mark in marks if not mark.relation.startswith(copies.TEMPORARY)]
        if lasting:
            record = audit.Label(
                id=ids.record_id(),
                at=at,
                session=session,
                statement=statement,
                event="added",
                database=self._kept.name,
                labels=[_labelled(mark) for mark in lasting],
                by=agent,
                why=why,
            )
            await self._kept.keep(lasting, [record])
        self._marks |= {mark.key: mark for mark in lasting}
        for mark in marks:
            if mark.relation.startswith(copies.TEMPORARY):
                self._temporary[mark.key] = mark
        for _ in range(len(self._temporary) - MAX_TEMPORARY):
            oldest = self._temporary.pop(next(iter(self._temporary)))
            whole = Mark(copies.ALL_TEMPORARY, given.EVERY, oldest.label, "")
            self._temporary[whole.key] = whole
            marks.append(whole)
        return marks

    async def _build(self, ways: Ways) -> None:
        """Labels of everything, worked out beside the event loop as long as nothing changes meanwhile."""
        for _ in range(MAX_BUILDS):
            policy, marks = self._policy, tuple(self.marks)
            labels = await asyncio.to_thread(policy.labels, ways.snapshot, marks, ways)
            if policy is self._policy:
                break
        else:
            labels = self._built(ways)
        self._in_force(labels, ways)

    def _built(self, ways: Ways) -> Labels:
        return self._policy.labels(ways.snapshot, self.marks, ways)

    def _in_force(self, labels: Labels, ways: Ways) -> None:
        self._ways = ways
        if self._labels is None or labels.columns != self._labels.columns:
            self._labels = labels
            self.version += 1
            self._changed()


def _labelled(mark: Mark) -> audit.Labelled:
    return audit.Labelled(relation=mark.relation, column=mark.column, label=mark.label, source=mark.source)


def dropped(database: str, marks: Iterable[Mark], *, by: str, why: str) -> audit.Label:
    """The record of labels that a person takes away."""
    return audit.Label(
        id=ids.record_id(),
        at=clock.stamp(clock.now()),
        event="dropped",
        database=database,
        labels=[_labelled(mark) for mark in marks],
        by=by,
        why=why,
    )
