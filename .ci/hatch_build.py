"""Compiles the inner loops for a wheel, where mypyc and a C compiler are at hand; without them it stays pure.

The modules are the ones that every relayed byte and every statement go through, one source for both forms. An
editable installation is never compiled: what is edited must be what runs. `compiled_copy` makes a compiled
copy of the package elsewhere, for tests and benchmarks.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parents[1]
# data classes with slots stay out: mypyc cannot make them
MODULES = (
    *(f"firewall/wire/{name}.py" for name in ("body", "framing")),
    *(
        f"firewall/session/{name}.py"
        for name in (
            "backend",
            "batch",
            "guard",
            "bounds",
            "intake",
            "lane",
            "line",
            "outbox",
            "portals",
            "prepared",
            "replies",
            "session",
            "turn",
            "watch",
        )
    ),
    "firewall/approval/encoding.py",
    "firewall/audit/runs.py",
    "firewall/clock.py",
    "firewall/season.py",
    *(f"firewall/proxy/{name}.py" for name in ("behind", "conversation", "link", "standing", "text")),
)
# what the compiled modules are, and what they are checked against
SOURCES = ("firewall/wire", "firewall/session", "firewall/errors.py", ".ci/hatch_build.py", *MODULES)
SETTINGS = """[mypy]
follow_imports = silent
ignore_missing_imports = True
[mypy-postgast.pg_query_pb2]
follow_imports = skip
follow_imports_for_stubs = True
"""
SECONDS = 600


class CompileHook(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel beside their sources."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        self._scratch = tempfile.TemporaryDirectory(prefix="query-firewall-")
        built, why = build(Path(self._scratch.name))
        if why:
            self.app.display_warning(f"query-firewall is not compiled, and slower: {why}")
            return
        for path in built:
            build_data["force_include"][str(path)] = str(path.relative_to(self._scratch.name))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        del version, build_data, artifact_path
        if hasattr(self, "_scratch"):
            self._scratch.cleanup()


def build(folder: Path) -> tuple[list[Path], str]:
    """Compile a copy of the package in `folder`: the extension modules, or why there are none."""
    shutil.copytree(
        ROOT / "firewall",
        folder / "firewall",
        ignore=shutil.ignore_patterns("__pycache__", "*.so"),
        dirs_exist_ok=True,
    )
    (folder / "mypy.ini").write_text(SETTINGS)
    try:
        done = subprocess.run(  # noqa: S603 — mypyc, on our own sources
            [sys.executable, "-m", "mypyc", *MODULES],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], str(error)
    built = [path for path in folder.rglob("*.so") if "build" not in path.relative_to(folder).parts]
    if done.returncode or len(built) <= len(MODULES):
        for path in built:
            path.unlink()
        return [], (done.stderr.strip() or done.stdout.strip() or "nothing was built")[-500:]
    return built, ""


def compiled_copy(folder: Path) -> str:
    """Put the package as it is now into `folder`, with compiled modules: "", or why they could not be made.

    What was compiled before from the same sources is taken from `build/`.
    """
    # tests ask mypyc for code that is made quickly; nobody is to measure that
    digest = hashlib.sha256(f"{sys.version} {os.environ.get('MYPYC_OPT_LEVEL', '3')}".encode())
    files = {
        path
        for name in SOURCES
        for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).glob("*.py"))
    }
    for path in sorted(files):
        digest.update(path.read_bytes())
    kept = ROOT / "build" / f"compiled-{digest.hexdigest()[:16]}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(prefix="query-firewall-") as scratch:
            built, why = build(Path(scratch))
            if why:
                return why
            for path in built:
                target = kept.with_suffix(f".{os.getpid()}") / path.relative_to(scratch)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
        if not kept.exists():
            kept.with_suffix(f".{os.getpid()}").rename(kept)
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "firewall", folder / "firewall", ignore=ignored, dirs_exist_ok=True)
    for data in ("policies", "fixtures"):
        (folder / data).symlink_to(ROOT / data)
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    return ""
