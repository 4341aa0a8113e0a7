"""What an agent says of its own statements: intent, ticket, whom it acts for. Nobody has verified any of it.

It says so by `SET firewall.intent = '…'` (also `ticket` and `on_behalf_of`) or by `set_config`, for what
follows in its session; and in a comment behind a statement as sqlcommenter writes them, for that one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from firewall.proxy import text
from firewall.sql import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall.judgement import Judgement
    from firewall.session import Act

    Claims = tuple[tuple[str, str], ...]

MOST: Final = 12
LONGEST: Final = 500
LONGEST_COMMENT: Final = 8192
_NAMES: Final = "intent|ticket|on_behalf_of"
_VALUE: Final = r"(?P<value>'(?:[^']|'')*'|\$\d+|[\w.-]+)"
_SET: Final = re.compile(
    rf"""\s*set\s+(?:session\s+|local\s+)?firewall\s*\.\s*(?P<name>{_NAMES})\s*(?:=|\bto\b)\s*{_VALUE}\s*;?\s*""",
    re.IGNORECASE,
)
_SET_CONFIG: Final = re.compile(
    rf"""\bset_config\s*\(\s*'firewall\.(?P<name>{_NAMES})'\s*,\s*{_VALUE}\s*(?:::\s*\w+\s*)?,""",
    re.IGNORECASE,
)
_RESET: Final = re.compile(rf"""\s*reset\s+(?P<name>all|firewall\.(?:{_NAMES}))\s*;?\s*""", re.IGNORECASE)
_PAIR: Final = re.compile(r"\s*([\w%.-]{1,64})='((?:[^'\\]|\\.)*)'\s*(?:,|$)")


class Claiming:
    """What one session has said and not taken back. A rollback takes nothing back: it was said."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def of(self, *texts: str) -> Claims:
        """What is claimed of these texts, by name; what stands in a comment before what was set."""
        claimed: dict[tuple[str, str], None] = {}
        for sql in texts:
            claimed |= dict.fromkeys({**self._said, **commented(sql)}.items())
        # whom it acts for decides who may approve, so that is never what is left out
        ordered = sorted(claimed, key=lambda pair: (pair[0] != "on_behalf_of", pair))
        return tuple(sorted(ordered[:MOST]))

    def heard(self, judgement: Judgement, acts: Sequence[Act]) -> None:
        """It was released: what it sets is said from now on."""
        if not says(judgement):
            return
        for statement in judgement.analysis.statements:
            if statement.node == "discard_stmt":
                self._said.clear()
            if reset := _RESET.fullmatch(statement.sql):
                self._take_back(reset["name"])
            found = [m for m in [_SET.fullmatch(statement.sql)] if m] or _SET_CONFIG.finditer(statement.sql)
            for match in found:
                self._say(match["name"].lower(), match["value"], acts)

    def _take_back(self, name: str) -> None:
        if name.lower() == "all":
            self._said.clear()
        else:
            self._said.pop(name.lower().rpartition(".")[2], None)

    def _say(self, name: str, written: str, acts: Sequence[Act]) -> None:
        value: str | None = written
        if written.startswith("$"):
            bound = text.values(acts[-1], longest=LONGEST)
            number = int(written[1:]) - 1
            value = bound[number] if number < len(bound) else None
        elif written.startswith("'"):
            value = written[1:-1].replace("''", "'")
        elif written.lower() == "default":
            value = None
        if value:
            self._said[name] = text.printable(value)[:LONGEST]
        else:
            self._said.pop(name, None)


def says(judgement: Judgement) -> bool:
    """Whether it may be about claims, or take them all back."""
    return any(
        effect.kind is Kind.SETTING and (effect.object.startswith("firewall.") or effect.object == "all")
        for effect in judgement.analysis.effects
    ) or any(statement.node == "discard_stmt" for statement in judgement.analysis.statements)


def commented(sql: str) -> dict[str, str]:
    """The pairs of a comment at the end, as sqlcommenter writes them (google.github.io/sqlcommenter/spec)."""
    before, ends, behind = sql.rpartition("*/")
    _, begins, comment = before[-LONGEST_COMMENT:].rpartition("/*")
    if not ends or not begins or behind.strip() not in {"", ";"}:
        return {}
    found: dict[str, str] = {}
    at, body = 0, comment.strip()
    while len(found) < MOST and (pair := _PAIR.match(body, at)):
        value = unquote(pair[2].replace("\\'", "'"), errors="replace")
        found[text.printable(unquote(pair[1], errors="replace"))[:64]] = text.printable(value)[:LONGEST]
        at = pair.end()
    # anything else is a comment of somebody's
    return found if at == len(body) else {}
