"""Large things that are made once and kept, such as a catalog, and Python's collector of cyclic garbage.

A full collection looks at every object there is, and holds up everybody meanwhile: for a fifth of a second if
there is a catalog of thousands of tables. What is kept has no garbage in it, so it is set apart and never
looked at again. It goes like anything else when nobody refers to it any more.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableSequence


@contextmanager
def keeping() -> Iterator[None]:
    """What is made inside is kept. Nothing is collected meanwhile; what was garbage before is gone."""
    gc.collect()  # cheap: what was kept before is not looked at
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


def settle() -> None:
    """What is alive is set apart as well. Called often, each call looks only at what has come since the last.

    Whatever may live through it must not become garbage in a cycle: nobody would find it.
    """
    gc.collect()
    gc.freeze()


def let_go(parts: MutableSequence[object]) -> None:
    """Empty the list, one thing after the other.

    Whatever has a hundred thousand parts holds up every thread while it goes at once. In a thread of its own,
    one by one, others have their turn in between.
    """
    while parts:
        parts.pop()
