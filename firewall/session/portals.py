"""Portals: what was bound, and whether it may still be run as it was judged.

A portal lives until it is closed, another takes its name, or its transaction ends. A utility command in it
looks its names up only when it is run, so a portal that is not begun is void once names may mean something
else than when it was cleared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall.session.commands import Refusal
from firewall.session.guard import Guard

if TYPE_CHECKING:
    from firewall.session.commands import Work

# Of one transaction; drivers use one, or one for each open result.
MAX_PORTALS = 10_000

TOO_MANY = Refusal(
    "54000",
    f"a transaction may have {MAX_PORTALS} portals at most",
    hint="close portals that are no longer needed",
)
STALE = Refusal(
    "55000",
    "names may mean something else than when this portal was bound",
    hint="bind the statement again and execute it before other statements",
)


class Portal:
    """One portal. index: of the Bind among the messages sent. over: it has run, or it never will.

    guard: what masks its rows, if any are. described: Postgres has been asked what they are.
    """

    __slots__ = ("begun", "described", "epoch", "guard", "index", "name", "over", "work")

    def __init__(self, name: str, work: Work, index: int, epoch: int) -> None:
        self.name = name
        self.work = work
        self.over = False
        self.index = index
        self.epoch = epoch
        self.begun = False
        masking = work.masking
        self.guard = Guard(masking) if masking is not None else None
        self.described = False


class Portals:
    """Portals by name."""

    def __init__(self) -> None:
        self._portals: dict[str, Portal] = {}
        self._epoch = 0

    def has_room_for(self, name: str) -> bool:
        return name in self._portals or len(self._portals) < MAX_PORTALS

    def names_changed(self) -> None:
        """Something was released after which names may mean something else."""
        self._epoch += 1

    def bound(self, name: str, work: Work, index: int) -> None:
        self._portals[name] = Portal(name, work, index, self._epoch)

    def closed(self, portal: Portal) -> None:
        """Postgres has closed this one; another may have its name by now."""
        if self._portals.get(portal.name) is portal:
            del self._portals[portal.name]

    def finished(self) -> None:
        """The unnamed portal was bound anew, and has run to its end."""
        self._portals.pop("", None)

    def find(self, name: str) -> Portal | None:
        return self._portals.get(name)

    def stale(self, portal: Portal) -> bool:
        return not portal.begun and portal.epoch != self._epoch

    def ended(self, index: int) -> None:
        """The transaction that the message `index` ended is over, and its portals with it."""
        gone = [name for name, portal in self._portals.items() if portal.index < index]
        for name in gone:
            del self._portals[name]
