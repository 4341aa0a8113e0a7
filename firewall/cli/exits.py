"""What the exit code says, for scripts; one table for all commands. And errors that only commands have."""

from __future__ import annotations

from enum import IntEnum

from firewall.errors import CatalogError, FirewallError, StoreError

MEANINGS = {
    0: "done",
    1: "the answer is no: log not sound, policy has problems, cases fail, policies differ, vote refused",
    2: "the command line, the settings, a policy or a key file is wrong",
    3: "the store or the database cannot be used",
    4: "there is no such agent, person, hold, statement or database",
    70: "a bug in query-firewall",
    130: "interrupted (Ctrl-C)",
    141: "whoever read the output went away",
}


class Exit(IntEnum):
    """The codes of `MEANINGS` by name; BUG as in sysexits.h, the last two as shells count signals."""

    DONE = 0
    NO = 1
    WRONG = 2
    UNREACHABLE = 3
    NOT_THERE = 4
    BUG = 70
    INTERRUPTED = 130
    PIPE = 141


class Usage(FirewallError):
    """What was asked makes no sense."""


class NotThere(FirewallError):
    """The thing that was named does not exist."""


class Declined(FirewallError):
    """The answer is no."""


def code(error: FirewallError) -> Exit:
    """The exit code for an error that reached the top."""
    match error:
        case Declined():
            return Exit.NO
        case NotThere():
            return Exit.NOT_THERE
        case StoreError() | CatalogError():
            return Exit.UNREACHABLE
        case _:
            return Exit.WRONG
