"""Which columns a result may have: RowDescription beside what the analysis announced (design section 6).

This is the second net: it holds when the analysis was wrong about a column, or judged by a catalog that no
longer is. It sees what Postgres says of a result, the table and number of each column that is one; what is
computed has none, and so have EXPLAIN and COPY, whose rows Postgres does not describe in this way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from firewall import wire
from firewall.errors import ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from firewall.session.commands import Ruling

    # OID of the table and number of the column, as RowDescription has them; 0 is the whole row
    Place: TypeAlias = tuple[int, int]

# An SQLSTATE of our own, in a class that the standard leaves to implementations (SQL:2016, 24.1).
UNANNOUNCED: Final = "QF004"
# Judgements whose results were looked at and need not be asked for again.
MAX_PASSED = 256


class Watch:
    """What may come when a text is run.

    known: every relation of the catalog, with the highest number of a column of it. labelled: the columns
    that must have been announced. announced: those of them that the text was judged to show. fetches: what
    comes may be a cursor's, announced by an earlier text. opens: it may open cursors that show anything.
    anything: what it shows itself cannot be told either, and was judged as such. own: it was judged to show
    what the catalog does not have, such as the session's temporary tables.
    """

    __slots__ = ("announced", "anything", "fetches", "known", "labelled", "opens", "own")

    def __init__(
        self,
        known: Mapping[int, int],
        labelled: AbstractSet[Place],
        announced: AbstractSet[Place],
        *,
        fetches: bool = False,
        opens: bool = False,
        anything: bool = False,
        own: bool = False,
    ) -> None:
        self.known = known
        self.labelled = labelled
        self.announced = announced
        self.fetches = fetches
        self.opens = opens
        self.anything = anything
        self.own = own


class Watcher:
    """Looks at the results of one session."""

    def __init__(self) -> None:
        self._newest: Watch | None = None
        self._announced: set[Place] = set()  # by all that was released: a cursor may show it any time later
        self._anything = False
        self._own = False
        # by the judgement's identity: itself, and the description that was looked at
        self._passed: dict[int, tuple[object, bytes]] = {}

    def released(self, ruling: Ruling) -> None:
        """A text is about to be sent."""
        watch = ruling.watch
        if watch is not None:
            self._newest = watch
            self._announced |= watch.announced
            self._anything |= watch.anything or watch.opens
            self._own |= watch.own

    def has_seen(self, ruling: Ruling) -> bool:
        """Postgres need not be asked what the result of a portal is, if the client does not ask."""
        watch = ruling.watch
        if watch is None or watch.anything:
            return True
        return not watch.fetches and id(ruling.judgement) in self._passed

    def same(self, ruling: Ruling, raw: bytes) -> bool:
        """Whether the result is described as it was when it was looked at, or need not be looked at."""
        watch = ruling.watch
        if watch is None or watch.anything:
            return True
        passed = self._passed.get(id(ruling.judgement))
        return not watch.fetches and passed is not None and passed[1] == raw

    @property
    def knows_cursors(self) -> bool:
        """Whether a portal that nobody bound, a cursor, can be asked for unannounced columns."""
        return self._newest is not None and not self._anything

    def look(self, frame: wire.Frame, ruling: Ruling | None, *, changed: bool = False) -> None:
        """A result is about to begin, or a portal has none. ruling: None of a cursor that SQL declared.
        changed: the open transaction has changed the catalog, which nobody else can see yet.

        Raises ProtocolViolation if the result has columns that were not announced.
        """
        watch = self._newest if ruling is None else ruling.watch
        if watch is None or (ruling is not None and watch.anything):
            return
        if ruling is not None:
            passed = self._passed.get(id(ruling.judgement))
            if passed is not None and passed[1] == frame.raw:
                return
        if frame.code == wire.RowDescription.CODE:
            fields = wire.RowDescription.decode(frame.body).fields
            self._check(fields, watch, of_cursor=ruling is None, changed=changed)
        if ruling is not None:
            if len(self._passed) >= MAX_PASSED:
                self._passed.clear()
            self._passed[id(ruling.judgement)] = (ruling.judgement, frame.raw)

    def _check(self, fields: Iterable[wire.Field], watch: Watch, *, of_cursor: bool, changed: bool) -> None:
        fetched = of_cursor or watch.fetches
        if fetched and self._anything:
            return
        announced = self._announced if fetched else watch.announced
        news = changed or (self._own if fetched else watch.own)
        for field in fields:
            place = (field.table, field.column)
            if not field.table or place in announced:
                continue
            highest = watch.known.get(field.table)
            # INVARIANT: 3. what is not understood is not passed: a column that the catalog does not have
            unknown = highest is None or field.column > highest
            if place in watch.labelled or (unknown and not news):
                raise _unannounced(field)


def _unannounced(field: wire.Field) -> ProtocolViolation:
    return ProtocolViolation(
        f"query-firewall: the result was stopped before its first row, because its column `{field.name}` is "
        f"column {field.column} of relation {field.table}, which the statement was not judged to show",
        sqlstate=UNANNOUNCED,
        hint="connect and send the statement again, the catalog is read anew; if it is stopped again, "
        "report it: the analysis is wrong about it",
    )
