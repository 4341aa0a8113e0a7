"""Which records have lost their values, and which of them by leave of a record: a bit for each that has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 4096


class Gone:
    """The records of one log whose values are gone; `leave` may come before or after `gone`."""

    def __init__(self) -> None:
        self._chunks: dict[int, int] = {}
        self._spans: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        """Is there a record that lacks its values?"""
        return any(self._chunks.values())

    def gone(self, index: int) -> None:
        """The values that this record commits to are not there."""
        chunk, place = divmod(index, _CHUNK)
        self._chunks[chunk] = self._chunks.get(chunk, 0) | 1 << place

    def leave(self, spans: Any) -> None:
        """A record says that these were erased: `Span`s as JSON has them; anything else excuses nothing."""
        for span in spans if isinstance(spans, list) else ():
            first, last = (span.get("first"), span.get("last")) if isinstance(span, dict) else (None, None)
            if isinstance(first, int) and isinstance(last, int) and 0 <= first <= last:
                self._spans.append((first, last))

    def by_leave(self) -> int:
        """How many were erased by leave; they count as explained from now on."""
        before = self._count()
        for first, last in self._spans:
            start, end = first // _CHUNK, last // _CHUNK
            few = end - start < len(self._chunks)
            for chunk in range(start, end + 1) if few else list(self._chunks):
                if start <= chunk <= end and chunk in self._chunks:
                    self._chunks[chunk] &= ~_mask(first - chunk * _CHUNK, last - chunk * _CHUNK)
        self._spans.clear()
        return before - self._count()

    def without_leave(self) -> Iterator[tuple[int, int]]:
        """The first of each run of neighbours that no record explains, and how many there are."""
        start = many = 0
        for chunk, bits in sorted(self._chunks.items()):
            while bits:
                low = (bits & -bits).bit_length() - 1
                bits &= bits - 1  # noqa: PLW2901 — the lowest bit is done with
                index = chunk * _CHUNK + low
                if many and index == start + many:
                    many += 1
                    continue
                if many:
                    yield start, many
                start, many = index, 1
        if many:
            yield start, many

    def _count(self) -> int:
        return sum(bits.bit_count() for bits in self._chunks.values())


def _mask(first: int, last: int) -> int:
    """Bits `first` to `last` of a chunk."""
    low, high = max(first, 0), min(last, _CHUNK - 1)
    return ((1 << (high - low + 1)) - 1) << low
