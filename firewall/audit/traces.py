"""The W3C Trace Context that an agent sends with a statement: `traceparent` in a comment of sqlcommenter.

https://www.w3.org/TR/trace-context/ and https://google.github.io/sqlcommenter/spec/. Whatever is not exactly
that form is no trace: it comes from outside, and is searched by.
"""

from __future__ import annotations

from typing import Final

_VERSION: Final = "00"
_LENGTHS: Final = (2, 32, 16, 2)
_HEX: Final = frozenset("0123456789abcdef")
_MARK: Final = "traceparent='"
_LONGEST: Final = 55


def traceparent(comments: str) -> str:
    """The one in this text, which may be a whole statement; empty if there is none, or more than one."""
    found = {part[:_LONGEST] for part in comments.split(_MARK)[1:] if part[_LONGEST : _LONGEST + 1] == "'"}
    return found.pop() if len(found) == 1 and trace_id(next(iter(found))) else ""


def trace_id(trace: str) -> str:
    """The id of the whole trace; empty for what is no traceparent (section 3.2.2)."""
    parts = trace.split("-")
    if tuple(map(len, parts)) != _LENGTHS or parts[0] != _VERSION:
        return ""
    if not all(_HEX.issuperset(part) for part in parts) or not int(parts[1], 16) or not int(parts[2], 16):
        return ""
    return parts[1]
