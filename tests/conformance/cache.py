"""What the matrix runs, fetched by the registries' own clients into a folder outside the repository.

Whatever cannot be had is `Missing`, with the reason: the suite is then skipped aloud, never silently.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from firewall.demo.postgres import binaries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DOWNLOAD_SECONDS = 600
DEFAULT = Path.home() / ".cache/query-firewall-conformance"


class Missing(Exception):
    """Something is not on this machine and cannot be fetched either."""


class Cache:
    """Tools and suites by name and version; fetched on first use."""

    def __init__(self, folder: Path = DEFAULT) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def python(self, name: str, packages: Sequence[str]) -> Path:
        """The interpreter of a virtual environment with these packages."""
        home = self.folder / "venvs" / name
        stamp = home / "packages"
        if not stamp.exists() or stamp.read_text().split() != list(packages):
            shutil.rmtree(home, ignore_errors=True)
            _call([sys.executable, "-m", "venv", home])
            _call([home / "bin/python", "-m", "pip", "install", "--quiet", *packages])
            stamp.write_text("\n".join(packages))
        return home / "bin/python"

    def sdist(self, name: str, version: str) -> Path:
        """A source distribution, unpacked."""
        unpacked = self.folder / "sources" / f"{name}-{version}"
        if not unpacked.exists():
            archives = self.folder / "sdists"
            # pip asks a source distribution for its metadata; psycopg2's wants to see a pg_config
            path = {"PATH": f"{os.environ['PATH']}{os.pathsep}{binaries()}"}
            command = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name, "-d", archives]
            if not (archives / f"{name}-{version}.tar.gz").exists():
                _call([sys.executable, *command, f"{name}=={version}"], path)
            with tarfile.open(archives / f"{name}-{version}.tar.gz") as files:
                files.extractall(unpacked.parent, filter="data")
        return unpacked

    def node(self, packages: Sequence[str]) -> Path:
        """A folder whose node_modules holds these packages."""
        for tool in ("node", "npm"):
            if shutil.which(tool) is None:
                raise Missing(f"no `{tool}` here; install Node.js")
        home = self.folder / "node"
        stamp = home / "packages"
        if not stamp.exists() or stamp.read_text().split() != list(packages):
            home.mkdir(exist_ok=True)
            (home / "package.json").write_text('{"private": true}')
            _call(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", home, *packages])
            stamp.write_text("\n".join(packages))
        return home

    def jdbc(self) -> Path:
        """Debian's JDBC driver, from its package, which need not be installed."""
        for tool in ("javac", "java"):
            if shutil.which(tool) is None:
                raise Missing(f"no `{tool}` here; on Debian: apt-get install default-jdk-headless")
        installed = Path("/usr/share/java/postgresql.jar")
        if installed.exists():
            return installed
        home = self.folder / "jdbc"
        jar = home / "usr/share/java/postgresql.jar"
        if not jar.exists():
            for tool in ("apt-get", "dpkg"):
                if shutil.which(tool) is None:
                    raise Missing(f"no `{tool}` here, and no `{installed}`")
            home.mkdir(exist_ok=True)
            _call(["apt-get", "download", "--quiet", "libpostgresql-jdbc-java"], folder=home)
            for package in home.glob("*.deb"):
                _call(["dpkg", "-x", package, home])
        return jar


def _call(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> None:
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env={**os.environ, **(environment or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"`{command[0]}` did not end within {DOWNLOAD_SECONDS} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
        raise Missing(f"`{Path(command[0]).name} {command[1]}` failed and said: {said[0][:300]}")
