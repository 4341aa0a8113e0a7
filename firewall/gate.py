"""The one place where a verdict is made: analyse, label, evaluate, and remember.

What is kept is the small immutable judgement, never a tree; the key is the exact text, the session's facts,
the catalog's version and the policy's revision, so nothing has to be thrown away when one of them changes.

A verdict that depends on more than that (on the clock, the open transaction, …: `verdict.facts`) is made anew
whenever it is asked for; what is remembered of it is the analysis. `now` gives the one that counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from firewall import clock, heap
from firewall.budgets import Budgets, Ledger
from firewall.catalog import estimates
from firewall.catalog.touched import touched
from firewall.judgement import Judgement
from firewall.labelling import Labelling, Remembered
from firewall.memory import Memory
from firewall.places import Places
from firewall.policy import Action, Fact, Moment
from firewall.policy.moment import UNKNOWN
from firewall.policy.risk import LARGE
from firewall.readings import Readings
from firewall.season import Season
from firewall.shown import Shown
from firewall.sql import Analysis, Effect, Facts, Kind, ObjectType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from datetime import datetime

    from firewall.budgets import Taken
    from firewall.catalog import Snapshot
    from firewall.labelling import Kept
    from firewall.policy import Policy, Subject
    from firewall.session import Watch
    from firewall.workers import Analysts

# A text whose catalog changes this often while it is analysed is judged with its names in doubt.
MAX_READINGS = 3
# Settings by which a session says why it does something; see `proxy.claims`.
CLAIMS = frozenset({"firewall.intent", "firewall.ticket", "firewall.on_behalf_of"})
# Shapes that agents are known to have run; those that are forgotten are asked for again.
MAX_SEEN = 100_000

# what these do shows in the relations that a text reaches by name; the others may reach anything
_BY_NAME = frozenset(
    {
        *(Kind.TRANSACTION, Kind.SETTING, Kind.SESSION, Kind.NOTIFY, Kind.READ, Kind.INSERT, Kind.UPDATE),
        *(Kind.DELETE, Kind.LOCK, Kind.MAINTENANCE, Kind.TRUNCATE, Kind.COPY_IN, Kind.COPY_OUT),
    }
)
_WIDE = frozenset({ObjectType.SCHEMA, ObjectType.DATABASE})

# these do nothing to data, so a doubt about names does not concern them
_NAMELESS = frozenset({Kind.TRANSACTION, Kind.SESSION, Kind.SETTING})


class Past(Protocol):
    """What agents have been let run before. Raises StoreError."""

    async def seen(self, agent: str, fingerprints: Collection[str]) -> bool: ...
    async def used(self, agent: str, fingerprints: Collection[str]) -> None: ...


class Had(Past, Ledger, Protocol):
    """That, and what they have had of budgets."""


class Gate:
    """Judges the texts of one database.

    read_catalog: introspects the database; raises CatalogError. kept: the labels that no policy says.
    past: what agents did before; without it nobody knows.
    The policy can be replaced between statements by assigning `policy`.
    """

    def __init__(
        self,
        policy: Policy,
        analysts: Analysts,
        read_catalog: Callable[[], Awaitable[Snapshot]],
        kept: Kept | None = None,
        past: Had | None = None,
    ) -> None:
        self._policy = policy
        self.season = Season()
        self._analysts = analysts
        self._read_catalog = read_catalog
        self._snapshot: Snapshot | None = None
        self._past: Past | None = past
        self._budgets = Budgets(past)
        self._seen: set[tuple[str, str]] = set()
        self._rows: Mapping[str, float] = {}
        # which relations are large, in a number: the tier of a remembered verdict depends on it
        self._large: frozenset[str] = frozenset()
        self._sizes = 0
        self.labelling = Labelling(
            policy, kept or Remembered(""), Shown(analysts).views, changed=self._new_season
        )
        self._places: Places | None = None
        # of which catalog and text it was asked last, and the answer
        self._touched = ("", "", "")
        self._readings = Readings(self._read)
        # one analysis serves everyone who asks for the same while it runs
        self._analyses: dict[tuple[object, ...], asyncio.Task[Analysis]] = {}
        self._memory = Memory()

    @property
    def policy(self) -> Policy:
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy
        self._new_season()
        self.labelling.govern(policy)

    @property
    def snapshot(self) -> Snapshot:
        """The newest catalog. `refresh` must have succeeded once."""
        assert self._snapshot is not None
        return self._snapshot

    @property
    def read_at(self) -> datetime | None:
        """When the catalog was last read."""
        return self._readings.at

    def outdate(self) -> None:
        """The catalog has changed: from now on nothing is judged by what was read before this call."""
        self._readings.outdate()
        self._new_season()

    def _new_season(self) -> None:
        self.season.over = True
        self.season = Season()

    async def refresh(self) -> Snapshot:
        """A catalog whose reading began after this call; judging goes on meanwhile. Raises CatalogError."""
        await self._readings.refresh()
        return self.snapshot

    async def current(self) -> None:
        """Return when the snapshot is not known to be out of date. Raises CatalogError."""
        await self._readings.catch_up()

    async def _read(self) -> None:
        snapshot = await self._read_catalog()
        if self._snapshot is None or snapshot.version != self._snapshot.version:
            await asyncio.to_thread(self._analysts.publish, snapshot)
        before = self._snapshot
        rows = self._rows if snapshot is before else await asyncio.to_thread(_prepared, snapshot)
        await self.labelling.read(snapshot)
        if before is None or snapshot.version != before.version:
            self._new_season()
        self._snapshot, self._rows = snapshot, rows
        large = frozenset(name for name, rows in self._rows.items() if rows >= LARGE)
        self._sizes += large != self._large
        self._large = large
        if before is not None and before is not snapshot:
            self._places = None
            parts = [*before.relations, *before.functions]
            del before
            asyncio.get_running_loop().run_in_executor(None, heap.let_go, parts)  # nobody waits for it

    def remembered(
        self, subject: Subject, text: str, facts: Facts, *, lexing_safe: bool, moment: Moment = UNKNOWN
    ) -> Judgement | None:
        """A judgement already known, without waiting; None while the catalog has to be read.

        moment: what the session knows of it; clock and estimates are added here.
        """
        if not self._readings.current:
            return None
        key = self._key(subject, text, _told(facts, lexing_safe=lexing_safe))
        judgement = self._memory.get(key)
        if judgement is None or not judgement.verdict.facts:
            return judgement
        return self._rejudged(judgement, self.at(self._foreseen(subject, moment)))

    def stands(self, judgement: Judgement) -> bool:
        """Neither policy nor catalog nor labels have changed since it was made; nor do they until `season` is
        over.
        """
        return (
            self._readings.current
            and self._snapshot is not None
            and judgement.catalog == self._snapshot.version
            and judgement.verdict.revision == self._policy.revision
            and judgement.labelled == self.labelling.version
            and not judgement.verdict.facts
        )

    def renewed(self, judgement: Judgement) -> Judgement:
        """The judgement as the labels are now: itself, if they are what they were to it."""
        if judgement.labelled == self.labelling.version:
            return judgement
        now = replace(judgement, labelled=self.labelling.version)
        effects = self._labelled(judgement.analysis, in_doubt=judgement.in_doubt)
        if effects == judgement.effects:
            return now
        moment = self.at(UNKNOWN)
        return replace(
            now, effects=effects, verdict=self._policy.evaluate(judgement.subject, effects, moment)
        )

    def touched(self, judgement: Judgement) -> str:
        """Equal as long as nothing in the catalog changes that the text can reach."""
        by_name = all(e.kind in _BY_NAME and e.type not in _WIDE for e in judgement.effects)
        if judgement.catalog != self.snapshot.version:
            return judgement.catalog  # of a catalog that nobody has any more
        if not by_name or judgement.analysis.volatile or judgement.in_doubt or judgement.facts.own:
            return judgement.catalog
        of = (self.snapshot.version, judgement.sql)
        if self._touched[:2] != of:
            self._touched = (*of, touched(self.snapshot, judgement.sql))
        return self._touched[2]

    async def again(self, judgement: Judgement, moment: Moment) -> Judgement:
        """What it comes to by everything that is in force now. Raises CatalogError and StoreError.

        What depends on more than text, facts and catalog is not analysed anew: a new catalog casts doubt.
        """
        await self.refresh()
        moved = judgement.catalog != self.snapshot.version
        if not moved and judgement.verdict.revision == self._policy.revision:
            return await self.now(judgement, moment)
        if judgement.analysis.volatile or judgement.in_doubt:
            effects = self._labelled(judgement.analysis, in_doubt=judgement.in_doubt or moved)
            again = replace(judgement, catalog=self.snapshot.version, effects=effects)
            again = replace(again, in_doubt=judgement.in_doubt or moved)
            verdict = self._policy.evaluate(judgement.subject, effects, self.at(moment))
            return await self.now(replace(again, verdict=verdict), moment)
        again = await self.judge(judgement.subject, judgement.sql, judgement.facts, moment=moment)
        return await self.now(again, moment)

    async def now(self, judgement: Judgement, moment: Moment) -> Judgement:
        """The judgement as labels and moment are now: the one that counts. Raises StoreError.

        moment: what the session knows of it; everything else that the verdict looks at is added here.
        """
        renewed = self.renewed(judgement)
        if not renewed.verdict.facts:
            return renewed
        return self._rejudged(renewed, await self._known(renewed, moment))

    async def _known(self, judgement: Judgement, moment: Moment) -> Moment:
        """The moment with all that the verdict looks at."""
        looked_at, agent = judgement.verdict.facts, judgement.subject.agent
        if Fact.FIRST_USE in looked_at:
            moment = replace(moment, first_use=await self._first_use(judgement))
        if Fact.SPENT in looked_at:
            spent = await self._budgets.spent(self._policy, agent, judgement.verdict.budgets)
            moment = replace(moment, spent=spent)
        return self.at(moment)

    def _rejudged(self, judgement: Judgement, moment: Moment) -> Judgement:
        verdict = self._policy.evaluate(judgement.subject, judgement.effects, moment)
        return judgement if verdict == judgement.verdict else replace(judgement, verdict=verdict)

    async def take(
        self, judgement: Judgement, statement: str, moment: Moment
    ) -> tuple[Judgement, Taken | None]:
        """What is set aside of its budgets for a judgement that lets it run, or that was approved.

        Of those that its verdict calls used up it was approved beyond what they have. If another one is used
        up by now there are no rows, and the judgement is the one that says so. Raises StoreError.
        """
        verdict = judgement.verdict
        agent = judgement.subject.agent
        held = {reason.rule for reason in verdict.reasons if reason.action is Action.HOLD}
        beyond = set(verdict.budgets) if not verdict.enforced else held.intersection(verdict.budgets)
        taken = await self._budgets.take(
            self._policy,
            agent,
            statement,
            verdict.budgets,
            most=verdict.obligations.max_rows,
            beyond=beyond,
        )
        if taken is None or taken.rows:
            return judgement, taken
        known = await self._known(judgement, moment)
        full = {b.name: b.rows for b in self._policy.document.budgets if b.name in taken.gone}
        return self._rejudged(judgement, replace(known, spent={**known.spent, **full})), taken

    async def settle(self, statement: str, rows: int) -> None:
        """A statement for which was `take`n has ended, and has returned so many rows. Raises StoreError."""
        await self._budgets.settle(statement, rows)

    def _foreseen(self, subject: Subject, moment: Moment) -> Moment:
        """What is not known for certain before it counts."""
        return replace(moment, spent=self._budgets.foreseen(self._policy, subject.agent))

    def at(self, moment: Moment = UNKNOWN) -> Moment:
        """The moment with the clock and the catalog's estimates."""
        return replace(moment, now=clock.now(), rows=self._rows)

    async def _first_use(self, judgement: Judgement) -> bool | None:
        """None where it cannot be known: of what was not understood, and where nobody keeps it."""
        shapes = _shapes(judgement)
        if self._past is None or shapes is None:
            return None
        agent = judgement.subject.agent
        unknown = [shape for shape in shapes if (agent, shape) not in self._seen]
        if unknown and not await self._past.seen(agent, unknown):
            return True
        self._remember_seen(agent, unknown)
        return False

    def _remember_seen(self, agent: str, shapes: Collection[str]) -> None:
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen.update((agent, shape) for shape in shapes)

    def watch(self, judgement: Judgement) -> Watch | None:
        """What may come to the client when it is released; None if anything."""
        if not judgement.verdict.enforced:
            return None
        places = self._places
        if (
            places is None
            or places.snapshot is not self._snapshot
            or places.labels is not self.labelling.labels
        ):
            places = self._places = Places(self.snapshot, self.labelling.labels)
        return places.watch(judgement.effects, (s.node for s in judgement.analysis.statements))

    async def releasing(self, judgement: Judgement, session: str, statement: str) -> None:
        """To be called before anything is released: what it copies is labelled from now on, and what it is
        like is known of the agent.

        Raises StoreError when that cannot be kept; then nothing may be released.
        """
        await self.labelling.released(
            judgement.analysis, judgement.subject.agent, session=session, statement=statement
        )
        shapes = _shapes(judgement) if Fact.FIRST_USE in judgement.verdict.facts else None
        if self._past is not None and shapes:
            agent = judgement.subject.agent
            if not self._seen.issuperset((agent, shape) for shape in shapes):
                await self._past.used(agent, shapes)
                self._remember_seen(agent, shapes)

    async def judge(
        self,
        subject: Subject,
        text: str,
        facts: Facts,
        *,
        lexing_safe: bool = True,
        in_doubt: bool = False,
        prepared: Mapping[str, str | None] | None = None,
        moment: Moment = UNKNOWN,
    ) -> Judgement:
        """What this text would do and whether it may. Raises CatalogError when the catalog cannot be read.

        in_doubt: the open transaction has changed the catalog in ways that nobody else can see yet.
        prepared: the session's prepared statements; looked at only if the text executes one.
        """
        facts = _told(facts, lexing_safe=lexing_safe)
        for _ in range(MAX_READINGS):
            await self.current()
            if not in_doubt and (
                known := self.remembered(subject, text, facts, lexing_safe=facts.lexing_safe, moment=moment)
            ):
                return known
            snapshot = self.snapshot
            analysis = await self._analyse(text, snapshot, facts)
            if analysis.volatile and prepared:
                texts = tuple((name, body) for name, body in prepared.items() if body is not None)
                analysis = await self._analyse(text, snapshot, replace(facts, prepared=texts))
            if self._readings.current and snapshot.version == self.snapshot.version:
                break
        else:
            # it changes faster than a text is analysed
            in_doubt = True
        moment = self._foreseen(subject, moment)
        judgement = self._evaluate(subject, text, facts, analysis, moment, in_doubt=in_doubt)
        if in_doubt or analysis.volatile or judgement.native:
            return judgement
        return self._memory.keep(self._key(subject, text, facts), judgement)

    async def _analyse(self, text: str, snapshot: Snapshot, facts: Facts) -> Analysis:
        key = (text, snapshot.version, facts)
        task = self._analyses.get(key)
        if task is None:
            task = asyncio.create_task(self._analysts.analyse(text, snapshot.version, facts))
            self._analyses[key] = task
            task.add_done_callback(lambda _: self._analyses.pop(key, None))
        return await asyncio.shield(task)

    def _evaluate(
        self,
        subject: Subject,
        text: str,
        facts: Facts,
        analysis: Analysis,
        moment: Moment,
        *,
        in_doubt: bool,
    ) -> Judgement:
        effects = self._labelled(analysis, in_doubt=in_doubt)
        return Judgement(
            sql=text,
            subject=subject,
            analysis=analysis,
            effects=effects,
            verdict=self._policy.evaluate(subject, effects, self.at(moment)),
            catalog=self.snapshot.version,
            facts=facts,
            labelled=self.labelling.version,
            in_doubt=in_doubt,
        )

    def _labelled(self, analysis: Analysis, *, in_doubt: bool) -> tuple[Effect, ...]:
        effects = tuple(e for e in self.labelling.attach(analysis) if not _is_claim(e))
        # INVARIANT: 3. what is not understood is refused or held: it is an effect like any other
        if analysis.error is not None:
            effects = (*effects, _unknown("text that Postgres's grammar rejects"))
        if in_doubt and any(effect.kind not in _NAMELESS for effect in effects):
            effects = (*effects, _unknown("names that this transaction may have changed"))
        return effects

    def _key(self, subject: Subject, text: str, facts: Facts) -> tuple[object, ...]:
        version = self._snapshot.version if self._snapshot else ""
        return subject, text, facts, version, self._policy.revision, self.labelling.version, self._sizes


def _prepared(snapshot: Snapshot) -> Mapping[str, float]:
    """Row estimates; and what `touched` looks things up by, which takes as long for thousands of tables."""
    _ = snapshot.by_word
    return estimates.rows(snapshot)


def _told(facts: Facts, *, lexing_safe: bool) -> Facts:
    """What the session says of itself, and what the server says of it. Prepared texts are told apart."""
    if facts.lexing_safe is (facts.lexing_safe and lexing_safe) and not facts.prepared:
        return facts
    return replace(facts, lexing_safe=facts.lexing_safe and lexing_safe, prepared=())


def _shapes(judgement: Judgement) -> frozenset[str] | None:
    """The fingerprints of all statements; None if one has none."""
    shapes = [statement.fingerprint for statement in judgement.analysis.statements]
    return frozenset(shapes) if shapes and all(shapes) else None


def _is_claim(effect: Effect) -> bool:
    """A setting that is no one's business but the firewall's: Postgres keeps it and does nothing with it."""
    return effect.kind is Kind.SETTING and effect.object in CLAIMS


def _unknown(what: str) -> Effect:
    return Effect(Kind.UNKNOWN, what, ObjectType.STATEMENT)
