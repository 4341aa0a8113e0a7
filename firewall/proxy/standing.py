"""Standing releases of one session: which statements may be run again without waiting for the disk.

The first run of a text that a rule allows waits until its judgement and its release are durable. The release
stands: it is of this text, with any parameters, in this session, by that rule. Runs after it under the very
same remembered judgement, so with the same facts, policy and catalog, go at once and are written behind.
It stands for a minute at most, so that whoever searches the log finds a judgement near to every run.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from firewall.places import FETCH
from firewall.policy import Action
from firewall.proxy.behind import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall import approval
    from firewall.judgement import Judgement
    from firewall.proxy.behind import Behind
    from firewall.season import Season
    from firewall.session import Act, Done

STANDS_SECONDS = 60.0
# Texts of one session; drivers keep about as many prepared. What is beyond waits for the disk as ever.
MAX_STANDING = 32
# Longer ones are rare, and what a session remembers has to be bounded.
MAX_TEXT = 16 * 1024
# Bound values of one run; larger ones wait for the disk.
MAX_VALUES = 64 * 1024
# Who decides on a statement is shown what came before it.
MAX_LAST = 5


class Leave:
    """One standing release: of `judgement`, recorded under `statement`, until a time of `time.monotonic` or
    the end of the season in which it was judged.
    """

    __slots__ = ("agent", "digester", "judgement", "season", "session", "statement", "until")

    def __init__(
        self,
        session: str,
        statement: str,
        agent: str,
        judgement: Judgement,
        digester: approval.Digester,
        until: float,
        season: Season,
    ) -> None:
        self.season = season
        self.session = session
        self.statement = statement
        self.agent = agent
        self.judgement = judgement
        self.digester = digester
        self.until = until


class Standing:
    """Leaves that were given, and the runs that have not ended.

    last: what the session ran last, oldest first; those under other leaves are noted here as well.
    suspended: nothing goes by them for now.
    """

    def __init__(self, behind: Behind) -> None:
        self.last: deque[Run | approval.Earlier] = deque(maxlen=MAX_LAST)
        self.suspended = False
        self._behind = behind
        # by the judgement's identity: a judgement made anew is another one
        self._leaves: dict[int, Leave] = {}
        self._running: dict[int, Run] = {}

    @staticmethod
    def may(judgement: Judgement, acts: Sequence[Act]) -> bool:
        """Its release may stand: allowed, and nothing about it could be different the next time."""
        return (
            judgement.verdict.action is Action.ALLOW
            and not judgement.verdict.facts
            and not judgement.verdict.obligations
            # whose rows these are, only the session knows
            and all(statement.node != FETCH for statement in judgement.analysis.statements)
            and not judgement.native
            and not judgement.analysis.volatile
            and not judgement.changes_catalog
            and len(acts) == 1
            and len(judgement.sql) <= MAX_TEXT
        )

    def give(self, leave: Leave) -> None:
        """The standing release is durable."""
        if len(self._leaves) >= MAX_STANDING:
            del self._leaves[next(iter(self._leaves))]
        self._leaves[id(leave.judgement)] = leave

    def of(self, judgement: Judgement) -> Leave | None:
        """The leave that stands for what was judged so."""
        return self._leaves.get(id(judgement))

    def lets(self, leave: Leave) -> bool:
        """Whether one more run may go by it now."""
        if self.suspended:
            return False
        now = time.monotonic()
        if leave.season.over or now >= leave.until:
            self._leaves.pop(id(leave.judgement), None)
            return False
        return self._behind.open(now)

    def run(self, ticket: int, judgement: Judgement, acts: Sequence[Act]) -> Leave | None:
        """The leave by which this may be sent now; then it is on its way to the log."""
        leave = self._leaves.get(id(judgement))
        if leave is None or len(acts) != 1 or not self.lets(leave):
            return None
        run = Run(leave, ticket, time.time_ns(), acts[0])
        if run.weight > MAX_VALUES:
            return None
        self.runs(run)
        return leave

    def runs(self, run: Run) -> None:
        """It is about to be sent, and on its way to the log."""
        self._running[run.number] = run
        self._behind.released(run)

    def ended(self, done: Done) -> bool:
        """Whether it was a run of these; then its end is on its way to the log."""
        run = self._running.pop(done.ticket, None)
        if run is None:
            return False
        run.answered(done)
        self.last.append(run)
        self._behind.ended(run)
        return True

    def earlier(self) -> list[approval.Earlier]:
        """`last`, in words."""
        return [each.earlier() if isinstance(each, Run) else each for each in self.last]

    def passed(self, number: int, tag: bytes, size: int) -> None:
        """The run of that number has been answered, without an error."""
        run = self._running.pop(number)
        run.ended = time.time_ns()
        run.tag = tag
        run.size = size
        self.last.append(run)
        self._behind.ended(run)
