"""What a worker reads is what was published, whatever of it was written before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from firewall import published
from firewall.catalog import Relation, RelationKind, Snapshot
from tests.sql.shop import SHOP

if TYPE_CHECKING:
    from pathlib import Path


def _next(snapshot: Snapshot, version: str, *names: str) -> Snapshot:
    """The same objects, and new relations after them."""
    more = tuple(Relation("public", name, RelationKind.TABLE, ()) for name in names)
    return replace(snapshot, version=version, relations=(*snapshot.relations, *more))


def test_what_is_read_is_what_was_published(tmp_path: Path):
    writer, reader = published.Published(tmp_path), published.Reader()
    versions = [SHOP, _next(SHOP, "a", "one"), _next(SHOP, "b", "two", "three")]
    # one that has lost what the stem begins with, and one that has lost all
    versions += [
        replace(SHOP, version="c", relations=SHOP.relations[3:], functions=SHOP.functions[:2]),
        replace(SHOP, version="d", relations=(), functions=()),
        _next(SHOP, "e", "four"),
    ]
    for snapshot in versions:
        writer.add(snapshot)
        assert reader.read(writer.path(snapshot.version), snapshot.version) == snapshot
    fresh = published.Reader()
    for snapshot in reversed(versions):
        assert fresh.read(writer.path(snapshot.version), snapshot.version) == snapshot


def test_what_two_versions_begin_with_is_written_once(tmp_path: Path):
    writer = published.Published(tmp_path)
    writer.add(SHOP)
    writer.add(_next(SHOP, "a", "one"))
    whole = next(iter(tmp_path.glob("*.stem"))).stat().st_size
    assert len(list(tmp_path.glob("*.stem"))) == 1
    assert writer.path("a").stat().st_size < whole / 2


def test_databases_that_are_called_the_same_do_not_mix(tmp_path: Path):
    writer, reader = published.Published(tmp_path), published.Reader()
    other = Snapshot("x", SHOP.database, SHOP.server_version, relations=SHOP.relations[:1])
    for snapshot in (SHOP, other, _next(SHOP, "a", "one"), _next(other, "y", "two")):
        writer.add(snapshot)
        assert reader.read(writer.path(snapshot.version), snapshot.version) == snapshot


def test_files_go_with_the_versions_that_need_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(published, "MAX_PUBLISHED", 2)
    writer = published.Published(tmp_path)
    for number in range(6):
        # each has nothing in common with the one before it
        alone = Relation("s", f"{number}", RelationKind.TABLE, ())
        writer.add(Snapshot(f"{number}", "shop", 180000, relations=(alone,)))
    assert {path.name for path in tmp_path.iterdir()} == {"4.pickle", "5.pickle", "5.stem", "6.stem"}
    for version in ("4", "5"):
        assert published.Reader().read(writer.path(version), version).version == version
    with pytest.raises(FileNotFoundError):
        published.Reader().read(writer.path("3"), "3")
