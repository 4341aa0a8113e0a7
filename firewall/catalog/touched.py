"""What of a catalog a text can be about, as a digest: all whose names it mentions, and what they mention.

A name is taken to be mentioned wherever its word occurs, in any schema, in literals and comments too: what is
added, changed or dropped and could matter to the text changes the digest; the rest of the catalog does not.
Operators, casts, operator classes and event triggers work without being named, and always count.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from firewall.catalog import serial
from firewall.catalog.snapshot import WORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firewall.catalog.snapshot import Snapshot

# Postgres cuts names there (manual 4.1.1, NAMEDATALEN)
MAX_NAME: Final = 63
# a name in escapes, and one in quotes that is cut: what they mean is not worked out here
UNREADABLE: Final = re.compile(r'u&"|"[^"]{32,}"', re.IGNORECASE)


def touched(snapshot: Snapshot, text: str) -> str:
    """Equal for two catalogs in which nothing is different that the text can reach by name.

    It is the catalog's own version where that cannot be told.
    """
    always = (snapshot.operators, snapshot.casts, snapshot.operator_classes, snapshot.event_triggers)
    waiting = [text, *_said(always)]
    words: set[str] = {""}  # of what has no word in its name
    found = {id(thing): thing for thing in snapshot.by_word.get("", ())}
    waiting += _said(tuple(found.values()))
    while waiting:
        said = waiting.pop()
        if UNREADABLE.search(said):
            return snapshot.version
        for word in _words(said) - words:
            words.add(word)
            for thing in snapshot.by_word.get(word, ()):
                if id(thing) not in found:
                    found[id(thing)] = thing
                    waiting += _said(thing)
    contents = sorted(map(serial.content, found.values()))
    facts = [snapshot.database, str(snapshot.server_version), snapshot.role]
    facts += [*snapshot.search_path, "", *snapshot.closed, "", *map(serial.content, _each(always))]
    hashed = hashlib.sha256(b"query-firewall/touched/1\n")
    for part in [*facts, "", *contents]:
        hashed.update(f"{len(part)}:{part}".encode(errors="surrogatepass"))
    return hashed.hexdigest()


def _words(text: str) -> set[str]:
    words = set(WORD.findall(text.lower()))
    cut = {
        word.encode(errors="replace")[:MAX_NAME].decode(errors="ignore")
        for word in words
        if len(word.encode(errors="replace")) > MAX_NAME
    }
    return words | cut


def _said(thing: Any) -> Iterator[str]:
    """Every text in it."""
    if isinstance(thing, str):
        if not isinstance(thing, Enum):
            yield thing
    elif isinstance(thing, tuple):
        for each in thing:
            yield from _said(each)
    elif is_dataclass(thing):
        for field in fields(thing):
            yield from _said(getattr(thing, field.name))


def _each(things: tuple[tuple[Any, ...], ...]) -> Iterator[Any]:
    for some in things:
        yield from some
