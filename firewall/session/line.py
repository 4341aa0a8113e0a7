"""The client's messages that wait for their turn, in strict order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firewall.wire import Frame


class Line:
    """A queue of whole frames that knows its size in bytes."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self.size = 0

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    @property
    def head(self) -> Frame | None:
        return self._frames[0] if self._frames else None

    @property
    def leaves(self) -> bool:
        """The client has said Terminate; nothing comes after it."""
        return bool(self._frames) and self._frames[-1].code == ord("X")

    def extend(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self._frames.append(frame)
            self.size += len(frame.raw)

    def pop(self) -> Frame:
        frame = self._frames.popleft()
        self.size -= len(frame.raw)
        return frame

    def clear(self) -> None:
        self._frames.clear()
        self.size = 0
