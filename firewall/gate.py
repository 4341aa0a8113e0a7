"""The one place where a verdict is made: analyse, label, evaluate, and remember.

What is kept is the small immutable judgement, never a tree; the key is the exact text, the session's facts,
the catalog's version and the policy's revision, so nothing has to be thrown away when one of them changes.
The memory is bounded in bytes, because an IN list can be a megabyte.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firewall.sql import Analysis, Effect, Facts, Kind, ObjectType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from firewall.catalog import Labels, Snapshot
    from firewall.policy import Policy, Subject, Verdict
    from firewall.workers import Analysts

CACHE_BYTES = 32 * 1024 * 1024
# what one effect, reason or name weighs in CPython, roughly and rather too much
_WEIGHT = 600

_CHANGES_CATALOG = frozenset(
    {
        *(Kind.CREATE, Kind.ALTER, Kind.DROP, Kind.CODE),
        *(Kind.EXECUTE, Kind.ROLE, Kind.UNKNOWN),
    }
)
# these do nothing to data, so a doubt about names does not concern them
_NAMELESS = frozenset({Kind.TRANSACTION, Kind.SESSION, Kind.SETTING})


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what it was made of. `analysis.effects` are unlabelled; `effects` carry labels."""

    sql: str
    subject: Subject
    analysis: Analysis
    effects: tuple[Effect, ...]
    verdict: Verdict
    catalog: str
    role: str
    search_path: tuple[str, ...] | None

    @property
    def native(self) -> bool:
        """Postgres is likely to reject the text by itself."""
        return self.analysis.error is not None or bool(self.analysis.missing)

    @property
    def changes_catalog(self) -> bool:
        return any(effect.kind in _CHANGES_CATALOG for effect in self.effects)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that reach the client."""
        return tuple(sorted({label for effect in self.effects for label in effect.labels}))

    @property
    def tested_labels(self) -> tuple[str, ...]:
        return tuple(sorted({label for effect in self.effects for label in effect.tested_labels}))


class Gate:
    """Judges the texts of one database.

    read_catalog: introspects the database; raises CatalogError. The policy can be replaced between
    statements by assigning `policy`.
    """

    def __init__(
        self, policy: Policy, analysts: Analysts, read_catalog: Callable[[], Awaitable[Snapshot]]
    ) -> None:
        self._policy = policy
        self._analysts = analysts
        self._read_catalog = read_catalog
        self._snapshot: Snapshot | None = None
        self._labels: Labels | None = None
        self._refreshing: asyncio.Task[Snapshot] | None = None
        self._cache: OrderedDict[tuple[object, ...], tuple[Judgement, int]] = OrderedDict()
        self._cached_bytes = 0

    @property
    def policy(self) -> Policy:
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy
        self._labels = policy.labels(self._snapshot) if self._snapshot else None

    @property
    def snapshot(self) -> Snapshot:
        """The newest catalog. `refresh` must have succeeded once."""
        assert self._snapshot is not None
        return self._snapshot

    async def refresh(self) -> Snapshot:
        """Read the catalog anew; whoever asks meanwhile waits for the reading that began after them."""
        before = self._refreshing
        if before is not None and not before.done():
            await asyncio.wait([before])
            if self._refreshing is not None and self._refreshing is not before:
                return await asyncio.shield(self._refreshing)
        self._refreshing = asyncio.create_task(self._read())
        return await asyncio.shield(self._refreshing)

    async def _read(self) -> Snapshot:
        snapshot = await self._read_catalog()
        if self._snapshot is None or snapshot.version != self._snapshot.version:
            self._analysts.publish(snapshot)
        self._labels = self._policy.labels(snapshot)
        self._snapshot = snapshot
        return snapshot

    def remembered(self, subject: Subject, text: str, facts: Facts, *, lexing_safe: bool) -> Judgement | None:
        """A judgement already known, without waiting; None while the catalog is being read."""
        if self._refreshing is not None and not self._refreshing.done():
            return None
        known = self._cache.get(self._key(subject, text, replace(facts, lexing_safe=lexing_safe)))
        return known[0] if known else None

    async def judge(
        self,
        subject: Subject,
        text: str,
        facts: Facts,
        *,
        lexing_safe: bool = True,
        in_doubt: bool = False,
        prepared: Mapping[str, str | None] | None = None,
    ) -> Judgement:
        """What this text would do and whether it may.

        in_doubt: the open transaction has changed the catalog in ways that nobody else can see yet.
        prepared: the session's prepared statements; looked at only if the text executes one.
        """
        if self._refreshing is not None and not self._refreshing.done():
            await asyncio.wait([self._refreshing])
        snapshot = self.snapshot
        facts = replace(facts, lexing_safe=facts.lexing_safe and lexing_safe, prepared=())
        key = self._key(subject, text, facts)
        if not in_doubt and (known := self._cache.get(key)):
            self._cache.move_to_end(key)
            return known[0]
        analysis = await self._analysts.analyse(text, snapshot.version, facts)
        if analysis.volatile and prepared:
            texts = tuple((name, body) for name, body in prepared.items() if body is not None)
            known_texts = replace(facts, prepared=texts)
            analysis = await self._analysts.analyse(text, snapshot.version, known_texts)
        judgement = self._evaluate(subject, text, facts, analysis, snapshot, in_doubt=in_doubt)
        if not in_doubt and not analysis.volatile and not judgement.native:
            self._remember(key, judgement)
        return judgement

    def _evaluate(
        self,
        subject: Subject,
        text: str,
        facts: Facts,
        analysis: Analysis,
        snapshot: Snapshot,
        *,
        in_doubt: bool,
    ) -> Judgement:
        labels = self._labels
        assert labels is not None
        effects = tuple(
            replace(
                effect,
                labels=labels.of(effect.object, effect.columns),
                tested_labels=labels.of(effect.object, effect.tested),
            )
            if effect.type is ObjectType.RELATION
            else effect
            for effect in analysis.effects
        )
        # INVARIANT: 3. what is not understood is refused or held: it is an effect like any other
        if analysis.error is not None:
            effects = (*effects, _unknown("text that Postgres's grammar rejects"))
        if in_doubt and any(effect.kind not in _NAMELESS for effect in effects):
            effects = (*effects, _unknown("names that this transaction may have changed"))
        return Judgement(
            sql=text,
            subject=subject,
            analysis=analysis,
            effects=effects,
            verdict=self._policy.evaluate(subject, effects),
            catalog=snapshot.version,
            role=facts.role,
            search_path=facts.search_path,
        )

    def _key(self, subject: Subject, text: str, facts: Facts) -> tuple[object, ...]:
        version = self._snapshot.version if self._snapshot else ""
        return subject, text, facts, version, self._policy.revision

    def _remember(self, key: tuple[object, ...], judgement: Judgement) -> None:
        size = 2 * len(judgement.sql) + _WEIGHT * (
            2 + len(judgement.effects) + len(judgement.verdict.reasons) + len(judgement.analysis.statements)
        )
        self._cache[key] = (judgement, size)
        self._cached_bytes += size
        while self._cached_bytes > CACHE_BYTES:
            _, (_, dropped) = self._cache.popitem(last=False)
            self._cached_bytes -= dropped


def _unknown(what: str) -> Effect:
    return Effect(Kind.UNKNOWN, what, ObjectType.STATEMENT)
