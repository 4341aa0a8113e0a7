"""Patterns as policies write them, compiled once.

Only `*` (any run of characters) and `?` (one character) are wild, and never across the dot of a name:
`public.*` is every relation of `public`. Names are written as the catalog has them, without quotes. Several
patterns become one regular expression, so that a matcher costs one match however long its list is.

Names of relations and columns are matched as parts joined with NUL, which no Postgres identifier can hold:
a dot inside a quoted identifier can then not pass for the dot between two.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from itertools import combinations

from firewall.policy.source import shown

ANY = "any"
SEPARATOR = "\0"
EVERY_COLUMN = "*"
# two identifiers of NAMEDATALEN (manual, 4.1.1), and room: what is longer is no name
MAX_NAME = 512
# characters that other glob dialects read as wild, and that quoted identifiers need; none is meant literally
REFUSED = frozenset("[]{}()!|\\\"'` \t\r\n\0")


def complaint(pattern: str, *, parts: int) -> str:
    """What is wrong with a pattern of at most `parts` dotted parts; empty when nothing is."""
    strange = sorted(REFUSED.intersection(pattern))
    if strange:
        return (
            f"`{shown(pattern)}` has `{shown(strange[0])}`, and only `*` and `?` are wild; "
            "write the name as the catalog has it, without quotes, "
            "and each alternative as a pattern of its own"
        )
    pieces = pattern.split(".")
    if parts > 1 and not all(pieces):
        return f"`{shown(pattern)}` has nothing beside a dot; write `*` for any name there"
    if parts > 1 and len(pieces) > parts:
        form = "schema.table.column" if parts == 3 else "schema.name"
        return f"`{shown(pattern)}` has {len(pieces)} parts; write at most `{form}`"
    return ""


def text_regex(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for plain texts (agents, databases, …); use with `fullmatch`."""
    return re.compile("|".join(_piece(p) for p in patterns), re.DOTALL)


def name_regex(patterns: tuple[str, ...], *, parts: int, ignore_case: bool = False) -> re.Pattern[str]:
    """One expression for names of `parts` parts joined by `SEPARATOR`.

    A pattern with fewer parts is about the last ones: bare `orders` is `*.orders`.
    """
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return re.compile("|".join(_parts(p.split("."), parts) for p in patterns), flags)


def label_regex(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for dotted labels; `pii` and `pii.*` match `pii` and everything below it."""
    return re.compile(
        "|".join(f"{_piece(p.removesuffix('.*'))}(?:\\..*)?" for p in patterns),
        re.DOTALL,
    )


@cache
def _piece(pattern: str) -> str:
    """One part; `*` stays inside it because `SEPARATOR` is in no name."""
    wild = {"*": f"[^{SEPARATOR}]*", "?": f"[^{SEPARATOR}]"}
    return "".join(wild.get(c) or re.escape(c) for c in pattern)


def _parts(pieces: list[str], parts: int) -> str:
    missing = ["*"] * (parts - len(pieces))
    return SEPARATOR.join(_piece(p) for p in (*missing, *pieces))


@lru_cache(maxsize=4096)
def keys(dotted: str, parts: int = 2) -> tuple[str, ...]:
    """Every way to read `schema.name` as parts. Usually one: more only when a quoted name has a dot inside.

    A name with too few dots has empty parts in front. Raises `ValueError` for what is longer than any name.
    """
    if len(dotted) > MAX_NAME:
        raise ValueError("no name in a database is this long")
    pieces = dotted.split(".")
    if len(pieces) <= parts:
        return (SEPARATOR.join((*[""] * (parts - len(pieces)), *pieces)),)
    return tuple(
        SEPARATOR.join(".".join(pieces[a:b]) for a, b in zip((0, *cuts), (*cuts, None), strict=True))
        for cuts in combinations(range(1, len(pieces)), parts - 1)
    )
