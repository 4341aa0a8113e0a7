"""PgBouncer, HAProxy and pgpool-II with settings of their own, each as a process that is ended afterwards.

Each pools nothing that the firewall does not: one server connection for each client, logins checked.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.plain import Address

HOW_TO_INSTALL = "apt-get install pgbouncer haproxy pgpool2"
STARTS_WITHIN = 30
UNPRIVILEGED = "nobody"  # PgBouncer refuses to run as root
POOLED = 100  # clients that pgpool-II has processes for


@dataclass
class Proxy:
    """A running proxy: where it listens, and its process."""

    name: str
    address: Address
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def found(name: str) -> Path | None:
    """The program, also where root's PATH alone would find it."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return Path(path) if path else None


def start(name: str, direct: Address, folder: Path) -> Proxy | None:
    """One of PROGRAMS before the server at `direct`; None if it is not installed."""
    program = found(name)
    if program is None:
        return None
    folder.mkdir()
    address = replace(direct, port=free_port())
    command, user = PROGRAMS[name](program, direct, address, folder)
    if user:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user)
    with (folder / "log").open("wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, user=user, cwd=folder
        )
    proxy = Proxy(name, address, process)
    deadline = time.monotonic() + STARTS_WITHIN
    while not _listens(address):
        if process.poll() is not None or time.monotonic() > deadline:
            proxy.stop()
            raise RuntimeError(f"{name} did not start: {(folder / 'log').read_text(errors='replace')[-800:]}")
        time.sleep(0.05)
    return proxy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(address: Address) -> bool:
    try:
        socket.create_connection((address.host, address.port), timeout=1).close()
    except OSError:
        return False
    return True


def _pgbouncer(program: Path, direct: Address, own: Address, folder: Path) -> tuple[list[str], str | None]:
    (folder / "users.txt").write_text(f'"{direct.user}" "{direct.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
* = host={direct.host} port={direct.port} user={direct.user} password={direct.password}
[pgbouncer]
listen_addr = {own.host}
listen_port = {own.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder / "users.txt"}
pool_mode = session
max_client_conn = 2000
default_pool_size = 1500
server_reset_query =
server_tls_sslmode = disable
log_connections = 0
log_disconnections = 0
stats_period = 3600
"""
    )
    root = os.geteuid() == 0
    return [str(program), "-q", str(folder / "pgbouncer.ini")], UNPRIVILEGED if root else None


def _haproxy(program: Path, direct: Address, own: Address, folder: Path) -> tuple[list[str], str | None]:
    (folder / "haproxy.cfg").write_text(
        f"""global
    maxconn 4000
    nbthread 1
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen postgres
    bind {own.host}:{own.port}
    server one {direct.host}:{direct.port}
"""
    )
    return [str(program), "-db", "-f", str(folder / "haproxy.cfg")], None


def _pgpool(program: Path, direct: Address, own: Address, folder: Path) -> tuple[list[str], str | None]:
    (folder / "pool_passwd").write_text(f"{direct.user}:TEXT{direct.password}\n")
    (folder / "pool_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    (folder / "pcp.conf").write_text("")
    (folder / "pgpool.conf").write_text(
        f"""backend_clustering_mode = 'raw'
listen_addresses = '{own.host}'
port = {own.port}
socket_dir = '{folder}'
pcp_listen_addresses = '{own.host}'
pcp_port = {free_port()}
pcp_socket_dir = '{folder}'
backend_hostname0 = '{direct.host}'
backend_port0 = {direct.port}
backend_weight0 = 1
num_init_children = {POOLED}
max_pool = 1
connection_cache = off
child_life_time = 0
enable_pool_hba = on
pool_passwd = 'pool_passwd'
health_check_period = 0
sr_check_period = 0
memory_cache_enabled = off
pid_file_name = '{folder / "pgpool.pid"}'
logdir = '{folder}'
log_min_messages = warning
"""
    )
    files = ["-f", "pgpool.conf", "-a", "pool_hba.conf", "-F", "pcp.conf"]
    root = os.geteuid() == 0
    return [str(program), "-n", *files], UNPRIVILEGED if root else None


PROGRAMS: dict[str, Callable[[Path, Address, Address, Path], tuple[list[str], str | None]]] = {
    "pgbouncer": _pgbouncer,
    "haproxy": _haproxy,
    "pgpool": _pgpool,
}
