"""Client encodings, by Postgres's names (manual 23.3.1)."""

from __future__ import annotations

from typing import Final

# No byte of a multi-byte character is ASCII, so that a text cut into tokens as UTF-8 has the same tokens for
# the server.
SAFE: Final = frozenset(
    {
        *("UTF8", "SQL_ASCII", "EUC_JP", "EUC_CN", "EUC_KR", "EUC_TW", "EUC_JIS_2004", "KOI8R", "KOI8U"),
        *(f"LATIN{n}" for n in range(1, 11)),
        *(f"ISO_8859_{n}" for n in (5, 6, 7, 8)),
        *(f"WIN{n}" for n in (866, 874, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258)),
    }
)
# Bytes outside ASCII mean what they mean in UTF-8.
AS_UTF8: Final = frozenset({"UTF8", "SQL_ASCII"})
# in Python's words; of others only ASCII is read
_CODECS: Final = {"UTF8": "utf-8", "SQL_ASCII": "utf-8", "KOI8R": "koi8_r", "KOI8U": "koi8_u"}


def codec(encoding: str) -> str:
    """Python's name of a client encoding."""
    if encoding.startswith("LATIN"):
        return f"latin{encoding.removeprefix('LATIN')}"
    if encoding.startswith("WIN"):
        return f"cp{encoding.removeprefix('WIN')}"
    return _CODECS.get(encoding, "ascii")
