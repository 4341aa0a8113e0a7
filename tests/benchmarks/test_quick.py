"""The short form must run and write what it promises. How fast things are is not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import analysis, search

ROOT = Path(__file__).resolve().parents[2]
MEASURES = {
    *(f"{mode}-c1-{what}" for mode in ("prepared", "extended", "simple") for what in ("latency", "p99")),
    *(f"{mode}-c8-tps" for mode in ("prepared", "extended", "simple")),
    *("connections-per-second", "select-1m-seconds", "copy-out-1m-seconds", "copy-in-1m-seconds"),
    *("idle-session-kib", "held-session-kib", "slow-reader-growth-kib", "slow-server-growth-kib"),
}


@pytest.mark.timeout(180)
def test_the_short_form_measures_everything(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--targets", "direct", "firewall", "--report", report],
        cwd=ROOT,
        env={**os.environ, "BENCH_QUICK": "1", "MYPYC_OPT_LEVEL": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(report.read_text())
    assert all(set(row) == {"measure", "target", "unit", "median", "min", "max"} for row in rows)
    assert all(row["min"] <= row["median"] <= row["max"] for row in rows)
    of_firewall = {row["measure"]: row["median"] for row in rows if row["target"] == "firewall"}
    assert of_firewall.keys() >= MEASURES
    assert all(of_firewall[measure] > 0 for measure in MEASURES if not measure.endswith("-kib"))
    assert {row["target"] for row in rows} == {"direct", "firewall"}
    assert "aim: at least 0.85" in done.stdout


def test_the_analysis_is_measured_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    analysis.main(["--statements", "60", "--tables", "30"])
    said = capsys.readouterr().out
    told = dict(line.split("  ", 1) for line in said.splitlines()[1:])
    assert {"new statement, p99", "event loop blocked", "event loop blocked, reading again"} <= told.keys()
    assert "(to reach: 10)" in told["new statement, p99"]
    assert all(float(value.split()[0]) > 0 for value in told.values())


async def test_the_short_form_of_the_search_finds_what_is_there(tmp_path: Path) -> None:
    timed = {each.name: each.found for each in await search.run(f"sqlite:///{tmp_path}/store.db", 2_000)}
    alone = ("agent", "owner", "database", "verdict", "effect", "label", "rule", "relation", "session")
    assert all(timed[name] for name in (*alone, "decided by", "until", "text that is everywhere"))
    assert timed["text that is once, at the far end"] == 1
    assert not any(found for name, found in timed.items() if "never" in name)
