"""YAML as data with a place for every field, and nothing that YAML can do beyond data.

Refused, each with its place: anchors and aliases (a few lines of them expand to gigabytes), tags, duplicate
keys, keys that are not plain text, several documents, deep nesting. Plain scalars are read as YAML 1.2 reads
them (`yes`, `off`, `15:00` and `2024-01-01` are texts), because a policy that says `on` means a word.

The tree is composed here from the parser's events: libyaml's, which is in C, where PyYAML was built with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from firewall.errors import Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES: Final = 1 << 20  # a policy of a megabyte is not one that people read
MAX_DEPTH: Final = 16  # the document's own schema is 7 deep
MAX_SHOWN: Final = 80  # characters of offending text in a message

INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
CONSTANTS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Source:
    """The data of a file; where each field's value stands, and where its key.

    included: the files that add to it; what does not stand here may stand in one of them.
    """

    file: Path
    data: Any = None
    problems: list[Problem] = field(default_factory=list)
    values: dict[tuple[str | int, ...], Place] = field(default_factory=dict)
    keys: dict[tuple[str | int, ...], Place] = field(default_factory=dict)
    included: list[Source] = field(default_factory=list)

    def place(self, path: tuple[str | int, ...], *, key: bool = False) -> Place:
        """Where the field stands, or the nearest one around it that is written at all."""
        path = self._written(path)
        if path not in self.values:
            for other in self.included:
                if path in other.values:
                    return other.place(path, key=key)
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(self.file))

    def _written(self, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
        """The path as the file has it, where one thing stands for a list of one."""
        found: tuple[str | int, ...] = ()
        for step in path:
            # 0 of a list that is not written as one
            if step != 0 or (*found, step) in self.values:
                found = (*found, step)
        return found


def shown(text: object) -> str:
    """A user's text, fit to stand in backticks: one line, nothing invisible, not too long."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    line = line.replace("`", "'")
    return line if len(line) <= MAX_SHOWN else f"{line[:MAX_SHOWN]}…"


def read(text: str, file: Path) -> Source:
    """Parse one YAML document; `problems` has all that was refused, and `data` is usable when it is empty."""
    source = Source(file)
    if len(text) > MAX_BYTES:
        source.problems.append(
            Problem(Place(file), "", f"the file is larger than {MAX_BYTES >> 20} MiB; split it by database")
        )
        return source
    try:
        events = yaml.parse(text, Loader=_LOADER)
        _Composer(source, events).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        what = ", ".join(part for part in (error.context, error.problem) if part)
        source.problems.append(Problem(place, "", f"this is not YAML: {shown(what)}"))
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        source.problems.append(_strange_character(text, file))
    return source


def _strange_character(text: str, file: Path) -> Problem:
    """The first character that YAML does not allow in a file (YAML 1.2, section 5.1)."""
    allowed = re.compile("[\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
    match = allowed.match(text)
    at = match.end() if match else 0
    before = text[:at]
    place = Place(file, before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1)
    character = f"U+{ord(text[at]):04X}" if at < len(text) else "a character"
    return Problem(
        place, "", f"`{character}` is not allowed in YAML; remove it, or write it as an escape in quotes"
    )


class _Refused(Exception):
    """Composition cannot go on; the problem is noted already."""


class _Composer:
    """Turns events into data, noting places and problems in the source."""

    def __init__(self, source: Source, events: Iterator[Any]) -> None:
        self._source = source
        self._events = events
        self._aliases: set[str] = set()

    def document(self) -> None:
        try:
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if self._source.values:
                        self._note(
                            event, "a second document begins here; a policy is one document, remove `---`"
                        )
                        return
                    self._source.data = self._node(next(self._events), ())
        except _Refused:
            return
        if not self._source.values:
            message = "the file is empty; begin with `version: 1`"
            self._source.problems.append(Problem(Place(self._source.file), "", message))

    def _note(self, event: Any, message: str) -> None:
        self._source.problems.append(Problem(self._place(event), "", message))

    def _place(self, event: Any) -> Place:
        return Place(self._source.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, path: tuple[str | int, ...]) -> Any:
        if len(path) > MAX_DEPTH:
            self._note(event, f"this is nested more than {MAX_DEPTH} deep; a policy is not")
            raise _Refused
        self._source.values[path] = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._aliases:
                self._note(
                    event, f"aliases are not allowed; write out what `*{shown(event.anchor)}` stands for"
                )
            self._aliases.add(str(event.anchor))
            return None
        if event.anchor is not None:
            self._note(event, f"anchors are not allowed; remove `&{shown(event.anchor)}`")
        if event.tag is not None:
            self._note(event, f"tags are not allowed; remove `{shown(event.tag)}`")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return _scalar(event)

    def _mapping(self, path: tuple[str | int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._note(event, "a key must be plain text")
                raise _Refused
            if event.anchor is not None or event.tag is not None:
                self._note(
                    event, f"anchors and tags are not allowed; remove the one at `{shown(event.value)}`"
                )
            key = event.value
            here = (*path, key)
            if key in found:
                first = self._source.keys[here].line
                self._note(event, f"`{shown(key)}` is here already, in line {first}; remove one")
            else:
                self._source.keys[here] = self._place(event)
            found[key] = self._node(next(self._events), here)
        return found

    def _sequence(self, path: tuple[str | int, ...]) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._node(event, (*path, len(found))))
        return found


def _scalar(event: Any) -> Any:
    """Plain scalars may be null, booleans and integers; everything else is text."""
    if event.style:
        return event.value
    if event.value in CONSTANTS:
        return CONSTANTS[event.value]
    return int(event.value) if INTEGER.fullmatch(event.value) else event.value
