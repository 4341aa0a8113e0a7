"""The `firewall` command: one file for each group of commands, one table of exit codes (`exits`)."""

from __future__ import annotations


def main() -> int:
    """The console script; returns the exit code."""
    # analysis workers import the script that started them: they must not pay for all commands
    from firewall.cli.main import run  # noqa: PLC0415 — see above

    return run()
