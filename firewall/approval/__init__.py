"""Holds, votes and quorum as a state machine. Pure: the desk carries out, the store keeps."""

from firewall.approval.digest import Circumstances, Digester, Execution, digest
from firewall.approval.hold import Counted, Hold, Person, Refused, State, Vote, cast

__all__ = [
    "Circumstances",
    "Counted",
    "Digester",
    "Execution",
    "Hold",
    "Person",
    "Refused",
    "State",
    "Vote",
    "cast",
    "digest",
]
