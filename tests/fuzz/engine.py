"""Runs one target in this process until its time is up or it fails; started by `__main__`, once for each.

With atheris the search is guided by coverage. Where there is no atheris (`pip install -e '.[fuzz]'`),
hypothesis draws bytes and mends the seeds, which finds less; `__main__` says so aloud.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from tests.fuzz.target import Target

GUIDED = importlib.util.find_spec("atheris") is not None
# libFuzzer counts time that passes, on a machine that may be busy
PATIENCE = 5
# what is instrumented: our own rooms, and what reads hostile bytes for them in Python
INSTRUMENTED = ["firewall", "scramp"]


class Hang(Exception):
    """One input has taken longer than its target allows."""


def guided(name: str, seconds: int) -> None:
    """By coverage; libFuzzer ends the process, writes what it found into the target's folder and says how."""
    import atheris  # noqa: PLC0415 — an optional extra

    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from tests.fuzz.target import TARGETS  # noqa: PLC0415 — imported under instrumentation

    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [
            name,
            scratch,  # what is new goes here
            str(target.folder),
            f"-max_total_time={seconds}",
            f"-max_len={target.longest}",
            f"-timeout={target.seconds * PATIENCE}",
            f"-rss_limit_mb={target.megabytes}",
            f"-artifact_prefix={target.folder}/",
            "-print_final_stats=1",
            "-report_slow_units=1000",
        ]
        atheris.Setup(arguments, target.run)
        atheris.Fuzz()


def blind(name: str, seconds: int) -> None:
    """Without coverage: random bytes, and seeds with pieces changed, taken out, doubled and joined."""
    from tests.fuzz.target import TARGETS  # noqa: PLC0415 — as above

    target = TARGETS[name]
    count = 0
    last = b""

    def one(data: bytes) -> None:
        nonlocal count, last
        count += 1
        last = data
        limited(target, data)

    began = time.monotonic()
    rounds = 0
    try:
        while time.monotonic() - began < seconds:
            search(target, one, examples=200, number=rounds)
            rounds += 1
    except Exception:
        keep(target, last)
        raise
    spent = time.monotonic() - began
    sys.stderr.write(f"Done {count} runs in {spent:.0f} second(s)\n")
    sys.stderr.write(f"stat::average_exec_per_sec: {count / spent:.0f}\n")


def search(target: Target, one: Callable[[bytes], None], *, examples: int, number: int) -> None:
    """So many inputs of hypothesis's own and mended seeds, shrunk when one fails."""

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(mended([path.read_bytes() for path in target.kept()], target.longest))
    def tried(data: bytes) -> None:
        one(data)

    tried()


@st.composite
def mended(draw: st.DrawFn, seeds: list[bytes], longest: int) -> bytes:
    """Bytes that begin as a seed, or as nothing."""
    data = bytearray(draw(st.sampled_from([b"", *seeds])))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 40)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at:at] = draw(st.binary(max_size=40))
            case 1:
                data[at:end] = draw(st.binary(min_size=end - at, max_size=end - at))
            case 2:
                del data[at:end]
            case _:
                data[at:at] = data[at:end] * draw(st.integers(1, 3))
    return bytes(data[:longest])


def limited(target: Target, data: bytes) -> None:
    """One input, within its time."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Hang(f"{target.name}: an input of {len(data)} bytes took more than {target.seconds} s")

    # the processor's time: a busy machine makes no hang
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, target.seconds)
    try:
        target.run(data)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def keep(target: Target, data: bytes) -> Path:
    """Put a find beside the seeds, where every test run meets it again."""
    target.folder.mkdir(parents=True, exist_ok=True)
    path = target.folder / f"crash-{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    (guided if GUIDED else blind)(sys.argv[1], int(sys.argv[2]))
