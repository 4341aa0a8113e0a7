"""Files that several policies share: labels, approvers and selectors, read in where `include` names them.

A policy with what it includes is one policy: it loads as a whole or not at all, and each problem has its
place in the file where it stands. Paths are relative to the file that names them. A file may be reached in
several ways, and is read once; a file that includes itself, however far around, is an error at the name that
closes the circle.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from firewall.errors import ConfigurationError, Problem
from firewall.policy import between
from firewall.policy.document import Shared
from firewall.policy.source import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firewall.policy.fields import FieldPath
    from firewall.policy.source import Source

MAX_FILES: Final = 32
# keys whose entries several files may give, and whether two may give the same one
MERGED: Final = {"labels": True, "approvers": False, "selectors": False}


@dataclass(slots=True)
class Files:
    """Included files in the order in which they were reached, and what is wrong with them."""

    read: Callable[[Path], Source]
    check: Callable[[type[Shared], Source], list[Problem]]
    sources: dict[Path, Source] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def gather(self, source: Source, around: tuple[Path, ...] = ()) -> None:
        """Read what a file includes, and what that includes. around: the files that led here."""
        here = _real(source.file)
        for path, named in _named(source.data):
            target = _real(source.file.parent / named)
            if target in (*around, here):
                self._note(
                    source,
                    path,
                    f"`{shown(named)}` includes this file, directly or through others; remove it",
                )
            elif target not in self.sources:
                self._gather_one(source, path, target, named, (*around, here))

    def _gather_one(
        self, source: Source, path: FieldPath, target: Path, named: str, around: tuple[Path, ...]
    ) -> None:
        if len(self.sources) >= MAX_FILES:
            self._note(source, path, f"more than {MAX_FILES} files are included; put some of them together")
            return
        if not target.is_file():
            here = f"beside `{shown(source.file.name)}`"
            self._note(
                source, path, f"`{shown(named)}`: there is no such file {here}; write its path relative to it"
            )
            return
        try:
            found = self.read(_plain(source.file.parent / named, target))
        except ConfigurationError as error:
            said = error.problems[0].message
            self._note(source, path, said if "`" in said else f"`{shown(named)}`: {said}")
            return
        self.sources[target] = found
        if found.problems:
            self.problems += found.problems
            return
        self.problems += self.check(Shared, found)
        self.gather(found, around)

    def _note(self, source: Source, path: FieldPath, message: str) -> None:
        self.problems.append(Problem(source.place(path), dotted(path), message))


def merged(data: Any, sources: list[Source]) -> Any:
    """The policy's data with what the files give: labels are united, everything else stands once."""
    if not isinstance(data, dict):
        return data
    whole = dict(data)
    for source in sources:
        given = source.data if isinstance(source.data, dict) else {}
        for key in MERGED:
            if isinstance(given.get(key), dict) and isinstance(whole.get(key, {}), dict):
                mine = dict(whole.get(key, {}))
                for name, value in given[key].items():
                    mine[name] = [*_listed(mine[name]), *_listed(value)] if name in mine else value
                whole[key] = mine
        if given.get("environments") is not None:
            both = [*_listed(whole.get("environments") or []), *_listed(given["environments"])]
            whole["environments"] = list(dict.fromkeys(both))
    return whole


def clashes(main: Source, sources: list[Source]) -> Iterator[Problem]:
    """Entries that two files give, and slack accounts that stand for two people in two files."""
    first: dict[tuple[str, str], Source] = {}
    for source in (main, *sources):
        for key, several in MERGED.items():
            entries = source.data.get(key) if isinstance(source.data, dict) else None
            for name in entries if isinstance(entries, dict) and not several else ():
                before = first.setdefault((key, name), source)
                if before is not source:
                    place = before.keys[key, name]
                    message = f"`{shown(name)}` is in `{place}` already; remove one of them"
                    yield Problem(source.place((key, name), key=True), dotted((key, name)), message)
    together = merged(main.data, sources)
    own = {path for source in (main, *sources) for path, _ in between.between_approvers(source.data)}
    for path, message in between.between_approvers(together):
        if path not in own:
            found = next((s for s in (*reversed(sources), main) if path in s.values), main)
            yield Problem(found.place(path), dotted(path), message)


def dotted(path: FieldPath) -> str:
    """`rules[2].when.agents`"""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{shown(step)}" if text else shown(step)
    return text


def _named(data: Any) -> Iterator[tuple[FieldPath, str]]:
    named = data.get("include") if isinstance(data, dict) else None
    if isinstance(named, str) and named:
        yield ("include",), named
    for number, name in enumerate(named if isinstance(named, list) else ()):
        if isinstance(name, str) and name:
            yield ("include", number), name


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _plain(path: Path, target: Path) -> Path:
    """The path without `..`, if that is the same file: what comes before it may be a link."""
    plain = Path(os.path.normpath(path))
    return plain if _real(plain) == target else path


def _real(path: Path) -> Path:
    return Path(path).resolve()
