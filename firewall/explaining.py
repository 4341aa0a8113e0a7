"""What a text would do and why, as the gate sees it now: for people who ask, never for what runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewall.policy import copies
from firewall.policy.trace import trace
from firewall.sql import Facts

if TYPE_CHECKING:
    from firewall.gate import Gate
    from firewall.judgement import Judgement
    from firewall.policy import Subject
    from firewall.policy.trace import Word


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the result: its name, and the base columns that feed it as relation, column, labels."""

    name: str
    sources: tuple[tuple[str, str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """words: every rule on every effect. columns: what the client would get, where that is known."""

    judgement: Judgement
    words: tuple[Word, ...]
    columns: tuple[Column, ...]


async def explain(gate: Gate, subject: Subject, text: str) -> Explained:
    """The verdict on a text in a session that has done nothing yet. Raises CatalogError, StoreError."""
    await gate.current()
    snapshot = gate.snapshot
    facts = Facts(database=subject.database, role=snapshot.role, search_path=snapshot.search_path)
    judgement = await gate.judge(subject, text, facts)
    labels = gate.labelling.labels
    columns = tuple(
        Column(
            output.name,
            tuple((s.relation, s.column, copies.of(labels, s.relation, (s.column,))) for s in output.sources),
        )
        for statement in judgement.analysis.statements
        for output in statement.output or ()
    )
    return Explained(judgement, trace(gate.policy, subject, judgement.effects, gate.at()), columns)
