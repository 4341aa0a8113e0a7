"""Holds, votes and quorum as a state machine. Pure: the desk carries out, the store keeps."""

from firewall.approval.digest import Circumstances, Execution, digest, digester
from firewall.approval.encoding import Digester
from firewall.approval.grant import Grant, shape
from firewall.approval.hold import Counted, Hold, Person, Refused, State, Vote, cast
from firewall.approval.impact import Change, Earlier, Estimate, Impact, earlier
from firewall.approval.ran import Ran, Standing, transaction
from firewall.approval.stats import Stats, stats

__all__ = [
    "Change",
    "Circumstances",
    "Counted",
    "Digester",
    "Earlier",
    "Estimate",
    "Execution",
    "Grant",
    "Hold",
    "Impact",
    "Person",
    "Ran",
    "Refused",
    "Standing",
    "State",
    "Stats",
    "Vote",
    "cast",
    "digest",
    "digester",
    "earlier",
    "shape",
    "stats",
    "transaction",
]
