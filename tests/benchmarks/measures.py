"""The measures. Each takes a target and gives its samples; who calls them interleaves targets and rounds."""

from __future__ import annotations

import os
import re
import select
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

from firewall import wire
from firewall.demo.postgres import binaries
from tests.benchmarks import memory
from tests.benchmarks.plain import Plain, copy_pieces
from tests.benchmarks.stage import ITEMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.plain import Address
    from tests.benchmarks.stage import Target

SELECT_ONLY = f"\\set id random(1, {ITEMS})\nSELECT balance FROM items WHERE id = :id;\n"
ONE_TEXT = "SELECT balance FROM items WHERE id = 4711;\n"
HELD = "DELETE FROM items WHERE id = -1"
WIDE = "SELECT repeat('x', 1000) FROM lines a, generate_series(1, {times})"
LOGINS_AT_ONCE = 8
LOGINS_IN_A_SECOND = 16  # of the slowest target on a busy machine
WARM = 10  # sessions that are there before those that are weighed


@dataclass(frozen=True)
class Effort:
    """How much is done. pgbench runs for `seconds`, or for `transactions` of each client if that is not 0."""

    seconds: int = 3
    transactions: int = 0
    rows: int = 1_000_000
    sessions: int = 1000
    trickle: float = 8.0  # seconds of slow reading and of fast writing
    connecting: int = 2  # seconds

    def limit(self, seconds: int, share: int = 1) -> list[str]:
        if self.transactions:
            return ["-t", str(max(1, self.transactions // share))]
        return ["-T", str(seconds)]


def statements(target: Target, mode: str, clients: int, effort: Effort) -> Iterator[tuple[str, str, float]]:
    """Measure, unit and value of one run of pgbench in one mode; `one-text` is simple with a constant."""
    script = ONE_TEXT if mode == "one-text" else SELECT_ONLY
    protocol = "simple" if mode == "one-text" else mode
    logged = clients == 1
    with tempfile.TemporaryDirectory() as scratch:
        # logging in is part of the time, and dear
        seconds = effort.seconds + clients // LOGINS_IN_A_SECOND
        args = ["-M", protocol, "-c", str(clients), "-j", "1", *effort.limit(seconds)]
        if logged:
            args += ["-l", f"--log-prefix={scratch}/log"]
        tps = pgbench(target.address, script, args)
        if logged:
            lines = (line for path in Path(scratch).glob("log*") for line in path.read_text().splitlines())
            cuts = quantiles([int(line.split()[2]) for line in lines], n=100)
            yield f"{mode}-c1-latency", "µs", cuts[49]
            yield f"{mode}-c1-p99", "µs", cuts[98]
        else:
            yield f"{mode}-c{clients}-tps", "1/s", tps


def connections(target: Target, effort: Effort) -> Iterator[tuple[str, str, float]]:
    """A login and one statement for each connection."""
    args = ["-C", "-c", str(LOGINS_AT_ONCE), "-j", "1", *effort.limit(effort.connecting, 10)]
    yield "connections-per-second", "1/s", pgbench(target.address, ONE_TEXT, args)


def pgbench(address: Address, script: str, args: list[str]) -> float:
    """Transactions in a second."""
    program = binaries() / "pgbench"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            [
                program,
                "-n",
                "-f",
                file.name,
                *args,
                "-h",
                address.host,
                "-p",
                str(address.port),
                "-U",
                address.user,
                address.database,
            ],
            env={**os.environ, "PGPASSWORD": address.password, "PGSSLMODE": "disable"},
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise RuntimeError(f"pgbench ended with {done.returncode}: {done.stderr[-800:]}{done.stdout[-800:]}")
    return float(found[1])


def rows_out(target: Target, effort: Effort) -> Iterator[tuple[str, str, float]]:
    """All of `lines` by SELECT and by COPY."""
    del effort
    session = Plain(target.bulk)
    # the first of each is a new statement: its judgement is not what is measured
    for measure, sql in (
        ("select-1m-seconds", "SELECT id, what, weight FROM lines"),
        ("copy-out-1m-seconds", "COPY lines TO STDOUT"),
    ):
        session.query(sql.replace("lines", "lines WHERE id < 2") if "SELECT" in sql else "SELECT 1")
        began = time.perf_counter()
        session.query(sql)
        yield measure, "s", time.perf_counter() - began
    session.close()


def rows_in(target: Target, effort: Effort) -> Iterator[tuple[str, str, float]]:
    """COPY FROM STDIN, rolled back by TRUNCATE in the same transaction."""
    session = Plain(target.bulk)
    pieces = list(copy_pieces(effort.rows))
    session.query("BEGIN")
    session.query("TRUNCATE loaded")
    began = time.perf_counter()
    session.copy_in("COPY loaded FROM STDIN", iter(pieces))
    yield "copy-in-1m-seconds", "s", time.perf_counter() - began
    session.query("ROLLBACK")
    session.close()


def idle_sessions(target: Target, effort: Effort) -> Iterator[tuple[str, str, float]]:
    """Memory of a session that has run one statement and is idle."""
    warm = _sessions(target.address, WARM)
    before = memory.rss_kib(target.pid)
    opened = _sessions(target.address, effort.sessions)
    yield "idle-session-kib", "KiB", (memory.rss_kib(target.pid) - before) / effort.sessions
    _close(warm + opened)


def held_sessions(target: Target, effort: Effort) -> Iterator[tuple[str, str, float]]:
    """Memory of a session whose statement waits for a person; all of them go away in the end."""
    warm = _sessions(target.address, WARM)
    _hold(warm)
    before = memory.rss_kib(target.pid)
    opened = _sessions(target.address, effort.sessions)
    _hold(opened)
    yield "held-session-kib", "KiB", (memory.rss_kib(target.pid) - before) / effort.sessions
    _close(warm + opened)


def slow_reader(target: Target, effort: Effort) -> Iterator[tuple[str, str, float]]:
    """Growth of the process while 2 GB wait for somebody who reads 64 KiB now and then."""
    session = Plain(target.bulk, receive_buffer=65536)
    times = max(1, 2_000_000 // effort.rows)
    session.query("SELECT repeat('x', 1000) FROM lines WHERE id < 2")
    before = memory.rss_kib(target.pid)
    memory.forget_peak(target.pid)
    session.sock.sendall(wire.Query(WIDE.format(times=times)).encode())
    until = time.monotonic() + effort.trickle
    while time.monotonic() < until:
        if not session.sock.recv(65536):
            raise RuntimeError("the session ended")
        time.sleep(0.01)
    yield "slow-reader-growth-kib", "KiB", max(0, memory.peak_kib(target.pid) - before)
    session.close()


def slow_server(target: Target, effort: Effort) -> Iterator[tuple[str, str, float]]:
    """Growth of the process while COPY data come faster than a trigger lets the server take them."""
    session = Plain(target.bulk)
    before = memory.rss_kib(target.pid)
    memory.forget_peak(target.pid)
    session.sock.sendall(wire.Query("COPY slow FROM STDIN").encode())
    session.await_code("G")
    piece = next(copy_pieces(500)) * 20
    session.sock.setblocking(False)
    until = time.monotonic() + effort.trickle
    left = memoryview(piece)
    while time.monotonic() < until:
        _, writable, _ = select.select([], [session.sock], [], 0.1)
        if writable:
            left = left[session.sock.send(left) :] or memoryview(piece)
    yield "slow-server-growth-kib", "KiB", max(0, memory.peak_kib(target.pid) - before)
    session.close()


def _sessions(address: Address, count: int) -> list[Plain]:
    opened: list[Plain] = []
    failures: list[Exception] = []

    def open_some(share: int) -> None:
        try:
            for _ in range(share):
                session = Plain(address)
                session.query("SELECT balance FROM items WHERE id = 1")
                opened.append(session)
        except Exception as error:  # noqa: BLE001 — told in the thread that waits
            failures.append(error)

    shares = [count // 4 + (1 if i < count % 4 else 0) for i in range(4)]
    threads = [threading.Thread(target=open_some, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        _close(opened)
        raise failures[0]
    return opened


def _hold(sessions: list[Plain]) -> None:
    """Send a statement that is held in each, and wait for the notice that says so."""
    for session in sessions:
        session.sock.sendall(wire.Query(HELD).encode())
    for session in sessions:
        session.await_code("N")


def _close(sessions: list[Plain]) -> None:
    for session in sessions:
        session.close()
    time.sleep(0.5)
