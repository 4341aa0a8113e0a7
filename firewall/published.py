"""Catalogs in files, for the processes that analyse.

A catalog of a changing database begins with what it had before: the very same objects, thousands of them,
that initdb made (`catalog.introspect` keeps them). These are written and read once, as a stem; each version
is a file with the rest.
"""

from __future__ import annotations

import pickle
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from firewall import heap

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from firewall.catalog import Function, Relation, Snapshot

_K = TypeVar("_K")
_V = TypeVar("_V")

# Catalogs kept for the workers: one for each database, and what is still being analysed against older ones.
MAX_PUBLISHED = 256


@dataclass(frozen=True, slots=True)
class _Stem:
    """What the versions of one database begin with."""

    path: Path
    relations: tuple[Relation, ...]
    functions: tuple[Function, ...]


class Published:
    """The writing side. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._files: dict[Path, Path] = {}  # each version's file with its stem's, newest last
        self._stems: dict[str, _Stem] = {}  # by database
        self._made = 0

    def path(self, version: str) -> Path:
        """Where this version is, if it is published."""
        return self._folder / f"{version}.pickle"

    def add(self, snapshot: Snapshot) -> None:
        """Write it, unless it is there. Takes long for a large one that is new."""
        path = self.path(snapshot.version)
        with self._lock:
            stem = self._files.pop(path, None) or self._write(path, snapshot)
            self._files[path] = stem
            while len(self._files) > MAX_PUBLISHED:
                oldest = next(iter(self._files))
                self._drop(oldest, self._files.pop(oldest))

    def _write(self, path: Path, snapshot: Snapshot) -> Path:
        stem = self._stems.get(snapshot.database)
        relations, functions = stem.relations if stem else (), stem.functions if stem else ()
        shared = _shared(relations, snapshot.relations), _shared(functions, snapshot.functions)
        if stem is None or 2 * sum(shared) < len(snapshot.relations) + len(snapshot.functions):
            self._made += 1
            whole = self._folder / f"{self._made}.stem"
            stem = self._stems[snapshot.database] = _Stem(whole, snapshot.relations, snapshot.functions)
            _dump((stem.relations, stem.functions), whole)
            shared = len(stem.relations), len(stem.functions)
        rest = replace(
            snapshot, relations=snapshot.relations[shared[0] :], functions=snapshot.functions[shared[1] :]
        )
        _dump((stem.path.name, shared, rest), path)
        return stem.path

    def _drop(self, path: Path, stem: Path) -> None:
        path.unlink(missing_ok=True)
        if stem not in self._files.values() and all(stem != known.path for known in self._stems.values()):
            stem.unlink(missing_ok=True)


class Reader:
    """The reading side, in another process: the newest catalogs and stems stay in memory."""

    KEPT = 4

    def __init__(self) -> None:
        self._snapshots: dict[str, Snapshot] = {}
        self._stems: dict[Path, tuple[tuple[Relation, ...], tuple[Function, ...]]] = {}

    def read(self, path: Path, version: str) -> Snapshot:
        """The catalog of this version, which was published at `path`. Raises OSError."""
        known = self._snapshots.get(version)
        if known is not None:
            return known
        with heap.keeping():
            # our own files in our own private folder
            name, shared, rest = pickle.loads(path.read_bytes())  # noqa: S301
            relations, functions = self._stem(path.with_name(name))
            snapshot: Snapshot = replace(
                rest,
                relations=(*relations[: shared[0]], *rest.relations),
                functions=(*functions[: shared[1]], *rest.functions),
            )
        _keep(self._snapshots, version, snapshot, self.KEPT)
        return snapshot

    def _stem(self, path: Path) -> tuple[tuple[Relation, ...], tuple[Function, ...]]:
        stem = self._stems.get(path)
        if stem is None:
            stem = pickle.loads(path.read_bytes())  # noqa: S301 — as above
            _keep(self._stems, path, stem, self.KEPT)
        return stem


def _keep(kept: dict[_K, _V], key: _K, value: _V, most: int) -> None:
    while len(kept) >= most:
        del kept[next(iter(kept))]
    kept[key] = value


def _shared(known: Sequence[object], new: Sequence[object]) -> int:
    """How many objects both begin with: the same ones, not equal ones."""
    pairs = enumerate(zip(known, new, strict=False))
    return next((n for n, (one, other) in pairs if one is not other), min(len(known), len(new)))


def _dump(thing: object, path: Path) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_bytes(pickle.dumps(thing, protocol=pickle.HIGHEST_PROTOCOL))
    scratch.rename(path)
