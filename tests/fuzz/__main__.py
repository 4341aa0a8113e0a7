"""`python -m tests.fuzz [TARGET …]`: every target in a process of its own, one after the other.

FUZZ_SECONDS (60) is the time for each. What is found is kept in `fixtures/fuzz/TARGET` and makes the run
fail; `--again FILE` runs one input again, in this process, for its traceback.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz import engine
from tests.fuzz.target import TARGETS

FIGURES = {
    "executions/s": r"stat::average_exec_per_sec:\s*(\d+)",
    "executions": r"Done (\d+) runs",
    "edges": r".*cov: (\d+)",
    "corpus": r".*corp: (\d+)",
    "MiB": r"stat::peak_rss_mb:\s*(\d+)",
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all of them")
    parser.add_argument("--again", type=Path, metavar="FILE", help="run this one input")
    options = parser.parse_args(argv)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"`{min(unknown)}` is no target; choose of {', '.join(TARGETS)}")
    if options.again:
        (name,) = options.targets or [options.again.parent.name]
        engine.limited(TARGETS[name], options.again.read_bytes())
        return 0
    if not engine.GUIDED:
        print("atheris is not here (pip install -e '.[fuzz]'): hypothesis draws the bytes, without coverage")
    seconds = int(os.environ.get("FUZZ_SECONDS", "60"))
    print("".join(f"{head:>14}" for head in ("target", *FIGURES)), flush=True)
    failed = [name for name in options.targets or TARGETS if not _fuzz(name, seconds)]
    if failed:
        print(f"found something in {', '.join(failed)}: run it again with --again FILE")
    return 1 if failed else 0


def _fuzz(name: str, seconds: int) -> bool:
    TARGETS[name].folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.engine", name, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    figures = [re.findall(pattern, said) for pattern in FIGURES.values()]
    print("".join(f"{value:>14}" for value in (name, *(f[-1] if f else "" for f in figures))), flush=True)
    if done.returncode:
        print(said[-6000:])
        print(f"{name} ended with {done.returncode}, after this")
    return not done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
