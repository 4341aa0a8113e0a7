"""The commands, by the modules they live in: only what a command line names is imported.

All of the firewall takes two seconds to import, which nobody is to wait for who lists a hold.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import typer

# command or group → its modules, the one with the group's `app` first; in the order of the help
PARTS = {
    "init": ("init",),
    "serve": ("serve",),
    "agents": ("agents",),
    "people": ("people",),
    "holds": ("holds",),
    "grants": ("grants",),
    "audit": (
        "audit",
        "audit_bypass",
        "audit_erase",
        "audit_evidence",
        "audit_export",
        "audit_proof",
        "audit_schema",
    ),
    "report": ("report",),
    "policy": ("policy", "policy_diff", "policy_reload", "policy_replay", "explain"),
    "explain": ("explain",),
    "labels": ("labels",),
    "catalog": ("catalog",),
    "demo": ("demo",),
}


def named(arguments: Sequence[str]) -> Iterator[typer.Typer]:
    """The commands and groups that the arguments may mean: those whose names are among them, or else all."""
    # the version is said before any command is looked for
    rest = ["init"] if "--version" in arguments else PARTS
    for name in [name for name in PARTS if name in arguments] or rest:
        first, *_ = [import_module(f"firewall.cli.{module}") for module in PARTS[name]]
        yield first.app
