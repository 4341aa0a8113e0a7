"""The compiled form of the inner loops is held to the same tests as their source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hatch_build
import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_a_build_that_fails_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CC", "/nowhere/cc")
    monkeypatch.setattr(hatch_build, "MODULES", ("firewall/wire/body.py",))
    built, why = hatch_build.build(tmp_path)
    assert built == []
    assert why
    assert list((tmp_path / "firewall").rglob("*.so")) == []


@pytest.mark.timeout(600)
def test_the_compiled_form_passes_the_same_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MYPYC_OPT_LEVEL", "0")
    why = hatch_build.compiled_copy(tmp_path)
    if why:
        pytest.skip(f"nothing can be compiled here: {why}")
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "from firewall.wire import framing; print(framing.COMPILED, framing.__file__)",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["True", str(next((tmp_path / "firewall/wire").glob("framing.*.so")))]
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-o",
                f"pythonpath={tmp_path} .",
                "-p",
                "no:cacheprovider",
            ),
            *("tests/wire", "tests/session"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
