"""Proofs from the command line: made where the store is, checked where only the public key is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from firewall import audit
from firewall.cli.exits import Exit

from .test_audit import damage, judged, write

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Prompt

IDS = [f"r-{number:026}" for number in range(7)]


@pytest.fixture
def logged(prompt: Prompt) -> Prompt:
    """Seven records, one for each commit."""
    write(prompt, *(judged(f"SELECT {number}", id=record) for number, record in enumerate(IDS)))
    return prompt


@pytest.fixture
def auditor(
    logged: Prompt, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A place with no settings and no store, and the public key."""
    folder = tmp_path_factory.mktemp("auditor")
    (folder / "log.pub").write_text(logged("audit", "key").out)
    monkeypatch.chdir(folder)
    return folder


def _prove(logged: Prompt, *arguments: str) -> str:
    said = logged("audit", *arguments, "--config", str(logged.folder / "firewall.yaml"))
    assert said.code == Exit.DONE, said.err
    return said.out


def _check(logged: Prompt, auditor: Path, proof: str, *more: str) -> tuple[int, str]:
    (auditor / "proof").write_text(proof)
    said = logged("audit", "check-proof", "proof", "--key", "log.pub", *more)
    return said.code, said.out + said.err


@pytest.mark.parametrize("index", [0, 3, 6])
def test_a_record_is_proven_to_the_auditor(logged: Prompt, auditor: Path, index: int) -> None:
    proof = _prove(logged, "prove", IDS[index].upper())
    code, told = _check(logged, auditor, proof)
    assert code == Exit.DONE
    assert f"SELECT {index}" in told
    _, document = _check(logged, auditor, proof, "--json")
    shown = json.loads(document)
    assert (shown["proven"], shown["index"], shown["size"]) == (True, index, 7)
    assert json.loads(shown["record"])["id"] == IDS[index]
    # with the commitment to its text alone
    closed = _prove(logged, "prove", IDS[index], "--without-values")
    assert _check(logged, auditor, closed)[0] == Exit.DONE
    assert f"SELECT {index}" not in closed + _check(logged, auditor, closed)[1]
    # as others write it
    tlog = _prove(logged, "prove", IDS[index], "--tlog")
    assert tlog.startswith("c2sp.org/tlog-proof@v1\nextra ")
    assert _check(logged, auditor, tlog)[0] == Exit.DONE
    # without the record
    bare = _prove(logged, "prove", IDS[index], "--hash-only")
    assert "SELECT" not in bare
    assert _check(logged, auditor, bare)[0] == Exit.DONE


def test_a_changed_proof_does_not_hold(logged: Prompt, auditor: Path) -> None:
    proof = _prove(logged, "prove", IDS[2])
    code, told = _check(logged, auditor, proof.replace("shopper", "stopper"))
    assert code == Exit.NO
    assert "the proof does not hold: the record is not the one" in told
    other = _prove(logged, "prove", IDS[3])
    swapped = json.dumps(json.loads(proof) | {"private": json.loads(other)["private"]})
    code, told = _check(logged, auditor, swapped)
    assert code == Exit.NO
    assert "the values are not those that the record commits to" in told
    assert _check(logged, auditor, "nonsense")[0] == Exit.NO
    (auditor / "log.pub").write_text(str(audit.SigningKey.generate("query-firewall").public))
    assert _check(logged, auditor, proof)[0] == Exit.NO


def test_the_key_must_be_given(logged: Prompt, auditor: Path) -> None:
    said = logged("audit", "check-proof", "proof")
    assert said.code == Exit.WRONG
    assert "--key" in said.err
    assert logged("audit", "check-proof", "absent", "--key", "log.pub").code == Exit.WRONG


def test_a_published_checkpoint_can_be_what_it_is_proven_for(logged: Prompt, auditor: Path) -> None:
    old = _prove(logged, "consistency", "5")
    note = json.loads(old)["old"]
    (auditor / "published").write_text(note)
    proof = _prove(logged, "prove", IDS[4], "--checkpoint", "published")
    assert json.loads(_check(logged, auditor, proof, "--json")[1])["size"] == 5
    config = str(logged.folder / "firewall.yaml")
    late = logged("audit", "prove", IDS[5], "--checkpoint", "published", "--config", config)
    assert late.code == Exit.NO
    assert "there is no record 5 in a log of 5" in late.err


def test_a_log_has_only_grown(logged: Prompt, auditor: Path) -> None:
    proof = _prove(logged, "consistency", "3", "6")
    (auditor / "published").write_text(json.loads(proof)["old"])
    code, told = _check(logged, auditor, proof)
    assert code == Exit.DONE
    assert "old size" in told
    shown = json.loads(_check(logged, auditor, _prove(logged, "consistency", "published"), "--json")[1])
    assert (shown["old_size"], shown["size"]) == (3, 7)
    config = ("--config", str(logged.folder / "firewall.yaml"))
    assert logged("audit", "consistency", "99", *config).code == Exit.NOT_THERE
    assert logged("audit", "consistency", "6", "3", *config).code == Exit.NO
    damage(logged.folder, "UPDATE records SET leaf_hash = zeroblob(32) WHERE idx = 1")
    said = logged("audit", "consistency", "published", *config)
    assert said.code == Exit.NO
    assert "changed or forked" in said.err


def test_a_record_that_is_not_there(logged: Prompt) -> None:
    said = logged("audit", "prove", "r-NONE")
    assert said.code == Exit.NOT_THERE
    assert "no record `r-NONE`" in said.err
