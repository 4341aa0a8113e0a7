"""Where the shipped policies and the demo's SQL are: in the installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def policies() -> Path:
    """The folder of the shipped policies, their cases and their README."""
    return _found("data/policies", "policies")


def demo_sql() -> str:
    """The statements that make and fill the demo's shop."""
    return (_found("data/demo", "fixtures/demo") / "shop.sql").read_text(encoding="utf-8")


def _found(installed: str, checkout: str) -> Path:
    # hatch puts the first into a wheel (pyproject.toml, force-include); the second is never installed
    folder = _PACKAGE / installed
    return folder if folder.is_dir() else _PACKAGE.parent / checkout
