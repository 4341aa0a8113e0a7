"""Bytes as decisions: what a target draws from its input. When the bytes run out, everything drawn is 0."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = (1, 1, 1, 2, 3, 4, 5, 7, 17, 64, 300)


class Dice:
    """A cursor over the input."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return max(0, len(self._data) - self._at)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def sized(self) -> bytes:
        """Bytes after their own length of two bytes."""
        return self.take(self.byte() << 8 | self.byte())

    def rest(self) -> bytes:
        return self.take(self.left)


def chunks(data: bytes, pattern: int, *, scale: int = 1) -> Iterator[bytes]:
    """The data cut in a way of its own for each pattern: 0 is whole, 1 in pieces of `scale` bytes."""
    if pattern == 0:
        yield data
        return
    sizes = _sizes(pattern)
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)] * scale
        yield data[at : at + size]
        at += size
        turn += 1


@lru_cache(maxsize=256)
def _sizes(pattern: int) -> list[int]:
    return [1] if pattern == 1 else random.Random(pattern).choices(SIZES, k=16)
