"""A grant: leave for more than one run of statements of one shape, by one agent, within an approver's terms.

The shape binds whatever the digest of one run binds, with the statements' fingerprints in place of text and
values: another agent, role, search_path, policy, effect, label or catalog beneath is another shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 — dataclass field, resolved at runtime by the store
from hashlib import sha256
from typing import TYPE_CHECKING

from firewall.approval import encoding
from firewall.approval.digest import begun

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firewall.approval.digest import Circumstances


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant. Everything on it was fixed when it was given, except `used`, `spent` and `revoked_by`.

    hold: by whose approval it was given. sql: the statement that was held. by: who approved. rows: that all
    runs together may return or change; while a run is under way all that are left count as `spent`.
    """

    id: str
    hold: str
    shape: str
    agent: str
    database: str
    sql: str
    rule: str
    by: tuple[str, ...]
    groups: tuple[str, ...]
    given_at: datetime
    until: datetime
    uses: int
    rows: int | None = None
    used: int = 0
    spent: int = 0
    revoked_by: str = ""

    def state(self, now: datetime) -> str:
        """`open`, or why it is good for nothing more."""
        if self.revoked_by:
            return "revoked"
        if now >= self.until:
            return "over"
        if self.used >= self.uses or (self.rows is not None and self.spent >= self.rows):
            return "used up"
        return "open"

    @property
    def left(self) -> int | None:
        """The rows that a run may still have; None for any."""
        return None if self.rows is None else max(self.rows - self.spent, 0)

    def begun(self, runs: int) -> Grant:
        """The same with so many runs more under way."""
        return replace(self, used=self.used + runs, spent=self.spent if self.rows is None else self.rows)

    def ended(self, left: int, rows: int) -> Grant:
        """The same when a run has ended that might have had `left` rows, and had `rows`."""
        return replace(self, spent=max(self.spent - left, 0) + rows)


def shape(
    circumstances: Circumstances,
    fingerprints: Iterable[str],
    effects: Iterable[str],
    rules: Iterable[str],
) -> str:
    """Hex SHA-256 of what a grant is for. rules: those that hold such statements."""
    hashed = sha256(b"query-firewall/shape/1\n" + begun(circumstances))
    for some in (fingerprints, effects, sorted(set(rules))):
        parts = [encoding.text(each) for each in some]
        hashed.update(encoding.numbers((len(parts),)) + b"".join(parts))
    return hashed.hexdigest()
