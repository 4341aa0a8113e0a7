"""A statement without its values: every constant becomes a parameter, as pg_stat_statements shows them."""

from __future__ import annotations

from typing import Final

import postgast
from postgast import pg_query_pb2

_TOKEN = pg_query_pb2.Token
CONSTANTS: Final = frozenset({
    _TOKEN.SCONST, _TOKEN.USCONST, _TOKEN.BCONST, _TOKEN.XCONST, _TOKEN.ICONST, _TOKEN.FCONST,
})  # fmt: skip
COMMENTS: Final = frozenset({_TOKEN.SQL_COMMENT, _TOKEN.C_COMMENT})
# longer texts are not looked at, and nothing of them is kept
MAX_BYTES: Final = 256 * 1024


def redacted(text: str) -> str:
    """The text with `$n` for each constant, numbered behind its own parameters, and without comments.

    Postgres's own lexer says what a constant is; it has no depth that a text could exhaust. Empty for a text
    that it cannot read, or that is too long: then nothing is known of what in it is a value.
    """
    try:
        data = text.encode()
        tokens = postgast.scan(text).tokens if len(data) <= MAX_BYTES and "\x00" not in text else None
    except (postgast.PgQueryError, ValueError):
        tokens = None
    if tokens is None:
        return ""
    number = max((_number(data[t.start + 1 : t.end]) for t in tokens if t.token == _TOKEN.PARAM), default=0)
    parts: list[bytes] = []
    end = 0
    for token in tokens:
        if data[end : token.start].strip():
            return ""
        parts.append(data[end : token.start])
        end = token.end
        if token.token in CONSTANTS:
            number += 1
            parts.append(b"$%d" % number)
        elif token.token not in COMMENTS:
            parts.append(data[token.start : token.end])
    return b"".join(parts).decode(errors="replace")


def _number(digits: bytes) -> int:
    return int(digits) if digits.isdigit() and len(digits) < 10 else 0
