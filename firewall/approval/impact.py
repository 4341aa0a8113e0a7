"""What a held statement would come to, as far as that is known before anyone decides. Pure.

Everything here is for people: nothing of it is part of the digest, and nothing that is missing from it keeps
a statement from being decided. What is not known says so, and why.
"""

from __future__ import annotations

from dataclasses import dataclass

# of an earlier statement; enough to recognise it
MAX_EARLIER = 160


@dataclass(frozen=True, slots=True)
class Change:
    """Rows that the planner expects to be written. verb: insert, update, delete or merge, as it says it."""

    verb: str
    relation: str
    rows: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """The planner's expectation of one run: rows that it returns, its cost, what it writes."""

    rows: int
    cost: float
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Earlier:
    """A statement that the session ran before, or tried to, and what came of it."""

    sql: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Impact:
    """What an approver is shown beside the statement.

    estimate: of the first of `runs`; None where `unestimated` says why not.
    writes: it changes rows; then `ceiling` is how many it may, None for any number.
    labelled: `schema.relation.column` with its labels. sets_off: triggers, cascades and rules.
    takes, holding: locks, `row exclusive on public.orders`; the latter by the open transaction, or
        `unseen` says why they are not known. transaction: for how many seconds one is open; None outside.
    earlier: oldest first.
    """

    estimate: Estimate | None = None
    unestimated: str = ""
    runs: int = 1
    writes: bool = False
    ceiling: int | None = None
    labelled: tuple[str, ...] = ()
    sets_off: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    holding: tuple[str, ...] = ()
    unseen: str = ""
    transaction: float | None = None
    earlier: tuple[Earlier, ...] = ()

    @property
    def headline(self) -> str:
        """The one line that there is always room for."""
        found = self.estimate
        if found is None:
            return f"no estimate: {self.unestimated}"
        first = " (the first run)" if self.runs > 1 else ""
        cost = f", at a cost of {found.cost:,.2f}{first}"
        if found.changes:
            changes = (f"{each.verb} {_rows(each.rows)} of {each.relation}" for each in found.changes)
            return f"planner expects to {', '.join(changes)}{cost}"
        return f"planner expects {_rows(found.rows)}{cost}"

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it, one thing a line, what matters most first; the same in every channel and in the log."""
        found = [self.headline]
        if self.writes and self.ceiling is None:
            found.append("no ceiling is set: it may change any number of rows")
        elif self.writes:
            found.append(f"ceiling: beyond {_rows(self.ceiling or 0)} changed it is rolled back")
        if self.transaction is not None:
            found.append(f"its transaction has been open for {self.transaction:,.0f} s")
        found += [f"reaches {each}" for each in self.labelled]
        found += [f"sets off {each}" for each in self.sets_off]
        found += [f"takes {each}" for each in self.takes]
        found += [f"holds already {each}" for each in self.holding]
        if self.unseen:
            found.append(f"locks that it holds are not known: {self.unseen}")
        found += [f"ran before: {each.sql} → {each.outcome}" for each in self.earlier]
        return tuple(found)


def earlier(sql: str, outcome: str) -> Earlier:
    """One line of each, cut to what is needed to recognise them."""
    return Earlier(_brief(sql), _brief(outcome))


def _brief(text: str) -> str:
    # a statement of a megabyte is not walked for the sake of its beginning
    line = " ".join(text[: 4 * MAX_EARLIER].split())
    return line if len(line) <= MAX_EARLIER and len(text) <= 4 * MAX_EARLIER else f"{line[:MAX_EARLIER]}…"


def _rows(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"
