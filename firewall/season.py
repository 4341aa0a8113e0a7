"""A stretch of time in which judgements stay as they are: policy, catalog and labels are what they were.

Whoever relays thousands of statements in a second asks one bit of it, instead of comparing what changed.
"""

from __future__ import annotations


class Season:
    """over: something has changed since; what was judged in it has to be judged again."""

    __slots__ = ("over",)

    def __init__(self) -> None:
        self.over = False
