"""Judgements that are remembered, bounded in bytes: an IN list can be a megabyte."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from firewall import heap

if TYPE_CHECKING:
    from firewall.judgement import Judgement

    Key = tuple[object, ...]

CACHE_BYTES: Final = 32 * 1024 * 1024
# So many new judgements are set apart from what the collector looks at: a millisecond at a time.
SETTLE_EVERY: Final = 50
# what one effect, reason or name weighs in CPython, roughly and rather too much
_WEIGHT: Final = 600


class Memory:
    """By all that they were made of, those asked for last."""

    def __init__(self, most: int = CACHE_BYTES, settle_every: int = SETTLE_EVERY) -> None:
        self._most = most
        self._settle_every = settle_every
        self._known: OrderedDict[Key, tuple[Judgement, int]] = OrderedDict()
        self._unsettled = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Key) -> Judgement | None:
        known = self._known.get(key)
        if known is None:
            return None
        self._known.move_to_end(key)
        return known[0]

    def keep(self, key: Key, judgement: Judgement) -> Judgement:
        """The one that is remembered: of two who worked out the same at the same time, the first one's."""
        known = self._known.get(key)
        if known is not None:
            return known[0]
        size = _weight(judgement)
        if size > self._most // 8:
            return judgement  # one text must not push out all others
        self._known[key] = (judgement, size)
        self.bytes += size
        self._unsettled += 1
        if self._unsettled >= self._settle_every:
            self._unsettled = 0
            heap.settle()
        while self.bytes > self._most:
            _, (_, dropped) = self._known.popitem(last=False)
            self.bytes -= dropped
        return judgement


def _weight(judgement: Judgement) -> int:
    parts = 2 + len(judgement.effects) + len(judgement.verdict.reasons) + len(judgement.analysis.statements)
    return 2 * len(judgement.sql) + _WEIGHT * parts
