"""Files that ship with the firewall: in a checkout at its root, in a wheel below the package."""

from __future__ import annotations

from pathlib import Path

from firewall.errors import FirewallError

_PACKAGE = Path(__file__).parent


def policies() -> Path:
    """The folder of the shipped policies."""
    return _first(_PACKAGE / "data" / "policies", _PACKAGE.parent / "policies")


def demo_sql() -> str:
    """The demo's shop database, as one SQL text."""
    folder = _first(_PACKAGE / "data" / "demo", _PACKAGE.parent / "fixtures" / "demo")
    return (folder / "shop.sql").read_text(encoding="utf-8")


def _first(*candidates: Path) -> Path:
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise FirewallError(
        f"`{candidates[0].name}` is missing from this installation", hint="install query-firewall again"
    )
