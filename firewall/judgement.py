"""What the gate says of a text: a verdict, and what it was made of. Small, immutable, remembered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firewall.sql import Kind

if TYPE_CHECKING:
    from firewall.policy import Subject, Verdict
    from firewall.sql import Analysis, Effect, Facts, Statement

_CHANGES_CATALOG = frozenset(
    {
        *(Kind.CREATE, Kind.ALTER, Kind.DROP, Kind.CODE),
        *(Kind.EXECUTE, Kind.ROLE, Kind.UNKNOWN),
    }
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what it was made of. `analysis.effects` are unlabelled; `effects` carry labels.

    facts: the session's, of which the analysis was made. labelled: the version of the labels.
    in_doubt: names may have changed in the open transaction.
    """

    sql: str
    subject: Subject
    analysis: Analysis
    effects: tuple[Effect, ...]
    verdict: Verdict
    catalog: str
    facts: Facts
    labelled: int = 0
    in_doubt: bool = False

    @property
    def role(self) -> str:
        return self.facts.role

    @property
    def search_path(self) -> tuple[str, ...] | None:
        return self.facts.search_path

    @property
    def native(self) -> bool:
        """Postgres is likely to reject the text by itself."""
        return self.analysis.error is not None or bool(self.analysis.missing)

    @property
    def changes_catalog(self) -> bool:
        return any(effect.kind in _CHANGES_CATALOG for effect in self.effects)

    @property
    def loses_names(self) -> bool:
        """Until the transaction ends, nobody can tell what names mean: `after` does not say it all."""
        followed = self.analysis.error is None and all(s.followed for s in self._changing)
        return self.changes_catalog and not followed

    @property
    def _changing(self) -> tuple[Statement, ...]:
        return tuple(
            s for s in self.analysis.statements if any(e.kind in _CHANGES_CATALOG for e in s.effects)
        )

    @property
    def after(self) -> Facts:
        """What the session may believe of itself once the text has run, whatever it was."""
        after = self.analysis.after
        understood = self.analysis.error is None and all(
            s.node != "unknown" for s in self.analysis.statements
        )
        return after if understood else replace(after, role="", search_path=None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that reach the client."""
        return tuple(sorted({label for effect in self.effects for label in effect.labels}))

    @property
    def tested_labels(self) -> tuple[str, ...]:
        return tuple(sorted({label for effect in self.effects for label in effect.tested_labels}))
