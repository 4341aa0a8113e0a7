"""The short form of `make soak`: the same play with sixty acts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
def test_sixty_acts_come_through() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak"],
        cwd=ROOT,
        env={**os.environ, "SOAK_HOLDS": "60"},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "0 double executions, 0 lost" in last
    assert " 0 kills" not in last
