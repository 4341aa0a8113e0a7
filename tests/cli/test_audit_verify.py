"""Verification of an export, and against checkpoints that were published elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from firewall import audit
from firewall.audit import lines, published
from firewall.cli.exits import Exit

from .conftest import ROOT
from .test_audit import damage, judged, write

if TYPE_CHECKING:
    from pathlib import Path

    from firewall.store import Store

    from .conftest import Prompt


@pytest.fixture
def logged(prompt: Prompt) -> Prompt:
    write(prompt, *(judged(f"SELECT {number}") for number in range(5)))
    return prompt


def _export(prompt: Prompt) -> list[str]:
    async def work(store: Store) -> list[str]:
        rows = [lines.record_line(row) async for row in store.records()]
        # not as `audit export` does: behind all of them
        return [*rows, *map(lines.checkpoint_line, await store.checkpoints())]

    found = prompt.in_store(work)
    assert isinstance(found, list)
    return found


def test_an_export_is_verified_with_the_key_alone(
    logged: Prompt, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    export, key = _export(logged), logged("audit", "key").out.strip()
    monkeypatch.chdir(tmp_path_factory.mktemp("auditor"))
    file = tmp_path_factory.mktemp("export") / "log.jsonl"

    def verify(*kept: str) -> tuple[int, str]:
        file.write_text("".join(kept))
        said = logged("audit", "verify", "--export", str(file), "--key", key)
        return said.code, said.out + said.err

    assert verify(*export) == (Exit.DONE, verify(*export)[1])
    assert "5 of 5 records proven" in verify(*export)[1]
    for kept, told in (
        (export[1:], "record 0: missing"),
        (export[:4] + export[5:], "record 4: cut tail"),
        ([export[1], export[0], *export[2:]], "reordered"),
        ([*export[:2], export[1], *export[2:]], "duplicated"),
        ([export[0].replace("SELECT", "DELETE").replace("shopper", "stopper"), *export[1:]], "record 0"),
        (export[:5], "unsigned"),
        ([*export[:2], export[2][:40]], "line 3 is neither a record nor a checkpoint"),
    ):
        code, said = verify(*kept)
        assert code == Exit.NO
        assert told in said
    assert logged("audit", "verify", "--export", "absent", "--key", key).code == Exit.WRONG
    without = logged("audit", "verify", "--export", str(file))
    assert without.code == Exit.WRONG
    assert "public key is not given" in without.err


def test_a_log_cut_back_with_its_heads_is_betrayed_by_a_published_checkpoint(
    logged: Prompt, tmp_path: Path
) -> None:
    notes = logged.in_store(lambda store: store.checkpoints())
    place = tmp_path / "elsewhere"
    place.write_text("".join(map(published.joined, notes[2:])))
    said = logged("audit", "verify", "--against", str(place))
    assert said.code == Exit.DONE
    assert "compared with 4 published checkpoints" in said.err
    for statement in (
        "DELETE FROM records WHERE idx >= 3",
        "DELETE FROM checkpoints WHERE size > 3",
        "UPDATE heads SET size = 3, note = (SELECT note FROM checkpoints WHERE size = 3)",
    ):
        damage(logged.folder, statement)
    assert logged("audit", "verify").code == Exit.DONE
    said = logged("audit", "verify", "--against", str(place))
    assert said.code == Exit.NO
    assert "record 3: cut tail: 2 records missing from here on: 5 were signed" in said.out
    absent = logged("audit", "verify", "--against", "absent")
    assert absent.code == Exit.WRONG
    assert "`absent` cannot be read" in absent.err


def test_a_log_written_anew_is_betrayed_as_a_fork(logged: Prompt, tmp_path: Path) -> None:
    key = audit.SigningKey.load(logged.folder / "firewall.key")
    other = audit.sign_checkpoint(key, audit.Checkpoint(key.name, 4, bytes(32)))
    (tmp_path / "elsewhere").write_text(other)
    said = logged("audit", "verify", "--against", str(tmp_path / "elsewhere"))
    assert said.code == Exit.NO
    assert "forked: two signed heads of this size differ" in said.out


def test_the_schema_is_the_published_one(prompt: Prompt) -> None:
    published_one = json.loads((ROOT / "fixtures/audit/records.schema.json").read_text())
    assert json.loads(prompt("audit", "schema").out) == published_one
    assert prompt("audit", "schema", "--json").document == published_one
