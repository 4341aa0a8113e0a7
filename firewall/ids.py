"""Names for sessions, holds and records: short enough to type, random enough to be unguessable."""

from __future__ import annotations

import secrets
import time

# Crockford's base 32: no I, L, O, U, so that nobody misreads one aloud
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def hold_id() -> str:
    """50 random bits: a hold is named in error messages and typed by hand."""
    return f"h-{_random(10)}"


def grant_id() -> str:
    """As long as a hold's: it is typed by hand too."""
    return f"g-{_random(10)}"


def session_id() -> str:
    return f"s-{_random(13)}"


def record_id() -> str:
    """Sorts by time (48 bits of milliseconds, as in a ULID), then 80 random bits."""
    stamp = time.time_ns() // 1_000_000
    head = "".join(ALPHABET[(stamp >> shift) & 31] for shift in range(45, -1, -5))
    return f"r-{head}{_random(16)}"
