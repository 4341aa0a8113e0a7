"""Where approvers are reached. A channel shows every hold, takes people's word and gives it to the desk.

A channel only ever delays a decision: when it is down, nothing is lost and the other ways to decide work on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Standing:
    """For health. failing: why it cannot be reached, empty where it can. behind: messages that are due."""

    name: str
    failing: str = ""
    behind: int = 0


class Channel(Protocol):
    """What the app needs of a channel, whichever it is."""

    @property
    def standing(self) -> Standing: ...

    async def start(self) -> None:
        """Show every pending hold and listen; returns at once, reachable or not."""
        ...

    async def close(self) -> None:
        """Stop listening and free every resource; cards stay where they are."""
        ...


__all__ = ["Channel", "Standing"]
