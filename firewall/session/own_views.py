"""`firewall.holds` and `firewall.grants`: what an agent can ask about itself, by SQL and in its own session.

There are no such relations in the database. Where a text reads from one, the name is replaced with a list of
values, and what is judged and run is the text that comes of it: rows are values to it and nothing else. When
it is prepared they are not known yet, and a list of the same columns without a row takes their place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Rows = Sequence[tuple[str | None, ...]]

# name → columns and their types, as SQL has them
COLUMNS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "holds": (
        *(("id", "text"), ("state", "text"), ("awaited", "boolean"), ("opened_at", "timestamptz")),
        *(("expires_at", "timestamptz"), ("usable_until", "timestamptz"), ("statement", "text")),
        *(("rule", "text"), ("risk", "text"), ("groups", "text"), ("quorum", "integer")),
        *(("approvals", "integer"), ("decided_by", "text"), ("reason", "text"), ("outcome", "text")),
    ),
    "grants": (
        *(("id", "text"), ("hold", "text"), ("state", "text"), ("statement", "text"), ("rule", "text")),
        *(("given_by", "text"), ("given_at", "timestamptz"), ("until", "timestamptz"), ("uses", "integer")),
        *(("used", "integer"), ("rows", "bigint"), ("rows_used", "bigint")),
    ),
}

# what is passed over: literals, names in quotes, comments; then the name where a relation is read. What never
# ends reaches to the end of the text: looked for again from every place in it, it would take minutes
_TOKEN: Final = re.compile(
    r"""[eE]?'(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z) | --[^\n]* | /\*.*?(?:\*/|\Z)
    | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z)
    | (?P<before>\b(?:from|join)\s+(?:only\s+)?|,\s*)firewall\s*\.\s*(?P<view>holds|grants)\b(?!\s*\.)
      (?P<after>\s*(?P<as>\bas\b)?\s*(?P<word>[^\W\d]\w*|")?)""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
# words behind a relation that are not its alias (manual, appendix C: reserved, or reserved as such)
_NO_ALIAS: Final = frozenset(
    {
        *("where", "group", "order", "having", "limit", "offset", "fetch", "for", "window", "returning"),
        *("union", "intersect", "except", "join", "inner", "left", "right", "full", "cross", "natural"),
        *("on", "using", "tablesample"),
    }
)


def mentions(sql: str) -> bool:
    """Whether it can read from one of them; costs little where it does not."""
    return ("firewall" in sql or "FIREWALL" in sql) and bool(views(sql))


def views(sql: str) -> frozenset[str]:
    """Which of them it reads from."""
    return frozenset(m["view"].lower() for m in _TOKEN.finditer(sql) if m["view"])


def filled(sql: str, rows: Mapping[str, Rows]) -> str:
    """The text with these rows in place of the names; without rows of a name, none."""

    def put(match: re.Match[str]) -> str:
        view = match["view"]
        if not view:
            return match[0]
        word = (match["word"] or "").lower()
        aliased = match["as"] or (word and word not in _NO_ALIAS)
        alias = "" if aliased else f" AS {view.lower()}"
        return f"{match['before']}({_query(view.lower(), rows.get(view.lower(), ()))}){alias}{match['after']}"

    return _TOKEN.sub(put, sql)


def _query(view: str, rows: Rows) -> str:
    columns = COLUMNS[view]
    names = ", ".join(f'"{name}"' for name, _ in columns)
    given = rows or [(None,) * len(columns)]
    values = ", ".join(
        f"({', '.join(f'{_literal(value)}::{kind}' for value, (_, kind) in zip(row, columns, strict=True))})"
        for row in given
    )
    none = "" if rows else " WHERE false"
    # quoted here, and judged like any other text before it runs
    return f"SELECT * FROM (VALUES {values}) AS v({names}){none}"  # noqa: S608


def _literal(value: str | None) -> str:
    """For standard_conforming_strings, which the session sees to: a text that is read otherwise is held."""
    if value is None:
        return "NULL"
    quoted = value.replace("\0", "\u2400").replace("'", "''")
    return f"'{quoted}'"
