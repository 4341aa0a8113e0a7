"""Holds, votes and quorum as a state machine. Pure: the desk carries out, the store keeps."""

from firewall.approval.digest import Circumstances, Execution, digest, digester
from firewall.approval.encoding import Digester
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
    "digester",
]
