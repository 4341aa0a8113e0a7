"""What a process weighs, as Linux counts it (proc(5))."""

from __future__ import annotations

from pathlib import Path


def rss_kib(pid: int) -> int:
    """Resident set now."""
    return _field(pid, "VmRSS")


def peak_kib(pid: int) -> int:
    """The largest resident set since the last `forget_peak`."""
    return _field(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Begin anew to look for the largest (clear_refs, value 5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _field(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise KeyError(name)
